"""`python -m benchmarks.flows ROW ...`: measures rows on flows, one after the other; all of them if none is named.

    flow1d-BASE, realnvp-PLANE, spline-PLANE, ffjord-PLANE, flow_matching-PLANE
               nats above the truth: the mean over test rows of log p*(x) - log p(x), where p* is the known density of
               the data
    affine-mle nats a row by which training from a random start stays below the Gaussian's maximum likelihood, which has
               a closed form
    realnvp-digits, glow-digits, nice-digits, realnvp-mnist
               bits a dimension of test rows: the dequantisation bound, with random draws of its own for each row
    nice-mnist mean log-likelihood of test rows in nats, for pixels on the scale [0, 1]

Each model is trained by the trainer of the stages, from conf/model with the settings of benchmarks/settings, for a
fixed number of minibatches; the checkpoint is chosen on validation rows. Data drawn from a known density have 360,000
training rows. GEN_MODELS_DATA says where MNIST is.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks import rows, training
from benchmarks.inputs import Inputs
from gen_models.build import build_model, build_optimisers
from gen_models.engine import Training, fit
from gen_models.evaluating import by_rows, evaluating, log_prob
from gen_models.measures.units import bits_per_dim
from gen_models.noise import Noise
from pipelines.config.compose import compose, override
from pipelines.data.densities import LOG_DENSITIES
from pipelines.data.store import Dataset
from pipelines.evaluation.metrics.likelihood import floor_log_prob
from pipelines.evaluation.prepared_rows import PreparedRows
from pipelines.runtime import paths

MANY = {  # so that no gap is one of overfitting, and 20000 test rows know it to a thousandth of a nat
    "options": {"rows": 400_000},
    "split": {"train": 0.9, "validation": 0.05, "test": 0.05},
}


FLOOR = "histogram of each column"  # of the worst data set, as the figure is


@dataclass(frozen=True)
class Row:
    """The plan of a row: train conf/model/MODEL.yaml with `settings` on each of `data` for `steps` minibatches."""

    measure: str  # of MEASURES
    model: str
    data: Sequence[str]
    steps: int
    settings: Mapping[str, Any]
    file: str  # that says so, one of the row's inputs
    target: float | None = None  # None: the best of the baselines
    seeds: Sequence[int] = (0,)


def gap(name: str, row: Row) -> None:
    """Measure the largest mean gap to the true density over data sets and seeds.

    The spread is the range of the mean gaps or, if there is only one, its standard error over test rows.
    """
    began, found, errors, floors, seconds, batch = time.monotonic(), {}, {}, [], 0.0, 0
    for data in row.data:
        dataset = training.data(data, **MANY)
        floors.append(floor_gap(dataset))
        for seed in row.seeds:
            played = training.play(row.model, dataset, row.settings, steps=row.steps, seed=seed)
            gaps = gaps_to_the_truth(played.trained)
            found[f"{data}, seed {seed}"] = gaps.mean().item()
            errors[f"{data}, seed {seed}"] = gaps.std().item() / math.sqrt(len(gaps))
            seconds, batch = max(seconds, played.seconds), played.batch_size
    worst = max(found, key=found.__getitem__)
    several = len(found) > 1
    write(
        name,
        row,
        found[worst],
        "nats above the truth",
        spread=max(found.values()) - min(found.values()) if several else errors[worst],
        baselines={**(found if several else {}), FLOOR: max(floors)},
        budget=f"{row.steps} minibatches of {batch}, {seconds:.0f} s"
        + (f" at most, {len(found)} times" if several else ""),
        seconds=time.monotonic() - began,
    )


def floor_gap(dataset: Dataset) -> float:
    """Return the mean over test rows of log p*(x) - log p(x) in nats, for p with a histogram of each column."""
    prepared = PreparedRows(dataset)
    truth = LOG_DENSITIES[dataset.manifest["source"]](prepared.normal("test").double().numpy())
    return float(np.mean(truth)) - floor_log_prob(prepared)


def gaps_to_the_truth(trained: Any) -> torch.Tensor:
    """Return log p*(x) - log p(x) in nats of each test row, (rows,), where p* is the known density of the data."""
    x = trained.normal("test")
    truth = LOG_DENSITIES[trained.data.manifest["source"]](x.double().numpy())
    with evaluating(trained.model):
        return torch.from_numpy(truth) - by_rows(trained.model.log_prob, x).double()


def bits(name: str, row: Row) -> None:
    """Measure the bits a dimension of test rows, beside those of models without a network."""
    likelihood(name, row, unit="bits/dim", better="lower")


def nats(name: str, row: Row) -> None:
    """Measure the mean of log p in nats of test rows scaled to [0, 1].

    It is log p(x) in the data's units plus D log q, for rows of D numbers on q grey levels.
    """
    likelihood(name, row, unit="nats", better="higher")


def likelihood(name: str, row: Row, *, unit: str, better: str) -> None:
    """Measure the mean log-likelihood of test rows, beside a histogram of each pixel and, on digits, Gaussian mixtures.

    unit: "bits/dim" (of -log p) or "nats" (of log p on the scale [0, 1]); better: "lower" or "higher"
    """
    began = time.monotonic()
    dataset = training.data(row.data[0])
    D, q = math.prod(dataset.event_shape), dataset.levels or 1
    played = training.play(row.model, dataset, row.settings, steps=row.steps)
    log_p = log_p_of(played.trained)
    beside = {"histogram of each pixel": floor_log_prob(played.trained)}
    if dataset.name == "digits":
        beside |= mixtures(dataset)
    to_unit, scale = {
        "bits/dim": (lambda value: bits_per_dim(value, D), 1 / (D * math.log(2))),
        "nats": (lambda value: value + D * math.log(q), 1.0),
    }[unit]
    write(
        name,
        row,
        to_unit(log_p.mean().item()),
        unit,
        better=better,
        spread=scale * log_p.std().item() / math.sqrt(len(log_p)),
        baselines={what: to_unit(value) for what, value in beside.items()},
        budget=f"{row.steps} minibatches of {played.batch_size}, {played.seconds:.0f} s",
        seconds=time.monotonic() - began,
    )


def log_p_of(trained: Any, split: str = "test") -> torch.Tensor:
    """Return log p in nats of each row of a split, (rows,), with random draws of its own for each row.

    So the standard error of the mean over rows includes the error of the draws.
    """
    with evaluating(trained.model):
        return log_prob(trained.model, trained.normal(split), Noise(0)).double()


def mixtures(dataset: Any) -> dict[str, float]:
    """Return {name: mean log p of test rows in nats} for one Gaussian and for a mixture of 50 Gaussians.

    The single Gaussian has a full covariance. The mixture has full or diagonal covariances, whichever gives validation
    rows the higher likelihood.
    """
    found, chosen = {}, (math.inf, 0.0)
    for components, covariance in ((1, "full"), (50, "full"), (50, "diagonal")):
        settings = {"model.components": components, "model.covariance": covariance}
        trained = training.play("gmm", dataset, settings, steps=300).trained
        validation = -log_p_of(trained, "validation").mean().item()
        log_p = log_p_of(trained).mean().item()
        if components == 1:
            found["Gaussian, full covariance"] = log_p
        else:
            chosen = min(chosen, (validation, log_p))
    return {**found, "mixture of 50 Gaussians": chosen[1]}


def affine(name: str, row: Row) -> None:
    """Measure by how many nats a row the worst seed is worse than the Gaussian's maximum likelihood.

    The maximum of the mean of log p over training rows is -1/2 (D log 2 pi + log det S + D), where S is the covariance
    of the rows. The model is trained on full batches in float64, with each column scaled by its standard deviation.
    Draws from N(0, 1/4) are added to the initial parameters.
    """
    began, found = time.monotonic(), {}
    (data,) = row.data
    x = training.data(data).rows("train").double()
    conf = override(compose(row.model, data, "quick"), row.settings)
    covariance = torch.cov(x.T, correction=0)
    best = -0.5 * (x.shape[1] * (math.log(2 * math.pi) + 1) + torch.linalg.slogdet(covariance).logabsdet.item())
    for seed in row.seeds:
        model = build_model(conf["model"], seed).double()
        model.data_scale.fit(x)
        for number, (_, parameter) in enumerate(model.named_parameters()):
            parameter.data += 0.5 * Noise(seed).normal(f"start/{number}", parameter.shape, like=parameter)
        run = Training(model, build_optimisers(conf["optim"], model))
        for report in fit(run, Whole(x), Noise(seed), steps=row.steps, report_every=row.steps, schedule="cosine"):
            found[f"seed {seed}"] = best - model.log_prob(x).mean().item()
            print(f"{data}, seed {seed}: {found[f'seed {seed}']:.3g} nats above the closed form", flush=True)
            assert report.step == row.steps
    write(
        name,
        row,
        max(found.values()),
        "nats above the closed form",
        spread=max(found.values()) - min(found.values()),
        baselines={"closed form, nats": -best},
        budget=f"{row.steps} full batches of {len(x)} rows, {len(row.seeds)} random starts",
        seconds=time.monotonic() - began,
    )


class Whole:
    """A source of batches, each of which has all rows."""

    def __init__(self, x: torch.Tensor):
        self.x = x

    def at(self, step: int) -> torch.Tensor:
        return self.x


def write(name: str, row: Row, figure: float, unit: str, *, baselines: Mapping[str, float], **facts: Any) -> None:
    """Write the result file of a row."""
    rows.write(
        name,
        model=row.model,
        data=", ".join(row.data),
        figure=figure,
        unit=unit,
        target=min(baselines.values()) if row.target is None else row.target,
        baselines=baselines,
        seeds=row.seeds,
        inputs=inputs(row),
        command=f"python -m benchmarks.flows {name}",
        **facts,
    )


def inputs(row: Row) -> Inputs:
    """Return the inputs of a row; on digits, the conf of the mixtures is one of them."""
    models = [row.model, "gmm"] if "digits" in row.data else [row.model]
    return Inputs(["benchmarks.flows"], models, list(row.data), [row.file])


MEASURES: dict[str, Callable[[str, Row], None]] = {"gap": gap, "bits": bits, "nats": nats, "affine": affine}


def table() -> dict[str, Row]:
    """Return {name: row} for the files benchmarks/settings/*.yaml.

    A row adds its own keys to those that its file has for all rows, and replaces them; settings are merged key by key.
    """
    found = {}
    for path in sorted((paths.root() / "benchmarks" / "settings").glob("*.yaml")):
        shared = yaml.safe_load(path.read_text())
        for name, own in shared.pop("rows").items():
            said = {**shared, **own, "settings": {**shared.get("settings", {}), **own.get("settings", {})}}
            found[name] = Row(**said, file=str(path.relative_to(paths.root())))
    return found


def main() -> None:
    known = table()
    measures = {name: partial(MEASURES[row.measure], name, row) for name, row in known.items()}
    rows.run(measures, prog="python -m benchmarks.flows", description=str(__doc__))


if __name__ == "__main__":
    main()
