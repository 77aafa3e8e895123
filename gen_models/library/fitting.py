"""`fit(model, x)` trains a model on rows: it runs the model's warm start, makes optimisers, and calls the engine.

It trains as the pipeline does: the same initial weights, rows, seed and settings give the same numbers.
"""

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gen_models import checkpoint, engine
from gen_models.build import build_optimisers
from gen_models.contracts import WarmStart, objectives_of
from gen_models.engine import Report, Training
from gen_models.errors import CheckpointError, ConfigError, DivergedError, unknown
from gen_models.library.arguments import positive, whole
from gen_models.library.rows import check_rounding, checked, device_of, dtype_of, require_model
from gen_models.library.stored import files_of, folder_of, refuse_other_spec, require_place
from gen_models.loader import Batches
from gen_models.noise import Noise
from gen_models.rebuildable import STARTED, spec_of

WARM_ROWS = 10_000  # rows that a warm start sees
RESIDENT_BYTES = 1 << 30  # rows of at most so many bytes in float32 are moved to the model's device before training
RATE = 1e-3  # of Adam, unless lr is given
REPORTS = 20  # how many reports a training gives, unless report_every is given


class Fitted(NamedTuple):
    """A trained model, and the reports of its training, oldest first.

    `history[-1].terms["vae.nats"]` is the mean of this loss term over the steps since the report before.
    """

    model: nn.Module
    history: list[Report]


def fit(
    model: nn.Module,
    x: Any,
    *,
    steps: int = 2000,
    batch: int = 128,
    lr: float | Mapping[str, float] | None = None,
    optimisers: Mapping[str, Optimizer] | None = None,
    seed: int = 0,
    order: str = "alternating",
    schedule: str = "constant",
    clip_norm: float | None = None,
    warm_start: bool | None = None,
    report_every: int | None = None,
    folder: str | Path | None = None,
    show: bool = False,
) -> Fitted:
    """Train a model on the rows x, in place and on its own device, and return it with its history.

    x             (rows, *event): an array, a data frame of numbers, a memory-mapped array or a tensor
    steps         how many minibatches to train on; 0: only the warm start, such as EM
    batch         rows of a minibatch; all rows of x, if x has fewer
    lr            learning rate of Adam, None for 1e-3; or {objective: learning rate}, for a model with several, such as
                  a GAN
    optimisers    {objective: optimiser}, to use in place of Adam
    seed          of all random numbers in the training
    warm_start    whether to run the model's warm start first, on the rows of x, or on 10,000 random ones if there are
                  more; None: only if no fit of this model, or of the one that was saved, came before
    order, schedule, clip_norm   see gen_models.engine
    report_every  steps from one report to the next; None: a twentieth of `steps`
    folder        where to save a checkpoint at each report; if it holds one, the training continues from there, with
                  the same result, bit for bit, as without the stop
    show          whether to print each report

    Raises DataError if the model cannot take the rows, ConfigError if an argument cannot be used, CheckpointError if
    the folder holds another training or other files, and DivergedError if a loss is not finite.
    """
    require_model(model)
    steps, batch = whole("steps", steps, least=0), whole("batch", batch)
    seed = whole("seed", seed, least=0)
    every = max(1, steps // REPORTS) if report_every is None else whole("report_every", report_every)
    clip_norm = None if clip_norm is None else positive("clip_norm", clip_norm)
    starts = not getattr(model, STARTED, False) if warm_start is None else warm_start
    rows = checked(model, x)
    check_rounding(model, rows, is_started=not starts)
    if rows.numel() * 4 <= RESIDENT_BYTES:
        rows = rows.to(dtype_of(model)).to(device_of(model))
    lr = _rates(lr, optimisers)
    training = Training(model, _optimisers(model, lr, optimisers))
    settings = {"seed": seed, "batch": batch, "order": order, "schedule": schedule, "clip_norm": clip_norm}
    history: list[Report] = []
    resumed = None
    if folder is not None:
        horizon = {} if schedule == "constant" else {"steps": steps}
        own = None if optimisers is None else {name: _about(optimiser) for name, optimiser in optimisers.items()}
        settings["optimisers"] = own
        settings |= {"lr": lr, **horizon, "rows": _digest(rows)}
        resumed = _resume(folder_of(folder), training, settings, steps)
        history = resumed or []
    if resumed is None:
        if starts:
            start(model, rows, seed)
        elif steps == 0 and warm_start is None:
            raise ConfigError(
                "steps = 0 cannot be used: this model is fitted already; give warm_start=True to start anew"
            )
        _begin_rates(optimisers or {})
    setattr(model, STARTED, True)  # at once, so that a fit after one that was stopped goes on from its weights
    reports = engine.fit(
        training,
        Batches(rows, min(batch, len(rows)), seed, device=device_of(model), dtype=dtype_of(model)),
        Noise(seed),
        steps=steps,
        report_every=every,
        order=order,
        schedule=schedule,
        clip_norm=clip_norm,
    )

    def keep() -> None:
        if folder is not None:
            notes = {"settings": settings, "history": [asdict(past) for past in history]}
            checkpoint.save_training(folder_of(folder), spec_of(model), training, notes)

    if steps == 0:  # no step, no report
        keep()
    try:
        for report in reports:
            history.append(report)
            if show:
                print(f"step {report.step}", *(f"{name} {value:.4g}" for name, value in report.terms.items()), sep="  ")
            keep()
    except DivergedError as error:
        what, _, _ = str(error).partition(";")  # what follows names keys of a conf
        how = "a smaller lr= or with clip_norm=" if optimisers is None else "a smaller rate or with clip_norm="
        place = "" if folder is None else ", in another folder"
        raise DivergedError(f"{what}; make the model anew and fit it with {how}{place}") from None
    finally:
        _restore_rates(optimisers or {})
    return Fitted(model.eval(), history)


@torch.no_grad()
def start(model: nn.Module, rows: Tensor, seed: int) -> None:
    """Run the model's warm start, if it has one, on the rows, or on WARM_ROWS random ones if there are more."""
    if not isinstance(model, WarmStart):
        return
    if len(rows) > WARM_ROWS:  # they may be sorted
        chosen = Noise(seed).permutation("warm start", len(rows))[:WARM_ROWS]
        rows = rows[chosen.to(rows.device)]
    model.warm_start(rows.to(dtype_of(model)).to(device_of(model)), Noise(seed))


def _rates(
    lr: float | Mapping[str, float] | None, optimisers: Mapping[str, Optimizer] | None
) -> float | dict[str, float]:
    """Return the argument `lr` of `fit`, checked, with RATE for None."""
    if lr is None:
        return RATE
    if optimisers is not None:
        raise ConfigError(
            f"lr = {lr!r} cannot be used: optimisers have rates of their own; leave out lr, or optimisers"
        )
    if isinstance(lr, Mapping):
        return {name: positive(f"lr[{name!r}]", rate) for name, rate in lr.items()}
    return positive("lr", lr)


def _optimisers(
    model: nn.Module, lr: float | dict[str, float], given: Mapping[str, Optimizer] | None
) -> Mapping[str, Optimizer]:
    objectives = {objective.name: objective.module for objective in objectives_of(model)}
    if not any(p.requires_grad for p in model.parameters()):
        raise ConfigError("all parameters are frozen, as load() leaves them: model.requires_grad_(True) first")
    if given is None:
        rates = lr if isinstance(lr, dict) else dict.fromkeys(objectives, lr)
        return build_optimisers({name: {"_target_": "torch.optim.Adam", "lr": lr} for name, lr in rates.items()}, model)
    if not isinstance(given, Mapping):
        example = ", ".join(f"{name!r}: ..." for name in objectives)
        raise ConfigError(
            f"optimisers is a {type(given).__name__}: give {{{example}}}, an optimiser for each objective"
        )
    for name in [*given, *objectives]:
        if name not in objectives or name not in given:
            raise ConfigError(unknown("objective", name, objectives if name not in objectives else given))
        _require_optimiser(f"optimisers[{name!r}]", given[name])
        wanted = {id(p) for p in objectives[name].parameters() if p.requires_grad}
        held = {id(p) for group in given[name].param_groups for p in group["params"]}
        if not wanted <= held or held - {id(p) for p in objectives[name].parameters()}:
            raise ConfigError(
                f"optimisers[{name!r}] does not hold the parameters that {name!r} moves: make it from "
                f"{{o.name: o.module for o in model.objectives()}}[{name!r}].parameters()"
            )
    return given


def _require_optimiser(name: str, optimiser: object) -> None:
    """Raise ConfigError unless `optimiser` is an optimiser whose `step` needs no function that computes the loss."""
    if not isinstance(optimiser, Optimizer):
        raise ConfigError(f"{name} is a {type(optimiser).__name__}: give an optimiser, such as torch.optim.AdamW")
    closure = inspect.signature(type(optimiser).step).parameters.get("closure")
    if closure is not None and closure.default is closure.empty:
        raise ConfigError(
            f"{name} is a {type(optimiser).__name__}, whose step needs a function that computes the loss: give another "
            f"one, such as torch.optim.AdamW"
        )


def _begin_rates(optimisers: Mapping[str, Optimizer]) -> None:
    """Let the schedule of this training begin at the rates that the optimisers have now."""
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["initial_lr"] = group["lr"]


def _restore_rates(optimisers: Mapping[str, Optimizer]) -> None:
    """Give optimisers the rates back that they had before a schedule changed them."""
    for optimiser in optimisers.values():
        for group in optimiser.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])


