"""Rows that a caller passes to a model: checked, and turned into a tensor on the model's device and of its dtype."""

import math
import warnings
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gen_models.errors import ConfigError, DataError
from gen_models.layers.levels import Levels, coordinates, grey_levels, is_table
from gen_models.rebuildable import arguments_of

CHECKED_AT_ONCE = 1 << 16  # rows
LOST_BY_ROUNDING = 0.01  # of a column's standard deviation: more than this is refused


def rows_of(model: nn.Module, x: Any, name: str = "x") -> Tensor:
    """Return the rows x, checked by `checked`, as a tensor on `device_of(model)`, of the dtype `dtype_of(model)`.

    name  what error messages call x
    """
    return checked(model, x, name).to(dtype_of(model)).to(device_of(model))


def checked(model: nn.Module, x: Any, name: str = "x") -> Tensor:
    """Return the rows x, (rows, *event), as a tensor, checked, but not yet in the model's dtype.

    x     an array, a data frame of numbers or a tensor
    name  what error messages call x

    Raises DataError if x is empty or holds anything but finite real numbers, if its rows have another shape than the
    model takes, if a value is none of those that the model's `levels` allow, or if float32, where the model computes in
    it, cannot hold the differences between rows.
    """
    x = numbers(x, name)
    _check_shape(x, event_shape_of(model), name)
    levels = levels_of(model)
    for start in range(0, len(x), CHECKED_AT_ONCE):
        block = x[start : start + CHECKED_AT_ONCE]
        refuse(~torch.isfinite(block), block, start, f"{name}{{place}} is {{value}}: fill or drop such rows first")
        _check_levels(block, start, levels, name)
    if levels is None and dtype_of(model) == torch.float32:
        _check_rounding(x[:CHECKED_AT_ONCE], name)
    return x


