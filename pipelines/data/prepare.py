"""prepare NAME: writes the rows of a data source, with a manifest that every later stage verifies, to out/data/NAME.

    source -> checks -> splits, by class and seed -> SPLIT.x.npy, SPLIT.y.npy, ..., manifest.json

Rows are stored as the source has them (uint8 stays uint8); the model scales and dequantises them. The same conf and
seed give the same bytes. The class that `anomaly` names is in the test split only.

If the source is divided already, a share of the conf may be `own`: with test: own, the source's test rows are the test
split, and the other shares divide its training rows. Rows are read, checked and written in blocks, so they may be more
than memory holds.
"""

import itertools
import math
import shutil
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from gen_models.errors import DataError
from gen_models.loader import Rows
from gen_models.noise import Noise
from pipelines.config.conf_files import data_conf
from pipelines.config.params import params
from pipelines.data.checks import (
    OWN,
    SPLITS,
    anomaly_of,
    check_arrays,
    check_conf,
    check_statistics,
    check_values,
    draw,
)
from pipelines.data.sources.arrays import Arrays
from pipelines.data.store import CHUNK_BYTES, write_array, write_manifest
from pipelines.lineage.audit import run_stage
from pipelines.runtime import paths
from pipelines.runtime.stage import argument, produce

DIGITS = 6  # statistics are rounded: sums differ in their last bits between processors, and the data's hash must not


def main(argv: list[str]) -> None:
    name = argument(argv, "prepare", "DATA", __doc__)
    conf, seed = data_conf(name), params().seed
    with produce(paths.out("data", name)) as folder:
        manifest = prepare(folder, name, conf, seed)
    print(summary(manifest))


