"""How a model is made and trained, by the name of a file of conf/model or as a mapping of the same keys."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gen_models.errors import ConfigError, unknown
from gen_models.layers.levels import Levels

CONF = Path(__file__).resolve().parent.parent / "conf" / "model"
STEPS = 1500  # those of conf/budget/quick.yaml
OF_TRAINING = ("order", "schedule", "clip_norm")
OF_A_MIXTURE = "gen_models.mixtures."  # whose warm start, EM, is the fit


@dataclass(frozen=True)
class Recipe:
    """The spec of a model, the specs of its optimisers ({}: Adam), and the engine's settings.

    steps  if the estimator names none
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
    """Return the recipe of a model for rows of a shape.

    model      NAME of conf/model/NAME.yaml; its content as a mapping; or only the spec, with the key _target_
    arguments  of the constructor, in place of those that the model has

    Raises ConfigError for a name or mapping that is none of these.
    """
    conf = _read(model) if isinstance(model, str) else model
    if not isinstance(conf, Mapping):
        raise ConfigError(f"model = {model!r} cannot be used: give a name of conf/model, or a mapping")
    spec = dict(conf.get("model", conf))
    if "_target_" not in spec:
        raise ConfigError(f"model needs the key _target_ (the class to build); it has {', '.join(map(str, spec))}")
    quick = (conf.get("budgets") or {}).get("quick", {})
    return Recipe(
        spec={**spec, **(arguments or {}), "event_shape": list(event_shape), "levels": levels},
        optim=dict(conf.get("optim", {})),
        settings={key: conf[key] for key in OF_TRAINING if key in conf},
        steps=0 if str(spec["_target_"]).startswith(OF_A_MIXTURE) else quick.get("steps", STEPS),
    )


def _read(name: str) -> dict[str, Any]:
    known = [path.stem for path in CONF.glob("*.yaml")]
    if name not in known:
        raise ConfigError(unknown("model", name, known))
    return yaml.safe_load((CONF / f"{name}.yaml").read_text())
