"""Checks a data conf (conf/data/NAME.yaml) and the rows that its source returns. Each error has one line.

`prepare` runs the checks before it writes anything; `inspect` and `add-data` run them on the conf that they propose.
"""

import inspect
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gen_models.errors import ConfigError, DataError, unknown
from gen_models.noise import Noise
from pipelines.data import anomalies
from pipelines.data.source_table import SOURCES
from pipelines.data.sources.arrays import Arrays

SPLITS = ("train", "validation", "calibration", "test")
NEEDED = ("train", "validation", "test")
KEYS = ("name", "source", "options", "columns", "event_shape", "levels", "split", "seed", *anomalies.KEYS, "batch_size")
OWN = "own"
MOST_LEVELS = 256
MOST_NUMBERS = 1 << 26  # a row has at most 64 million numbers


def check_conf(conf: Mapping[str, Any], name: str, where: str) -> None:
    """Raise ConfigError for the first key, value or name of a data conf that cannot be used.

    name: the NAME of conf/data/NAME.yaml; where: the conf's path, for error messages, here and in the functions below
    """
    for key in conf:
        if key not in KEYS:
            raise ConfigError(f"{where}: " + unknown("key", str(key), KEYS))
    for key in ("name", "source", "event_shape", "levels", "split"):
        if key not in conf:
            raise ConfigError(f"{where}: the key {key!r} is missing")
    if conf["name"] != name:
        raise ConfigError(f"{where}: name: {conf['name']!r} is not the file's name; write {name}")
    if conf["source"] not in SOURCES:
        raise ConfigError(f"{where}: " + unknown("source", str(conf["source"]), SOURCES))
    _check_options(_options(conf), conf["source"], where)
    levels = conf["levels"]
    if (
        not isinstance(levels, list)
        and levels is not None
        and (type(levels) is not int or not 2 <= levels <= MOST_LEVELS)
    ):
        raise ConfigError(
            f"{where}: levels: {levels!r} is not 2 .. {MOST_LEVELS}; write levels: {MOST_LEVELS} for grey values of "
            "8 bits, or levels: null for continuous data"
        )
    _check_split(conf["split"], where)
    anomalies.check_keys(conf, where)
    batch_size = conf.get("batch_size", 1)
    if type(batch_size) is not int or batch_size < 1:
        raise ConfigError(
            f"{where}: batch_size: {batch_size!r} is not a number of rows; give 1 or more, or leave it out"
        )
    seed = conf.get("seed", 0)
    if type(seed) is not int or seed < 0:
        raise ConfigError(
            f"{where}: seed: {seed!r} is not a whole number of 0 or more; write seed: 0, or, for that of params.yaml, "
            "leave it out"
        )


def draw(conf: Mapping[str, Any], noise: Noise, where: str) -> Arrays:
    """Call the conf's source and return its rows, in the shape that the conf asks for.

    Raises ConfigError, which names the conf's file, if the source refuses an option or the shapes do not agree.
    """
    try:
        arrays = SOURCES[conf["source"]](noise, **_options(conf))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return shaped(arrays, conf, where)


def check_arrays(arrays: Arrays, conf: Mapping[str, Any], where: str) -> None:
    """Check what is known without reading the rows: their type, the shape of the labels, and the source's parts.

    Raises DataError for a type, shape or part that cannot be used, and ConfigError if the conf's levels or split do not
    suit the source.
    """
    x, who = arrays.x, arrays.name or conf["source"]
    if arrays.y is not None and arrays.y.shape != x.shape[:1]:
        raise DataError(f"{who}: {len(x)} rows but labels of shape {arrays.y.shape}; give each row one label")
    if x.dtype.kind not in "uif":
        raise DataError(f"{who}: rows of type {x.dtype}; give whole or floating-point numbers")
    if x.dtype == np.uint8 and grey_levels(conf) is None:
        raise ConfigError(f"{where}: levels: null, but {who} has uint8 rows; write levels: {MOST_LEVELS}, or fewer")
    if not is_pooled(arrays, conf):
        _check_parts(arrays, conf["split"], who, where)


