"""What conf/ and params.yaml say, as plain dicts and dataclasses, checked; the only import of hydra.

Composed here and not by DVC's own integration, which would overwrite params.yaml and lose its comments.
"""

import copy
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gen_models.engine import ORDERS
from gen_models.errors import ConfigError, unknown
from gen_models.measures.validation import METRICS
from gen_models.schedules import SCHEDULES
from pipelines.runtime import paths

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # without a dot: DVC reads a.b as b inside a
SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
SCHEDULERS = ("none", "halving", "asha")
KEEP = ("best", "last")
TOP = (
    "batch_size",
    "order",
    "schedule",
    "clip_norm",
    "keep",
    "threads",
    "sweep",
    "budget",
    "budgets",
    "data",
    "model",
    "optim",
    "metric",
)
SWEEP = ("scheduler", "rungs", "eta", "space", "front")
BUDGET = ("name", "steps", "trial_steps", "trials", "reports", "checkpoints")
DRAWS = ("choice", "uniform", "loguniform")


@dataclass(frozen=True)
class Run:
    """A line under `sweeps:` or `runs:`."""

    key: str
    model: str
    family: str
    data: str
    setting: str | None


@dataclass(frozen=True)
class Params:
    """params.yaml."""

    seed: int
    budget: str
    workers: int
    data: tuple[str, ...]
    sweeps: dict[str, Run]
    runs: dict[str, Run]

    def run(self, key: str) -> Run:
        if key not in self.runs:
            raise ConfigError("params.yaml: " + unknown("run", key, self.runs))
        return self.runs[key]

    def sweep(self, key: str) -> Run:
        if key not in self.sweeps:
            raise ConfigError("params.yaml: " + unknown("sweep", key, self.sweeps))
        return self.sweeps[key]


def params() -> Params:
    """params.yaml, checked: every name it uses exists."""
    known = ("seed", "budget", "workers", "data", "sweeps", "runs")
    raw = _mapping(paths.root() / paths.MARK, known)
    for key in raw:
        if key not in known:
            raise ConfigError("params.yaml: " + unknown("key", str(key), known))
    for key in known:
        if key not in raw:
            raise ConfigError(f"params.yaml: the key {key!r} is missing")
    _whole(raw["seed"], "params.yaml: seed", least=0)
    _whole(raw["workers"], "params.yaml: workers", least=1)
    _known("budget", raw["budget"])
    if not isinstance(raw["data"], list):
        raise ConfigError(f"params.yaml: data: expected a list such as [digits], found {raw['data']!r}")
    for name in raw["data"]:
        _known("data", name)
    for section in ("sweeps", "runs"):
        if not isinstance(raw[section], dict):
            raise ConfigError(f"params.yaml: {section}: expected KEY: {{model, family, data}}, found {raw[section]!r}")
    sweeps = {key: _run("sweeps", key, line, setting=False) for key, line in raw["sweeps"].items()}
    runs = {key: _run("runs", key, line, setting=True) for key, line in raw["runs"].items()}
    for run in (*sweeps.values(), *runs.values()):
        if run.data not in raw["data"]:
            raise ConfigError(f"params.yaml: {run.key}: data {run.data!r} is not listed under data:; add it there")
    for run in runs.values():
        if run.setting not in sweeps:
            raise ConfigError(f"params.yaml: runs.{run.key}.setting: " + unknown("sweep", str(run.setting), sweeps))
    return Params(raw["seed"], raw["budget"], raw["workers"], tuple(raw["data"]), sweeps, runs)


def names(group: str) -> list[str]:
    """The files of a folder of conf: names("model") -> ["ae", "gmm", ...]."""
    return sorted(path.stem for path in (paths.root() / "conf" / group).glob("*.yaml"))


