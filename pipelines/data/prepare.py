"""prepare DATA: writes the rows of a data source, with a manifest that every later stage verifies, to out/data/DATA.

    gen-models prepare digits

    source -> checks -> splits, by class and seed -> SPLIT.x.npy, SPLIT.y.npy, SPLIT.names.npy, ..., manifest.json

Rows are stored unscaled (grey levels as uint8); the model scales and dequantises them. The same conf and seed give the
same bytes. The seed is the `seed` of conf/data/DATA.yaml or, without one, the seed of params.yaml. Rows of anomalous
classes (see anomalies.py) are in the test split only.

The conf's `split:` gives each split a fraction of the rows. If the source comes with a test part, the conf may say
`test: own` instead: the source's test rows are then the test split, and the fractions divide the source's training
rows. Anomalies among these training rows are left out, and the manifest counts them. Rows are read, checked and written
in blocks, so a data set may be larger than memory.
"""

import itertools
import math
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from gen_models.errors import DataError
from gen_models.loader import Rows
from gen_models.noise import Noise
from pipelines.config.conf_files import data_conf
from pipelines.config.data_files import check_file
from pipelines.config.params import params
from pipelines.data import anomalies
from pipelines.data.about_rows import OF_READING
from pipelines.data.checks import (
    OWN,
    SPLITS,
    check_arrays,
    check_conf,
    check_statistics,
    check_values,
    draw,
    grey_levels,
    is_pooled,
)
from pipelines.data.sources.arrays import Arrays
from pipelines.data.store import CHUNK_BYTES, names_together, write_array, write_manifest
from pipelines.data.tables.fill import stored_type, with_medians
from pipelines.lineage.audit import run_stage
from pipelines.runtime import paths
from pipelines.runtime.stage import argument, produce
from pipelines.runtime.words import counted

ANOMALY_SHARES = "split: {train: 0.5, validation: 0.1, calibration: 0.2, test: 0.2}"  # the split that `notes` proposes
DIGITS = 6  # statistics are rounded: last bits of sums differ between processors, and the data's hash must not differ


def main(argv: list[str]) -> None:
    name = argument(argv, "prepare", "DATA", __doc__)
    conf, graph = data_conf(name), params()
    check_file(graph, name, conf)
    with produce(paths.out("data", name)) as folder:
        manifest = prepare(folder, name, conf, conf.get("seed", graph.seed))
    print(summary(manifest))


