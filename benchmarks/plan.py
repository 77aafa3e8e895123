"""The rows of a family of models: what each measures, for which model, on which data, with how many minibatches.

The files benchmarks/settings/FAMILY/*.yaml list them. A row adds its own keys to those that its file has for all rows,
and replaces them; settings and options are merged key by key. The file is one of the row's inputs, so rows that are
tuned together are in one file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import yaml

from benchmarks import rows
from benchmarks.inputs import Inputs
from pipelines.runtime import paths

Measure = Callable[[str, "Row"], None]


@dataclass(frozen=True)
class Row:
    """The plan of a row: train conf/model/MODEL.yaml with `settings` on `data` for `steps` minibatches, and measure."""

    measure: str
    model: str
    data: str
    steps: int
    target: float
    settings: Mapping[str, Any]
    file: str  # the file that lists the row, one of its inputs
    models: Sequence[str] = ()  # other models of conf/model that the row needs
    others: Sequence[str] = ()  # other data sets of conf/data that it needs
    module: str = ""  # the module of its measure
    seeds: Sequence[int] = (0,)
    options: Mapping[str, Any] = field(default_factory=dict)  # further arguments of the measure


def table(family: str) -> dict[str, Row]:
    """Return {name: row} for the files of a family."""
    found = {}
    for path in sorted((paths.root() / "benchmarks" / "settings" / family).glob("*.yaml")):
        shared = yaml.safe_load(path.read_text())
        for name, own in shared.pop("rows").items():
            merged = {key: {**shared.get(key, {}), **own.get(key, {})} for key in ("settings", "options")}
            said = {**shared, **own, **merged}
            found[name] = Row(**said, file=str(path.relative_to(paths.root())))
    return found


def run(family: str, measures: Mapping[str, Measure], about: str | None) -> None:
    """Run the command `python -m benchmarks.FAMILY ROW ...`."""
    named = {name: partial(measures[row.measure], name, row) for name, row in planned(family, measures).items()}
    rows.run(named, prog=f"python -m benchmarks.{family}", description=str(about))


def planned(family: str, measures: Mapping[str, Measure]) -> dict[str, Row]:
    """Return {name: row} for a family, each row with the module of its measure."""
    return {name: replace(row, module=measures[row.measure].__module__) for name, row in table(family).items()}


def inputs(row: Row) -> Inputs:
    """Return the inputs of a row: the module of its measure, its models, its data and the file that lists it."""
    return Inputs([row.module], sorted({row.model, *row.models}), [row.data, *row.others], [row.file])


def write(family: str, name: str, row: Row, figure: float, unit: str, **facts: Any) -> None:
    """Write the result file of a row."""
    facts = {"model": row.model, "data": row.data, "target": row.target, "seeds": row.seeds, **facts}
    rows.write(
        name,
        figure=figure,
        unit=unit,
        inputs=inputs(row),
        command=f"python -m benchmarks.{family} {name}",
        **facts,
    )