def prepare(folder: Path, name: str, conf: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Write a data set's arrays and manifest into a folder, and return the manifest.

    Raises ConfigError or DataError, before anything is written, if the conf or the rows cannot be used.
    """
    where = f"conf/data/{name}.yaml"
    check_conf(conf, name, where)
    noise = Noise(seed)
    arrays = draw(conf, noise, where)
    check_arrays(arrays, conf, where)
    y = np.zeros(len(arrays.x), dtype=np.int64) if arrays.y is None else arrays.y.astype(np.int64)
    anomaly = anomaly_of(arrays, y, conf, where)
    splits = split_rows(y, conf["split"], noise, anomaly=anomaly, parts=arrays.parts)
    for split, rows in splits.items():
        if not len(rows):
            raise DataError(
                f"{where}: split.{split}: {conf['split'][split]} of {len(y)} rows in "
                f"{max(len(arrays.classes), 1)} classes leaves none; use more rows or a larger share"
            )
    dtype = np.dtype(np.float32) if conf["levels"] is None else np.dtype(np.uint8)
    _require_room(folder, arrays, dtype)
    check_values(blocks_of(arrays.x, np.arange(len(y)), arrays.x.dtype), arrays, conf, where)
    statistics = _statistics(arrays.x, splits["train"], dtype, is_table=bool(arrays.columns))
    check_statistics(statistics if arrays.columns else {}, arrays, conf, where)
    return write_manifest(
        folder,
        {
            "name": name,
            "source": conf["source"],
            "event_shape": list(arrays.x.shape[1:]),
            "dtype": str(dtype),
            "levels": conf["levels"],
            "classes": list(arrays.classes),
            "splits": {split: _write_split(folder, split, arrays, rows, dtype) for split, rows in splits.items()},
            "statistics": statistics,
            "anomaly": anomaly,
            "leakage": leakage(arrays.x, splits, dtype),
            **_known(arrays),
        },
    )


def split_rows(
    y: np.ndarray,
    shares: Mapping[str, float | str],
    noise: Noise,
    *,
    anomaly: int | None = None,
    parts: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Return {split: row numbers}.

    Each class is cut at round(cumulative share * its rows), so each split has its share of it up to 1 row. The rows of
    a split are in random order, so its first rows are a random draw.

    y: (rows,) labels; shares: {split: a number, or "own" for a part of the source}
    anomaly: the label of the class that goes into the test split only, or None
    parts: {part: row numbers} of a source that is divided already. The shares then divide its training rows; if its
    test rows are the test split, rows of the anomaly among the other rows are left out.
    """
    own = {split: (parts or {})[split] for split in SPLITS if shares.get(split) == OWN}
    names = [split for split in SPLITS if split in shares and split not in own]
    edges = np.cumsum([shares[split] for split in names])[:-1]
    heap = np.arange(len(y)) if parts is None else parts["train"]
    chosen = {split: [np.empty(0, dtype=np.int64)] for split in names}
    for label in np.unique(y):
        rows = heap[y[heap] == label]
        if label == anomaly:
            if "test" in chosen:
                chosen["test"].append(rows)
            continue
        rows = rows[noise.permutation(f"split/class/{label}", len(rows)).numpy()]
        cuts = np.rint(edges * len(rows)).astype(np.int64)
        for split, part in zip(names, np.split(rows, cuts), strict=True):
            chosen[split].append(part)
    for split, rows in own.items():
        chosen[split] = [rows if split == "test" else rows[y[rows] != anomaly]]
    joined = {split: np.concatenate(chosen[split]) for split in SPLITS if split in chosen}
    return {s: rows[noise.permutation(f"split/order/{s}", len(rows)).numpy()] for s, rows in joined.items()}


def leakage(x: np.ndarray, splits: Mapping[str, np.ndarray], dtype: np.dtype | None = None) -> dict[str, int]:
    """Return {"train/test": n, ...}: n rows of the second split are equal to a row of the first, byte for byte.

    dtype: the type in which the rows are stored; None: that of x
    """
    found = {split: digests(x, rows, dtype or x.dtype) for split, rows in splits.items()}
    return {f"{a}/{b}": int(np.isin(found[b], found[a]).sum()) for a, b in itertools.combinations(splits, 2)}


def summary(manifest: Mapping[str, Any]) -> str:
    """Return what was prepared as text for people: a line on the data set, one for each split, one on duplicates."""
    shape = "x".join(str(size) for size in manifest["event_shape"])
    grid = f", {manifest['levels']} levels" if manifest["levels"] else ""
    total = sum(split["rows"] for split in manifest["splits"].values())
    lines = [f"{manifest['name']}: {total} rows of {shape} {manifest['dtype']}{grid}, sha256 {manifest['sha256'][:12]}"]
    for name, split in manifest["splits"].items():
        counts = split["labels"].values()
        labels = f"{len(counts)} classes of {min(counts)} .. {max(counts)}" if counts else "no labels"
        lines.append(f"  {name:<12}{split['rows']:>8} rows, {labels}")
    if manifest["anomaly"] is not None:
        held_out = manifest["classes"][manifest["anomaly"]]
        lines.append(f"  anomaly     class {held_out!r} is in the test split only")
    found = [f"{count} in {pair}" for pair, count in manifest["leakage"].items() if count]
    lines.append(f"  duplicates  {', '.join(found) or 'none'} across splits")
    return "\n".join(lines)


def blocks_of(array: np.ndarray, rows: np.ndarray, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Yield the given rows of an array in the type in which they are stored, about CHUNK_BYTES at a time."""
    read, row_bytes = Rows(array), math.prod(array.shape[1:]) * dtype.itemsize
    at_once = max(CHUNK_BYTES // max(row_bytes, 1), 1)
    for start in range(0, len(rows), at_once):
        yield read(rows[start : start + at_once]).astype(dtype, copy=False)


def digests(x: np.ndarray, rows: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return (rows,) hashes of 16 bytes; equal rows have equal hashes. They are in the order of the row numbers."""
    found, blocks = np.empty(len(rows), dtype="S16"), blocks_of(x, np.sort(rows), dtype)
    for i, row in enumerate(itertools.chain.from_iterable(blocks)):
        found[i] = blake2b(row.tobytes(), digest_size=16).digest()
    return found


def _known(arrays: Arrays) -> dict[str, Any]:
    """Return the entries of the manifest that only some data sets have: columns, origin, factors, size of masks."""
    known = {"columns": list(arrays.columns), "origin": dict(arrays.origin)}
    if arrays.factors is not None:
        known["factors"] = list(arrays.factors.names)
    if arrays.masks is not None:
        known["masks"] = list(arrays.masks.shape[1:])
    return {name: value for name, value in known.items() if value}


def _write_split(folder: Path, split: str, arrays: Arrays, rows: np.ndarray, dtype: np.dtype) -> dict[str, Any]:
    def write(kind: str, array: np.ndarray, dtype: np.dtype) -> dict[str, Any]:
        path, shape = folder / f"{split}.{kind}.npy", (len(rows), *array.shape[1:])
        return write_array(path, blocks_of(array, rows, dtype), shape, dtype)

    entry: dict[str, Any] = {"rows": len(rows), "x": write("x", arrays.x, dtype), "y": None, "labels": {}}
    if arrays.y is not None:
        labels, counts = np.unique(arrays.y[rows], return_counts=True)
        entry["y"] = write("y", arrays.y, np.dtype(np.int64))
        entry["labels"] = {str(label): int(count) for label, count in zip(labels, counts, strict=True)}
    if arrays.factors is not None:
        entry["factors"] = write("factors", arrays.factors.values, np.dtype(np.float32))
    if arrays.masks is not None:
        entry["mask"] = write("mask", arrays.masks, np.dtype(np.uint8))
    return entry


def _statistics(x: np.ndarray, rows: np.ndarray, dtype: np.dtype, *, is_table: bool) -> dict[str, Any]:
    """Return min, max, mean and (population) std of the rows: over all numbers, or for each column of a table."""
    axis = 0 if is_table else None
    size = len(rows) if is_table else len(rows) * math.prod(x.shape[1:])
    extremes = [(block.min(axis=axis), block.max(axis=axis)) for block in blocks_of(x, rows, dtype)]
    low, high = np.min([low for low, _ in extremes], axis=0), np.max([high for _, high in extremes], axis=0)
    mean = sum(block.sum(axis=axis, dtype=np.float64) for block in blocks_of(x, rows, dtype)) / size
    variance = sum(((block - mean) ** 2).sum(axis=axis) for block in blocks_of(x, rows, dtype)) / size
    figures = {"min": low, "max": high, "mean": mean, "std": np.sqrt(variance)}
    return {name: _rounded(np.asarray(value, dtype=np.float64)) for name, value in figures.items()}


def _rounded(values: np.ndarray) -> float | list[float]:
    if values.ndim:
        return [float(f"{value:.{DIGITS}g}") for value in values]
    return float(f"{float(values):.{DIGITS}g}")


def _require_room(folder: Path, arrays: Arrays, dtype: np.dtype) -> None:
    of_masks = 0 if arrays.masks is None else arrays.masks.size
    needed, free = arrays.x.size * dtype.itemsize + of_masks, shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(f"{folder}: the rows need {needed} bytes, the disk has {free} free; free some space")


if __name__ == "__main__":
    run_stage("prepare", main)