def _about(optimiser: Optimizer) -> dict[str, Any]:
    """Return what a checkpoint keeps to tell an optimiser from another one: its class, and its settings as text."""
    return {"class": type(optimiser).__name__, **{name: repr(value) for name, value in optimiser.defaults.items()}}


def _resume(folder: Path, training: Training, settings: Mapping[str, Any], steps: int) -> list[Report] | None:
    """Load the checkpoint of a folder into the training, and return the history so far; None if there is none.

    Raises CheckpointError if it is of a training with other settings, or is past `steps`.
    """
    require_place(folder)
    spec = spec_of(training.model)
    checkpoint.recover(folder)
    if not folder.exists() or not files_of(folder):
        return None
    refuse_other_spec(folder, spec)
    notes = checkpoint.load_training(folder, training)
    saved = notes.get("settings", {})
    for key, value in settings.items():
        if key == "optimisers" and key not in saved:  # of a checkpoint that does not say
            continue
        if saved.get(key) != value:
            what = "other rows" if key == "rows" else f"{key}={saved.get(key)!r}, not {value!r}"
            raise CheckpointError(f"{folder}: this training was begun with {what}; give that, or another folder")
    if training.step > steps:
        raise CheckpointError(f"{folder}: this training is at step {training.step}; steps={steps} lies before it")
    return [Report(**report) for report in notes["history"]]


def _digest(rows: Tensor) -> str:
    found = hashlib.blake2b(str((rows.dtype, tuple(rows.shape))).encode(), digest_size=16)
    found.update(rows.cpu().contiguous().numpy().data)
    return found.hexdigest()
