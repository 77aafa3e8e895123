"""Reads the outputs of the stages for every run and sweep in params.yaml, and checks that they belong together.

The stages form a graph, dvc.yaml. A page that mixes outputs of two states of the graph would be worse than no page.
Therefore a file that is missing, incomplete, or made from another checkpoint, data set or seed is an error, which names
the file and the stage to run. Folders of runs that params.yaml no longer lists are ignored.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gen_models.checkpoint_folder import digest
from gen_models.errors import GenModelsError
from pipelines.config.params import Params, Run
from pipelines.data import anomalies
from pipelines.report.failures import failures
from pipelines.runtime import paths

ENDS = {  # the first and last bytes of a complete file
    "PNG": (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"),
    "GIF": (b"GIF8", b";"),
}
BASELINES = {  # {a baseline of anomaly scores: its name for readers}
    "pca": "PCA",
    "nearest_neighbours": "nearest neighbours",
    "isolation_forest": "isolation forest",
}
DETECTED = (
    *("run", "data", "score", "is_default", "auroc", "low", "high", "fpr_target", "fpr", "tpr"),
    *("average_precision", "anomaly_share", "kinds"),
)
SCORED = (
    *("run", "data", "score", "is_default", "rows", "calibration_rows"),
    *("shift_p", "resembles", "lamp", "most"),
)
AGREEING = ("data", "rows", "runs", "scores", "spearman", "own")
CLUSTERED = (
    *("run", "data", "space", "k", "rows", "seeds"),
    *(f"{name}_{part}" for name in ("acc", "nmi", "ari") for part in ("mean", "sd")),
)
DENOISED = (
    *("run", "data", "corruption", "factor", "level", "rows"),
    *("noisy", "denoised", "wiener", "gain", "gain_error"),
)
COMPRESSED = (
    *("run", "data", "method", "setting", "rows", "dims", "bytes", "bytes_a_row"),
    *("bits_per_dim", "mse", "mse_pca", "mse_jpeg", "net", "elbo"),
)
CODECS = ("pca", "jpeg", "png")  # the baselines of compression
COMPARE = "compare"  # the stage that gathers the outputs of evaluate and baselines
MOVES = "moves."  # in a history, `moves.OBJECTIVE` says how often the player of an objective has moved

Pictures = dict[str, bytes]
Row = dict[str, Any]


class ResultError(GenModelsError):
    """An output of a stage is missing, incomplete, or of another state of the graph."""


@dataclass(frozen=True)
class RunResult:
    """The outputs of a run.

    metrics      the finite numbers of evaluate; not_finite: the names of its numbers that are not finite
    history      (step, validation metric) pairs
    moves        {objective: how often its player has moved}; a GAN has two players, the critic and the generator
    pictures     {name: PNG}; animations: {name: GIF}
    latents      the content of evaluate's latents.json, or None if there is none
    diverged     why the training diverged, or None if it did not
    """

    line: Run
    lineage: Row
    checkpoint_sha256: str
    metrics: dict[str, float]
    not_finite: tuple[str, ...]
    history: tuple[tuple[int, float], ...]
    moves: dict[str, int]
    pictures: Pictures
    animations: Pictures
    latents: Row | None = None
    diverged: str | None = None

    @cached_property
    def failures(self) -> list[str]:
        """A sentence for each way in which the run failed; such a run is nowhere called the best."""
        return failures(self.metrics, latents=self.latents, not_finite=self.not_finite, diverged=self.diverged)


@dataclass(frozen=True)
class SweepResult:
    """The outputs of a sweep: the contents of best.json, trials.json and lineage.json, and {trial: its samples}."""

    line: Run
    best: Row
    trials: list[Row]
    lineage: Row
    samples: dict[int, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Scores:
    """A folder of the output of `compare`: the rows of its scores.json, and {name: PNG}."""

    rows: list[Row]
    pictures: Pictures


@dataclass(frozen=True)
class Results:
    """All outputs that the report shows.

    data: {name: manifest} for the data sets that runs or sweeps use; sweeps, runs: by their keys
    detection, clustering, denoising, compression: what compare gathered on each
    scored: what is known of each anomaly score without labels; agreements: {data: how far the runs' scores agree}
    """

    params: Params
    data: dict[str, Row]
    sweeps: dict[str, SweepResult]
    runs: dict[str, RunResult]
    detection: Scores
    clustering: Scores
    denoising: Scores
    compression: Scores
    scored: Scores
    agreements: dict[str, Row]

    @property
    def budget_note(self) -> str | None:
        """The warning of the budget, such as that it is too short to judge a model, or None."""
        return next((note for run in self.runs.values() if (note := run.lineage["params"].get("budget.note"))), None)

    def runs_on(self, data: str) -> list[RunResult]:
        """Return the runs on a data set, in the order of params.yaml."""
        return [run for run in self.runs.values() if run.line.data == data]

    def scores_on(self, data: str) -> list[Row]:
        """Return the rows that say how well anomaly scores find the anomalies of a data set."""
        return [row for row in self.detection.rows if row["data"] == data]

    def default_score(self, key: str) -> Row | None:
        """Return what is known of a run's default anomaly score without labels, or None if the run has none."""
        return next((row for row in self.scored.rows if row["run"] == key and row["is_default"]), None)

    def lamp(self, key: str) -> str:
        """Return a sentence if a run's default score ranks rows as something simpler does; else ""."""
        row = self.default_score(key)
        return row["lamp"] if row else ""


def read(params: Params, compared: Path | None = None) -> Results:
    """Read the outputs of the whole graph. Raises ResultError, which names the first file that cannot be used.

    compared: the folder that `compare` wrote for these runs; None: out/compare
    """
    require_runs(params)
    compared = compared or paths.out("compare")
    used = {line.data for line in (*params.sweeps.values(), *params.runs.values())}
    data = {name: _manifest(name, params) for name in params.data_sets if name in used}
    sweeps = {key: _sweep(line, data[line.data], params) for key, line in params.sweeps.items()}
    runs = {key: _run(line, data[line.data], params) for key, line in params.runs.items()}
    detection, clustering = _detection(params, data, compared), _clustering(params, data, compared)
    denoising = _used(params, data, compared / "denoising", DENOISED)
    compression = _used(params, data, compared / "compression", COMPRESSED, CODECS)
    scored, agreements = _scored(params, data, compared)
    return Results(params, data, sweeps, runs, detection, clustering, denoising, compression, scored, agreements)


def require_runs(params: Params, *, are_named: bool = False) -> None:
    """Raise ResultError, which names them, if some runs have no results at all.

    are_named: whether somebody has named these runs; else they are all of params.yaml
    """
    missing = [key for key in params.runs if not paths.out("evaluate", key).is_dir()]
    if missing:
        some = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        if are_named:
            raise ResultError(f'no results of {some}: run `make repro RUNS="{" ".join(missing)}"`, or leave them out')
        raise ResultError(
            f"the report shows all runs of params.yaml, and {len(missing)} of {len(params.runs)} have no results "
            f"({some}): run `make repro` (or `gen-models play` and `dvc repro`), or name the runs to show: "
            f"`gen-models report RUN ...`"
        )


def _manifest(name: str, params: Params) -> Row:
    keys = ("sha256", "splits", "event_shape", "levels", "classes", "anomaly", "leakage", "source")
    return _json(paths.out("data", name, "manifest.json"), params.stage("prepare", name), keys)


def _sweep(line: Run, manifest: Row, params: Params) -> SweepResult:
    folder, stage = paths.out("sweep", line.key), f"sweep@{line.key}"
    best = _json(folder / "best.json", stage, ("metric", "value", "trial", "trials", "override", "front"))
    trials = _rows(
        folder / "trials.json", stage, ("trial", "override", "value", "best_step", "steps", "diverged", "metrics")
    )
    lineage = _json(folder / "lineage.json", stage, ("key", "conf_sha256", "data_sha256", "git_commit", "seed"))
    _agree(folder / "lineage.json", stage, lineage, {"data_sha256": manifest["sha256"], "seed": params.seed})
    return SweepResult(line, best, trials, lineage, trial_samples(folder))


def trial_samples(folder: Path) -> dict[int, np.ndarray]:
    """Return {trial: its samples} of a sweep; {} if its model draws none. folder: out/sweep/SWEEP

    Raises ResultError if a file of samples is not whole.
    """
    found: dict[int, np.ndarray] = {}
    for path in sorted((folder / "samples").glob("trial_*.npy")):
        try:
            found[int(path.stem.removeprefix("trial_"))] = np.load(path, allow_pickle=False)
        except (ValueError, OSError):
            raise ResultError(f"{_short(path)}: not whole: {_again(f'sweep@{folder.name}')}") from None
    return found


def _run(line: Run, manifest: Row, params: Params) -> RunResult:
    key = line.key
    trained, evaluated = paths.out("train", key), paths.out("evaluate", key)
    facts = ("key", "model", "data", "data_sha256", "conf_sha256", "code_sha256", "git_commit", "seed", "workers")
    lineage = _json(trained / "lineage.json", f"train@{key}", (*facts, "steps", "metric", "params", "versions"))
    asked = {"model": line.model, "data": line.data, "data_sha256": manifest["sha256"], "seed": params.seed}
    _agree(trained / "lineage.json", f"train@{key}", lineage, asked)
    digest = _digest(trained / "checkpoint", f"train@{key}")
    metrics = _json(evaluated / "metrics.json", f"evaluate@{key}", ("rows",), may_hold_nan=True)
    made_of = {"checkpoint_sha256": digest, "data_sha256": manifest["sha256"]}
    _agree(evaluated / "metrics.json", f"evaluate@{key}", metrics, made_of)
    numbers = {name: value for name, value in metrics.items() if _is_number(value)}
    history, moves, diverged = _history(trained / "history.jsonl", f"train@{key}", f"validation.{lineage['metric']}")
    return RunResult(
        line,
        lineage,
        digest,
        {name: value for name, value in numbers.items() if math.isfinite(value)},
        tuple(name for name, value in numbers.items() if not math.isfinite(value)),
        history,
        moves,
        _pictures(evaluated, f"evaluate@{key}"),
        _pictures(evaluated, f"evaluate@{key}", "GIF"),
        _latents(evaluated / "latents.json", f"evaluate@{key}"),
        diverged,
    )


def _latents(path: Path, stage: str) -> Row | None:
    return _json(path, stage, ("sentence", "is_collapsed"), may_hold_nan=True) if path.exists() else None


def _detection(params: Params, data: Mapping[str, Row], compared: Path) -> Scores:
    path = compared / "anomalies" / "scores.json"
    rows = _rows(path, COMPARE, DETECTED)
    scored = _known(path, COMPARE, rows, {*params.runs, *BASELINES}, data)
    for key, line in params.runs.items():
        is_measured = data[line.data]["anomaly"] and not anomalies.unmeasured(data[line.data])
        if not is_measured or key in scored:
            continue
        own = paths.out("evaluate", key, "anomalies.json")  # an empty one: no score of the run is a number
        if not own.is_file() or _rows(own, f"evaluate@{key}", ()):
            raise ResultError(f"{_short(path)}: no scores of the run {key}: run `dvc repro {COMPARE}`")
    return Scores(rows, _pictures(path.parent, COMPARE) if rows else {})


def _scored(params: Params, data: Mapping[str, Row], compared: Path) -> tuple[Scores, dict[str, Row]]:
    folder = compared / "scores"
    rows = _rows(folder / "scores.json", COMPARE, SCORED, may_hold_nan=True)
    _known(folder / "scores.json", COMPARE, rows, params.runs, data)
    agreements = _rows(folder / "agreement.json", COMPARE, AGREEING)
    named = [{"run": run, "data": row["data"]} for row in agreements for run in row["runs"]]
    _known(folder / "agreement.json", COMPARE, named, params.runs, data)
    return Scores(rows, _pictures(folder, COMPARE)), {row["data"]: row for row in agreements}


def _clustering(params: Params, data: Mapping[str, Row], compared: Path) -> Scores:
    path = compared / "clusters" / "scores.json"
    rows = _rows(path, COMPARE, CLUSTERED)
    _known(path, COMPARE, [row for row in rows if row["space"] != "data"], params.runs, data)
    return Scores(rows, _pictures(path.parent, COMPARE))


def _used(
    params: Params, data: Mapping[str, Row], folder: Path, keys: tuple[str, ...], beside: tuple[str, ...] = ()
) -> Scores:
    """Read the part of compare in a folder. beside: the names of baselines that its rows may have"""
    path = folder / "scores.json"
    rows = _rows(path, COMPARE, keys)
    _known(path, COMPARE, rows, {*params.runs, *beside}, data)
    return Scores(rows, _pictures(path.parent, COMPARE))


def _known(path: Path, stage: str, rows: list[Row], names: Any, data: Mapping[str, Row]) -> set[str]:
    for row in rows:
        if row["run"] not in names or row["data"] not in data:
            raise ResultError(
                f"{_short(path)}: scores of {row['run']!r} on {row['data']!r}, which params.yaml does not list: "
                f"run `dvc repro {stage}`"
            )
    return {row["run"] for row in rows}


def _history(path: Path, stage: str, metric: str) -> tuple[tuple[tuple[int, float], ...], dict[str, int], str | None]:
    """Return the (step, metric) pairs of a history, how often each objective had moved, and why it diverged if so."""
    text = _text(path, stage)
    try:
        lines = [json.loads(line) for line in text.splitlines()]
        last = lines[-1] if lines else {"metrics": {}}
        counts = {name: count for name, count in last["metrics"].items() if name.startswith(MOVES)}
        moves = {name.removeprefix(MOVES): int(count) for name, count in counts.items()}
        values = tuple((line["step"], line["metrics"][metric]) for line in lines if metric in line["metrics"])
        return values, moves, last.get("diverged")
    except (ValueError, KeyError, TypeError):
        raise ResultError(f"{_short(path)}: not lines of JSON with step and metrics: {_again(stage)}") from None


def _json(path: Path, stage: str, keys: tuple[str, ...], *, may_hold_nan: bool = False) -> Row:
    value = _parsed(path, stage, may_hold_nan=may_hold_nan)
    return _with_keys(value, path, stage, keys)


def _rows(path: Path, stage: str, keys: tuple[str, ...], *, may_hold_nan: bool = False) -> list[Row]:
    rows = _parsed(path, stage, may_hold_nan=may_hold_nan)
    if not isinstance(rows, list):
        raise ResultError(f"{_short(path)}: expected a list: {_again(stage)}")
    return [_with_keys(row, path, stage, keys) for row in rows]


def _parsed(path: Path, stage: str, *, may_hold_nan: bool) -> Any:
    text = _text(path, stage)
    try:
        return json.loads(text, parse_constant=None if may_hold_nan else _refuse)
    except ValueError as error:
        raise ResultError(f"{_short(path)}: cannot be used ({error}): {_again(stage)}") from None


def _with_keys(value: Any, path: Path, stage: str, keys: tuple[str, ...]) -> Row:
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise ResultError(f"{_short(path)}: the key {key!r} is missing: {_again(stage)}")
    return value


def _agree(path: Path, stage: str, found: Row, expected: Row) -> None:
    for name, value in expected.items():
        if found.get(name) != value:
            raise ResultError(
                f"{_short(path)}: {name} is {str(found.get(name))[:12]}, the graph's is {str(value)[:12]}: "
                f"run `dvc repro {stage}`"
            )


def _digest(folder: Path, stage: str) -> str:
    try:
        return digest(folder)
    except OSError:
        raise ResultError(f"{_short(folder)}: no finished checkpoint there: run `dvc repro {stage}`") from None


def _pictures(folder: Path, stage: str, kind: str = "PNG") -> Pictures:
    return {path.stem: _picture(path, stage, kind) for path in sorted(folder.glob(f"*.{kind.lower()}"))}


def _picture(path: Path, stage: str, kind: str = "PNG") -> bytes:
    try:
        content = path.read_bytes()
    except OSError:
        raise ResultError(f"{_short(path)} is not there: run `dvc repro {stage}`") from None
    start, end = ENDS[kind]
    if not (content.startswith(start) and content.endswith(end)):
        raise ResultError(f"{_short(path)}: not a whole {kind}: {_again(stage)}")
    return content


def _text(path: Path, stage: str) -> str:
    try:
        return path.read_text()
    except OSError:
        raise ResultError(f"{_short(path)} is not there: run `dvc repro {stage}`") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _refuse(constant: str) -> None:
    raise ValueError(f"it holds {constant}")


def _again(stage: str) -> str:
    return f"run `dvc repro -f -s {stage}`"


def _short(path: Path) -> str:
    return path.relative_to(paths.root()).as_posix()
