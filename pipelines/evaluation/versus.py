"""Measures two models on the same test rows of the same prepared data, and says which is better and how surely.

The metrics are those by which a sweep chooses (gen_models.measures.sweep_metrics); for all of them lower is better.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from gen_models.contracts import Density, capabilities
from gen_models.errors import DataError, unknown
from gen_models.evaluating import observes_binary
from gen_models.measures.paired import CONFIDENCE, PER_ROW, Difference, paired, paired_mmd, row_values
from gen_models.measures.sweep_metrics import METRICS
from pipelines.data.rows_hash import rows_sha256
from pipelines.data.store import manifest_of, open_data
from pipelines.evaluation.prepared_rows import PreparedRows, fix_threads
from pipelines.training.validation_metrics import ruler_of

HASHES = ("data_sha256", "evaluated_sha256", "rows_sha256")
UNITS = {
    "nats": " nats a row",
    "nats_iw50": " nats a row",
    "mse": ", squared error of pixels from 0 to 1 or columns in standard deviations",
    "mmd": " MMD^2",
}


@dataclass(frozen=True)
class Contender:
    """A model to compare.

    title   its name for readers
    model   the model, which was trained
    metric  the metric by which its setting was chosen
    data    the name of the data on which it was evaluated
    hashes  the hashes of these data, when the model was trained and when it was evaluated, and that of their rows
    seen    (minibatches of its training, rows in each), or None if that is not recorded
    """

    title: str
    model: Any
    metric: str
    data: str
    hashes: frozenset[str]
    seen: tuple[int, int] | None = None


@dataclass(frozen=True)
class Verdict:
    """The result of a comparison of models a and b.

    metric      the name of the metric
    values      (its value for a, its value for b), over the rows that were compared
    difference  a's value minus b's, with its interval
    left_out    how many test rows were left out, because a or b gave no finite number for them
    lower       (on how many rows a has the lower value, on how many b has), or None for a metric of all rows together
    """

    metric: str
    values: tuple[float, float]
    difference: Difference
    left_out: int
    lower: tuple[int, int] | None = None


def compare(a: Contender, b: Contender, metric: str | None = None) -> Verdict:
    """Compare two models by a metric; the default is the metric by which both were chosen.

    Raises DataError if the two were evaluated on different data, if out/data now holds other data than those, if one of
    the models does not offer the metric, if no metric is given and the two were chosen by different ones, if there is
    no row for which both give a finite number, or if one model is of binary pixels and the other of grey levels.
    """
    rows = PreparedRows(_same_data(a, b))
    metric = _metric(a, b, metric)
    fix_threads()
    x, ruler = rows.normal("test"), ruler_of(rows.data, "test", None)
    if metric == "mmd":
        difference = paired_mmd(a.model, b.model, x, ruler)
        if difference is None:
            raise DataError(f"{a.title} and {b.title} draw in different spaces, binary and grey: mmd cannot be paired")
        values = [METRICS["mmd"].measure(one.model, x, ruler) for one in (a, b)]
        return Verdict(metric, (values[0], values[1]), difference, 0)
    require_same_pixels(a, b, metric)
    of_a, of_b = (row_values(metric, one.model, x, ruler) for one in (a, b))
    is_finite = torch.isfinite(of_a) & torch.isfinite(of_b)
    if not is_finite.any():
        raise DataError(f"{a.title} and {b.title}: there is no test row for which both give a finite {metric}")
    of_a, of_b = of_a[is_finite], of_b[is_finite]
    means = of_a.mean().item(), of_b.mean().item()
    lower = int((of_a < of_b).sum()), int((of_b < of_a).sum())
    return Verdict(metric, means, paired(of_a, of_b), int((~is_finite).sum()), lower)


def require_same_pixels(a: Contender, b: Contender, metric: str) -> None:
    """Raise DataError if one model's log p is that of black and white pixels, and the other's that of grey levels."""
    if metric != "mse" and len({observes_binary(one.model) for one in (a, b)}) > 1:
        binary = next(one for one in (a, b) if observes_binary(one.model))
        raise DataError(
            f"{a.title} and {b.title} cannot be compared: the {metric} of {binary.title} are of black and white "
            "pixels, those of the other of grey levels; say --metric mse, if both reconstruct"
        )


def sentence(a: Contender, b: Contender, verdict: Verdict) -> str:
    """Return a sentence that says which model is better and by how much, or that they cannot be told apart."""
    d, unit = verdict.difference, UNITS[verdict.metric]
    if d.low == d.high == 0:
        return f"The two are equal: the same {verdict.metric} on each of {d.rows} test rows."
    if d.low <= 0 <= d.high:
        told = f"They cannot be told apart by {verdict.metric} on these {d.rows} test rows: the interval holds 0."
        return told + _by_count(a, b, verdict)
    better, worse = (a, b) if d.value < 0 else (b, a)
    near, far = sorted(map(abs, (d.low, d.high)))
    return (
        f"{better.title} is better than {worse.title}, by {near:.4g} to {far:.4g}{unit}, on rows like these {d.rows}; "
        "another training of either may differ by more."
    )


def caveat(a: Contender, b: Contender, metric: str) -> str:
    """Return a warning if one of the two models, or each, gives the ELBO in place of its log p; else ""."""
    bounds = [one for one in (a, b) if not isinstance(one.model, Density)]
    if metric != "nats" or not bounds:
        return ""
    if len(bounds) == 2:
        return (
            "The nats of both are their ELBOs: they say by how much the bounds differ, and log p may differ by less or "
            "more. --metric nats_iw50 compares tighter bounds."
        )
    return (
        f"The nats of {bounds[0].title} are its ELBO: its true nats are lower by an unknown amount, which no interval "
        "above holds. The annealed estimate in the report is nearer to the truth."
    )


def unequal(a: Contender, b: Contender) -> str:
    """Return a sentence if the trainings of two models saw different numbers of rows; else ""."""
    if a.seen is None or b.seen is None or math.prod(a.seen) == math.prod(b.seen):
        return ""
    told = (f"{one.title} {math.prod(one.seen):,} ({one.seen[0]:,} x {one.seen[1]})" for one in (a, b) if one.seen)
    return f"Their trainings saw different numbers of rows (minibatches x rows in each): {', '.join(told)}."


def _by_count(a: Contender, b: Contender, verdict: Verdict) -> str:
    """Return a sentence if one of two models is lower on more rows than chance explains; else ""."""
    if verdict.lower is None or not sum(verdict.lower):
        return ""
    from scipy.stats import binomtest  # takes a second

    most, rows = max(verdict.lower), sum(verdict.lower)
    chance = float(binomtest(most, rows).pvalue)
    if chance > 1 - CONFIDENCE:
        return ""
    better = a if verdict.lower[0] == most else b
    return (
        f" But {better.title} is lower on {most} of the {rows} rows, which chance alone does with probability "
        f"{chance:.2g}: a mean weighs how much lower, too."
    )


def _same_data(a: Contender, b: Contender) -> Any:
    if a.data != b.data or not a.hashes & b.hashes:
        raise DataError(
            f"{a.title} and {b.title} cannot be compared: they have other data, {_named(a)} and {_named(b)}"
        )
    manifest = manifest_of(a.data)
    now = manifest["sha256"]
    if {now, rows_sha256(manifest)}.isdisjoint(a.hashes & b.hashes):
        raise DataError(
            f"{a.title} and {b.title} were evaluated on {_named(a)}, and out/data/{a.data} holds other rows now, "
            f"{now[:12]}: bring back the conf and the seed of these data, and run `gen-models prepare {a.data}`"
        )
    return open_data(a.data)


def _named(one: Contender) -> str:
    return f"{one.data} ({', '.join(sorted(digest[:12] for digest in one.hashes))})"


def _metric(a: Contender, b: Contender, asked: str | None) -> str:
    """Return the metric by which to compare: `asked` or, if that is None, the one by which both were chosen.

    Raises DataError, which names the metrics that both models offer, if there is no such metric.
    """
    both = [name for name in (*PER_ROW, "mmd") if all(_offers(one.model, name) for one in (a, b))]
    if asked in (*PER_ROW, "mmd") and asked not in both:
        lacks = " and ".join(one.title for one in (a, b) if not _offers(one.model, asked))
        fix = f"say --metric {' or --metric '.join(both)}" if both else "they offer no metric in common"
        raise DataError(f"--metric {asked}: not offered by {lacks}; {fix}")
    if asked is not None and asked not in both:
        raise DataError(f"--metric: {unknown(f'metric of both {a.title} and {b.title}', asked, both)}")
    if asked is None and (a.metric != b.metric or a.metric not in both):
        chosen = a.metric if a.metric == b.metric else f"{a.metric} and {b.metric}"
        fix = f"say --metric {' or --metric '.join(both)}" if both else "and there is no other metric that both offer"
        raise DataError(
            f"{a.title} and {b.title} were chosen by {chosen}, which cannot be asked of both, row by row; {fix}"
        )
    return asked or a.metric


def _offers(model: Any, metric: str) -> bool:
    return not set(capabilities(model)).isdisjoint(METRICS[metric].needs)


def contender(title: str, model: Any, facts: Mapping[str, Any]) -> Contender:
    """Return a contender.

    facts: the strings `metric`, `data`, `data_sha256` (of the data of its training) and, for a registered version,
    `evaluated_sha256` (of the data of its evaluation) and `rows_sha256` (of the rows of these data); `steps`, and
    `params` with its batch_size, of its training, as numbers or as JSON
    """
    params = facts.get("params") or {}
    batch = (json.loads(params) if isinstance(params, str) else params).get("batch_size")
    seen = (int(facts["steps"]), int(batch)) if "steps" in facts and batch else None
    hashes = {facts.get(name) for name in HASHES} - {None, ""}
    return Contender(title, model, str(facts.get("metric")), str(facts.get("data")), frozenset(map(str, hashes)), seen)
