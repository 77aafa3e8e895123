"""The inputs of a row and their hash: code (followed through imports), models and data (conf files), other files."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.data.source_table import SOURCES
from pipelines.lineage.fingerprint import CARRIERS, fingerprint_of, targets
from pipelines.lineage.hashing import sha256_json, source_sha256
from pipelines.runtime import paths

# Code that writes rows down and decides no figure, and the table of all sources, of which `data` names those in use.
NOT_MEASURED = ("benchmarks.rows", "benchmarks.inputs", "benchmarks.restamp", "pipelines.data.source_table")
TRAINED_BY = ("conf/config.yaml", "conf/budget/quick.yaml")


@dataclass(frozen=True)
class Inputs:
    """The inputs of a row.

    modules: the modules that the row's command runs; models, data: names of files in conf/model and conf/data
    files: other files, as paths in the project
    measures_carriers: whether the figure is about Ray, MLflow or DVC, so that code which only carries results counts
    """

    modules: Sequence[str] = ()
    models: Sequence[str] = ()
    data: Sequence[str] = ()
    files: Sequence[str] = ()
    measures_carriers: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON, from which `inputs_from` makes the inputs again."""
        return {name: value if isinstance(value, bool) else list(value) for name, value in asdict(self).items()}

    def sha256(self) -> str:
        """Return the hash of all inputs as they are now, with the versions of the libraries that compute."""
        confs = [f"conf/model/{name}.yaml" for name in self.models] + [f"conf/data/{name}.yaml" for name in self.data]
        confs += TRAINED_BY if self.models else ()
        sources = [SOURCES[yaml.safe_load(_path(f"conf/data/{name}.yaml").read_text())["source"]] for name in self.data]
        entries = [*self.modules, *(source.__module__ for source in sources)]
        entries += [module for model in self.models for module in targets(model)]
        carriers = ("pipelines.lineage",) if self.measures_carriers else CARRIERS
        code = fingerprint_of(entries, without=(*carriers, *NOT_MEASURED))
        return sha256_json({**code, "conf": {name: _content(_path(name)) for name in sorted({*confs, *self.files})}})


def inputs_from(stored: Mapping[str, Any]) -> Inputs:
    """Return the inputs that a result file names."""
    return Inputs(**stored)


def _path(name: str) -> Path:
    return paths.root() / name


def _content(path: Path) -> str:
    """A YAML file counts by its values, any other by what it does or by its bytes."""
    return sha256_json(yaml.safe_load(path.read_text())) if path.suffix == ".yaml" else source_sha256(path)
