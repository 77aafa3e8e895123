"""Composes a run's configuration from conf/ with Hydra, and checks it. Only this module imports hydra.

DVC's own integration of Hydra is not used: it would overwrite params.yaml and lose its comments.
"""

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from gen_models.errors import ConfigError, unknown
from pipelines.config import yaml_file
from pipelines.config.conf_files import file_of, model_file, of_columns
from pipelines.config.params import Run
from pipelines.config.schema import Conf, refusal
from pipelines.runtime import paths

SOURCE_WITH_FACTORS = "factors"  # the only source of data that knows the factors from which it made each row


def compose(model: str, data: str, budget: str) -> dict[str, Any]:
    """Return the checked configuration of a model on a data set with a budget; references to other keys are resolved.

    model, data, budget: names of files of conf/model, conf/data and conf/budget. Hydra reads conf/config.yaml and then
    the files of budget, data and model; a later file overrides an earlier one.

    Raises ConfigError for a file, key or value that cannot be used.
    """
    said = {path: yaml_file.read(path, dotted_keys=True) for path in files(model, data, budget)}
    conf = copy.deepcopy(_composed(model, data, budget, repr(list(said.values()))))
    _check(conf, lambda keys: _last_to_say(said, keys))
    conf["batch_size"] = conf["data"].get("batch_size", conf["batch_size"])  # of data with few rows
    elsewhere = conf.pop("metric_without_factors", None)
    if elsewhere and conf["data"]["source"] != SOURCE_WITH_FACTORS:
        conf["metric"] = elsewhere
    own = (conf.pop("budgets") or {}).get(budget, {})  # a model's own numbers replace the budget's
    conf["budget"] = {"seeds": 1, "trial_report_every": None, **conf["budget"], **own}
    _check_space(conf, f"conf/model/{model}.yaml")
    return conf


def compose_line(line: Run, budget: str) -> dict[str, Any]:
    """Return the configuration of a line of params.yaml: what `compose` returns, changed by `set`, `grid` and `seeds`.

    A key under `set` gets its value, and the sweep does not search it. A `grid` replaces the search space of the conf,
    and each of its settings is trained to the end. `seeds` replaces the budget's number of seeds.

    Raises ConfigError for a key or value that cannot be used.
    """
    conf = compose(line.model, line.data, budget)
    at = f"{paths.MARK}: sweeps.{line.key}"
    for key, value in line.fixed.items():
        _check_key(conf, key, f"{at}.set")
        if isinstance(value, Mapping):
            raise ConfigError(f"{at}.set.{key}: expected a value, found {value!r}")
        _check_values(conf, key, [value], f"{at}.set")
    conf = override(conf, line.fixed)
    sweep = conf["sweep"]
    sweep["space"] = {key: draw for key, draw in sweep["space"].items() if key not in line.fixed}
    if line.grid is not None:
        for key, values in line.grid.items():
            _check_key(conf, key, f"{at}.grid", is_swept=True)
            if key in line.fixed:
                raise ConfigError(f"{at}.grid.{key}: stands under set too; leave it under one of the two")
            _check_values(conf, key, values, f"{at}.grid")
        space = {key: {"choice": list(values)} for key, values in line.grid.items()}
        sweep |= {"searcher": "grid", "scheduler": "none", "space": space}
    if line.seeds is not None:
        conf["budget"]["seeds"] = line.seeds
    if sweep["searcher"] == "tpe":  # it learns from whole trials
        sweep["scheduler"] = "none"
    return conf


@lru_cache(maxsize=256)
def _composed(model: str, data: str, budget: str, content: str) -> dict[str, Any]:
    """Return the configuration that Hydra composes, which takes a tenth of a second and is therefore cached.

    content: what the files hold, as text. It is used only as a part of the cache's key: after an edit, Hydra composes
    again
    """
    try:
        with initialize_config_dir(str(paths.root() / "conf"), version_base="1.3"):
            # The quotes keep a name such as 2024_01 a text; Hydra would read 202401
            named = [f"budget='{budget}'", f"data='{data}'", f"model='{model}'"]
            composed = hydra_compose("config", overrides=named)
        of_data = of_columns(dict(OmegaConf.to_container(composed.data)), f"conf/data/{data}.yaml")  # type: ignore[arg-type]
        OmegaConf.set_struct(composed, False)
        composed.data = {**composed.data, **of_data}
        return OmegaConf.to_container(composed, resolve=True)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        line = " ".join(str(error).split())[:300]
        raise ConfigError(f"conf/model/{model}.yaml with conf/data/{data}.yaml: {line}") from None


