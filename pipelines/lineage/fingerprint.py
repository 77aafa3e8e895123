"""The fingerprint of a result: the hash of each source file that decides it, and the versions of the libraries used.

This is the only definition of the code that decides a result. The stage `code` writes fingerprints for DVC;
`lineage.json` and the benchmarks' result files hold hashes of them. After each stage, `unexpected` compares the stage's
fingerprint with the modules that the stage has really imported.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from gen_models.errors import ConfigError
from pipelines.lineage.hashing import sha256_json, source_sha256
from pipelines.lineage.imports import ImportGraph
from pipelines.runtime import paths

ENTRIES = {  # the entry modules of a stage: the stage's own, and the one that Ray's workers run
    "prepare": ("pipelines.data.prepare",),
    "sweep": ("pipelines.training.sweep", "pipelines.training.trainer"),
    "train": ("pipelines.training.train", "pipelines.training.trainer"),
    "evaluate": ("pipelines.evaluation.evaluate",),
    "baselines": ("pipelines.comparison.baselines",),
    "compare": ("pipelines.comparison.compare",),
    "register": ("pipelines.registry.register",),
    "report": ("pipelines.report.report",),
}
OF_A_MODEL = ("sweep", "train", "evaluate")  # the results of these stages also depend on the code of a model
# This code carries results from one place to another and decides none of them. A change here makes nothing stale.
CARRIERS = (
    "pipelines.lineage",
    "pipelines.runtime",
    "pipelines.storage",
    "pipelines.tracking",
    "pipelines.training.follower",
    "pipelines.training.in_play",
    "pipelines.training.live_states",
    "pipelines.training.play",
    "pipelines.training.ray_",
)
LIBRARIES = {  # the libraries that compute: {name in an import statement: name of the installed package}
    "PIL": "pillow",
    "constriction": "constriction",
    "numpy": "numpy",
    "pyarrow": "pyarrow",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "torch": "torch",
    "torchdiffeq": "torchdiffeq",
}
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML may have been built without libyaml
TEMPLATES = {"report": "pipelines/report/templates"}  # files that a stage reads beside its code


def fingerprint(stage: str, model: str | None = None) -> dict[str, dict[str, str]]:
    """Return the fingerprint of a stage, {"files": {path: hash}, "libraries": {name: version}}.

    model: the name of a file of conf/model, for the stages sweep, train and evaluate, and only for these. The
    fingerprint of such a stage includes the code of the classes that the file names. Raises ConfigError if the file
    cannot be read.
    """
    assert (model is not None) == (stage in OF_A_MODEL), (stage, model)
    entries = [*ENTRIES[stage], *(targets(model) if model else ())]
    found = fingerprint_of(entries)
    if folder := TEMPLATES.get(stage):
        root = paths.root()
        files = sorted(path for path in (root / folder).iterdir() if path.is_file())
        found["files"] |= {_shown(path, root): source_sha256(path) for path in files}
    return found


def fingerprint_of(entries: Iterable[str], *, without: tuple[str, ...] = CARRIERS) -> dict[str, dict[str, str]]:
    """Return the fingerprint of entry modules: it covers them and all that they import, directly or through others.

    entries: dotted names of modules; without: modules whose names have one of these prefixes are left out; by default
    CARRIERS
    """
    root = paths.root()
    closure = _graph(root).closure(entries, without=without)
    installed = sorted({LIBRARIES[name] for name in closure.packages if name in LIBRARIES})
    return {
        "files": {
            _shown(path, root): _hash(path, path.stat().st_mtime_ns) for _, path in sorted(closure.files.items())
        },
        "libraries": {
            "python": ".".join(map(str, sys.version_info[:2])),
            **{name: _version(name) for name in installed},
        },
    }


def code_sha256(stage: str, model: str | None = None) -> str:
    """Return the hash of a stage's fingerprint."""
    return sha256_json(fingerprint(stage, model))


def targets(model: str) -> list[str]:
    """Return the modules of gen_models that conf/model/MODEL.yaml and conf/config.yaml name under any key.

    Raises ConfigError if one of the two files cannot be read.
    """
    found: set[str] = set()
    for path in (paths.root() / "conf" / "model" / f"{model}.yaml", paths.root() / "conf" / "config.yaml"):
        try:
            found |= _named(path, path.stat().st_mtime_ns)
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())[:200]}") from None
    return sorted(found)


def unexpected(stage: str, model: str | None = None) -> list[str]:
    """Return the modules of the project that this process has imported, and that a stage's fingerprint fails to cover.

    stage, model: as in `fingerprint`. The carriers (CARRIERS), which decide no result, and the modules that they import
    are not returned.
    """
    root = paths.root()
    entries = [*ENTRIES[stage], *(targets(model) if model else ())]
    carriers = [name for name in _graph(root).modules if name.startswith(CARRIERS)]
    known = _graph(root).closure([*entries, *carriers]).files
    own = ("gen_models", "pipelines")
    return sorted(
        name
        for name, module in list(sys.modules.items())
        if name.split(".")[0] in own and name not in known and getattr(module, "__file__", None)
    )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)


@cache
def _graph(root: Path) -> ImportGraph:
    return ImportGraph(root)


@cache
def _named(path: Path, modified: int) -> frozenset[str]:
    """Return the modules of gen_models whose classes a conf names under any key."""
    conf = LOADER(path.read_text()).get_single_data()
    return frozenset(text.rpartition(".")[0] for text in _strings(conf) if text.startswith("gen_models."))


_version = cache(version)


@cache
def _hash(path: Path, modified: int) -> str:
    return source_sha256(path)


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
