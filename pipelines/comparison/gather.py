"""Reads the records and pictures that `evaluate` wrote for each run, and `baselines` for each data set.

A record is a dictionary of results; a part is a list of records in one file (see pipelines/evaluation/result_files.py).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gen_models.errors import DataError
from pipelines.config.params import Params
from pipelines.evaluation.result_files import SHEETS, read_part
from pipelines.runtime import paths
from pipelines.runtime.words import counted

Row = dict[str, Any]


def gather(params: Params, part: str, *, baselines_first: bool = False, with_baselines: bool = True) -> list[Row]:
    """Return the records of one part, of all runs in the order of params.yaml and of the baselines of their data.

    The baselines of a data set follow the first run on it that has records of this part; with baselines_first they come
    before that run. If no run on a data set has records, its baselines are left out.

    part: the part's name, such as "clusters"; with_baselines: False for a part that baselines do not write

    Raises DataError if the file of a run or baseline cannot be read.
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


def tell_range(rows: Sequence[Row], what: str, key: str, named: str, shown: str = ".3f") -> None:
    """Print for each data set one line: how many results there are, and the least and the largest value of one key.

    what: what a record is, in the singular, such as "anomaly score"
    named: the key in words; shown: how a value is formatted
    """
    for name in dict.fromkeys(row["data"] for row in rows):
        values = [row[key] for row in rows if row["data"] == name]
        print(f"{name}: {counted(len(values), what)}, {named} {min(values):{shown}} to {max(values):{shown}}")


def sheets(params: Params, pattern: str) -> Iterable[Path]:
    """Yield the paths of the pictures of all runs and baselines whose file names match a pattern."""
    folders = [paths.out("evaluate", key) for key in params.runs]
    folders += [paths.out("baselines", name) for name in params.data_sets]
    for folder in folders:
        yield from sorted((folder / SHEETS).glob(pattern))


def _read(folder: Path, part: str, stage: str) -> list[Row]:
    try:
        return read_part(folder, part)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / part}.json: cannot be read ({error}); run `dvc repro {stage}`") from None
