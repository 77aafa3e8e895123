"""The keys and values that params.yaml and a composed configuration may have, as strict pydantic models.

"Strict" means: True is not a whole number, "1" is not a number, and a key that no field has is refused. The arguments
of a model's constructor are not repeated here: gen_models.build checks them against the constructor's signature.
`refusal` turns pydantic's errors into a ConfigError of one line.
"""

import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any
from unicodedata import category

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from gen_models.errors import ConfigError, unknown
from gen_models.names import METRICS, ORDERS
from gen_models.schedules import SCHEDULES
from pipelines.config.conf_files import file_of
from pipelines.storage.place import check_uri

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # has no dot, because DVC reads a.b as the key b inside a
EXPECTED = {  # {pydantic's name of an error: what it expected, for people}
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than_equal": "a whole number of at least {ge}",
    "greater_than": "a number above {gt:g}",
    "string_type": "text",
    "list_type": "a list such as [a, b]",
    "dict_type": "a mapping such as {{key: value}}",
    "too_short": "at least {min_length} values",
    "too_long": "at most {max_length} values",
}
LEFT_OUT: Any = None  # the default of a key that may be left out; a null that is written in the file is refused
LONGEST = 200  # an error shows at most this many characters of a value


class Strict(BaseModel):
    """A mapping whose keys are the fields of the class."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _has_known_keys(cls, found: Any) -> Any:
        keys = [field.alias or name for name, field in cls.model_fields.items()]
        if not isinstance(found, Mapping):
            raise ConfigError(f"expected a mapping with the keys {', '.join(keys)}, found {_shown(found)}")
        for key in found:
            if key not in keys and cls.model_config.get("extra") != "allow":
                raise PydanticCustomError("unknown_key", "{line}", {"line": unknown("key", str(key), keys), "key": key})
        return found


def one_of(known: Collection[str]) -> AfterValidator:
    """Return a validator for a pydantic field: it refuses text that is not one of the known names."""

    def check(name: str) -> str:
        if name not in known:
            raise ConfigError(unknown("value", name, known))
        return name

    return AfterValidator(check)


def _in_conf(group: str) -> AfterValidator:
    """Return a validator for a pydantic field: it refuses text that is not the name of a file in conf/GROUP."""

    def check(name: str) -> str:
        file_of(group, name)
        return name

    return AfterValidator(check)


def _key(key: str) -> str:
    if not KEY.fullmatch(key):
        raise ConfigError(f"the name {key!r} may hold letters, digits, _ and - only, the first not _ or -")
    return key


def _rising(ends: list[float]) -> list[float]:
    if not ends[0] < ends[1]:
        raise ConfigError(f"expected [low, high] with low < high, found {ends!r}")
    return ends


Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Key = Annotated[str, AfterValidator(_key)]
ModelName = Annotated[str, _in_conf("model")]
DataName = Annotated[str, _in_conf("data")]
BudgetName = Annotated[str, _in_conf("budget")]
ClusterName = Annotated[str, _in_conf("cluster")]


class Line(Strict):
    """The keys that each line under `sweeps:` and `reuses:` of params.yaml has."""

    model: ModelName
    data: DataName


class SweepLine(Line):
    """A line under `sweeps:` of params.yaml; compose.py checks the keys of `set` and `grid` against the conf.

    set: {dotted key of the conf: its value}; the sweep does not search these keys
    grid: {dotted key of the conf: values}; the sweep tries every combination of them, and nothing of the conf's space
    seeds: with how many seeds the sweep trains each setting of the grid or, without a grid, each of its finalists
    """

    set: dict[str, Any] = {}
    grid: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)] = LEFT_OUT
    seeds: Count = LEFT_OUT


class ReuseLine(Line):
    """A line under `reuses:` of params.yaml. setting: the key of the sweep whose best setting is trained"""

    setting: str


def _path(text: str) -> str:
    """Return a path on this machine if DVC and the readers of data take it alike. Raises ConfigError if they do not."""
    if not text or "://" in text or any(category(letter) in ("Cc", "Cs") for letter in text):
        raise ConfigError(f"{text!r} is not a path of a file or folder; write one such as data/photos")
    if text.startswith("~"):
        raise ConfigError(f"{text}: DVC does not know ~; write {Path(text).expanduser()}")
    return text


FilePath = Annotated[str, AfterValidator(_path)]


class ParamsFile(Strict):
    """The content of params.yaml; params.py checks that its lines agree with each other."""

    seed: Annotated[int, Field(ge=0)]
    budget: BudgetName
    workers: Count
    data: list[DataName]
    files: dict[Annotated[Key, _in_conf("data")], FilePath] = {}
    storage: Annotated[str, AfterValidator(check_uri)] = LEFT_OUT
    cluster: ClusterName = "local"
    sweeps: dict[Key, SweepLine]
    reuses: dict[Key, ReuseLine]
    runs: dict[str, Any]


class OwnBudget(Strict):
    """The numbers of a budget that a model's conf may replace; `Budget` explains them."""

    steps: Count = LEFT_OUT
    trial_steps: Count = LEFT_OUT
    trials: Count = LEFT_OUT
    reports: Count = LEFT_OUT
    checkpoints: Count = LEFT_OUT
    seeds: Count = LEFT_OUT
    trial_report_every: Count = LEFT_OUT


