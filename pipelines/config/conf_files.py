"""Lists the files of conf's folders, finds one by its name, and reads those of conf/data."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gen_models.errors import ConfigError, unknown
from pipelines.config import yaml_file
from pipelines.config.columns import roles_of
from pipelines.runtime import paths

PACKAGE = "# @package _global_"
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def names(group: str) -> list[str]:
    """Return the names of the files in a folder of conf: names("model") is ["ae", "gmm", ...]."""
    return sorted(path.stem for path in (paths.root() / "conf" / group).glob("*.yaml"))


def file_of(group: str, name: str) -> Path:
    """Return the path of conf/GROUP/NAME.yaml. Raises ConfigError if there is no such file."""
    slug(name, f"conf/{group}")
    if name not in (options := names(group)):
        raise ConfigError(unknown({"data": "data set"}.get(group, group), name, options))
    return paths.root() / "conf" / group / f"{name}.yaml"


def model_file(name: str) -> Path:
    """Return the path of conf/model/NAME.yaml.

    Raises ConfigError if there is no such file, or if it does not begin with PACKAGE: Hydra would then put its keys
    below the key `model`.
    """
    path = file_of("model", name)
    lines = (line.strip() for line in path.read_text(errors="replace").splitlines())
    if "".join(next(filter(None, lines), "").split()) != "".join(PACKAGE.split()):
        raise ConfigError(f"conf/model/{name}.yaml: its first line is not {PACKAGE!r}; put that line above all others")
    return path


def data_conf(name: str) -> dict[str, Any]:
    """Return the content of conf/data/NAME.yaml; for a table also the event_shape and levels that its columns imply."""
    conf = yaml_file.read(file_of("data", name), dotted_keys=True)
    return {**conf, **of_columns(conf, f"conf/data/{name}.yaml")}


def of_columns(conf: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return {"event_shape", "levels"} of a table's rows, as its columns imply them; {} for a conf without `columns`.

    conf: the content of a file of conf/data; where: the name of the file, for the error

    Raises ConfigError for columns that cannot be used.
    """
    if not isinstance(conf, Mapping) or "columns" not in conf:
        return {}
    schema = roles_of(conf["columns"], where).schema
    return {"event_shape": [len(schema.names)], "levels": schema.levels}


def slug(name: str, where: str) -> str:
    """Return `name` if it can name a folder, a registered model and a stage; raise ConfigError if not.

    where: the file or folder in which the name was found, for the error
    """
    if not isinstance(name, str) or not SLUG.fullmatch(name):
        raise ConfigError(
            f"{where}: the name {name!r} may hold letters, digits and _ . - only, and starts with a letter or digit"
        )
    return name
