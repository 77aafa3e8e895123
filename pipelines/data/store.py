"""Writes and opens prepared data: arrays, and a manifest with the sha256 of each, which every opening verifies.

DVC trusts a read-only cache file without hashing it, so it would not notice a flipped byte. Therefore every reader
hashes the files that it opens. If a file does not agree with the manifest, the error names the file, what was expected,
what was found, and the command that writes the file again.

    out/data/NAME/  SPLIT.x.npy  SPLIT.y.npy  SPLIT.factors.npy  SPLIT.mask.npy  SPLIT.names.npy  manifest.json

There is no SPLIT.y.npy for rows without labels, no SPLIT.factors.npy unless a generator made the rows from known
factors, no SPLIT.mask.npy unless images came with masks of their defects, and no SPLIT.names.npy unless the rows come
from files of the user's. Arrays are written without pickle and opened memory-mapped, so a data set may be larger than
memory.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from gen_models.errors import DataError, unknown
from gen_models.table import Schema, from_json
from pipelines.runtime import paths

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

MANIFEST = "manifest.json"
FACTS = ("name", "source", "event_shape", "dtype", "levels", "classes", "statistics", "anomaly", "leakage")
KEYS = (*FACTS, "splits", "sha256")
KINDS = ("x", "y", "factors", "mask", "names")
CHUNK_BYTES = 16 << 20
SOME_BYTES = 32 << 20  # `first_rows` loads at most so many


@dataclass(frozen=True)
class Dataset:
    """A prepared data set whose files agree with its manifest.

    arrays: {split: {"x", "y", "factors", "mask", "names": memory-mapped array}}; all but "x" only if there are any
    sha256: the hash of the manifest, which holds the hashes of all files
    """

    name: str
    manifest: dict[str, Any]
    arrays: dict[str, dict[str, np.ndarray]]

    @property
    def sha256(self) -> str:
        return self.manifest["sha256"]

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.manifest["event_shape"])

    @property
    def levels(self) -> int | None:
        """The number of grey levels; None for continuous data."""
        return self.manifest["levels"]

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(self.arrays)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a table's columns; () for other data."""
        return tuple(self.manifest.get("columns", ()))

    @property
    def schema(self) -> Schema | None:
        """How the columns of a user's table became numbers; None for other data."""
        return from_json(self.manifest["table"]["columns"]) if "table" in self.manifest else None

    @property
    def factor_names(self) -> tuple[str, ...]:
        """The names of the factors from which a generator made the rows, such as an angle; () if they are unknown."""
        return tuple(self.manifest.get("factors", ()))

    def x(self, split: str) -> np.ndarray:
        """Return the rows of a split, (rows, *event), in the data's units, memory-mapped and read-only."""
        return self._split(split)["x"]

    def y(self, split: str) -> np.ndarray:
        """Return (rows,) int64 labels, indices into the manifest's `classes`; all 0 for rows without labels."""
        arrays = self._split(split)
        return arrays["y"] if "y" in arrays else np.zeros(len(arrays["x"]), dtype=np.int64)

    def factors(self, split: str) -> np.ndarray:
        """Return the values of each row's factors, (rows, len(factor_names)) float32, in the order of `factor_names`.

        Raises DataError if the factors are unknown.
        """
        arrays = self._split(split)
        if "factors" not in arrays:
            raise DataError(
                f"{self.name}: the factors of its rows are not known; use data that has them, such as factors"
            )
        return arrays["factors"]

    def masks(self, split: str) -> np.ndarray | None:
        """Return (rows, height, width) uint8, 1 where an image has a defect; None for data without masks."""
        return self._split(split).get("mask")

    def names(self, split: str, rows: Sequence[int] | np.ndarray) -> dict[str, list[str]]:
        """Return {column: its text for each row} by which people find rows in their files; {} if nothing is known.

        rows: the indices of rows in the split. The columns are `path` for images in a folder, else a table's
        identifiers and `row`, the index in the file, which counts from 0.
        """
        found = self._split(split).get("names")
        if found is None:
            return {}
        columns = self.manifest["names"]["columns"]
        chosen = found[rows]
        return {name: [word.decode() for word in chosen[f"f{k}"]] for k, name in enumerate(columns)}

    def rows(self, split: str, most: int | None = None) -> Float[Tensor, "rows *event"]:
        """Load rows of a split into memory, unscaled, as float32, or as float64 for a user's table that is stored so.

        most: load only the first `most` rows; None: all rows

        The rows of a split are in random order, so the first ones are a random draw.
        """
        import torch  # takes seconds, and only readers of rows need it

        rows = self.x(split)[:most]
        is_fine = "table" in self.manifest and rows.dtype == np.float64
        return torch.from_numpy(np.array(rows, dtype=np.float64 if is_fine else np.float32))

    def first_rows(self, split: str, most: int | None = None) -> Float[Tensor, "rows *event"]:
        """Load the first rows of a split, as `rows` does: as many as fit into SOME_BYTES as float32, at most `most`."""
        fit = max(SOME_BYTES // (4 * math.prod(self.event_shape)), 1)
        return self.rows(split, fit if most is None else min(most, fit))

    def _split(self, split: str) -> dict[str, np.ndarray]:
        if split not in self.arrays:
            raise DataError(unknown(f"split of {self.name}", split, self.arrays))
        return self.arrays[split]


def open_data(name: str) -> Dataset:
    """Open out/data/NAME and verify every file. Raises DataError if one is missing or is not as its manifest says."""
    folder = paths.out("data")
    prepared = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    if name not in prepared:
        raise DataError(f"{unknown('prepared data set', name, prepared)}; run `gen-models prepare {name}` first")
    return open_folder(folder / name)


def manifest_of(name: str) -> dict[str, Any]:
    """Return the manifest of out/data/NAME. The manifest's own hash is verified; the arrays are not opened.

    Raises DataError if the manifest is missing or does not agree with its hash.
    """
    return _read_manifest(paths.out("data", name))


def open_folder(folder: Path) -> Dataset:
    """Open a prepared data set by its folder and verify every file.

    It serves readers that do not know the project folder, such as a worker on another node. Raises DataError if
    anything is missing or differs.
    """
    manifest = _read_manifest(folder)
    arrays, named = {}, manifest.get("names", {})
    if named and not isinstance(named.get("bytes"), list):
        raise _broken(folder / MANIFEST, "names.bytes: a list", repr(named.get("bytes")))
    for split, entry in manifest["splits"].items():
        rows = entry["rows"]
        expected = {
            "x": ((rows, *manifest["event_shape"]), manifest["dtype"]),
            "y": ((rows,), "int64"),
            "factors": ((rows, len(manifest.get("factors", ()))), "float32"),
            "mask": ((rows, *manifest.get("masks", ())), "uint8"),
            "names": ((rows,), _type_of_names(named.get("bytes", ()))),
        }
        arrays[split] = {kind: _open_array(folder, split, kind, entry[kind]) for kind in KINDS if entry.get(kind)}
        for kind, array in arrays[split].items():
            shape, dtype = expected[kind]
            if array.shape != shape or array.dtype != dtype:
                found = f"{array.shape} {array.dtype}"
                raise _broken(folder / MANIFEST, f"{split}: {kind} {shape} {dtype}", found)
    return Dataset(manifest["name"], manifest, arrays)


def _type_of_names(widths: Sequence[int]) -> np.dtype:
    """Return the type of the names of a row: a field f0, f1, ... of so many bytes for each column."""
    return np.dtype([(f"f{k}", f"S{width}") for k, width in enumerate(widths)])


def names_together(names: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the names of rows as one array (rows,), as SPLIT.names.npy has them."""
    columns = list(names.values())
    found = np.empty(len(columns[0]), dtype=_type_of_names([column.itemsize for column in columns]))
    for k, column in enumerate(columns):
        found[f"f{k}"] = column
    return found


def write_array(path: Path, blocks: Iterator[np.ndarray], shape: tuple[int, ...], dtype: np.dtype) -> dict[str, Any]:
    """Write blocks of rows to a .npy file, with one block in memory at a time.

    shape, dtype: the shape of the whole array, and the type to which the blocks are converted

    Returns the file's entry for the manifest, {"file", "bytes", "sha256"}. Raises DataError if it cannot be written.
    """
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}

    def write(file: BinaryIO) -> None:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype=dtype).tobytes())

    _write(path, write)
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": _sha256(path)}


def write_manifest(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Add to a manifest the sha256 of its entries, write it to manifest.json, and return it.

    Callers write it after all other files. Raises DataError if it cannot be written.
    """
    sealed = {**manifest, "sha256": _seal(manifest)}
    text = json.dumps(sealed, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    _write(folder / MANIFEST, lambda file: file.write(text.encode()))
    return sealed


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise _broken(path, "a file", "none") from None
    except OSError as error:
        raise _broken(path, "a file that can be read", str(error.strerror)) from None
    except (ValueError, RecursionError):
        raise _broken(path, "JSON", f"{path.stat().st_size} bytes that are not") from None
    missing = [key for key in KEYS if key not in manifest] if isinstance(manifest, dict) else KEYS
    if missing:
        raise _broken(path, f"the keys {', '.join(missing)}", "none of them")
    if not isinstance(manifest["anomaly"], list | None):
        raise _broken(path, "anomaly: a list of classes, or null", repr(manifest["anomaly"]))
    seal = _seal({key: value for key, value in manifest.items() if key != "sha256"})
    if seal != manifest["sha256"]:
        raise _broken(path, f"sha256 {manifest['sha256']}", seal)
    return manifest


def _open_array(folder: Path, split: str, kind: str, entry: dict[str, Any]) -> np.ndarray:
    path = folder / f"{split}.{kind}.npy"
    if entry["file"] != path.name:  # a manifest must not lead out of its folder
        raise _broken(folder / MANIFEST, f"file {path.name}", str(entry["file"]))
    try:
        size = path.stat().st_size
        digest = _sha256(path) if size == entry["bytes"] else ""
    except FileNotFoundError:
        raise _broken(path, f"{entry['bytes']} bytes", "no file") from None
    except OSError as error:
        raise _broken(path, "a file that can be read", str(error.strerror)) from None
    if size != entry["bytes"]:
        raise _broken(path, f"{entry['bytes']} bytes", f"{size} bytes")
    if digest != entry["sha256"]:
        raise _broken(path, f"sha256 {entry['sha256']}", digest)
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:  # the hashes can agree although the file is not a .npy of numbers
        raise _broken(path, "an array of numbers", " ".join(str(error).split())) from None


def _write(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file and flush it to the disk, so that its bytes are there before its folder is renamed."""
    try:
        with path.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        size = path.stat().st_size if path.exists() else 0
        raise DataError(
            f"{path}: {error.strerror} after {size} bytes; free some space and run the same command again"
        ) from None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(manifest: dict[str, Any]) -> str:
    """Return the sha256 of the manifest's canonical JSON, which has sorted keys and no spaces."""
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _broken(path: Path, expected: str, found: str) -> DataError:
    return DataError(
        f"{path}: expected {expected}, found {found}; `gen-models prepare {path.parent.name}` writes it anew"
    )
