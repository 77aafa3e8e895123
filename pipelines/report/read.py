"""What the stages left of every run and sweep in params.yaml, read and checked to belong together.

A page that mixes two states of the graph would be worse than none: whatever is missing, torn or of another checkpoint,
data set or seed is one line that names the file and the stage to run. Folders of runs that params.yaml no longer lists
are not looked at.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gen_models import checkpoint
from gen_models.errors import CheckpointError, GenModelsError
from pipelines.config import Params, Run
from pipelines.runtime import paths

ENDS = {  # what a whole file of a kind begins and ends with
    "PNG": (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"),
    "GIF": (b"GIF8", b";"),
}
BASELINES = {  # of detect, beside the runs
    "pca": "PCA",
    "nearest_neighbours": "nearest neighbours",
    "isolation_forest": "isolation forest",
}
DETECTED = ("run", "data", "score", "auroc", "low", "high", "fpr_target", "fpr", "tpr")
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
CODECS = ("pca", "jpeg", "png")  # of compress, beside the runs
MOVES = "moves."  # of the history's counts of steps, by objective

Pictures = dict[str, bytes]
Row = dict[str, Any]


class ResultError(GenModelsError):
    """An output of a stage that is missing, torn, or of another state of the graph."""


@dataclass(frozen=True)
class RunResult:
    """A run: `metrics` are evaluate's finite numbers, `history` (step, validation metric) pairs.

    `moves` are the steps of each objective, of a game those of critic and generator.
    `pictures` are PNGs, `animations` GIFs, both by their names.
    latents: evaluate's latents.json, None of a model that has no latents to tell of
    """

    line: Run
    lineage: Row
    checkpoint_sha256: str
    metrics: dict[str, float]
    not_finite: tuple[str, ...]
    history: tuple[tuple[int, float], ...]
    moves: dict[str, int]
    version: Row
    pictures: Pictures
    animations: Pictures
    latents: Row | None = None


@dataclass(frozen=True)
class SweepResult:
    """A sweep: best.json, trials.json, lineage.json, sweep.png."""

    line: Run
    best: Row
    trials: list[Row]
    lineage: Row
    picture: bytes


@dataclass(frozen=True)
class Scores:
    """detect, cluster, denoise or compress: the rows of scores.json, and PNGs by their names."""

    rows: list[Row]
    pictures: Pictures


@dataclass(frozen=True)
class Results:
    """All of them; `data` holds the manifests of the data sets that runs or sweeps use."""

    params: Params
    data: dict[str, Row]
    sweeps: dict[str, SweepResult]
    runs: dict[str, RunResult]
    detection: Scores
    clustering: Scores
    denoising: Scores
    compression: Scores

    def runs_on(self, data: str) -> list[RunResult]:
        """The runs of a data set, in the order of params.yaml."""
        return [run for run in self.runs.values() if run.line.data == data]

    def scores_on(self, data: str) -> list[Row]:
        """detect's rows of a data set."""
        return [row for row in self.detection.rows if row["data"] == data]


def read(params: Params) -> Results:
    """The outputs of the whole graph; ResultError names the first that cannot be used."""
    used = {line.data for line in (*params.sweeps.values(), *params.runs.values())}
    data = {name: _manifest(name) for name in params.data if name in used}
    sweeps = {key: _sweep(line, data[line.data], params) for key, line in params.sweeps.items()}
    runs = {key: _run(line, data[line.data], params) for key, line in params.runs.items()}
    detection, clustering = _detection(params, data), _clustering(params, data)
    denoising = _used(params, data, "denoise", DENOISED)
    compression = _used(params, data, "compress", COMPRESSED, CODECS)
    return Results(params, data, sweeps, runs, detection, clustering, denoising, compression)


def _manifest(name: str) -> Row:
    keys = ("sha256", "splits", "event_shape", "levels", "classes", "anomaly", "leakage", "source")
    return _json(paths.out("data", name, "manifest.json"), f"prepare@{name}", keys)