def check_values(blocks: Iterable[np.ndarray], arrays: Arrays, conf: Mapping[str, Any], where: str) -> None:
    """Check every number of the rows. A table with a schema is skipped: its schema checked each row on reading.

    blocks: all rows of `arrays`, in order and in the source's type

    Raises DataError for the first number that float32 cannot hold or that is not one of the conf's grey levels, and
    ConfigError if the conf says `levels: null` of images that hold grey levels.
    """
    if arrays.schema is not None:
        return
    who, levels, begin = arrays.name or conf["source"], conf["levels"], 0
    is_image, is_grey, high = arrays.x.ndim > 2 and levels is None, True, 0.0
    for block in blocks:
        stored = block
        if block.dtype != np.uint8:
            with np.errstate(over="ignore"):  # a number too large for float32 becomes inf, which is refused below
                stored = block.astype(np.float32)
            _refuse_first(
                ~np.isfinite(stored), block, begin, arrays, who, "not a finite float32 number; remove or repair the row"
            )
        if levels is not None:
            is_off = (stored < 0) | (stored > levels - 1) | (stored != np.rint(stored))
            reason = f"not one of the levels 0 .. {levels - 1}; correct levels in {where}"
            if is_off.any() and stored.min() >= 0 and stored.max() <= 1:
                reason += ", or write levels: null for numbers between 0 and 1"
            _refuse_first(is_off, block, begin, arrays, who, reason)
        elif is_image and is_grey:
            is_grey = bool(((stored >= 0) & (stored < MOST_LEVELS) & (stored == np.rint(stored))).all())
            high = max(high, float(stored.max(initial=0)))
        begin += len(block)
    if is_image and is_grey and high > 1:
        raise ConfigError(
            f"{where}: levels: null, but {who} has whole numbers 0 .. {high:g}: a density on them has no bound; "
            f"write levels: {MOST_LEVELS if high > 16 else int(high) + 1}"
        )


def check_statistics(statistics: Mapping[str, Any], arrays: Arrays, conf: Mapping[str, Any], where: str) -> None:
    """Raise DataError for a table's column that is constant in the training rows: its density has no upper bound.

    A column on a grid, such as a count, may be constant, because a probability is at most 1. statistics: {"min":
    (columns,), "max": (columns,), ...}, or {} for data that are not a table
    """
    discrete = arrays.schema.discrete if arrays.schema is not None else ()
    for column, low, high in zip(arrays.columns, statistics.get("min", ()), statistics.get("max", ()), strict=True):
        if low == high and column not in discrete:
            fix = f"write role: ignore at columns.{column}" if arrays.schema is not None else "leave it out of the rows"
            raise DataError(
                f"{arrays.name or conf['source']}: column {column!r} is {low:g} in every training row: a density of it "
                f"has no bound; {fix} ({where})"
            )


def is_pooled(arrays: Arrays, conf: Mapping[str, Any]) -> bool:
    """Return whether the source's own parts, such as train and test, are joined and divided anew by the conf's split.

    They are if the conf names anomalies and takes no part as `own`: otherwise the anomalies in the source's training
    part could not be tested.
    """
    names_any = any(conf.get(key) not in (None, []) for key in anomalies.KEYS)
    return names_any and bool(set(arrays.parts or {}) - {"train"}) and OWN not in conf["split"].values()


def grey_levels(conf: Mapping[str, Any]) -> int | None:
    """Return the number of grey levels that a data conf states; None for continuous numbers and for tables."""
    return conf["levels"] if isinstance(conf["levels"], int) else None


