"""prepare NAME: a source becomes arrays and a manifest that every later stage can trust, in out/data/NAME.

    source -> checked -> split, stratified by class and seeded -> SPLIT.x.npy, SPLIT.y.npy, manifest.json

Rows are stored as the source has them (uint8 stays uint8): scaling and dequantisation belong to the model.
The same conf and seed give the same bytes. A class named by `anomaly` is in the test split only.
"""

import inspect
import itertools
import math
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from gen_models.errors import ConfigError, DataError, unknown
from gen_models.noise import Noise
from pipelines import config, paths
from pipelines.sources import SOURCES, Arrays
from pipelines.stage import argument, produce, run
from pipelines.store import CHUNK_BYTES, write_array, write_manifest

SPLITS = ("train", "validation", "calibration", "test")
NEEDED = ("train", "validation", "test")
KEYS = ("name", "source", "options", "event_shape", "levels", "split", "anomaly")
DIGITS = 6  # of a statistic: sums differ in their last bits between processors, a data hash must not


def main(argv: list[str]) -> None:
    name = argument(argv, "prepare", "DATA", __doc__)
    conf, seed = config.data_conf(name), config.params().seed
    with produce(paths.out("data", name)) as folder:
        manifest = prepare(folder, name, conf, seed)
    print(summary(manifest))