def _sweep(line: Run, manifest: Row, params: Params) -> SweepResult:
    folder, stage = paths.out("sweep", line.key), f"sweep@{line.key}"
    best = _json(folder / "best.json", stage, ("metric", "value", "trial", "trials", "override"))
    trials = _rows(folder / "trials.json", stage, ("trial", "override", "value", "best_step", "steps", "diverged"))
    lineage = _json(folder / "lineage.json", stage, ("key", "conf_sha256", "data_sha256", "git_commit", "seed"))
    _agree(folder / "lineage.json", stage, lineage, {"data_sha256": manifest["sha256"], "seed": params.seed})
    return SweepResult(line, best, trials, lineage, _picture(folder / "sweep.png", stage))


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
    path = paths.out("register", key, "version.json")
    version = _json(path, f"register@{key}", ("model", "version", "run_id", "experiment_id", "aliases"))
    _agree(path, f"register@{key}", version, {"checkpoint_sha256": digest})
    numbers = {name: value for name, value in metrics.items() if _is_number(value)}
    return RunResult(
        line,
        lineage,
        digest,
        {name: value for name, value in numbers.items() if math.isfinite(value)},
        tuple(name for name, value in numbers.items() if not math.isfinite(value)),
        *_history(trained / "history.jsonl", f"train@{key}", f"validation.{lineage['metric']}"),
        version,
        _pictures(evaluated, f"evaluate@{key}"),
        _pictures(evaluated, f"evaluate@{key}", "GIF"),
        _latents(evaluated / "latents.json", f"evaluate@{key}"),
    )


def _latents(path: Path, stage: str) -> Row | None:
    return _json(path, stage, ("sentence", "is_collapsed"), may_hold_nan=True) if path.exists() else None


def _detection(params: Params, data: Mapping[str, Row]) -> Scores:
    path = paths.out("detect", "scores.json")
    rows = _rows(path, "detect", DETECTED)
    scored = _known(path, "detect", rows, {*params.runs, *BASELINES}, data)
    for key, line in params.runs.items():
        if data[line.data]["anomaly"] is not None and key not in scored:
            raise ResultError(f"{_short(path)}: no scores of the run {key}: run `dvc repro detect`")
    return Scores(rows, _pictures(path.parent, "detect") if rows else {})


def _clustering(params: Params, data: Mapping[str, Row]) -> Scores:
    path = paths.out("cluster", "scores.json")
    rows = _rows(path, "cluster", CLUSTERED)
    _known(path, "cluster", [row for row in rows if row["space"] != "data"], params.runs, data)
    return Scores(rows, _pictures(path.parent, "cluster"))


def _used(
    params: Params, data: Mapping[str, Row], stage: str, keys: tuple[str, ...], beside: tuple[str, ...] = ()
) -> Scores:
    """denoise or compress, and what it holds beside the runs."""
    path = paths.out(stage, "scores.json")
    rows = _rows(path, stage, keys)
    _known(path, stage, rows, {*params.runs, *beside}, data)
    return Scores(rows, _pictures(path.parent, stage))


def _known(path: Path, stage: str, rows: list[Row], names: Any, data: Mapping[str, Row]) -> set[str]:
    for row in rows:
        if row["run"] not in names or row["data"] not in data:
            raise ResultError(
                f"{_short(path)}: scores of {row['run']!r} on {row['data']!r}, which params.yaml does not list: "
                f"run `dvc repro {stage}`"
            )
    return {row["run"] for row in rows}


def _history(path: Path, stage: str, metric: str) -> tuple[tuple[tuple[int, float], ...], dict[str, int]]:
    """The metric by step, and the steps that each objective made till the last report."""
    text = _text(path, stage)
    try:
        lines = [json.loads(line) for line in text.splitlines()]
        last = lines[-1]["metrics"] if lines else {}
        moves = {name.removeprefix(MOVES): int(count) for name, count in last.items() if name.startswith(MOVES)}
        return tuple((line["step"], line["metrics"][metric]) for line in lines if metric in line["metrics"]), moves
    except (ValueError, KeyError, TypeError):
        raise ResultError(f"{_short(path)}: not lines of JSON with step and metrics: {_again(stage)}") from None


def _json(path: Path, stage: str, keys: tuple[str, ...], *, may_hold_nan: bool = False) -> Row:
    value = _parsed(path, stage, may_hold_nan=may_hold_nan)
    return _with_keys(value, path, stage, keys)


def _rows(path: Path, stage: str, keys: tuple[str, ...]) -> list[Row]:
    rows = _parsed(path, stage, may_hold_nan=False)
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
        return checkpoint.digest(folder)
    except (OSError, CheckpointError):
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
