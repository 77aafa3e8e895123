"""Compares the paths under `files:` of params.yaml, which DVC watches, with the files that conf/data reads.

DVC notices a change of a file only if the file's path is in params.yaml, but `prepare` reads the path in
conf/data/NAME.yaml. If these were different files, a change of the data would go unnoticed.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gen_models.errors import ConfigError
from pipelines.config.conf_files import data_conf
from pipelines.config.params import Params
from pipelines.runtime import paths

OPTIONS = ("path", "labels")  # the options of conf/data whose values may be paths


def check_files(graph: Params) -> None:
    """Raise ConfigError for the first data set under `files:` that `check_file` refuses or whose path is missing."""
    for name in graph.files:
        check_file(graph, name, data_conf(name))
        require_there(name, graph.files[name])


def check_file(graph: Params, name: str, conf: Mapping[str, Any]) -> None:
    """Raise ConfigError unless the path `files.NAME` of params.yaml holds every file that conf/data/NAME.yaml reads.

    Only then does DVC notice each edit of these files. The path must also be apart from out/, where the stages write. A
    data set that is not under `files:` passes. conf: the content of conf/data/NAME.yaml
    """
    if name not in graph.files:
        return
    written, where = graph.files[name], f"{paths.MARK}: files.{name}"
    folder = paths.root() / written
    read = files_of(conf.get("options"))
    if not read:
        raise ConfigError(f"{where}: conf/data/{name}.yaml reads no file, it has no options.path; list it under data:")
    lost = next((path for path in read[1:] if not path.exists()), None)
    if lost is not None and read[0].exists():
        beside = read[0].parent / lost.name
        fix = f"; write {str(beside)!r}" if beside.exists() else ""
        raise ConfigError(
            f"conf/data/{name}.yaml: options.labels: there is no {lost}; a path starts at the project folder or is "
            f"absolute{fix}"
        )
    if not all(_holds(folder, path) for path in read):
        raise ConfigError(
            f"{where}: {written!r} is not what conf/data/{name}.yaml reads: write {watch(read)!r} here, "
            "or correct options there"
        )
    if _holds(folder, paths.out()) or _holds(paths.out(), folder):
        raise ConfigError(f"{where}: {written!r} holds what the stages write; move the data into a folder of their own")


def require_there(name: str, written: str) -> None:
    """Raise ConfigError if the path of a data set does not exist; if DVC tracks the path, the error names `dvc pull`.

    written: the path as params.yaml has it
    """
    path = paths.root() / written
    if path.exists():
        return
    is_tracked = path.with_name(f"{path.name}.dvc").is_file()
    fix = f"run `dvc pull {written}.dvc`" if is_tracked else "correct the path, or put it there"
    raise ConfigError(f"{paths.MARK}: files.{name}: {written!r}: no such file or folder; {fix}")


def watched(options: Mapping[str, Any]) -> str:
    """Return the path to write under `files:` of params.yaml for a data set.

    options: those of the data set's file in conf/data. The path is `options.path` or, if `options.labels` is a file
    too, the folder that holds both. Raises ConfigError if there is no path, or if DVC would have to watch a folder that
    also holds out/ or the home folder.
    """
    if not (read := files_of(options)):
        raise ConfigError("options.path is missing; give that of a file or folder")
    written = watch(read)
    folder = paths.root() / written
    if _holds(folder, paths.out()) or _holds(folder, Path.home()):
        raise ConfigError(
            f"{', '.join(str(path) for path in read)}: DVC would watch all of {os.path.normpath(folder)}; "
            "move the data into a folder of their own"
        )
    return written


def files_of(options: Any) -> list[Path]:
    """Return the absolute paths that `options` of conf/data/NAME.yaml names; [] if it has no `path`."""
    named = named_paths(options)
    if "path" not in named:
        return []
    return [Path(os.path.normpath(paths.source() / Path(path).expanduser())) for path in named.values()]


def named_paths(options: Any) -> dict[str, str]:
    """Return {option: the path that it names, as it is written} for `options` of conf/data/NAME.yaml."""
    known = options if isinstance(options, Mapping) else {}
    return {key: known[key] for key in OPTIONS if isinstance(known.get(key), str)}


def watch(read: Sequence[Path]) -> str:
    """Return the deepest path that is or holds each of the given paths, as params.yaml has it.

    It is relative to the project folder if it lies in the repository, and absolute if it does not.
    """
    path = Path(os.path.commonpath(read))
    if path.is_relative_to(paths.source()) or path.is_relative_to(paths.root()):
        return os.path.relpath(path, paths.root())
    return str(path)


def _holds(folder: Path, path: Path) -> bool:
    """Return whether `path` is `folder` or lies in it, either as they are written or after following links in both."""
    return any(Path(real(path)).is_relative_to(real(folder)) for real in (os.path.normpath, os.path.realpath))
