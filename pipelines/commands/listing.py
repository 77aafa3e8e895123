"""list: prints the models, data sets and runs of the project, with the capabilities of each model.

    gen-models list

The methods of a model's class say what the model can do. So the command composes no configuration and builds no model,
which would take most of the time.
"""

import importlib
from collections.abc import Mapping
from typing import Any

from gen_models.contracts import CAPABILITIES
from gen_models.errors import ConfigError
from pipelines.config import yaml_file
from pipelines.config.conf_files import data_conf, model_file, names
from pipelines.config.params import params
from pipelines.runtime.stage import no_argument


def main(argv: list[str]) -> None:
    no_argument(argv, "list", __doc__)
    print("models (conf/model)")
    for name in names("model"):
        conf = yaml_file.read(model_file(name), dotted_keys=True)
        model = _class(conf, f"conf/model/{name}.yaml")
        print(f"  {name:<15} {model.__name__:<15} {', '.join(_offers(model))}; compared by {_metric(conf)}")
    print("data sets (conf/data)")
    try:
        used = params().data_sets
    except ConfigError:  # told below, after what it may be that the user looks for
        used = tuple(names("data"))
    for name in names("data"):
        conf = data_conf(name)
        note = "" if name in used else "   (not under data: or files: in params.yaml)"
        print(f"  {name:<16} {'x'.join(map(str, conf['event_shape']))}, {_kind(conf['levels'])}{note}")
    print("runs (params.yaml)")
    graph = params()
    for line in graph.runs.values():
        how = "with its own sweep" if line.key in graph.sweeps else f"with the setting of {line.setting}"
        print(f"  {line.key:<24} {line.model} on {line.data}, {how}")


def _class(conf: Mapping[str, Any], path: str) -> type:
    """Return the class that a file of conf/model names. Raises ConfigError if there is none."""
    spec = conf.get("model")
    target = str(spec.get("_target_")) if isinstance(spec, Mapping) else ""
    if not target.startswith("gen_models."):
        raise ConfigError(f"{path}: model._target_ is {target!r}; expected a class of gen_models")
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise ConfigError(f"{path}: model._target_ {target!r}: there is no such class") from None


def _kind(levels: Any) -> str:
    """Return in words what the conf's `levels` says of the numbers of a row."""
    if isinstance(levels, int):
        return f"{levels} grey levels"
    return "continuous" if levels is None else "a table"


def _offers(model: type) -> list[str]:
    return [name for name, contract in CAPABILITIES.items() if issubclass(model, contract)]


def _metric(conf: Mapping[str, Any]) -> str:
    without = conf.get("metric_without_factors")
    return f"{conf.get('metric')}" + (f", or {without} where factors are not known" if without else "")
