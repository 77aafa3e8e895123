"""Build objects from specs: a spec is a constructor call, with the class under `_target_` and its arguments as keys.

Only classes under gen_models., torch.nn. and torch.optim. can be built, so a configuration or a checkpoint cannot run
other code.
"""

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import torch

from gen_models.contracts import objectives_of
from gen_models.errors import ConfigError, unknown

ROOTS = ("gen_models.", "torch.nn.", "torch.optim.")


def build(spec: Mapping[str, Any], *arguments: Any) -> Any:
    """Return the object that a spec describes; nested specs are built first.

    spec       {"_target_": "gen_models.autoencoders.vae.VAE", "latent": 8, ...}
    arguments  positional arguments of the constructor, such as the parameters that an optimiser moves

    Raises ConfigError for a target outside the roots, an unknown class, an unknown key, or arguments that the class
    refuses.
    """
    if "_target_" not in spec:
        raise ConfigError(f"a spec needs the key _target_ (the class to build); it has {', '.join(spec) or 'no keys'}")
    cls = _class(spec["_target_"])
    keywords = {key: _built(value) for key, value in spec.items() if key != "_target_"}
    _check_keys(cls, keywords)
    try:
        inspect.signature(cls).bind(*arguments, **keywords)
    except TypeError as error:
        raise ConfigError(f"{spec['_target_']}: {error}") from None
    try:
        return cls(*arguments, **keywords)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{spec['_target_']}({_arguments(keywords)}): {error}") from error


def build_model(spec: Mapping[str, Any], seed: int) -> torch.nn.Module:
    """Build a model whose initial weights depend on the seed alone; torch's global generator is set to the seed."""
    torch.manual_seed(seed)
    return build(spec)


def build_optimisers(
    specs: Mapping[str, Mapping[str, Any]], model: torch.nn.Module
) -> dict[str, torch.optim.Optimizer]:
    """Build one optimiser for each objective of the model; return {objective's name: optimiser}.

    specs  {objective's name: spec of its optimiser}

    Raises ConfigError if the specs lack an objective or name an unknown one.
    """
    objectives = {objective.name: objective for objective in objectives_of(model)}
    for name in specs:
        if name not in objectives:
            raise ConfigError(unknown("objective under optim", name, objectives))
    missing = [name for name in objectives if name not in specs]
    if missing:
        raise ConfigError(f"optim.{missing[0]}: no optimiser for this objective; add one beside {', '.join(specs)}")
    return {
        name: build(_fused(specs[name]), [p for p in objective.module.parameters() if p.requires_grad])
        for name, objective in objectives.items()
    }


def _fused(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return an optimiser's spec with fused=True, or with foreach=False if its class has no argument `fused`.

    If the class has neither argument, the spec is returned as it is. A fused optimiser moves all parameters by one
    kernel; with foreach=False they are moved one by one.
    """
    known = inspect.signature(_class(spec.get("_target_", ""))).parameters
    if "fused" in known:
        return {"fused": True, **spec}
    return {"foreach": False, **spec} if "foreach" in known else dict(spec)


def _class(target: str) -> type:
    if not isinstance(target, str) or not target.startswith(ROOTS):
        raise ConfigError(f"_target_ {target!r} is outside the roots that may be built: {', '.join(ROOTS)}")
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError:
        raise ConfigError(f"_target_ {target!r}: there is no module {module_name}") from None
    found = getattr(module, name, None)
    if found is None:
        classes = [key for key, value in vars(module).items() if inspect.isclass(value)]
        raise ConfigError(f"_target_ {target!r}: " + unknown("class", name, classes))
    if not inspect.isclass(found):
        raise ConfigError(f"_target_ {target!r} is not a class")
    if not f"{found.__module__}.".startswith(ROOTS):  # a module also contains the names that it imported
        raise ConfigError(
            f"_target_ {target!r} is {found.__module__}.{found.__name__}, outside the roots {', '.join(ROOTS)}"
        )
    return found


def _built(value: Any) -> Any:
    if isinstance(value, Mapping):
        return build(value) if "_target_" in value else {key: _built(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_built(item) for item in value]
    return value


def _check_keys(cls: type, keywords: Mapping[str, Any]) -> None:
    parameters = inspect.signature(cls).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    for key in keywords:
        if key not in parameters:
            raise ConfigError(f"{cls.__name__}: " + unknown("key", key, parameters))


def _arguments(keywords: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in keywords.items())
