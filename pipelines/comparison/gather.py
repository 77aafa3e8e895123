"""Reads the rows and pictures that `evaluate` wrote for each run, and `baselines` for each data set."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gen_models.errors import DataError
from pipelines.config.params import Params
from pipelines.evaluation.result_files import SHEETS, read_part
from pipelines.runtime import paths

Row = dict[str, Any]


def gather(params: Params, part: str, *, baselines_first: bool = False, with_baselines: bool = True) -> list[Row]:
    """Return the rows of one part, in the order of params.yaml.

    The baselines of a data set come after the rows of its first run that has any, or before them with baselines_first.
    with_baselines: False for a part that baselines do not have.
    Raises DataError if an output is not there.
    """
    rows: list[Row] = []
    told: set[str] = set()
    for line in params.runs.values():
        own = _read(paths.out("evaluate", line.key), part, f"evaluate@{line.key}")
        beside = []
        if with_baselines and own and line.data not in told:
            told.add(line.data)
            beside = _read(paths.out("baselines", line.data), part, params.stage("baselines", line.data))
        rows += [*beside, *own] if baselines_first else [*own, *beside]
    return rows


def sheets(params: Params, pattern: str) -> Iterable[Path]:
    """Yield the pictures of all runs and baselines whose names match a pattern."""
    folders = [paths.out("evaluate", key) for key in params.runs]
    folders += [paths.out("baselines", name) for name in params.data_sets]
    for folder in folders:
        yield from sorted((folder / SHEETS).glob(pattern))


def _read(folder: Path, part: str, stage: str) -> list[Row]:
    try:
        return read_part(folder, part)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / part}.json: cannot be read ({error}); run `dvc repro {stage}`") from None