def _options(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options to call a conf's source with: `options:` and, for a table, `columns:`, a key of its own."""
    columns = {"columns": conf["columns"]} if "columns" in conf else {}
    options = conf.get("options") or {}
    return {**options, **columns} if isinstance(options, dict) else options


def _check_options(options: Any, source: str, where: str) -> None:
    takes = dict(list(inspect.signature(SOURCES[source]).parameters.items())[1:])  # the first is the noise
    if not isinstance(options, dict):
        raise ConfigError(f"{where}: options: expected a mapping of {list(takes)}, found {options!r}")
    for key in options:
        if key not in takes:
            raise ConfigError(f"{where}: options: " + unknown(f"option of {source}", str(key), takes))
    for key, parameter in takes.items():
        if key not in options and parameter.default is inspect.Parameter.empty:
            raise ConfigError(f"{where}: options: {source} needs the option {key!r}")


def _check_split(shares: Any, where: str) -> None:
    if not isinstance(shares, dict):
        raise ConfigError(f"{where}: split: expected {{train: 0.7, validation: 0.15, test: 0.15}}, found {shares!r}")
    for split in shares:
        if split not in SPLITS:
            raise ConfigError(f"{where}: " + unknown("split", str(split), SPLITS))
    for split in NEEDED:
        if split not in shares:
            raise ConfigError(f"{where}: split: the share of {split!r} is missing")
    numbers = {split: share for split, share in shares.items() if share != OWN or split == "train"}
    for split, share in numbers.items():
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
            raise ConfigError(f"{where}: split.{split}: {share!r} is not a share; give a number between 0 and 1")
    if not math.isclose(total := sum(numbers.values()), 1, abs_tol=1e-9):
        raise ConfigError(f"{where}: split: the shares {list(numbers.values())} sum to {total:.6g}; make them sum to 1")


def _check_parts(arrays: Arrays, shares: Mapping[str, Any], who: str, where: str) -> None:
    """Raise an error unless the conf's split suits the source's own parts.

    If a source has a test or validation part, that part must be the whole split of its name (`own`); the fractions
    divide the training part.
    """
    parts = arrays.parts or {"train": np.empty(0)}
    if "train" not in parts:
        raise DataError(f"{who}: divided into {', '.join(parts)} without train; add the rows to train on")
    for split, share in shares.items():
        if share == OWN and split not in parts:
            has = f"its parts are {', '.join(parts)}" if arrays.parts else "it is not divided"
            raise ConfigError(
                f"{where}: split.{split}: own, but {who} has no such part, {has}; write {split}: 0.2 or so"
            )
    for part in parts:
        if part != "train" and shares.get(part) != OWN:
            raise ConfigError(
                f"{where}: split.{part}: {shares.get(part)!r}, but {who} has a {part} part of its own; "
                f"write {part}: own, and let the other shares sum to 1"
            )


def shaped(arrays: Arrays, conf: Mapping[str, Any], where: str) -> Arrays:
    """Return the arrays with each row reshaped to the conf's event_shape, which may add or remove axes of size 1.

    Raises ConfigError if the shapes differ in another way, and DataError if a row has more than MOST_NUMBERS numbers.
    """
    wanted, x = conf["event_shape"], arrays.x
    found = list(x.shape[1:])
    if math.prod(found) > MOST_NUMBERS:
        raise DataError(f"{arrays.name or conf['source']}: {math.prod(found)} numbers a row, at most {MOST_NUMBERS}")
    if wanted == found and found:
        return arrays
    if not found or not isinstance(wanted, list) or [s for s in wanted if s != 1] != [s for s in found if s != 1]:
        fix = f"write {found}" if found else "give rows, of one number or more"
        raise ConfigError(
            f"{where}: event_shape: {wanted} is not that of {arrays.name or conf['source']}'s rows; {fix}"
        )
    return Arrays(**{**vars(arrays), "x": _reshaped(x, (len(x), *wanted))})


def _reshaped(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return a reshaped view of the same memory; np.memmap stays np.memmap, so rows are still read from disk."""
    reshaped = x.view()
    reshaped.shape = shape
    return reshaped


def _refuse_first(is_bad: np.ndarray, x: np.ndarray, begin: int, arrays: Arrays, who: str, reason: str) -> None:
    if not is_bad.any():
        return
    row, *column = (int(i) for i in np.unravel_index(int(is_bad.argmax()), is_bad.shape))
    at: Any = column[0] if len(column) == 1 else tuple(column)
    if arrays.columns:
        at = repr(arrays.columns[column[0]])
    raise DataError(f"{who}: row {begin + row}, column {at}: {x[(row, *column)]} is {reason}")