class Budget(Strict):
    """A file of conf/budget: how much is trained and how often. Steps are counted in minibatches.

    note: a warning for readers of the results, such as that the budget is too short to judge a model
    steps, trial_steps: the steps of a training, and of a trial; trials: how many settings a sweep tries
    reports: how often a training or trial reports metrics and samples
    checkpoints: how often a training or trial saves a checkpoint from which it can resume
    seeds: with how many seeds a sweep's finalists are trained
    trial_report_every: steps between the reports of a trial, in place of `reports`; null: `reports` decides
    """

    name: str
    note: str = LEFT_OUT
    steps: Count
    trial_steps: Count
    trials: Count
    reports: Count
    checkpoints: Count
    seeds: Count = 1
    trial_report_every: Count | None = None


class Draw(Strict):
    """How a sweep draws a key's value: one of a list, or uniformly or log-uniformly between two ends."""

    choice: Annotated[list[Any], Field(min_length=1)] = LEFT_OUT
    uniform: Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_rising)] = LEFT_OUT
    loguniform: Annotated[list[Positive], Field(min_length=2, max_length=2), AfterValidator(_rising)] = LEFT_OUT

    @model_validator(mode="after")
    def _is_one(self) -> "Draw":
        if len(self.model_fields_set) != 1:
            raise ConfigError(
                f"expected one of {', '.join(Draw.model_fields)}, such as {{choice: [1, 2]}}, "
                f"found {' and '.join(self.model_fields_set) or 'none'}"
            )
        return self


class Front(Strict):
    """The loss terms on the axes of a sweep's rate-distortion picture, such as vae.rate_nats and vae.distortion_mse.

    rate_at_most: for the metric distortion_at_rate, the rate in nats above which a setting is penalised
    """

    rate: str
    distortion: str
    rate_at_most: Positive | None = None


class Sweep(Strict):
    """How a model's settings are searched; the comments in conf/config.yaml explain the keys.

    space: {dotted key of the conf: how its value is drawn}
    """

    searcher: Annotated[str, one_of(("sobol", "random", "grid", "tpe"))]
    scheduler: Annotated[str, one_of(("none", "halving", "asha", "pbt"))]
    rungs: Count
    eta: Annotated[int, Field(ge=2)]
    finalists: Count
    space: dict[str, Draw]
    front: Front | None = None


class Optimiser(Strict):
    """The constructor call of an optimiser: its class, its learning rate, and more that gen_models.build checks."""

    model_config = ConfigDict(extra="allow")

    target: str = Field(alias="_target_")
    lr: Positive = LEFT_OUT


class Data(Strict):
    """A file of conf/data; pipelines.data.checks checks the keys that are no fields here."""

    model_config = ConfigDict(extra="allow")

    batch_size: Count = LEFT_OUT


class Conf(Strict):
    """A composed configuration; gen_models.build checks the content of `model` when it builds the model."""

    batch_size: Count
    order: Annotated[str, one_of(ORDERS)]
    schedule: Annotated[str, one_of(SCHEDULES)]
    clip_norm: Positive | None
    keep: Annotated[str, one_of(("best", "last"))]
    threads: Count
    metric: Annotated[str, one_of(METRICS)]
    metric_without_factors: Annotated[str, one_of(METRICS)] | None = None
    budget: Budget
    budgets: dict[BudgetName, OwnBudget] | None
    sweep: Sweep
    optim: dict[str, Optimiser]
    model: dict[str, Any]
    data: Data


def refusal(error: ValidationError, file_of_key: Callable[[tuple[Any, ...]], str]) -> ConfigError:
    """Return pydantic's first error as a ConfigError of one line.

    file_of_key: a function that takes the path of the refused key, such as ("sweep", "eta"), and returns the name of
    the file that has it
    """
    first = error.errors(include_url=False)[0]
    path = tuple(part for part in first["loc"] if part != "[key]")
    kind, context = first["type"], first.get("ctx", {})
    file = file_of_key((*path, context["key"]) if kind == "unknown_key" else path)
    if kind == "missing":
        *above, key = path
        path, what = tuple(above), f"the key {key!r} is missing"
    elif kind == "unknown_key":
        what = context["line"]
    elif kind == "value_error":
        what = str(context["error"])
    else:
        expected = EXPECTED[kind].format(**context) if kind in EXPECTED else first["msg"]
        what = f"expected {expected}, found {_shown(first['input'])}"
    at = ".".join(str(part) if str(part).isprintable() else repr(part) for part in path)
    return ConfigError(": ".join(filter(None, (file, at, what))))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