def files(model: str, data: str, budget: str) -> list[Path]:
    """Return the files from which a configuration is composed; each comes before the files that override it."""
    return [
        paths.root() / "conf" / "config.yaml",
        file_of("budget", budget),
        file_of("data", data),
        model_file(model),
    ]


def override(conf: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a configuration in which `settings`, {dotted key: value}, replace the values.

    Raises ConfigError for a key that the configuration does not have.
    """
    changed = copy.deepcopy(dict(conf))
    for dotted, value in settings.items():
        if dotted not in (known := flat(changed)):
            raise ConfigError(unknown("key to override", dotted, known))
        *folders, last = dotted.split(".")
        inner = changed
        for name in folders:
            inner = inner[name]
        inner[last] = value
    return changed


def flat(conf: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one level of dotted keys: {"model": {"beta": 1}} becomes {"model.beta": 1}.

    Overrides and MLflow's params use these names.
    """
    leaves: dict[str, Any] = {}
    for key, value in conf.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def family_of(conf: Mapping[str, Any]) -> str:
    """Return the family of a configuration's model: the folder of gen_models that has its class."""
    return conf["model"]["_target_"].split(".")[1]


def _check(conf: dict[str, Any], where: Callable[[tuple[Any, ...]], str]) -> None:
    """Raise ConfigError for the first key that the schema refuses.

    where: a function that takes the path of that key, such as ("sweep", "eta"), and returns the name of the file that
    has it, for the error
    """
    try:
        Conf.model_validate(conf)
    except ValidationError as error:
        raise refusal(error, where) from None


def _last_to_say(said: Mapping[Path, dict[str, Any]], keys: tuple[Any, ...]) -> str:
    """Return the name of the file that decides the value at a path of keys: the last one that has a value there.

    If none has, return the name of the model's file. said: {file: its content}, in the order in which Hydra reads them
    """
    found = list(said)[-1]
    for path, text in said.items():
        is_group = path.parent.name in ("budget", "data")  # Hydra puts their keys under the folder's name
        if keys and _says({path.parent.name: text} if is_group else text, keys):
            found = path
    return found.relative_to(paths.root()).as_posix()


def _check_space(conf: dict[str, Any], where: str) -> None:
    """Raise ConfigError unless each key of the sweep's space exists and may have the values that are drawn for it."""
    known = flat({key: value for key, value in conf.items() if key != "sweep"})
    for key, draw in conf["sweep"]["space"].items():
        if key not in known:
            raise ConfigError(f"{where}: sweep.space: " + unknown("key to sweep", key, known))
        _check_values(conf, key, next(iter(draw.values())), f"{where}: sweep.space.{key}")


def _check_key(conf: Mapping[str, Any], key: str, where: str, *, is_swept: bool = False) -> None:
    """Raise ConfigError unless a line of params.yaml may set a key of a composed configuration, or sweep it."""
    closed = ("data.", "sweep.space.", "sweep.front.", "budget.name", *(("sweep.", "budget.") if is_swept else ()))
    known = [name for name in flat(conf) if not name.startswith(closed) and not name.endswith("_target_")]
    if key not in known:
        raise ConfigError(f"{where}: " + unknown("key of the conf", key, known))


def _check_values(conf: dict[str, Any], key: str, values: list[Any], where: str) -> None:
    for value in values:
        _check({**override(conf, {key: value}), "budgets": None}, lambda path: where)


def _says(text: Any, keys: tuple[Any, ...]) -> bool:
    """Return whether a file, read into Python objects, has a value at a path of keys."""
    for key in keys:
        if isinstance(text, list) and isinstance(key, int):
            text = dict(enumerate(text))
        if not isinstance(text, Mapping) or key not in text:
            return False
        text = text[key]
    return True