def prepare(folder: Path, name: str, conf: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Write a data set's arrays and manifest into a folder; the manifest. The conf is checked before any work."""
    where = f"conf/data/{name}.yaml"
    _check_conf(conf, name, where)
    noise = Noise(seed)
    arrays = _check_rows(_draw(conf, noise, where), conf, where)
    anomaly = _anomaly(conf.get("anomaly"), arrays, where)
    splits = split_rows(arrays.y, conf["split"], noise, anomaly=anomaly)
    for split, rows in splits.items():
        if not len(rows):
            raise DataError(
                f"{where}: split.{split}: {conf['split'][split]} of {len(arrays.y)} rows in "
                f"{len(arrays.classes)} classes leaves none; use more rows or a larger share"
            )
    return write_manifest(
        folder,
        {
            "name": name,
            "source": conf["source"],
            "event_shape": list(arrays.x.shape[1:]),
            "dtype": str(arrays.x.dtype),
            "levels": conf["levels"],
            "classes": list(arrays.classes),
            "splits": {split: _write_split(folder, split, arrays, rows) for split, rows in splits.items()},
            "statistics": _statistics(arrays.x, splits["train"]),
            "anomaly": anomaly,
            "leakage": leakage(arrays.x, splits),
        },
    )


def split_rows(
    y: np.ndarray, shares: Mapping[str, float], noise: Noise, *, anomaly: int | None = None
) -> dict[str, np.ndarray]:
    """{split: row numbers}: each class is cut at round(cumulative share * rows), so within 1 row of its share.

    The rows of a split are in random order, so that its first rows are a fair draw.
    """
    names = [split for split in SPLITS if split in shares]
    edges = np.cumsum([shares[split] for split in names])[:-1]
    parts = {split: [np.empty(0, dtype=np.int64)] for split in names}
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        if label == anomaly:
            parts["test"].append(rows)
            continue
        rows = rows[noise.permutation(f"split/class/{label}", len(rows)).numpy()]
        cuts = np.rint(edges * len(rows)).astype(np.int64)
        for split, part in zip(names, np.split(rows, cuts), strict=True):
            parts[split].append(part)
    joined = {split: np.concatenate(parts[split]) for split in names}
    return {s: rows[noise.permutation(f"split/order/{s}", len(rows)).numpy()] for s, rows in joined.items()}


def leakage(x: np.ndarray, splits: Mapping[str, np.ndarray]) -> dict[str, int]:
    """{"train/test": n, ...}: n rows of the second split are, byte for byte, rows of the first."""
    digests = {
        split: [blake2b(x[row].tobytes(), digest_size=16).digest() for row in rows] for split, rows in splits.items()
    }
    seen = {split: frozenset(rows) for split, rows in digests.items()}
    return {f"{a}/{b}": sum(row in seen[a] for row in digests[b]) for a, b in itertools.combinations(splits, 2)}


def summary(manifest: Mapping[str, Any]) -> str:
    """What was prepared, for people: a line, a line a split, a line on duplicates."""
    shape = "x".join(str(size) for size in manifest["event_shape"])
    grid = f", {manifest['levels']} levels" if manifest["levels"] else ""
    total = sum(split["rows"] for split in manifest["splits"].values())
    lines = [f"{manifest['name']}: {total} rows of {shape} {manifest['dtype']}{grid}, sha256 {manifest['sha256'][:12]}"]
    for name, split in manifest["splits"].items():
        counts = split["labels"].values()
        lines.append(f"  {name:<12}{split['rows']:>8} rows, {len(counts)} classes of {min(counts)} .. {max(counts)}")
    if manifest["anomaly"] is not None:
        held_out = manifest["classes"][manifest["anomaly"]]
        lines.append(f"  anomaly     class {held_out!r} is in the test split only")
    found = [f"{count} in {pair}" for pair, count in manifest["leakage"].items() if count]
    lines.append(f"  duplicates  {', '.join(found) or 'none'} across splits")
    return "\n".join(lines)


def _check_conf(conf: Mapping[str, Any], name: str, where: str) -> None:
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
    _check_options(conf.get("options") or {}, conf["source"], where)
    levels = conf["levels"]
    if levels is not None and (type(levels) is not int or not 2 <= levels <= 256):
        raise ConfigError(f"{where}: levels: {levels!r} is not 2 .. 256, or null for continuous data")
    _check_split(conf["split"], where)


def _check_options(options: Any, source: str, where: str) -> None:
    takes = list(inspect.signature(SOURCES[source]).parameters)[1:]  # the first is the noise
    if not isinstance(options, dict):
        raise ConfigError(f"{where}: options: expected a mapping of {takes}, found {options!r}")
    for key in options:
        if key not in takes:
            raise ConfigError(f"{where}: options: " + unknown(f"option of {source}", str(key), takes))
    for key in takes:
        if key not in options:
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
    for split, share in shares.items():
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
            raise ConfigError(f"{where}: split.{split}: {share!r} is not a share; give a number between 0 and 1")
    if not math.isclose(total := sum(shares.values()), 1, abs_tol=1e-9):
        raise ConfigError(f"{where}: split: the shares {list(shares.values())} sum to {total:.6g}; make them sum to 1")


def _draw(conf: Mapping[str, Any], noise: Noise, where: str) -> Arrays:
    """The source's rows; what it refuses of its options, with the file that has them."""
    try:
        return SOURCES[conf["source"]](noise, **(conf.get("options") or {}))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _check_rows(arrays: Arrays, conf: Mapping[str, Any], where: str) -> Arrays:
    """The rows in the form in which they are stored, or what is wrong with them."""
    source, x = conf["source"], arrays.x
    if list(x.shape[1:]) != conf["event_shape"]:
        raise ConfigError(
            f"{where}: event_shape: {conf['event_shape']} is not that of {source}'s rows; write {list(x.shape[1:])}"
        )
    if arrays.y.shape != x.shape[:1]:
        raise DataError(f"{source}: {len(x)} rows but labels of shape {arrays.y.shape}; give each row one label")
    if x.dtype.kind not in "uif":
        raise DataError(f"{source}: rows of type {x.dtype}; give whole or floating-point numbers")
    if x.dtype != np.uint8:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and is reported below
            x = x.astype(np.float32)
        _refuse_first(~np.isfinite(x), arrays.x, source, "not a finite float32 number; remove or repair the row")
    elif conf["levels"] is None:
        raise ConfigError(f"{where}: levels: null, but {source} has uint8 rows; give their number of levels")
    if (levels := conf["levels"]) is not None:
        is_off = (x < 0) | (x > levels - 1) | (x != np.rint(x))
        _refuse_first(is_off, arrays.x, source, f"not one of the levels 0 .. {levels - 1}; correct levels in {where}")
        x = x.astype(np.uint8)
    return Arrays(x, arrays.y.astype(np.int64), arrays.classes)


def _refuse_first(is_bad: np.ndarray, x: np.ndarray, source: str, reason: str) -> None:
    if not is_bad.any():
        return
    row, *column = (int(i) for i in np.unravel_index(int(is_bad.argmax()), is_bad.shape))
    at = column[0] if len(column) == 1 else tuple(column)
    raise DataError(f"{source}: row {row}, column {at}: {x[(row, *column)]} is {reason}")


def _anomaly(name: Any, arrays: Arrays, where: str) -> int | None:
    """The label of the class that is held out."""
    if name is None:
        return None
    if str(name) not in arrays.classes:
        raise ConfigError(f"{where}: anomaly: " + unknown("class", str(name), arrays.classes))
    if len(np.unique(arrays.y)) < 2:
        raise ConfigError(f"{where}: anomaly: {name!r} is the only class; nothing is left to train on")
    return arrays.classes.index(str(name))


def _write_split(folder: Path, split: str, arrays: Arrays, rows: np.ndarray) -> dict[str, Any]:
    x, y = arrays.x, arrays.y
    labels, counts = np.unique(y[rows], return_counts=True)
    return {
        "rows": len(rows),
        "x": write_array(folder / f"{split}.x.npy", _blocks(x, rows), (len(rows), *x.shape[1:]), x.dtype),
        "y": write_array(folder / f"{split}.y.npy", _blocks(y, rows), (len(rows),), y.dtype),
        "labels": {str(label): int(count) for label, count in zip(labels, counts, strict=True)},
    }


def _blocks(array: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """The rows asked for, about CHUNK_BYTES of them at a time."""
    at_once = max(CHUNK_BYTES // max(array[:1].nbytes, 1), 1)
    for start in range(0, len(rows), at_once):
        yield array[rows[start : start + at_once]]


def _statistics(x: np.ndarray, rows: np.ndarray) -> dict[str, float]:
    """min, max, mean and (population) std over all numbers of the rows."""
    size = len(rows) * math.prod(x.shape[1:])
    low = min(float(block.min()) for block in _blocks(x, rows))
    high = max(float(block.max()) for block in _blocks(x, rows))
    mean = sum(block.sum(dtype=np.float64) for block in _blocks(x, rows)) / size
    variance = sum(((block - mean) ** 2).sum() for block in _blocks(x, rows)) / size
    figures = {"min": low, "max": high, "mean": float(mean), "std": math.sqrt(variance)}
    return {name: float(f"{value:.{DIGITS}g}") for name, value in figures.items()}


if __name__ == "__main__":
    run(main)
