"""inspect PATH: prints what a file or folder of data holds, and the lines of conf that add it to the graph.

    gen-models inspect flowers.csv
    gen-models inspect photos/

PATH is a folder of images, a file .npy, .npz, .csv, .tsv or .parquet, an IDX file (gzipped or not), or the folder with
the four files of MNIST or Fashion-MNIST. inspect reads all of the data and writes nothing.
"""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gen_models.errors import ConfigError, DataError, GenModelsError
from gen_models.noise import Noise
from pipelines.config import yaml_file
from pipelines.config.conf_files import slug
from pipelines.data.checks import MOST_LEVELS, OWN, SPLITS, check_arrays, check_statistics, check_values
from pipelines.data.prepare import blocks_of, digests
from pipelines.data.source_table import SOURCES
from pipelines.data.sources import array_files, csv_file, mnist, parquet_file
from pipelines.data.sources.arrays import Arrays
from pipelines.data.sources.files import printable, require_there, shown
from pipelines.runtime import paths
from pipelines.runtime.stage import run

LABELS = ("label", "labels", "class", "target", "species", "y")
ABNORMAL = ("abnormal", "anomaly", "anomalous", "defect", "defective", "bad", "broken", "outlier")
COLLECTIONS = {"mnist": mnist.MNIST, "fashion_mnist": mnist.FASHION_MNIST}
ENDINGS = {".npy": "npy", ".npz": "npz", ".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}
FEW_ROWS = 256  # with fewer training rows, the usual minibatch of 128 is too large a share of them
SHOWN_CLASSES = 12
SAMPLE_LINES = 1000
SPLIT = {"train": 0.65, "validation": 0.15, "calibration": 0.05, "test": 0.15}
ANOMALY_SPLIT = {"train": 0.5, "validation": 0.1, "calibration": 0.2, "test": 0.2}


@dataclass(frozen=True)
class Found:
    """A file or folder of data, the source and options that read it, and its rows.

    notes: sentences on what the options leave out, such as columns of text
    """

    path: Path
    source: str
    options: dict[str, Any]
    arrays: Arrays
    notes: tuple[str, ...] = ()


def main(argv: Sequence[str]) -> None:
    """inspect PATH [--label COLUMN]"""
    parser = argparse.ArgumentParser(
        prog="gen-models inspect", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="a file or folder of data")
    parser.add_argument("--label", help="the column of a table that holds the labels")
    asked = parser.parse_args(argv)
    path = asked.path.expanduser().absolute()
    require_there(path)
    if (name := collection_in(path)) is not None:
        print(_collection_lines(name, path))
        return
    found = look(path, label=asked.label)
    name = slug("".join(c if c.isalnum() and c.isascii() else "_" for c in path.stem).strip("_") or "mine", "")
    print(describe(found))
    conf = propose(found, name)
    try:
        check(found, conf)
    except GenModelsError as error:
        print(f"prepare would refuse it: {error}")
    print(f"\nconf/data/{name}.yaml, written by `gen-models add-data {name} {shown(asked.path)}`:")
    print(_indented(conf_text(conf, found)))
    print("\nparams.yaml:")
    print(_indented(params_lines(name, found.arrays)))


def look(path: Path, *, label: str | None = None) -> Found:
    """Read a file or folder with the source for its kind, and return what was found.

    label: the column of a table that holds the labels; None: a column with a usual name for labels, or the only column
    of text. Raises DataError if the kind is unknown or the data cannot be read.
    """
    source = kind_of(path)
    options: dict[str, Any] = {"path": _written(path)}
    if source in ("csv", "parquet"):
        return _look_at_table(path, source, options, label)
    if label is not None:
        raise ConfigError(f"--label {label}: {shown(path)} is not a table with columns; leave it out")
    if source == "npz" and "x" not in (names := array_files.names_in_npz(path)) and len(names) == 1:
        options["x"] = names[0]
    if source == "idx" and (labels := _labels_beside(path)) is not None:
        options["labels"] = _written(labels)
    arrays = SOURCES[source](Noise(0), **options)
    if source in ("npy", "npz") and arrays.x.ndim == 4 and arrays.x.shape[3] in (1, 3) and arrays.x.shape[1] > 4:
        options["channels_last"] = True
        arrays = SOURCES[source](Noise(0), **options)
    options |= arrays.proposed
    if "bits" in arrays.proposed:  # the rows are others with it; the other options say how these were read
        arrays = SOURCES[source](Noise(0), **options)
    return Found(path, source, options, arrays, arrays.notes)


def kind_of(path: Path) -> str:
    """Return the name of the source that reads a path.

    A folder is one of images; a file is recognised by its ending, or by "idx" or "ubyte" in its name. Raises DataError
    for any other file.
    """
    if path.is_dir():
        return "image_folder"
    if (ending := path.suffix.lower()) in ENDINGS:
        return ENDINGS[ending]
    if "idx" in path.name or "ubyte" in path.name:
        return "idx"
    raise DataError(
        f"{shown(path)}: not a kind that is known by its ending; give a folder of images, "
        ".npy, .npz, .csv, .tsv, .parquet, or an IDX file with idx in its name"
    )


def collection_in(folder: Path) -> str | None:
    """Return the name of the collection, such as mnist, whose files a folder holds, or None for any other folder.

    The file of test labels decides, by its sha256.
    """
    for name, collection in COLLECTIONS.items():
        test = "t10k-labels-idx1-ubyte"
        for path in (folder / test, folder / f"{test}.gz"):
            if path.is_file():
                try:
                    mnist.content_of(path, collection, test)
                except DataError:
                    continue
                return name
    return None


def describe(found: Found) -> str:
    """Return a text for people.

    It says how many rows there are, their shape, type and range, how many numbers are missing, how many columns are
    constant, how many rows are duplicates, how many rows each class has, and the sha256.
    """
    arrays, x = found.arrays, found.arrays.x
    facts = _facts(x)
    shape = "x".join(map(str, x.shape[1:]))
    origin = arrays.origin
    digest = f"sha256 {origin['sha256']}{'' if origin['files'] == 1 else ' of all'}"
    constant = f"{len(facts['constant'])} of {math.prod(x.shape[1:])} columns"
    lines = [
        f"{shown(found.path)}: {found.source}",
        f"  rows        {len(x)} of {shape} {x.dtype}",
        f"  files       {origin['files']}, {origin['bytes']} bytes, {digest}",
        f"  range       {facts['low']:g} .. {facts['high']:g}",
        f"  missing     {facts['missing']} numbers{_columns(arrays, facts['missing_in'])}",
        f"  constant    {constant}{_columns(arrays, facts['constant'])}",
        f"  duplicates  {facts['duplicates']} rows are equal to an earlier one",
        f"  labels      {_balance(arrays)}",
    ]
    if arrays.parts is not None:
        lines.append("  divided     " + ", ".join(f"{len(rows)} {part}" for part, rows in arrays.parts.items()))
    return "\n".join([*lines, *(f"  note        {note}" for note in found.notes)])


def propose(found: Found, name: str) -> dict[str, Any]:
    """Return a data conf for these rows.

    It pins the sha256 of the data, so that prepare refuses a file that has changed. If one of two classes has a name
    such as "abnormal", it is held out as the anomaly.
    """
    arrays = found.arrays
    event = list(arrays.x.shape[1:])
    anomaly = next((c for c in arrays.classes if c.lower() in ABNORMAL), None) if len(arrays.classes) == 2 else None
    split: dict[str, Any] = dict(SPLIT if anomaly is None else ANOMALY_SPLIT)
    # A held-out class needs calibration rows for its threshold; elsewhere too few rows go without
    if anomaly is None and _rows_of_the_smallest_class(arrays) * split["calibration"] < 1:
        split["train"] += split.pop("calibration")
    for part in arrays.parts or {}:
        split[part] = split["train"] if part == "train" else OWN
    shares = {part: share for part, share in split.items() if share != OWN}
    total = sum(shares.values())
    split |= {part: round(share / total, 4) for part, share in shares.items()}
    split["train"] = round(1 - sum(split[part] for part in shares if part != "train"), 4)
    rows = len(arrays.x) if arrays.parts is None else len(arrays.parts["train"])
    train = int(split["train"] * rows)
    few = {"batch_size": 1 << max((train // 2).bit_length() - 1, 0)} if train < FEW_ROWS else {}
    return {
        "name": name,
        "source": found.source,
        "options": {**found.options, "sha256": arrays.origin["sha256"]},
        "event_shape": [1, *event] if len(event) == 2 else event,
        "levels": _levels(arrays),
        "split": {part: split[part] for part in SPLITS if part in split},
        "anomaly": anomaly,
        **few,
    }


def _rows_of_the_smallest_class(arrays: Arrays) -> int:
    """Return how many rows the smallest class has among the rows that are divided by shares."""
    divided = np.arange(len(arrays.x)) if arrays.parts is None else arrays.parts["train"]
    return len(divided) if arrays.y is None else int(np.unique(arrays.y[divided], return_counts=True)[1].min())


def check(found: Found, conf: Mapping[str, Any]) -> None:
    """Raise the error with which prepare would refuse these rows, without preparing them.

    Constant columns are looked for among all rows; prepare looks among the training rows only.
    """
    arrays, where = found.arrays, f"conf/data/{conf['name']}.yaml"
    check_arrays(arrays, conf, where)
    check_values(_blocks(arrays.x), arrays, conf, where)
    if arrays.columns:
        facts = _facts(arrays.x)
        check_statistics({"min": facts["lows"].tolist(), "max": facts["highs"].tolist()}, arrays, conf, where)


def conf_text(conf: Mapping[str, Any], found: Found) -> str:
    """Return the text of the conf file, in the layout of the project's own."""
    shape = "x".join(map(str, found.arrays.x.shape[1:]))
    lines = [f"# {len(found.arrays.x)} rows of {shape} from {shown(found.path.name)}."]
    for key, value in conf.items():
        lines.append(f"{key}: {yaml_file.dump(value)}")
    return "\n".join(lines) + "\n"


def params_lines(name: str, arrays: Arrays) -> str:
    """Return the lines of params.yaml that prepare the data and sweep, train and register models that fit them."""
    dims = math.prod(arrays.x.shape[1:])
    models = ["vae"] if arrays.x.ndim > 2 else ["gmm", *(["realnvp"] if dims > 1 else [])]
    lines = {model: f"{{model: {model}, data: {name}}}" for model in models}
    return "\n".join(
        [
            f"data: [..., {name}]",
            "sweeps: &sweeps",
            *(f"  {model}-{name}: {line}" for model, line in lines.items()),
        ]
    )


def _look_at_table(path: Path, source: str, options: dict[str, Any], label: str | None) -> Found:
    """Read a table; leave out, with a note, columns of text (but the label) and columns constant or with gaps."""
    if source == "csv" and path.suffix.lower() == ".tsv":
        options["delimiter"] = "\t"
    delimiter = options.get("delimiter", ",")
    if source == "csv":
        header, text = csv_file.read_header(path, delimiter), csv_file.text_columns(path, delimiter, SAMPLE_LINES)
    else:
        header, text = parquet_file.read_schema(path), parquet_file.text_columns(path)
    if label is None:
        label = next((name for name in header if name.lower() in LABELS), text[0] if len(text) == 1 else None)
    drop = [name for name in text if name != label]
    taken = csv_file.chosen_columns(header, path, label=label, columns=None, drop=drop)
    notes = [f"{', '.join(drop)}: text, left out by options.drop"] if drop else []
    if source == "csv":
        x, _ = csv_file.read_numbers(path, taken, delimiter=delimiter, with_missing=True)
    else:
        x, _ = parquet_file.read_numbers(path, taken, with_missing=True)
    facts = _facts(x)
    reasons = dict.fromkeys(facts["constant"], "constant")
    reasons |= {k: f"{facts['missing_of'][k]} of {len(x)} missing" for k in facts["missing_in"]}
    if len(reasons) < len(taken):  # else no column would be left: the source then raises an error that says why
        notes += [f"{taken[k]}: {reason}, left out by options.drop" for k, reason in sorted(reasons.items())]
        drop += [taken[k] for k in sorted(reasons)]
    options |= {"label": label} if label is not None else {}
    options |= {"drop": drop} if drop else {}
    arrays = SOURCES[source](Noise(0), **options)
    return Found(path, source, options, arrays, tuple(notes))


def _facts(x: np.ndarray) -> dict[str, Any]:
    """Return the range, the missing and constant columns and the duplicates of all rows, which are read in blocks."""
    columns = math.prod(x.shape[1:])
    lows, highs, missing = np.full(columns, np.inf), np.full(columns, -np.inf), np.zeros(columns, dtype=np.int64)
    for block in _blocks(x):
        flat = block.reshape(len(block), -1).astype(np.float64)
        is_nan = np.isnan(flat)
        missing += is_nan.sum(axis=0)
        lows = np.minimum(lows, np.where(is_nan, np.inf, flat).min(axis=0, initial=np.inf))
        highs = np.maximum(highs, np.where(is_nan, -np.inf, flat).max(axis=0, initial=-np.inf))
    return {
        "lows": lows,
        "highs": highs,
        "low": float(lows.min(initial=np.inf)),
        "high": float(highs.max(initial=-np.inf)),
        "missing": int(missing.sum()),
        "missing_of": missing,
        "missing_in": np.flatnonzero(missing).tolist(),
        "constant": np.flatnonzero(lows == highs).tolist(),
        "duplicates": len(x) - len(np.unique(digests(x, np.arange(len(x)), x.dtype))),
    }


def _blocks(x: np.ndarray) -> Iterator[np.ndarray]:
    return blocks_of(x, np.arange(len(x)), x.dtype)


def _levels(arrays: Arrays) -> int | None:
    """Return the number of grey levels: 256, or fewer if no level is above 16; None for continuous numbers."""
    is_image = arrays.x.ndim > 2
    if not is_image and arrays.x.dtype != np.uint8:
        return None
    high = 0.0
    for block in _blocks(arrays.x):
        if not ((block >= 0) & (block < MOST_LEVELS) & (block == np.rint(block))).all():
            return None
        high = max(high, float(block.max(initial=0)))
    if high < 1 and arrays.x.dtype != np.uint8:
        return None
    return int(high) + 1 if 1 <= high <= 16 else MOST_LEVELS


def _columns(arrays: Arrays, places: Sequence[int]) -> str:
    if not places or not arrays.columns:
        return ""
    names = ", ".join(arrays.columns[k] for k in places[:5])
    return f" ({names}{', ...' if len(places) > 5 else ''})"


def _balance(arrays: Arrays) -> str:
    if arrays.y is None:
        return "none"
    counts = np.bincount(arrays.y, minlength=len(arrays.classes))
    each = [f"{count} {name}" for name, count in zip(arrays.classes, counts, strict=True)]
    more = f", ... {len(each) - SHOWN_CLASSES} more" if len(each) > SHOWN_CLASSES else ""
    return f"{len(each)} classes: {', '.join(each[:SHOWN_CLASSES])}{more}"


def _labels_beside(path: Path) -> Path | None:
    """Return the file of labels beside one of images: train-labels-idx1-ubyte for train-images-idx3-ubyte; or None."""
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    return beside if beside != path and beside.is_file() else None


def _collection_lines(name: str, folder: Path) -> str:
    arrays = SOURCES[name](Noise(0), folder=str(folder))
    content = {part: mnist.find(COLLECTIONS[name], part, str(folder)) for part in mnist.BYTES}
    total = sum(path.stat().st_size for path in content.values() if path is not None)
    origin = {"files": len(content), "bytes": total, "sha256": "as pinned, those"}
    found = Found(folder, name, {}, replace(arrays, origin=origin))
    return "\n".join(
        [
            describe(found),
            f"\nconf/data/{name}.yaml reads it, with {mnist.VARIABLE}={shown(folder)} in the environment, or with "
            f"options: {{folder: {shown(folder)}}}",
            "\nparams.yaml:",
            _indented(params_lines(name, arrays)),
        ]
    )


def _written(path: Path) -> str:
    """Return a path as a conf has it: relative to the folder that has conf/ if it lies inside, else as it is."""
    return printable(str(path.relative_to(paths.source()) if path.is_relative_to(paths.source()) else path))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines())


if __name__ == "__main__":
    run(main)
