"""Adds a data set of the user's own to params.yaml and removes one. The rest of the text stays byte for byte.

    edit = adding("flowers", "data/flowers.csv", ["gmm", "realnvp"])
    edit.write()
    print(edit.diff())

Nothing is written before `write`. `adding` and `removing` parse the new text first, and raise ConfigError unless it
holds exactly the old entries and the added ones, or exactly the old entries without the removed ones.
"""

import copy
import difflib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yaml import YAMLError

from gen_models.errors import ConfigError, unknown
from gen_models.files import replacing
from pipelines.config import yaml_file, yaml_text
from pipelines.config.schema import KEY
from pipelines.runtime import paths

LONGEST_NAME = 80
SECTIONS = ("files", "sweeps", "reuses", "runs")


@dataclass(frozen=True)
class Edit:
    """The text of params.yaml before and after an edit."""

    before: str
    after: str

    def diff(self) -> str:
        """Return the changed lines for people, as a unified diff; "" if nothing changes."""
        before, after = ([f"{line}\n" for line in text.splitlines()] for text in (self.before, self.after))
        return "".join(difflib.unified_diff(before, after, paths.MARK, f"{paths.MARK} (new)", n=1))

    def write(self) -> None:
        """Write params.yaml in one step. Raises ConfigError if it cannot be written or was edited meanwhile."""
        if self.before == self.after:
            return
        path = _path()
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
            if not mode & 0o222 or not os.access(path, os.W_OK):
                raise ConfigError(f"{path}: may not be written; run `chmod u+w {path}`")
            if _text() != self.before:
                raise ConfigError(f"{path}: was edited meanwhile; run the same command again")
            with replacing(path) as file:
                os.fchmod(file.fileno(), mode)
                file.write(self.after.encode())
        except OSError as error:
            raise ConfigError(f"{path}: cannot be written ({error.strerror})") from None


def adding(name: str, path: str, models: Sequence[str]) -> Edit:
    """Return the edit that adds a data set, and a sweep of each model on it.

    If the data set is there already, its path is replaced. Sweeps are added only if no line uses the data set; a sweep
    that the user has removed therefore does not come back.

    path: as `data_files.watched` returns it; models: names of files of conf/model

    Raises ConfigError if the name cannot be used, or if params.yaml cannot be read or holds other things under the
    names that would be added.
    """
    data_name(name)
    text, held = _text(), _held()
    if name in held["data"]:
        raise ConfigError(f"{paths.MARK}: data: lists {name!r} already; choose another name")
    lines = [line for section in SECTIONS[1:] for line in held[section].values() if isinstance(line, Mapping)]
    is_used = any(line.get("data") == name for line in lines)
    sweeps = {} if is_used else {f"{model}-{name}": {"model": model, "data": name} for model in models}
    for key in sweeps:
        for section in SECTIONS[1:]:
            if key in held[section]:
                raise ConfigError(f"{paths.MARK}: {section}.{key} is there for other data; give that line another name")
    wanted = copy.deepcopy(held)
    wanted["files"][name] = path
    wanted["sweeps"] |= sweeps
    wanted["runs"] |= sweeps
    if name in held["files"]:
        text = text if held["files"][name] == path else yaml_text.replace(text, "files", name, path)
    else:
        text = yaml_text.insert(text, "files", {name: path}, after="data")
    text = yaml_text.insert(text, "sweeps", sweeps, after="files")
    if not _may_be_read(text, wanted):  # runs without merge keys, which repeat the lines
        text = yaml_text.insert(text, "runs", sweeps, after="sweeps")
    return _checked(text, wanted, f"files: {{{yaml_text.line(name, path)}}}")


def removing(name: str) -> Edit:
    """Return the edit that removes a data set of `files:`, and the sweeps on it that `adding` wrote.

    Raises ConfigError if params.yaml cannot be read or has no such data set, or if any other line uses the data set.
    """
    text, held = _text(), _held()
    if name not in held["files"]:
        raise ConfigError(f"{paths.MARK}: " + unknown("data set of your own", name, held["files"]))
    gone = {key for key, line in held["sweeps"].items() if line == {"model": line.get("model"), "data": name}}
    gone = {key for key in gone if key == f"{held['sweeps'][key]['model']}-{name}"}
    others = {f"sweeps.{key}": line for key, line in held["sweeps"].items() if key not in gone}
    others |= {f"reuses.{key}": line for key, line in held["reuses"].items()}
    using = [place for place, line in others.items() if line["data"] == name or line.get("setting") in gone]
    if using:
        raise ConfigError(f"{paths.MARK}: {name} is used by {', '.join(using)}; remove these lines first")
    wanted = copy.deepcopy(held)
    del wanted["files"][name]
    for section in ("sweeps", "runs"):
        wanted[section] = {key: line for key, line in held[section].items() if key not in gone}
    written = yaml_text.entries(text)
    for section in SECTIONS:
        for key in held[section]:
            if key not in wanted[section] and section in written and key in written[section].entries:
                text = yaml_text.remove(text, section, key)
    return _checked(text, wanted, f"without {name}")


def data_name(name: str) -> str:
    """Return `name` if it can name a data set of the user's own; else raise ConfigError, which proposes another name.

    DVC reads a.b as the key b inside a, so a name has no dot.
    """
    if yaml_file.needs_quotes_of_pyyaml_only(name):
        said = f"the name {name!r} of a data set is true or false to some readers of YAML, and `dvc exp run` takes the"
        raise ConfigError(f"{said} quotes around it away; take {name}_data")
    if KEY.fullmatch(name) and len(name) <= LONGEST_NAME:
        return name
    other = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-")[:LONGEST_NAME]
    other = f"{other}_data" if yaml_file.needs_quotes_of_pyyaml_only(other) else other
    hint = f"take {other}" if other else "take one such as flowers"
    raise ConfigError(
        f"the name {name!r} of a data set may hold letters, digits, _ and - only, the first not _ or -, and no more "
        f"than {LONGEST_NAME}; {hint}"
    )


def _path() -> Path:
    return (paths.root() / paths.MARK).resolve()


def _text() -> str:
    try:
        return _path().read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{paths.MARK}: byte {error.start} is no UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{paths.MARK}: cannot be read ({error.strerror})") from None


def _held() -> dict[str, Any]:
    """Return what params.yaml holds, with {} for a mapping that is missing or empty."""
    return _normal(yaml_file.parse(_text(), paths.MARK))


def _normal(found: Mapping[str, Any]) -> dict[str, Any]:
    held = {**found, **{section: found.get(section) or {} for section in SECTIONS}, "data": found.get("data") or []}
    for section in SECTIONS:
        lines = held[section]
        is_usable = isinstance(lines, Mapping) and (
            section == "files" or all(isinstance(line, Mapping) and "data" in line for line in lines.values())
        )
        if not is_usable:
            raise ConfigError(
                f"{paths.MARK}: {section}: run `gen-models check`, which says what is wrong, and correct that"
            )
        held[section] = dict(lines)
    if not isinstance(held["data"], list) or any("setting" not in line for line in held["reuses"].values()):
        raise ConfigError(f"{paths.MARK}: run `gen-models check`, which says what is wrong")
    return held


def _may_be_read(text: str, wanted: Mapping[str, Any]) -> bool:
    try:
        return _normal(yaml_file.parse(text, paths.MARK)) == wanted
    except (ConfigError, YAMLError):
        return False


def _checked(text: str, wanted: Mapping[str, Any], what: str) -> Edit:
    if not _may_be_read(text, wanted):
        raise ConfigError(f"{paths.MARK}: a program cannot edit its layout; write {what} there yourself")
    return Edit(_text(), text)