def prepare(folder: Path, name: str, conf: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Write a data set's arrays and manifest into a folder, and return the manifest.

    Raises ConfigError or DataError, before anything is written, if the conf or the rows cannot be used.
    """
    where = f"conf/data/{name}.yaml"
    check_conf(conf, name, where)
    noise = Noise(seed)
    plan = planned(draw(conf, noise, where), conf, noise, where)
    for note in plan.arrays.notes:
        print(f"{name}: {note}")
    arrays, dtype = plan.arrays, plan.dtype
    _require_room(folder, arrays, dtype)
    names = names_together(arrays.names) if arrays.names else None
    return write_manifest(
        folder,
        {
            "name": name,
            "source": conf["source"],
            "event_shape": list(arrays.x.shape[1:]),
            "dtype": str(dtype),
            "levels": grey_levels(conf),
            "classes": list(arrays.classes),
            "splits": {
                split: _write_split(folder, split, arrays, names, rows, dtype) for split, rows in plan.splits.items()
            },
            "statistics": plan.statistics,
            "anomaly": plan.anomaly or None,
            "leakage": leakage(arrays.x, plan.splits, dtype),
            **_known(arrays, names),
            **_for_training(conf),
            **({"seed": seed} if "seed" in conf else {}),
            **_left_out(arrays, plan.y, plan.anomaly, plan.splits),
        },
    )


@dataclass(frozen=True)
class Plan:
    """The rows of a source, checked, divided into splits and ready to be written.

    arrays      the rows; the missing numbers of a table are filled
    y           (rows,) labels; all 0 if the rows have no labels
    splits      {split: the indices of its rows}
    dtype       the type in which the rows are stored
    statistics  min, max, mean and std of the training rows
    anomaly     the labels of the anomalous classes, whose rows are in the test split only
    """

    arrays: Arrays
    y: np.ndarray
    splits: dict[str, np.ndarray]
    dtype: np.dtype
    statistics: dict[str, Any]
    anomaly: list[int]


def planned(arrays: Arrays, conf: Mapping[str, Any], noise: Noise, where: str) -> Plan:
    """Divide the rows of a source into splits, fill a table's missing numbers, and check everything; write no data set.

    where: the conf's path, for error messages. Raises ConfigError or DataError if the rows cannot be used as the conf
    says.
    """
    check_arrays(arrays, conf, where)
    y = np.zeros(len(arrays.x), dtype=np.int64) if arrays.y is None else arrays.y.astype(np.int64, copy=False)
    anomaly = anomalies.anomalous(arrays.classes, y, conf, where)
    parts = None if is_pooled(arrays, conf) else arrays.parts
    splits = split_rows(y, conf["split"], noise, anomaly=anomaly, parts=parts)
    for split, rows in splits.items():
        if not len(rows):
            raise DataError(
                f"{where}: split.{split}: {conf['split'][split]} of {len(y)} rows in "
                f"{max(len(arrays.classes), 1)} classes leaves none; use more rows or a larger share"
            )
    if np.isin(y[splits["test"]], anomaly).all():
        fix = "use more rows or a larger share" if parts is None else f"to divide all rows anew, write {ANOMALY_SHARES}"
        raise DataError(
            f"{where}: split.test: each of its {len(splits['test'])} rows is an anomaly, and measures need normal rows "
            f"beside them; {fix}"
        )
    arrays = with_medians(arrays, splits["train"])
    dtype = stored_type(arrays, grey_levels(conf))
    check_values(blocks_of(arrays.x, np.arange(len(y)), arrays.x.dtype), arrays, conf, where)
    statistics = _statistics(arrays.x, splits["train"], dtype, is_table=bool(arrays.columns))
    check_statistics(statistics if arrays.columns else {}, arrays, conf, where)
    return Plan(arrays, y, splits, dtype, _rounded(statistics, is_fine=arrays.schema is not None), anomaly)


def split_rows(
    y: np.ndarray,
    shares: Mapping[str, float | str],
    noise: Noise,
    *,
    anomaly: Collection[int] = (),
    parts: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Divide rows into splits at random, and return {split: the indices of its rows}.

    y        (rows,) labels
    shares   {split: its fraction of the rows, or "own" for the source's part of that name}
    anomaly  the labels of the classes that go into the test split only
    parts    {part: the indices of its rows} of a source that is divided already, else None

    Each class is divided by itself: its n rows are permuted and then cut at round(n * cumulative fraction), so that
    each split gets its fraction of the class up to 1 row. With `parts`, the fractions divide the training part, and a
    split that is "own" is the source's part. Anomalies in an own validation part are left out; so are those in the
    training part if the test split is "own". The rows of a split are in random order, so its first rows are a random
    draw.
    """
    own = {split: (parts or {})[split] for split in SPLITS if shares.get(split) == OWN}
    names = [split for split in SPLITS if split in shares and split not in own]
    edges = np.cumsum([shares[split] for split in names])[:-1]
    heap = np.arange(len(y)) if parts is None else parts["train"]
    chosen = {split: [np.empty(0, dtype=np.int64)] for split in names}
    for label in np.unique(y):
        rows = heap[y[heap] == label]
        if label in anomaly:
            if "test" in chosen:
                chosen["test"].append(rows)
            continue
        rows = rows[noise.permutation(f"split/class/{label}", len(rows)).numpy()]
        cuts = np.rint(edges * len(rows)).astype(np.int64)
        for split, part in zip(names, np.split(rows, cuts), strict=True):
            chosen[split].append(part)
    for split, rows in own.items():
        chosen[split] = [rows if split == "test" else rows[~np.isin(y[rows], list(anomaly))]]
    joined = {split: np.concatenate(chosen[split]) for split in SPLITS if split in chosen}
    return {s: rows[noise.permutation(f"split/order/{s}", len(rows)).numpy()] for s, rows in joined.items()}


def leakage(x: np.ndarray, splits: Mapping[str, np.ndarray], dtype: np.dtype | None = None) -> dict[str, int]:
    """Count, for each pair of splits, the rows of the second split that equal a row of the first, byte for byte.

    splits: {split: the indices of its rows in x}; dtype: the type in which the rows are stored, or None for the type of
    x. Returns {"train/test": n, ...}, where n test rows are equal to a training row.
    """
    found = {split: digests(x, rows, dtype or x.dtype) for split, rows in splits.items()}
    return {f"{a}/{b}": int(np.isin(found[b], found[a]).sum()) for a, b in itertools.combinations(splits, 2)}


def summary(manifest: Mapping[str, Any]) -> str:
    """Return a text on a prepared data set: a line on the whole, one for each split, then anomalies and duplicates."""
    shape = "x".join(str(size) for size in manifest["event_shape"])
    grid = f", {manifest['levels']} levels" if manifest["levels"] else ""
    total = sum(split["rows"] for split in manifest["splits"].values())
    what = "numbers" if len(manifest["event_shape"]) == 1 else "pixels"
    of = f"rows of {shape} {what}{grid}, stored as {manifest['dtype']}"
    lines = [f"{manifest['name']}: {total} {of}, sha256 {manifest['sha256'][:12]}"]
    for name, split in manifest["splits"].items():
        lines.append(f"  {name:<12}{split['rows']:>8} rows, {_classes(split['labels'], manifest['classes'])}")
    held_out = [repr(name) for name, count in anomalies.tested_rows(manifest).items() if count]
    if held_out:
        one, many = f"class {held_out[0]} is", f"classes {', '.join(held_out)} are"
        lines.append(f"  anomaly     {one if len(held_out) == 1 else many} in the test split only")
    lines += [f"  note        {note}" for note in notes(manifest)]
    found = [f"{count} in {pair}" for pair, count in manifest["leakage"].items() if count]
    lines.append(f"  duplicates  {', '.join(found) or 'none'} across splits")
    return "\n".join(lines)


def notes(manifest: Mapping[str, Any]) -> list[str]:
    """Return sentences on anomalies that are left out or too few to measure; the last one says what to do."""
    lost = manifest.get("left_out", {})
    found = [
        f"{counted(count, 'row')} of {name!r} outside the source's test part "
        f"{'are' if count > 1 else 'is'} left out: anomalies are neither trained on nor moved"
        for name, count in lost.items()
    ]
    few = [name for name, count in anomalies.tested_rows(manifest).items() if count < anomalies.LEAST_ROWS]
    if reason := anomalies.unmeasured(manifest):
        found.append(reason)
    elif len(manifest["anomaly"] or ()) > 1 and few:
        found.append(
            f"no AUROC of its own for {', '.join(map(repr, few))}: fewer than {anomalies.LEAST_ROWS} test rows"
        )
    if found:
        shares = f"to divide all rows anew, write {ANOMALY_SHARES}"
        found[-1] += f"; {shares}" if lost else f"; give each kind {anomalies.LEAST_ROWS} test rows or more"
    return found


def _classes(counts: Mapping[str, int], names: Sequence[str]) -> str:
    """Return how many classes the rows of a split have, and how large these are.

    counts: {index of a class: its rows}; names: of the classes
    """
    if not counts:
        return "no labels"
    if len(counts) == 1:
        return f"all of class {names[int(next(iter(counts)))]!r}"
    low, high = min(counts.values()), max(counts.values())
    return f"{len(counts)} classes of {low if low == high else f'{low} to {high}'} rows"


def blocks_of(array: np.ndarray, rows: np.ndarray, dtype: np.dtype) -> Iterator[np.ndarray]:
    """Yield the rows of an array with the indices `rows`, converted to `dtype`, in blocks of about CHUNK_BYTES."""
    read, row_bytes = Rows(array), math.prod(array.shape[1:]) * dtype.itemsize
    at_once = max(CHUNK_BYTES // max(row_bytes, 1), 1)
    for start in range(0, len(rows), at_once):
        yield read(rows[start : start + at_once]).astype(dtype, copy=False)


def digests(x: np.ndarray, rows: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return (len(rows),) hashes of 16 bytes of the rows of x with the indices `rows`; equal rows have equal hashes.

    dtype: the type in which rows are hashed. The hashes come in ascending order of the indices, however `rows` is
    ordered.
    """
    found, blocks = np.empty(len(rows), dtype="S16"), blocks_of(x, np.sort(rows), dtype)
    for i, row in enumerate(itertools.chain.from_iterable(blocks)):
        found[i] = blake2b(row.tobytes(), digest_size=16).digest()
    return found


def _known(arrays: Arrays, names: np.ndarray | None) -> dict[str, Any]:
    """Return the entries of the manifest that only some data sets have, such as columns, a schema or masks."""
    known: dict[str, Any] = {"columns": list(arrays.columns), "origin": dict(arrays.origin)}
    if arrays.schema is not None:
        known["table"] = {"columns": arrays.schema.as_json(), "reading": dict(arrays.reading), "ids": list(arrays.ids)}
    if arrays.factors is not None:
        known["factors"] = list(arrays.factors.names)
    if arrays.masks is not None:
        known["masks"] = list(arrays.masks.shape[1:])
    if names is not None:
        known["names"] = {"columns": list(arrays.names), "bytes": [column.itemsize for column in arrays.names.values()]}
    return {name: value for name, value in known.items() if value}


def _for_training(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of the conf decides how models are trained and read new rows, even if it leaves these rows alone.

    As part of the manifest it is part of the hash of the data, so that an edit reaches sweeps and trainings.
    """
    options = conf.get("options") or {}
    known = {name: options[name] for name in OF_READING if name in options}
    return {
        **({"batch_size": conf["batch_size"]} if "batch_size" in conf else {}),
        **({"options": known} if known else {}),
    }


def _left_out(
    arrays: Arrays, y: np.ndarray, anomaly: Collection[int], splits: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return {"left_out": {class: how many of its rows}} for anomalies that are in no split; {} if there are none."""
    lost = {arrays.classes[k]: int((y == k).sum() - (y[splits["test"]] == k).sum()) for k in anomaly}
    lost = {name: count for name, count in lost.items() if count}
    return {"left_out": lost} if lost else {}


def _write_split(
    folder: Path, split: str, arrays: Arrays, names: np.ndarray | None, rows: np.ndarray, dtype: np.dtype
) -> dict[str, Any]:
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
    if names is not None:
        entry["names"] = write("names", names, names.dtype)
    return entry


def _statistics(x: np.ndarray, rows: np.ndarray, dtype: np.dtype, *, is_table: bool) -> dict[str, Any]:
    """Return the min, max, mean and population std of the rows of x with the indices `rows`.

    Each is one number over all entries or, for a table, one for each column.
    """
    axis = 0 if is_table else None
    size = len(rows) if is_table else len(rows) * math.prod(x.shape[1:])
    extremes = [(block.min(axis=axis), block.max(axis=axis)) for block in blocks_of(x, rows, dtype)]
    low, high = np.min([low for low, _ in extremes], axis=0), np.max([high for _, high in extremes], axis=0)
    mean = sum(block.sum(axis=axis, dtype=np.float64) for block in blocks_of(x, rows, dtype)) / size
    variance = sum(np.square(block - mean).sum(axis=axis) for block in blocks_of(x, rows, dtype)) / size
    figures = {"min": low, "max": high, "mean": mean, "std": np.sqrt(variance)}
    return {name: np.asarray(value, dtype=np.float64) for name, value in figures.items()}


def _rounded(statistics: Mapping[str, np.ndarray], *, is_fine: bool) -> dict[str, float | list[float]]:
    """Return the statistics rounded to DIGITS significant digits.

    is_fine: round a column's statistics to about DIGITS significant digits of its standard deviation instead, because
    a column may have a narrow range far from 0
    """
    if is_fine:
        places = DIGITS - np.floor(np.log10(np.maximum(statistics["std"], 1e-30))).astype(int)
        return {
            name: [round(float(v), int(p)) for v, p in zip(values, places, strict=True)]
            for name, values in statistics.items()
        }
    return {
        name: [float(f"{value:.{DIGITS}g}") for value in values]
        if values.ndim
        else float(f"{float(values):.{DIGITS}g}")
        for name, values in statistics.items()
    }


def _require_room(folder: Path, arrays: Arrays, dtype: np.dtype) -> None:
    beside = (0 if arrays.masks is None else arrays.masks.size) + sum(names.nbytes for names in arrays.names.values())
    needed, free = arrays.x.size * dtype.itemsize + beside, shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(f"{folder}: the rows need {needed} bytes, the disk has {free} free; free some space")


if __name__ == "__main__":
    run_stage("prepare", main)