def compose(model: str, data: str, budget: str) -> dict[str, Any]:
    """One run's configuration: conf/config.yaml, then the files of budget, data and model, resolved and checked."""
    for group, name in (("model", model), ("data", data), ("budget", budget)):
        _known(group, name)
    try:
        with initialize_config_dir(str(paths.root() / "conf"), version_base="1.3"):
            composed = hydra_compose("config", overrides=[f"budget={budget}", f"data={data}", f"model={model}"])
        conf: dict[str, Any] = OmegaConf.to_container(composed, resolve=True)  # type: ignore[assignment]
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigError(f"conf/model/{model}.yaml with conf/data/{data}.yaml: {_first_line(error)}") from None
    _fold_budget(conf, model)
    conf["batch_size"] = conf["data"].get("batch_size", conf["batch_size"])  # of data with few rows
    _check(conf, f"conf/model/{model}.yaml")
    return conf


def override(conf: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a configuration with {dotted key: value} replaced; every key must be there already."""
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


def data_conf(name: str) -> dict[str, Any]:
    """conf/data/NAME.yaml."""
    _known("data", name)
    path = paths.root() / "conf" / "data" / f"{name}.yaml"
    return _mapping(path, ("name", "source", "event_shape", "levels", "split"))


def flat(conf: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"beta": 1}} -> {"model.beta": 1}: the names that overrides and MLflow's params use."""
    leaves: dict[str, Any] = {}
    for key, value in conf.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def slug(name: str, where: str) -> str:
    """A name that is safe as a folder's, a registered model's and a stage's name."""
    if not isinstance(name, str) or not SLUG.fullmatch(name):
        raise ConfigError(
            f"{where}: the name {name!r} may hold letters, digits and _ . - only, and starts with a letter or digit"
        )
    return name


def _mapping(path: Path, keys: Sequence[str]) -> dict[str, Any]:
    """A YAML file that holds a mapping; `keys` are what the error tells of it."""
    try:
        found = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {_first_line(error)}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected a mapping with the keys {', '.join(keys)}")
    return found


def _known(group: str, name: str) -> None:
    slug(name, f"conf/{group}")
    if name not in (options := names(group)):
        raise ConfigError(unknown(group if group != "data" else "data set", name, options))


def _run(section: str, key: str, line: Any, *, setting: bool) -> Run:
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise ConfigError(
            f"params.yaml: {section}: the name {key!r} may hold letters, digits, _ and - only, the first not _ or -"
        )
    where = f"params.yaml: {section}.{key}"
    fields = ("model", "family", "data", *(("setting",) if setting else ()))
    if not isinstance(line, dict):
        raise ConfigError(f"{where}: expected {{{', '.join(fields)}}}, found {line!r}")
    for field in line:
        if field not in fields:
            raise ConfigError(f"{where}: " + unknown("key", field, fields))
    for field in fields:
        if field not in line:
            raise ConfigError(f"{where}: the key {field!r} is missing")
    _known("model", line["model"])
    _known("data", line["data"])
    families = [p.name for p in Path(paths.root(), "gen_models").iterdir() if (p / "__init__.py").is_file()]
    if families and line["family"] not in families:
        raise ConfigError(f"{where}.family: " + unknown("family", line["family"], families))
    return Run(key, line["model"], line["family"], line["data"], line.get("setting"))


def _fold_budget(conf: dict[str, Any], model: str) -> None:
    """A model's own numbers for the chosen budget take the place of the budget's."""
    budgets = conf.pop("budgets", None) or {}
    own = budgets.get(conf["budget"]["name"], {}) if isinstance(budgets, dict) else budgets
    if not isinstance(own, dict):
        raise ConfigError(f"conf/model/{model}.yaml: budgets: expected {{quick: {{steps: 800}}}}, found {budgets!r}")
    for key in own:
        if key not in BUDGET:
            raise ConfigError(f"conf/model/{model}.yaml: budgets: " + unknown("key", key, BUDGET))
    conf["budget"] |= own


def _check(conf: dict[str, Any], where: str) -> None:
    for key in conf:
        if key not in TOP:
            raise ConfigError(f"{where}: " + unknown("key", key, TOP))
    for key in ("model", "optim", "metric"):
        if key not in conf:
            raise ConfigError(f"{where}: the key {key!r} is missing")
    for key in ("sweep", "budget", "optim", "model"):
        if not isinstance(conf[key], dict):
            raise ConfigError(f"{where}: {key}: expected a mapping, found {conf[key]!r}")
    for key, known in {"sweep": SWEEP, "budget": BUDGET}.items():
        for inner in conf[key]:
            if inner not in known:
                raise ConfigError(f"{where}: {key}: " + unknown("key", inner, known))
    _check_numbers(conf, where)
    if not isinstance(conf["sweep"]["space"], dict):
        raise ConfigError(
            f"{where}: sweep.space: expected {{key: {{choice: [...]}}}}, found {conf['sweep']['space']!r}"
        )
    leaves = flat({key: value for key, value in conf.items() if key != "sweep"})
    for key, draw in conf["sweep"]["space"].items():
        _check_draw(key, draw, leaves, where)
        for value in next(iter(draw.values())):
            _check_numbers(override(conf, {key: value}), f"{where}: sweep.space.{key}")


def _check_numbers(conf: dict[str, Any], where: str) -> None:
    for key in BUDGET[1:]:
        _whole(conf["budget"].get(key), f"{where}: budget.{key}", least=1)
    _whole(conf["batch_size"], f"{where}: batch_size", least=1)
    _whole(conf["threads"], f"{where}: threads", least=1)
    _whole(conf["sweep"]["rungs"], f"{where}: sweep.rungs", least=1)
    _whole(conf["sweep"]["eta"], f"{where}: sweep.eta", least=2)
    _one_of(conf["order"], tuple(ORDERS), f"{where}: order")
    _one_of(conf["schedule"], tuple(SCHEDULES), f"{where}: schedule")
    _one_of(conf["keep"], KEEP, f"{where}: keep")
    _one_of(conf["metric"], tuple(METRICS), f"{where}: metric")
    _one_of(conf["sweep"]["scheduler"], SCHEDULERS, f"{where}: sweep.scheduler")
    if conf["clip_norm"] is not None:
        _positive(conf["clip_norm"], f"{where}: clip_norm")
    for name, spec in conf["optim"].items():
        if not isinstance(spec, dict) or "_target_" not in spec:
            raise ConfigError(
                f"{where}: optim.{name}: expected an optimiser such as {{_target_: torch.optim.Adam, lr: 1.0e-3}}"
            )
        if "lr" in spec:
            _positive(spec["lr"], f"{where}: optim.{name}.lr")


def _check_draw(key: str, draw: Any, leaves: Mapping[str, Any], where: str) -> None:
    at = f"{where}: sweep.space.{key}"
    if key not in leaves:
        raise ConfigError(f"{at}: " + unknown("key to sweep", key, leaves))
    if not isinstance(draw, dict) or len(draw) != 1:
        raise ConfigError(f"{at}: expected one of {', '.join(DRAWS)}, such as {{choice: [1, 2]}}; found {draw!r}")
    ((kind, values),) = draw.items()
    _one_of(kind, DRAWS, at)
    if kind == "choice":
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{at}: choice needs a list of values, found {values!r}")
        return
    if not isinstance(values, list) or len(values) != 2:
        raise ConfigError(f"{at}: {kind} needs [low, high], found {values!r}")
    low, high = values
    for number in values:
        (_positive if kind == "loguniform" else _finite)(number, at)
    if not low < high:
        raise ConfigError(f"{at}: {kind} needs low < high, found {values!r}")


def _whole(value: Any, where: str, *, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{where}: expected a whole number of at least {least}, found {value!r}")


def _finite(value: Any, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{where}: expected a finite number, found {value!r}")


def _positive(value: Any, where: str) -> None:
    _finite(value, where)
    if value <= 0:
        raise ConfigError(f"{where}: expected a number above 0, found {value!r}")


def _one_of(value: Any, options: tuple[str, ...], where: str) -> None:
    if value not in options:
        raise ConfigError(f"{where}: " + unknown("value", str(value), options))


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
