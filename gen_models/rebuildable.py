"""Models that remember the arguments of their constructor, so that saving a model needs no spec from the caller.

A spec is what `build` (build.py) turns into a model. If a model's class inherits `Rebuildable`, the arguments of the
outermost constructor are kept as they were given, in plain data: numbers, words, lists and mappings, as a YAML file
holds them.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

import numpy as np
from torch import nn

from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_shape

KEPT = "_arguments"
STARTED = "_was_started"  # a mark on models that need no warm start; private, so that no digest of settings holds it


class Rebuildable:
    """A class whose constructor keeps its arguments; subclasses do so too, without code of their own."""

    def __init_subclass__(cls, **keywords: Any):
        super().__init_subclass__(**keywords)
        if "__init__" in vars(cls):
            cls.__init__ = _keeping(vars(cls)["__init__"])  # type: ignore[method-assign]
        if "warm_start" in vars(cls):
            cls.warm_start = _marking(vars(cls)["warm_start"])  # type: ignore[attr-defined]


def arguments_of(model: object) -> dict[str, Any]:
    """Return the arguments with which a model was constructed, by name; {} if its class is not Rebuildable."""
    return dict(vars(model).get(KEPT, {}))


def spec_of(model: nn.Module) -> dict[str, Any]:
    """Return the spec of a model, {"_target_": its class, argument: value, ...}, from which `build` makes it again.

    Raises ConfigError if its class is not Rebuildable, or an argument is no plain data.
    """
    cls = type(model)
    if KEPT not in vars(model):
        raise ConfigError(
            f"{cls.__name__} does not know its arguments: let the class inherit gen_models.rebuildable.Rebuildable"
        )
    arguments = arguments_of(model)
    for name, value in arguments.items():
        if not _is_plain(value):
            raise ConfigError(
                f"{cls.__name__}: {name} is a {type(value).__name__}, which a file of plain data cannot hold: let the "
                f"class take numbers, words, lists or mappings, and make it from them"
            )
    return {"_target_": f"{cls.__module__}.{cls.__qualname__}", **arguments}


def _keeping(construct: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor that keeps its arguments, unless a subclass's constructor called it and has kept its own."""
    signature = inspect.signature(construct)
    own, *_ = signature.parameters
    gathered = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), None)

    @wraps(construct)
    def keeping(self: Any, *positional: Any, **keywords: Any) -> None:
        positional = tuple(plain_data(value) for value in positional)
        keywords = {name: plain_data(value) for name, value in keywords.items()}
        if KEPT not in vars(self):
            try:
                given = dict(signature.bind(self, *positional, **keywords).arguments)
            except TypeError:
                given = {}  # the constructor says what is wrong
            given |= given.pop(gathered, {}) if gathered else {}
            if "event_shape" in given:  # of every model; before any other code takes it for a list
                require_shape(given["event_shape"])
            vars(self)[KEPT] = {name: _plain(value) for name, value in given.items() if name != own}
        construct(self, *positional, **keywords)

    return keeping


def _marking(start: Callable[..., None]) -> Callable[..., None]:
    """Return a `warm_start` that marks the model as started."""

    @wraps(start)
    def marking(self: Any, *positional: Any, **keywords: Any) -> None:
        start(self, *positional, **keywords)
        setattr(self, STARTED, True)

    return marking


def plain_data(value: Any) -> Any:
    """Return the value with numpy's numbers as Python's, also in lists, tuples and mappings.

    An array of whole numbers, such as a shape, becomes a list. Any other value is returned as it is.
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.dtype.kind in "iu" and value.ndim < 2):
        return value.tolist()
    if type(value) in (list, tuple):
        return type(value)(plain_data(item) for item in value)
    if type(value) is dict:
        return {key: plain_data(item) for key, item in value.items()}
    return value


def _plain(value: Any) -> Any:
    """Return a copy of the value in plain data; a value that is no plain data is returned as it is."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)
