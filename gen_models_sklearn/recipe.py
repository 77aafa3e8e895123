"""How to construct and train a model, read from a file of conf/model or from a mapping with the same keys."""

import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gen_models.errors import ConfigError, unknown
from gen_models.layers.levels import Levels
from gen_models.rebuildable import plain_data

# conf/model of a checkout, or else of an installed package
CONFS = (Path(__file__).resolve().parent.parent, Path(sysconfig.get_path("data")) / "share" / "gen_models")
STEPS = 1500  # as in conf/budget/quick.yaml
OF_TRAINING = ("order", "schedule", "clip_norm")
OF_A_MIXTURE = "gen_models.mixtures."  # a mixture is fitted by its warm start, EM


@dataclass(frozen=True)
class Recipe:
    """How to construct and train a model.

    spec      {"_target_": the model's class, argument: value}
    optim     {objective: the spec of its optimiser}; {}: Adam
    settings  order, schedule and clip_norm of the engine, where given
    steps     of training, if the estimator gives none
    """

    spec: dict[str, Any]
    optim: dict[str, Any]
    settings: dict[str, Any]
    steps: int


def recipe(
    model: str | Mapping[str, Any],
    arguments: Mapping[str, Any] | None,
    event_shape: Sequence[int],
    levels: Levels,
) -> Recipe:
    """Return the recipe of a model for rows of the shape event_shape.

    model      NAME of a file conf/model/NAME.yaml; its content as a mapping; or only the spec, with the key _target_
    arguments  {name: value} for the constructor, which replace those that `model` gives
    levels     what the numbers of a row are (gen_models.layers.levels)

    Raises ConfigError if `model` is none of these, if `arguments` is no mapping, or if one of them gives another
    event_shape or other levels than these.
    """
    conf = _read(model) if isinstance(model, str) else model
    if not isinstance(conf, Mapping):
        raise ConfigError(f"model = {model!r} cannot be used: give a name of conf/model, or a mapping")
    spec = dict(conf.get("model", conf))
    if "_target_" not in spec:
        raise ConfigError(f"model needs the key _target_ (the class to build); it has {', '.join(map(str, spec))}")
    if not isinstance(arguments, Mapping | None):
        raise ConfigError(f"arguments = {arguments!r} cannot be used: give a mapping, such as {{'latent': 2}}, or None")
    spec |= arguments or {}
    of_rows = {"event_shape": list(event_shape), "levels": levels}
    fixes = {"event_shape": "leave it out, as X has it", "levels": "give levels= to the estimator"}
    for key, value in of_rows.items():
        own = plain_data(spec.get(key))
        own = list(own) if isinstance(own, tuple) else own
        if own not in (None, value) and not str(own).startswith("${"):  # as in the files of conf/model
            raise ConfigError(f"{key} = {own!r} cannot be used in model or arguments: {fixes[key]}")
    quick = (conf.get("budgets") or {}).get("quick", {})
    return Recipe(
        spec={**spec, **of_rows},
        optim=dict(conf.get("optim", {})),
        settings={key: conf[key] for key in OF_TRAINING if key in conf},
        steps=0 if str(spec["_target_"]).startswith(OF_A_MIXTURE) else quick.get("steps", STEPS),
    )


def _read(name: str) -> dict[str, Any]:
    folder = next((root / "conf/model" for root in CONFS if (root / "conf/model").is_dir()), CONFS[0])
    known = {path.stem: path for path in folder.glob("*.yaml")}
    if name not in known:
        raise ConfigError(unknown("model", name, known))
    return yaml.safe_load(known[name].read_text())
