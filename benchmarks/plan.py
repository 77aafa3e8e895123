"""The rows of a family of models: what each measures, of which model, on which data, for how many minibatches.

`benchmarks/settings/FAMILY/*.yaml` hold them. What a row says adds to what its file says, settings key by key; the
file is among the row's inputs, so rows that are tuned together stand in one file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import yaml

from benchmarks import rows, training
from pipelines.runtime import paths

Measure = Callable[[str, "Row"], None]


@dataclass(frozen=True)
class Row:
    """What one row is of: conf/model/MODEL.yaml with `settings` on `data`, for `steps` minibatches."""

    measure: str
    model: str
    data: str
    steps: int
    target: float
    settings: Mapping[str, Any]
    inputs: Sequence[str]
    seeds: Sequence[int] = (0,)
    options: Mapping[str, Any] = field(default_factory=dict)  # what the measure asks for besides


def table(family: str) -> dict[str, Row]:
    """{name: row} of a family's files."""
    found = {}
    for path in sorted((paths.root() / "benchmarks" / "settings" / family).glob("*.yaml")):
        shared = yaml.safe_load(path.read_text())
        for name, own in shared.pop("rows").items():
            merged = {key: {**shared.get(key, {}), **own.get(key, {})} for key in ("settings", "options")}
            said = {**shared, **own, **merged}
            said["inputs"] = [*said.get("inputs", []), str(path.relative_to(paths.root()))]
            found[name] = Row(**said)
    return found


def run(family: str, measures: Mapping[str, Measure], about: str | None) -> None:
    """The command `python -m benchmarks.FAMILY ROW ...`."""
    named = {name: partial(measures[row.measure], name, row) for name, row in table(family).items()}
    rows.run(named, prog=f"python -m benchmarks.{family}", description=str(about))


def write(family: str, name: str, row: Row, figure: float, unit: str, **facts: Any) -> None:
    """The result file of a row; `inputs` are those of every training, the family's command and the row's own."""
    facts = {"model": row.model, "data": row.data, "target": row.target, "seeds": row.seeds, **facts}
    own = [f"benchmarks/{family}.py", "benchmarks/plan.py", f"conf/data/{row.data}.yaml"]
    rows.write(
        name,
        figure=figure,
        unit=unit,
        inputs=[*training.INPUTS, *own, *row.inputs],
        command=f"python -m benchmarks.{family} {name}",
        **facts,
    )