def numbers(x: Any, name: str) -> Tensor:
    """Return x as a tensor. Raises DataError, which calls x by `name`, if x holds anything but real numbers."""
    if isinstance(x, str | PathLike):
        raise DataError(f"{name} is the name {str(x)!r}: load the file first, as with numpy.load({str(x)!r})")
    if isinstance(x, Tensor):
        if x.is_complex():
            raise DataError(f"{name} has the dtype {x.dtype}: give real numbers")
        return x.detach()
    try:
        array = np.asarray(x)
    except ValueError as error:  # lists of different lengths
        raise DataError(f"{name} is not an array: {error}") from None
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"{name} has the dtype {array.dtype}: give real numbers; gen_models.table turns words, dates and missing "
            f"cells into numbers"
        )
    if array.dtype.kind == "u" and array.itemsize > 1:  # torch gathers no other unsigned numbers
        array = array.astype(np.float64 if array.itemsize > 2 else np.int32)
    elif array.dtype.kind == "f" and array.itemsize > 8:
        array = array.astype(np.float64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nobody writes into it
        return torch.from_numpy(np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C"))


def event_shape_of(model: nn.Module) -> tuple[int, ...] | None:
    """Return the shape of a row that a model takes; None if the model does not record it."""
    of_scale = getattr(getattr(model, "data_scale", None), "event_shape", None)
    shape = arguments_of(model).get("event_shape", of_scale)
    return None if shape is None else tuple(shape)


def levels_of(model: nn.Module) -> Levels:
    """Return the argument `levels` with which a model was made; None if it has no such argument."""
    return arguments_of(model).get("levels")


def dtype_of(model: nn.Module) -> torch.dtype:
    """Return the dtype in which a model takes rows: float64 for a table or if a parameter is float64, else float32."""
    is_exact = is_table(levels_of(model)) or any(p.dtype == torch.float64 for p in model.parameters())
    return torch.float64 if is_exact else torch.float32


def device_of(model: nn.Module) -> torch.device:
    """Return the device on which a model's parameters are."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def require_model(model: object) -> None:
    """Raise ConfigError if `model` is no model, such as the pair that `fit` returns."""
    if isinstance(model, tuple):
        raise ConfigError("a model is expected, not a pair: `model, history = fit(...)`")
    if not isinstance(model, nn.Module):
        raise ConfigError(f"a model is expected, not a {type(model).__name__}: VAE(...), or load(path)")


def _check_shape(x: Tensor, event_shape: Sequence[int] | None, name: str) -> None:
    found = list(x.shape)
    if event_shape is None:
        event_shape = found[1:]
    if not found or found[1:] != list(event_shape):
        axes = ", ".join(map(str, event_shape))
        fix = "give such rows"
        if _is_flat_form(found[1:], event_shape):
            fix = f"give {name}.reshape(-1, {axes})"
        elif len(event_shape) == 3 and found[1:] == [*event_shape[1:], event_shape[0]]:
            fix = f"channels come first; give numpy.moveaxis({name}, -1, 1)"
        raise DataError(f"{name} has the shape {tuple(found)}, and the model takes (rows, {axes}): {fix}")
    if not found[0]:
        raise DataError(f"{name} has no rows: give at least one")


def _is_flat_form(found: Sequence[int], wanted: Sequence[int]) -> bool:
    """Return whether a reshape from one shape to the other keeps what the axes mean: one of them is flat, or they
    differ by axes of length 1.
    """
    long = [[size for size in shape if size > 1] for shape in (found, wanted)]
    return math.prod(found) == math.prod(wanted) and (long[0] == long[1] or min(map(len, long)) <= 1)


def _check_levels(x: Tensor, start: int, levels: Levels, name: str) -> None:
    if is_table(levels):
        _check_columns(x, start, levels, name)
    elif (q := grey_levels(levels)) is not None and x.dtype != torch.bool:
        wrong = (x < 0) | (x > q - 1)
        wrong = wrong | (x != x.round()) if x.is_floating_point() else wrong
        refuse(wrong, x, start, f"{name}{{place}} = {{value}}, and levels = {q} takes whole numbers 0 .. {q - 1}")


def _check_columns(x: Tensor, start: int, levels: Any, name: str) -> None:
    columns = coordinates(levels, list(x.shape[1:]))
    labels = x[:, columns.labels]
    wrong = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
    wrong[:, columns.labels] = (labels != 0) & (labels != 1)
    refuse(wrong, x, start, f"{name}{{place}} = {{value}}, and a flag or a category's number is 0 or 1")
    for first, end in columns.groups:
        group = x[:, first:end]
        wrong = (group.sum(dim=1) != 1)[:, None].expand(group.shape)
        refuse(wrong, group, start, f"{name}{{place}}: one of the numbers {first} .. {end - 1} of a category must be 1")


def _check_rounding(x: Tensor, name: str) -> None:
    """Raise DataError if float32 rounds a column too coarsely, such as times in seconds or pressures in pascals."""
    if x.dtype not in (torch.float64, torch.int64, torch.int32):
        return
    exact = x.double().flatten(1)
    lost = (exact - exact.float()).abs().amax(dim=0)
    std = exact.std(dim=0, correction=0)
    for column in ((lost > LOST_BY_ROUNDING * std) & (std > 0)).nonzero().flatten()[:1].tolist():
        raise DataError(
            f"{name}: number {column} of a row varies by {std[column]:.3g} about {exact[:, column].mean():.6g}, which "
            f"float32 cannot hold: subtract its mean first, or make the model with levels=[None] * {x.shape[1]}"
        )


def refuse(wrong: Tensor, x: Tensor, start: int, line: str) -> None:
    """Raise DataError for the first number of x that is wrong, if there is one.

    wrong  true for wrong numbers; start: index of the first row of x among all rows
    line   the message, with {place} and {value} for the number's index and value
    """
    if not wrong.any():
        return
    row, *inside = wrong.nonzero()[0].tolist()
    value = x[(row, *inside)].item()
    place = f"[{', '.join(map(str, [start + row, *inside]))}]"
    raise DataError(line.replace("{place}", place).replace("{value}", f"{value:.6g}"))
