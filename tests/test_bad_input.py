"""What people hand over by mistake: each case is one line that names the file, the place, the value and the fix.

Nothing half-written stays, a bomb costs no more than its file is worth, and the command line shows no traceback.
"""

import contextlib
import gzip
import io
import os
import re
import signal
import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image

from gen_models.build import build_model
from gen_models.checkpoint import save_model
from gen_models.errors import ConfigError, DataError, GenModelsError
from gen_models.noise import Noise
from pipelines.commands import compress, denoise, predict
from pipelines.commands.input_rows import read_events
from pipelines.config.conf_files import data_conf
from pipelines.data import prepare
from pipelines.data.checks import draw
from pipelines.data.store import open_data
from pipelines.runtime import paths
from pipelines.runtime.stage import run
from tests.project import HERE, params_of, write_params

ROWS = 40
SPLIT = {"train": 0.5, "validation": 0.25, "test": 0.25}
SECONDS = 5.0  # far above what any case needs: a case that unpacks its bomb needs minutes
MEMORY = 150 << 20  # bytes of Python and NumPy at the worst moment

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Case:
    """What is made in a folder, the conf that reads it, and the line that must come of it."""

    name: str
    make: Callable[[Path], Any]
    line: str
    source: str = ""
    file: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    conf: dict[str, Any] = field(default_factory=dict)
    error: type[GenModelsError] = DataError

    def __str__(self) -> str:
        return self.name


# --- makers


def image(folder: Path, name: str, *, size=(6, 5), mode="L", value=None, **options: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3) if mode == "RGB" else size
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    pixels = rng.integers(0, 256, shape).astype(np.uint8) if value is None else np.full(shape, value, np.uint8)
    made = Image.fromarray(pixels)
    (made if mode in ("L", "RGB") else made.convert(mode)).save(path, **options)
    return path


def images(folder: Path, count: int = ROWS, **kwargs: Any) -> None:
    for k in range(count):
        image(folder, f"a{k:03}.png", **kwargs)


def with_images(make: Callable[[Path], Any], count: int = 3) -> Callable[[Path], Any]:
    """Good images a000.png ..., and then what `make` adds."""

    def both(folder: Path) -> None:
        images(folder / "images", count)
        make(folder / "images")

    return both


def text(name: str, content: str | bytes) -> Callable[[Path], Any]:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def numbers(columns: int = 2, rows: int = ROWS) -> list[list[str]]:
    return [[str((7 * k + 3 * c * k * k) % 101 + 0.5) for c in range(columns)] for k in range(rows)]


def csv(header: str = "a,b", *, rows: list[list[str]] | None = None, separator: str = ",", **changes: str):
    """A table; line_N="..." puts that text at line N."""
    lines = [header, *(separator.join(row) for row in (numbers() if rows is None else rows))]
    for key, line in changes.items():
        lines[int(key.removeprefix("line_")) - 1] = line
    return text("t.csv", "\n".join(lines) + "\n")


def npy(array: Any, **kwargs: Any) -> Callable[[Path], Any]:
    return lambda folder: np.save(folder / "x.npy", array, **kwargs)


def npy_header(header: str) -> bytes:
    padded = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded.encode()


def idx(shape: tuple[int, ...], *, data: bytes | None = None, kind: int = 8) -> bytes:
    body = bytes(k % 251 for k in range(int(np.prod(shape)))) if data is None else data
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + body


def rows_of(shape=(ROWS, 2)) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def changed(array: np.ndarray, at: tuple[int, ...], value: float) -> np.ndarray:
    array = array.copy()
    array[at] = value
    return array


def png_of(width: int, height: int, data: bytes) -> bytes:
    """A PNG that declares a size, whatever its data are."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def zip_of(name: str, content: bytes, **changes: Any) -> Callable[[Path], Any]:
    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / "z.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)

    return make


def damaged(make: Callable[[Path], Any], name: str, damage: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
    def both(folder: Path) -> None:
        make(folder)
        path = folder / name
        path.write_bytes(damage(path.read_bytes()))

    return both


def parquet(columns: dict[str, Any], damage: Callable[[bytes], bytes] = lambda data: data):
    def make(folder: Path) -> None:
        pq.write_table(pa.table(columns), folder / "t.parquet")
        (folder / "t.parquet").write_bytes(damage((folder / "t.parquet").read_bytes()))

    return make


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "b.png")


def class_folders(counts: dict[str, int]) -> Callable[[Path], Any]:
    def make(folder: Path) -> None:
        for name, count in counts.items():
            for k in range(count):
                image(folder, f"images/{name}/{k}.png")

    return make


def animated(folder: Path) -> None:
    frames = [Image.fromarray(np.full((6, 5), value, np.uint8)) for value in (0, 99, 200)]
    frames[0].save(folder / "b.gif", save_all=True, append_images=frames[1:])


def sixteen_bits(folder: Path) -> None:
    Image.fromarray(np.arange(30, dtype=np.uint16).reshape(6, 5) * 1000).save(folder / "b.png")


def truncated_jpeg(folder: Path) -> None:
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 5)).astype(np.uint8)).save(data, "JPEG")
    (folder / "b.jpg").write_bytes(data.getvalue()[:-40])


def labels_off(folder: Path) -> None:
    np.save(folder / "x.npy", rows_of())
    np.save(folder / "y.npy", np.zeros(ROWS - 1, int))


FOLDER = {"source": "image_folder", "file": "images"}
NPY = {"source": "npy", "file": "x.npy"}
NPZ = {"source": "npz", "file": "z.npz"}
CSV = {"source": "table", "file": "t.csv"}
PARQUET = {"source": "table", "file": "t.parquet"}
ARRAY = {"source": "table", "file": "x.npy"}


def columns(**entries: Any) -> dict[str, Any]:
    """What conf says of the columns; a and b are numbers unless it is said."""
    return {"columns": {"a": {}, "b": {}, **entries}}


IDX = {"source": "idx", "file": "i.idx"}
PICTURE = {"event_shape": [1, 6, 5], "levels": 256}
GZ = {"source": "idx", "file": "i.idx.gz"}

CASES = [
    # folders
    Case(
        "missing path",
        with_images(lambda f: None),
        r"imagse: no such file or folder; did you mean 'images'\?",
        "image_folder",
        "imagse",
    ),
    Case("missing deep path", lambda f: None, r"nowhere/at/all: no such file or folder", "npy", "nowhere/at/all"),
    Case(
        "a path with a zero byte", lambda f: None, r"options\.path: .* is not a path", "npy", "a\0b", error=ConfigError
    ),
    Case(
        "empty folder",
        lambda f: (f / "images").mkdir(),
        r"images: no images; found nothing; give a folder of \.png",
        **FOLDER,
    ),
    Case(
        "no images",
        lambda f: [(f / "images").mkdir(), (f / "images" / "a.docx").touch(), (f / "images" / "b").touch()],
        r"images: no images; found 1 \.docx, 1 with no known ending; give a folder of \.png",
        **FOLDER,
    ),
    Case(
        "a file where a folder is wanted",
        text("images", "x"),
        r"images: not a folder; give a folder of images",
        **FOLDER,
    ),
    Case(
        "zero-byte image", with_images(lambda f: (f / "b.png").touch()), r"b\.png: empty, 0 bytes; remove it", **FOLDER
    ),
    Case(
        "truncated JPEG",
        with_images(truncated_jpeg),
        r"b\.jpg: a damaged image \(.*(?i:truncated).*\); copy it again",
        **FOLDER,
    ),
    Case(
        "two files that are no images",
        with_images(lambda f: [text(name, "hello, world")(f) for name in ("b.png", "c.png")]),
        r"b\.png: not an image.*; the same of 1 more that cannot be read: .*c\.png",
        **FOLDER,
    ),
    Case(
        "text named .png",
        with_images(text("b.png", "hello, world")),
        r"b\.png: not an image that is read, begins with b'hello, w'; remove it or save it as one",
        **FOLDER,
    ),
    Case(
        "HTML named .jpg",
        with_images(text("b.jpg", "<html>")),
        r"b\.jpg: not an image that is read, begins with b'<html>'",
        **FOLDER,
    ),
    Case(
        "SVG is no format that is read",
        with_images(text("b.png", "<svg xmlns='x'/>")),
        r"b\.png: not an image",
        **FOLDER,
    ),
    Case(
        "pixel bomb",
        with_images(text("b.png", png_of(60_000, 60_000, zlib.compress(bytes(10**7))))),
        r"b\.png: more than 16777216 pixels.*; make it smaller",
        **FOLDER,
    ),
    Case(
        "pixel bomb of the first image",
        lambda f: with_images(text("0.png", png_of(5000, 5000, b"")))(f),
        r"0\.png: more than 16777216 pixels, 5000x5000; make it smaller",
        **FOLDER,
    ),
    Case(
        "mixed sizes",
        with_images(lambda f: image(f, "b.png", size=(7, 5))),
        r"b\.png: 7x5 pixels .*a000\.png has 6x5; the commonest size is 6x5, of 3 of 4 images; say --size 6x5, "
        r"or write options: \{path: images, size: \[6, 5\]\}",
        **FOLDER,
    ),
    Case(
        "mixed modes",
        with_images(lambda f: image(f, "b.png", mode="RGB")),
        r"b\.png: mode RGB, .*a000\.png has L; say --mode RGB, "
        r"or write options: \{path: images, mode: RGB\}, or mode: L in options",
        **FOLDER,
    ),
    Case(
        "transparency",
        with_images(lambda f: image(f, "b.png", mode="RGBA")),
        r"b\.png: mode RGBA, .*a000\.png has L; say --mode RGB, or write options: \{path: images, mode: RGB\}",
        **FOLDER,
    ),
    Case("palette", with_images(lambda f: image(f, "b.png", mode="P")), r"b\.png: mode P, .*a000\.png has L", **FOLDER),
    Case(
        "16 bits beside 8",
        with_images(sixteen_bits),
        r"b\.png: mode I;16, .*a000\.png has L; say --mode L, or write options: \{path: images, mode: L\}",
        **FOLDER,
    ),
    Case("animated", with_images(animated), r"b\.gif: animated, 3 frames; keep one", **FOLDER),
    Case(
        "link loop",
        with_images(lambda f: (f / "b.png").symlink_to("b.png")),
        r"b\.png: a link to nowhere or in a circle .*; remove it",
        **FOLDER,
    ),
    Case(
        "link to nowhere",
        with_images(lambda f: (f / "b.png").symlink_to("gone.png")),
        r"b\.png: a link to nowhere or in a circle",
        **FOLDER,
    ),
    Case(
        "link into a cache of DVC that lacks it",
        with_images(lambda f: (f / "b.png").symlink_to(f"/x/.dvc/cache/files/md5/ab/{'0' * 30}")),
        r"b\.png: a link into DVC's cache, where its file is missing; run `dvc pull`",
        **FOLDER,
    ),
    Case(
        "link out of the folder",
        with_images(lambda f: (f / "b.png").symlink_to("/etc/passwd")),
        r"b\.png: not an image that is read, begins with",
        **FOLDER,
    ),
    Case(
        "link to the folder itself",
        with_images(lambda f: (f / "b").symlink_to(f)),
        r"b: a link to a folder that holds it, .*; remove it",
        **FOLDER,
    ),
    Case("a pipe", with_images(fifo), r"b\.png: not a regular file; give a file of data", **FOLDER),
    Case(
        "images beside folders of classes",
        lambda f: [image(f, "images/cat/1.png"), image(f, "images/2.png")],
        r"2\.png: lies beside the folders of classes; move it into one",
        **FOLDER,
    ),
    Case("too deep", lambda f: image(f, "images/1/2/3/4/5/6/7/8/9/10.png"), r"more than 8 folders deep", **FOLDER),
    Case(
        "too few rows",
        class_folders({"cat": 1, "dog": 1}),
        r"split\.[a-z]+: 0\.\d+ of 2 rows in 2 classes leaves none; use more rows or a larger share",
        **FOLDER,
        conf=PICTURE,
    ),
    Case(
        "one class where two are needed",
        class_folders({"cat": 9}),
        r"anomaly: 'cat' is the only class; nothing is left to train on",
        **FOLDER,
        conf={**PICTURE, "anomaly": "cat"},
        error=ConfigError,
    ),
    Case(
        "an anomaly of another name",
        class_folders({"cat": 9, "dog": 9}),
        r"anomaly: unknown class 'dgo': did you mean 'dog'",
        **FOLDER,
        conf={**PICTURE, "anomaly": "dgo"},
        error=ConfigError,
    ),
    Case(
        "a mode that is none",
        with_images(lambda f: None),
        r"options\.mode: 'grey' is none; write mode: L for grey, or mode: RGB",
        **FOLDER,
        options={"mode": "grey"},
        error=ConfigError,
    ),
    Case(
        "a size that is none",
        with_images(lambda f: None),
        r"options\.size: 32 is not \[height, width\]",
        **FOLDER,
        options={"size": 32},
        error=ConfigError,
    ),
    Case(
        "a class folder whose name breaks a line",
        lambda f: [image(f, "images/a\nb/1.png"), image(f, "images/c/1.png")],
        r"the class folder 'a.nb' has a name that is too long or cannot be shown; rename it",
        **FOLDER,
    ),
    # npy and npz
    Case(
        "object dtype",
        npy(np.array([[{}, 1]] * ROWS, dtype=object)),
        r"x\.npy: an array of Python objects, object; save x\.astype\(float\)",
        **NPY,
    ),
    Case("structured", npy(np.zeros(ROWS, dtype=[("a", "f8")])), r"x\.npy: an array of records", **NPY),
    Case(
        "complex", npy(rows_of().astype(complex)), r"x\.npy: an array of complex numbers, complex128; save real", **NPY
    ),
    Case("bool", npy(rows_of() > 0), r"x\.npy: an array of true and false, bool; save x\.astype\('uint8'\)", **NPY),
    Case("text array", npy(np.full((ROWS, 2), "a")), r"x\.npy: an array of text", **NPY),
    Case(
        "truncated npy",
        damaged(npy(rows_of()), "x.npy", lambda d: d[:-5]),
        r"x\.npy: declares shape \(40, 2\) of float64, 640 bytes, but 635 follow",
        **NPY,
    ),
    Case(
        "trailing bytes in npy",
        damaged(npy(rows_of()), "x.npy", lambda d: d + b"12345"),
        r"x\.npy: declares .* 640 bytes, but 645 follow",
        **NPY,
    ),
    Case("empty npy", text("x.npy", b""), r"x\.npy: empty, 0 bytes", **NPY),
    Case("no npy at all", text("x.npy", b"once upon a time"), r"x\.npy: not an array that NumPy wrote", **NPY),
    Case(
        "npy bomb: declares more than there is",
        text("x.npy", npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 1000), }")),
        r"x\.npy: declares shape \(1000000000000, 1000\) .* but 0 follow",
        **NPY,
    ),
    Case(
        "npy header of code",
        text("x.npy", npy_header("__import__('os').system('true')")),
        r"x\.npy: not an array that NumPy wrote",
        **NPY,
    ),
    Case(
        "negative shape",
        text("x.npy", npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -2), }")),
        r"x\.npy: shape \(-1, -2\) cannot be",
        **NPY,
    ),
    Case(
        "wrong rank",
        npy(np.arange(40.0)),
        r"x\.npy: shape \(40,\): give \(rows, columns\) or more; save x\.resh",
        **NPY,
    ),
    Case("too many axes", npy(np.zeros((2, 1, 1, 1, 2))), r"x\.npy: shape .*: rows have at most 3 axes", **NPY),
    Case(
        "other shape than the conf's",
        npy(rows_of((ROWS, 3))),
        r"event_shape: \[2\] is not that of .*x\.npy's rows; write \[3\]",
        **NPY,
        error=ConfigError,
    ),
    Case("no rows", npy(np.zeros((0, 2))), r"split\.train: 0\.5 of 0 rows in 1 classes leaves none", **NPY),
    Case(
        "grey levels as floats, said to be continuous",
        npy(np.round(rows_of((ROWS, 1, 6, 5)) * 20 + 128)),
        r"levels: null, but .*x\.npy has whole numbers 0 \.\. \d+: .*; write levels: 256",
        **NPY,
        conf={"event_shape": [1, 6, 5]},
        error=ConfigError,
    ),
    Case(
        "0 to 1 where levels are said",
        npy(np.linspace(0, 1, ROWS * 30).reshape(ROWS, 1, 6, 5)),
        r"x\.npy: row 0, column \(0, 0, 1\): 0\.0008.* is not one of the levels 0 \.\. 255; .* or write levels: null",
        **NPY,
        conf=PICTURE,
    ),
    Case(
        "255 where 17 levels are said",
        npy(np.full((ROWS, 1, 6, 5), 255, np.uint8)),
        r"x\.npy: row 0, column \(0, 0, 0\): 255 is not one of the levels 0 \.\. 16; correct levels in conf/data/mine",
        **NPY,
        conf={"event_shape": [1, 6, 5], "levels": 17},
    ),
    Case(
        "NaN",
        npy(changed(rows_of(), (7, 1), np.nan)),
        r"x\.npy: row 7, column 1: nan is not a finite float32 number; remove or repair the row",
        **NPY,
    ),
    Case("inf", npy(changed(rows_of(), (39, 0), -np.inf)), r"x\.npy: row 39, column 0: -inf is not a finite", **NPY),
    Case(
        "overflow in float32",
        npy(changed(rows_of(), (3, 0), 1e300)),
        r"row 3, column 0: 1e\+300 is not a finite",
        **NPY,
    ),
    Case(
        "label count off",
        labels_off,
        r"y\.npy: labels of shape \(39,\) for 40 rows of .*x\.npy; give each row one label",
        **NPY,
        options={"labels": "y.npy"},
    ),
    Case(
        "labels that are no classes",
        lambda f: [np.save(f / "x.npy", rows_of()), np.save(f / "y.npy", rows_of()[:, 0])],
        r"y\.npy: row 0: the label .* is no whole number; give one for a class",
        **NPY,
        options={"labels": "y.npy"},
    ),
    Case(
        "missing key",
        lambda f: np.savez(f / "z.npz", images=rows_of(), y=np.zeros(ROWS)),
        r"z\.npz: holds no array 'x'; write x: images in options, or another of y",
        **NPZ,
    ),
    Case(
        "pickle inside npz",
        lambda f: np.savez(f / "z.npz", x=np.array([[{}]], dtype=object)),
        r"z\.npz\[x\]: an array of Python objects",
        **NPZ,
    ),
    Case(
        "truncated npz",
        damaged(lambda f: np.savez(f / "z.npz", x=rows_of()), "z.npz", lambda d: d[:-60]),
        r"z\.npz: not a \.npz that can be read \(File is not a zip file\)",
        **NPZ,
    ),
    Case(
        "a flipped byte in npz",
        damaged(
            lambda f: np.savez(f / "z.npz", x=rows_of()), "z.npz", lambda d: d[:400] + bytes([d[400] ^ 1]) + d[401:]
        ),
        r"z\.npz.*\(Bad CRC-32.*\); np\.save",
        **NPZ,
    ),
    Case("empty npz", lambda f: np.savez(f / "z.npz"), r"z\.npz: holds no array 'x'; save one", **NPZ),
    Case(
        "zip bomb",
        zip_of("x.npy", npy_header("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2), }") + bytes(10**8)),
        r"z\.npz\[x\]: declares shape \(2, 2\) of uint8, 4 bytes, but 100000000 follow",
        **NPZ,
    ),
    Case(
        "npz label count off",
        lambda f: np.savez(f / "z.npz", x=rows_of(), y=np.zeros(ROWS + 1, int)),
        r"z\.npz\[y\]: labels of shape \(41,\) for 40 rows of .*z\.npz\[x\]",
        **NPZ,
    ),
    # tables
    Case(
        "no header",
        csv("1,2"),
        r"t\.csv, line 1: numbers where the names .* belong, '1,2'; add a header .* write header: false in options",
        **CSV,
    ),
    Case("duplicate columns", csv("a,a"), r"t\.csv, line 1: two columns are named 'a'; rename one", **CSV),
    Case("a column without a name", csv("a,"), r"t\.csv, line 1: column 2 has no name; give it one", **CSV),
    Case(
        "text column",
        csv(line_5="1.5,Paris"),
        r"t\.csv, line 5, column 'b': 'Paris' is not a number; .* --ignore b, or write role: ignore at columns\.b$",
        **CSV,
    ),
    Case(
        "a column of which the conf says nothing",
        csv("a,b,c", rows=numbers(3)),
        r"t\.csv: the conf does not say what column 'c' is; add 'c': \{role: ignore\} to columns",
        **CSV,
    ),
    Case(
        "a column of the conf that the file lacks",
        csv("a,B"),
        r"t\.csv: unknown column 'b': did you mean 'B'\?",
        **CSV,
    ),
    Case(
        "a feature that is not there",
        csv("a", rows=numbers(1)),
        r"t\.csv: unknown column 'b': choose from a; correct columns in the conf",
        **CSV,
    ),
    Case(
        "a separator that is none",
        csv(),
        r"options\.delimiter: 'x' is not one of",
        **CSV,
        options={"delimiter": "x"},
        error=ConfigError,
    ),
    Case(
        "decimal comma",
        csv("a;b", rows=[["1,5", "2,5"]] * ROWS, separator=";"),
        r"t\.csv, line 2, column 'a': '1,5' is not a number; a decimal comma, .* write decimal: ',' in options, or",
        **CSV,
    ),
    Case(
        "decimal commas between commas",
        csv(rows=[["1", "5", "2", "5"]] * ROWS),
        r"t\.csv, line 2: 4 cells, the header has 2; decimal commas\? save numbers with a decimal point",
        **CSV,
        options={"delimiter": ","},
    ),
    Case("ragged row", csv(line_9="1.5"), r"t\.csv, line 9: 1 cells, the header has 2; correct the line", **CSV),
    Case(
        "a ragged row below a cell of two lines",
        csv(line_4='1.5,"2\n3"', line_9="1.5"),
        r"t\.csv, line 10: 1 cells, the header has 2; correct the line",
        **CSV,
        conf=columns(b={"role": "ignore"}),
    ),
    Case(
        "constant column",
        csv(rows=[[row[0], "3"] for row in numbers()]),
        r"t\.csv: column 'b' is 3 in every training row: .*write role: ignore at columns\.b \(conf/data/mine\.yaml\)",
        **CSV,
    ),
    Case(
        "all-missing column",
        csv(rows=[[row[0], "NA"] for row in numbers()]),
        r"t\.csv, line 2, column 'b': missing; fill it in, .*or write missing: fill at columns\.b",
        **CSV,
    ),
    Case(
        "all-missing column to fill",
        csv(rows=[[row[0], "NA"] for row in numbers()]),
        r"t\.csv: column 'b' is 0 in every training row: .*write role: ignore at columns\.b",
        **CSV,
        conf=columns(b={"missing": "fill"}),
    ),
    Case(
        "a missing cell",
        csv(line_4=",2.5"),
        r"t\.csv, line 4, column 'a': missing; fill it in, remove the row, or write missing: fill at columns\.a",
        **CSV,
    ),
    Case("a number too large", csv(line_6="1.5,1e999"), r"t\.csv, line 6, column 'b': inf is not a finite", **CSV),
    Case(
        "a category of no known value",
        csv(line_7="1.5,green", rows=[[row[0], ("red", "blue")[k % 2]] for k, row in enumerate(numbers())]),
        r"t\.csv, line 7, column 'b': 'green' is not among blue, red; correct it, or add green to columns\.b\.values",
        **CSV,
        conf=columns(b={"kind": "category", "values": ["blue", "red"]}),
    ),
    Case(
        "a count with a fraction",
        csv(line_2="1.5,7.25", rows=[[row[0], str(k)] for k, row in enumerate(numbers())]),
        r"t\.csv, line 2, column 'b': 7\.25 is not a whole number; correct it",
        **CSV,
        conf=columns(b={"kind": "count"}),
    ),
    Case(
        "a time that is none",
        csv(line_3="1.5,2024-02-30", rows=[[row[0], f"2024-03-{k % 28 + 1:02}"] for k, row in enumerate(numbers())]),
        r"t\.csv, line 3, column 'b': '2024-02-30' is not a time such as 2024-12-31 08:15 or 31\.12\.2024; correct it",
        **CSV,
        conf=columns(b={"kind": "time"}),
    ),
    Case("UTF-16", text("t.csv", "a,b\n1,2\n".encode("utf-16")), r"t\.csv: UTF-16; save it as UTF-8", **CSV),
    Case(
        "Latin-1", text("t.csv", "grö,b\n1,2\n".encode("latin-1")), r"t\.csv: byte 0xf6 is not UTF-8; save the", **CSV
    ),
    Case(
        "Latin-1 far down",
        text("t.csv", b"a,b\n" + b"1.5,2.5\n" * 10_000 + "2,ö\n".encode("latin-1")),
        r"t\.csv: byte 0xf6 is not UTF-8; save the table as UTF-8, .* write encoding: cp1252 in options",
        **CSV,
    ),
    Case("a zero byte in CSV", csv(line_3="1\0,2"), r"t\.csv, line 3: a zero byte", **CSV),
    Case("an open quote", csv(line_3='"1,2'), r"t\.csv, line 3: a quote is opened and never closed; correct", **CSV),
    Case(
        "an open quote in a column that is not read",
        csv("a,b,note", rows=numbers(3), line_3='1,2,"of 3'),
        r"t\.csv, line 3: a quote is opened and never closed; correct the quotes there",
        **CSV,
        conf=columns(note={"role": "ignore"}),
    ),
    Case(
        "one line without end", text("t.csv", "a,b\n" + "1" * (2 << 20)), r"t\.csv, line 2: longer than 1048576", **CSV
    ),
    Case("empty CSV", text("t.csv", "\n\n"), r"t\.csv: empty; expected a header line and rows", **CSV),
    Case("no rows below the header", text("t.csv", "a,b\n"), r"t\.csv: no rows below the header; give rows", **CSV),
    Case(
        "an unknown label",
        csv(),
        r"t\.csv: unknown column 'c': choose from a, b; correct columns in the conf",
        **CSV,
        conf=columns(c={"role": "label"}),
    ),
    Case(
        "two labels",
        csv("a,b,c,d", rows=numbers(4)),
        r"conf/data/mine\.yaml: columns: c, d are all labels; keep one, and ignore the others",
        **CSV,
        conf=columns(c={"role": "label"}, d={"role": "label"}),
        error=ConfigError,
    ),
    Case(
        "columns that are a list",
        csv(),
        r"conf/data/mine\.yaml: columns: expected a mapping such as \{amount: \{kind: number\}\}, found \['a', 'b'\]",
        **CSV,
        conf={"columns": ["a", "b"]},
        error=ConfigError,
    ),
    Case(
        "no columns",
        csv(),
        r"conf/data/mine\.yaml: .*columns",
        **CSV,
        conf={"columns": None},
        error=ConfigError,
    ),
    Case(
        "a kind that is none",
        csv(),
        r"conf/data/mine\.yaml: columns\.b: unknown kind 'numbr': did you mean 'number'",
        **CSV,
        conf=columns(b={"kind": "numbr"}),
        error=ConfigError,
    ),
    Case(
        "every column ignored",
        csv(),
        r"conf/data/mine\.yaml: columns: none is a feature; give one a kind",
        **CSV,
        conf=columns(a={"role": "ignore"}, b={"role": "ignore"}),
        error=ConfigError,
    ),
    Case(
        "a row without its label",
        csv("a,b,c", rows=[[*row, ""] for row in numbers()]),
        r"t\.csv, line 2, column 'c': no label; fill it in",
        **CSV,
        conf=columns(c={"role": "label"}),
    ),
    Case(
        "changed since it was pinned",
        csv(),
        r"t\.csv: sha256 is [0-9a-f]{64}, options\.sha256 'abc': the data have changed",
        **CSV,
        options={"sha256": "abc"},
    ),
    Case(
        "corrupt Parquet footer",
        parquet({"a": [1.0] * ROWS}, lambda d: d[:-20] + bytes(20)),
        r"t\.parquet: not a Parquet file \(.*\); write it again",
        **PARQUET,
    ),
    Case(
        "truncated Parquet",
        parquet({"a": [1.0] * ROWS}, lambda d: d[:40]),
        r"t\.parquet: not a Parquet file",
        **PARQUET,
    ),
    Case("CSV named .parquet", text("t.parquet", "a,b\n1,2\n3,4\n"), r"t\.parquet: not a Parquet file", **PARQUET),
    Case("Parquet without columns", parquet({}), r"t\.parquet: no columns; give a table with at least one", **PARQUET),
    Case(
        "text column in Parquet",
        parquet({"a": [1.0] * ROWS, "b": ["x"] * ROWS}),
        r"t\.parquet, row 0, column 'b': 'x' is not a number; .* --ignore b, or write role: ignore at columns\.b",
        **PARQUET,
    ),
    Case(
        "a missing cell in Parquet",
        parquet({"a": [1.0] * ROWS, "b": [*range(ROWS - 1), None]}),
        r"t\.parquet, row 39, column 'b': missing; fill it in",
        **PARQUET,
    ),
    Case(
        "all-missing column in Parquet",
        parquet({"a": [*range(ROWS)], "b": pa.array([None] * ROWS, pa.float64())}),
        r"t\.parquet, row 0, column 'b': missing; .*or write missing: fill at columns\.b",
        **PARQUET,
    ),
    Case(
        "inf in Parquet",
        parquet({"a": [*range(ROWS)], "b": [*range(ROWS - 1), float("inf")]}),
        r"t\.parquet, row 39, column 'b': inf is not a finite number",
        **PARQUET,
    ),
    Case(
        "lists of two lengths in Parquet",
        parquet({"a": [[1.0, 2.0]] * (ROWS - 1) + [[1.0]]}),
        r"t\.parquet: column 'a' holds lists of more than one length, 2 and 1; make them equally long",
        **PARQUET,
        conf={"columns": {"a": {"length": 2}}},
    ),
    Case(
        "NaN in an array that is a table",
        npy(changed(rows_of(), (7, 1), np.nan)),
        r"x\.npy, row 7, column 'x\[1\]': missing; fill it in, remove the row, or write missing: fill at columns\.x",
        **ARRAY,
        conf={"columns": {"x": {"length": 2}}},
    ),
    Case(
        "an array of images as a table",
        npy(rows_of((ROWS, 1, 6, 5))),
        r"x\.npy: an array of shape \(40, 1, 6, 5\); a table has rows and columns: save x\.reshape\(len\(x\), -1\)",
        **ARRAY,
        conf={"columns": {"x": {"length": 30}}},
    ),
    # IDX and gzip
    Case(
        "bad magic", text("i.idx", b"\x08\x03" + bytes(30)), r"i\.idx: begins with 08030000, not as an IDX file", **IDX
    ),
    Case(
        "unknown type", text("i.idx", idx((4, 4), kind=7)), r"i\.idx: begins with 00000702, not as an IDX file", **IDX
    ),
    Case(
        "declared count over the data",
        text("i.idx", idx((40, 6, 5), data=bytes(1000))),
        r"i\.idx: declares 40x6x5 numbers, 1200 bytes, but 1000 bytes follow",
        **IDX,
    ),
    Case(
        "trailing bytes",
        text("i.idx", idx((40, 6, 5)) + b"more"),
        r"i\.idx: declares .* but at least 4 bytes more",
        **IDX,
    ),
    Case(
        "ends inside its header", text("i.idx", idx((40, 6, 5))[:9]), r"i\.idx: ends inside its header of 3 dim", **IDX
    ),
    Case(
        "absurd dimensions",
        text("i.idx", idx((2**32 - 1,) * 3, data=b"")),
        r"i\.idx: declares 4294967295x4294967295x4294967295 numbers, \d+ bytes, but 0 bytes follow",
        **IDX,
    ),
    Case(
        "absurd number of dimensions",
        text("i.idx", struct.pack(">BBBB", 0, 0, 8, 200) + bytes(4 * 200)),
        r"i\.idx: 200 dimensions",
        **IDX,
    ),
    Case(
        "labels where rows are wanted",
        text("i.idx", idx((40,))),
        r"i\.idx: one dimension, 40 numbers: these are labels",
        **IDX,
    ),
    Case(
        "image and label count differ",
        lambda f: [(f / "i.idx").write_bytes(idx((40, 6, 5))), (f / "l.idx").write_bytes(idx((39,)))],
        r"l\.idx: labels of shape \(39,\) for 40 rows of .*i\.idx",
        **IDX,
        options={"labels": "l.idx"},
    ),
    Case(
        "truncated gz",
        text("i.idx.gz", gzip.compress(idx((40, 6, 5)))[:-20]),
        r"i\.idx\.gz: broken gzip \(.*\); copy or download the file again",
        **GZ,
    ),
    Case(
        "CRC of gz",
        text("i.idx.gz", gzip.compress(idx((40, 6, 5)))[:-8] + bytes(8)),
        r"i\.idx\.gz: broken gzip \(CRC check failed",
        **GZ,
    ),
    Case(
        "gz bomb behind a small header",
        text("i.idx.gz", gzip.compress(idx((40, 6, 5)) + bytes(10**8))),
        r"i\.idx\.gz: declares 40x6x5 numbers, 1200 bytes, but at least 1 bytes more follow",
        **GZ,
    ),
    Case(
        "gz that cannot hold what it declares",
        text("i.idx.gz", gzip.compress(idx((2**31, 28, 28), data=bytes(100)))),
        r"i\.idx\.gz: declares 2147483648x28x28 numbers, \d+ bytes: more than \d+ of gzip can hold",
        **GZ,
    ),
    Case("text named .gz", text("i.idx.gz", "hello, world"), r"i\.idx\.gz: begins with 68656c6c, not as an IDX", **GZ),
]


@pytest.fixture
def project(tmp_path, monkeypatch):
    root = tmp_path / "a prøject"
    (root / "conf" / "data").mkdir(parents=True)
    (root / "conf" / "budget").mkdir()
    (root / "conf" / "budget" / "quick.yaml").write_text((HERE / "conf" / "budget" / "quick.yaml").read_text())
    write_params(root, params_of({}, budget="quick", data=["mine"]))
    monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
    return root


def write_conf(project: Path, case: Case) -> None:
    conf = {
        "name": "mine",
        "source": case.source,
        "options": {"path": case.file, **case.options},
        "event_shape": [2],
        "levels": None,
        "split": SPLIT,
        "anomaly": None,
    }
    shape = {"event_shape": [1, 6, 5], "levels": 256} if case.source in ("image_folder", "idx") else {}
    if case.source == "table":
        conf, shape = {k: v for k, v in conf.items() if k not in ("event_shape", "levels")}, columns()
    text = yaml.safe_dump({**conf, **shape, **case.conf})
    (project / "conf" / "data" / "mine.yaml").write_text(text)


def test_the_table_has_at_least_sixty_cases_of_different_names():
    assert len({case.name for case in CASES}) == len(CASES) >= 60


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bad_input_is_one_line_and_leaves_nothing(case, project, capsys, monkeypatch):
    case.make(project)
    write_conf(project, case)
    monkeypatch.setattr("sys.argv", ["prepare", "mine"])
    began = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(case.error) as caught:
            prepare.main(["mine"])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    line = str(caught.value)
    assert re.search(case.line, line), line
    assert line.isprintable(), line
    assert len(line) < 1000
    assert most < MEMORY
    assert time.monotonic() - began < 10 * SECONDS
    assert not paths.out("data", "mine").exists()
    with pytest.raises(SystemExit) as ended:  # and on the command line: the same line, no traceback
        run(prepare.main)
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: {line}\n"


def test_a_png_of_more_data_than_pixels_costs_no_more_than_its_pixels(project):
    folder = project / "images"
    images(folder, ROWS)
    (folder / "b.png").write_bytes(png_of(5, 6, zlib.compress(bytes(10**8))))
    write_conf(project, Case("", lambda f: None, "", **FOLDER))
    tracemalloc.start()
    with contextlib.suppress(DataError):  # Pillow may read the pixels and leave the rest, or refuse
        prepare.main(["mine"])
    assert tracemalloc.get_traced_memory()[1] < MEMORY
    tracemalloc.stop()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_may_not_be_read_is_named(project, kind):
    images(project / "images", 3)
    path = project / "images" / ("a001.png" if kind == "file" else "")
    path.chmod(0)
    write_conf(project, Case("", lambda f: None, "", **FOLDER))
    try:
        with pytest.raises(DataError, match=f"{path.name}: permission denied; give a file that this user can read"):
            prepare.main(["mine"])
    finally:
        path.chmod(0o700)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
@pytest.mark.parametrize(
    "case", [Case("", with_images(lambda f: None), "", **FOLDER), Case("", npy(rows_of()), "", **NPY)]
)
def test_a_file_that_fails_while_it_is_read_is_named(project, monkeypatch, case, error):
    case.make(project)
    write_conf(project, case)
    real = Path.open

    def failing(self, *args, **kwargs):
        if self.suffix in (".png", ".npy") and "unfinished" not in str(self):
            raise error
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(DataError, match=r"(a000\.png|x\.npy): (permission denied|input/output error); give a file"):
        prepare.main(["mine"])


def test_rows_that_stand_in_two_splits_are_reported(project, capsys):
    for part, count in (("train", 20), ("test", 5)):
        for k in range(count):
            image(project, f"images/{part}/{k}.png")
    (project / "images" / "test" / "0.png").write_bytes((project / "images" / "train" / "0.png").read_bytes())
    split = {"train": 0.8, "validation": 0.2, "test": "own"}
    write_conf(project, Case("", lambda f: None, "", **FOLDER, conf={**PICTURE, "split": split}))
    prepare.main(["mine"])
    assert re.search(r"duplicates  1 in (train|validation)/test across splits", capsys.readouterr().out)


def test_a_disk_without_room_is_said_before_anything_is_unpacked(project, monkeypatch):
    np.savez_compressed(project / "z.npz", x=np.zeros((1000, 1000)))
    write_conf(project, Case("", lambda f: None, "", **NPZ))
    usage = type("Usage", (), {"free": 10**6})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(DataError, match=r"z\.npz\[x\]: unpacks to 8000000 bytes, .* has 1000000; set TMPDIR"):
        prepare.main(["mine"])


# --- good input that looks odd


def lines_of(*rows: tuple[str, ...], separator: str = ",", header: str = "a,b", end: str = "\n") -> str:
    return end.join([header.replace(",", separator), *(separator.join(row) for row in rows)]) + end


WANTED = np.array([[1934.5, 2.0], [-2.25, 4.0], [3.0, 1234567.0], [0.125, -7.0]])
PLAIN = (("1934.5", "2"), ("-2.25", "4"), ("3", "1234567"), ("0.125", "-7"))
COMMAS = (("1934,5", "2"), ("-2,25", "4"), ("3,0", "1234567"), ("0,125", "-7"))
ODD = {
    "plain": (lines_of(*PLAIN).encode(), {}),
    "a byte-order mark, quotes, spaces, empty lines": (
        b"\xef\xbb\xbf" + "".join(f'"{a}", {b}\r\n\r\n' for a, b in (("a", "b"), *PLAIN)).encode(),
        {},
    ),
    "CRLF": (lines_of(*PLAIN, end="\r\n").encode(), {}),
    "no end of the last line": (lines_of(*PLAIN).encode()[:-1], {}),
    **{f"{mark!r} between cells": (lines_of(*PLAIN, separator=mark).encode(), {}) for mark in ";\t|"},
    "decimal commas": (lines_of(*COMMAS, separator=";").encode(), {"decimal": ","}),
    "decimal commas in quotes": (
        lines_of(*((f'"{a}"', b) for a, b in COMMAS)).encode(),
        {"decimal": ","},
    ),
    "thousands": (
        lines_of(("1,934.5", "2"), ("-2.25", "4"), ("3", "1,234,567"), ("0.125", "-7"), separator=";").encode(),
        {"thousands": ","},
    ),
    "thousands by points": (
        lines_of(("1.934,5", "2"), ("-2,25", "4"), ("3", "1.234.567"), ("0,125", "-7"), separator=";").encode(),
        {"decimal": ",", "thousands": "."},
    ),
    "thousands by points, and so commas": (
        lines_of(("1.934,5", "2"), ("-2,25", "4"), ("3", "1.234.567"), ("0,125", "-7"), separator=";").encode(),
        {"thousands": "."},
    ),
    "other ways to write a number": (
        lines_of(("+1.9345e3", "2.0"), ("-2.25", "4."), ("3", "1234567"), (".125", "-7e0")).encode(),
        {},
    ),
    "UTF-16": (lines_of(*PLAIN).encode("utf-16"), {"encoding": "utf-16"}),
    "without a header": ("".join(f"{a},{b}\n" for a, b in PLAIN).encode(), {"header": False}),
    "cells of two lines": (
        lines_of(*(('"x\ny"', a, b) for a, b in PLAIN), header="note,a,b").encode(),
        {},
    ),
    "a column that is ignored, of any text": (
        lines_of(*((a, b, '"x, ""y""\nz"') for a, b in PLAIN), header="a,b,note").encode(),
        {},
    ),
}


def read(project: Path, case: Case) -> np.ndarray:
    """The rows of a table, in the file's order."""
    write_conf(project, case)
    conf = data_conf("mine")
    return np.asarray(draw(conf, Noise(0), "conf").x)


@pytest.mark.parametrize("name", ODD)
def test_a_table_that_looks_odd_holds_the_same_rows(project, name):
    content, options = ODD[name]
    (project / "t.csv").write_bytes(content)
    names = {"c1": {}, "c2": {}} if "header" in options else {"a": {}, "b": {}}
    if "note" in content.decode("latin-1"):
        names["note"] = {"role": "ignore"}
    assert np.array_equal(
        read(project, Case("", lambda f: None, "", **CSV, options=options, conf={"columns": names})), WANTED
    )


def test_the_same_rows_of_any_format_are_the_same_numbers(project):
    case = {"conf": columns()}
    frame = {"a": WANTED[:, 0], "b": WANTED[:, 1]}
    for kinds in ({}, {"b": pa.array(WANTED[:, 1].astype(int))}, {"a": pa.array([Decimal(a) for a, _ in PLAIN])}):
        pq.write_table(pa.table({**frame, **kinds}), project / "t.parquet")
        assert np.array_equal(read(project, Case("", lambda f: None, "", **PARQUET, **case)), WANTED)
    case = {"conf": {"columns": {"x": {"length": 2}}}}
    pq.write_table(pa.table({"x": WANTED.tolist()}), project / "t.parquet")
    assert np.array_equal(read(project, Case("", lambda f: None, "", **PARQUET, **case)), WANTED)
    for array in (WANTED, np.asfortranarray(WANTED), WANTED.astype(">f8")):
        np.save(project / "x.npy", array)
        assert np.array_equal(read(project, Case("", lambda f: None, "", **ARRAY, **case)), WANTED)


@pytest.mark.parametrize(
    "words, classes",
    [
        (("10", "9", "-1"), ("-1", "9", "10")),  # by their value
        (("b", "10", "9"), ("10", "9", "b")),
        (("\u00b2", "--5", "1_0"), ("--5", "1_0", "\u00b2")),  # digits to str.isdigit, numbers to nobody
    ],
)
def test_labels_are_classes_in_their_order(project, words, classes):
    csv("a,b,c", rows=[[*row, words[k % 3]] for k, row in enumerate(numbers())])(project)
    write_conf(project, Case("", lambda f: None, "", **CSV, conf=columns(c={"role": "label"})))
    arrays = draw(data_conf("mine"), Noise(0), "conf")
    assert arrays.classes == classes
    assert [arrays.classes[k] for k in arrays.y] == [words[k % 3] for k in range(ROWS)]


def test_what_is_said_of_a_column_ends_its_refusal(project):
    """The fix that a refusal names, written where it says, is what lets the rows be read."""
    rows = [[row[0], "NA" if k == 3 else row[1]] for k, row in enumerate(numbers())]
    csv(rows=rows)(project)
    for fix, width in (({"missing": "fill"}, 3), ({"role": "ignore"}, 1)):
        x = read(project, Case("", lambda f: None, "", **CSV, conf=columns(b=fix)))
        assert x.shape == (ROWS, width)
    with pytest.raises(DataError, match=r"line 5, column 'b': missing"):
        read(project, Case("", lambda f: None, "", **CSV))


@pytest.mark.parametrize("dtype", [">f8", "<f4", ">i2", "<i8", "u1", "<u4", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_any_size_and_order_are_read(project, dtype, order):
    x = np.asarray(np.arange(2 * ROWS).reshape(ROWS, 2) % 97, dtype=dtype, order=order)
    np.save(project / "x.npy", x)
    levels = 97 if dtype == "u1" else None
    write_conf(project, Case("", lambda f: None, "", **NPY, conf={"levels": levels}))
    prepare.main(["mine"])
    stored = np.concatenate([np.load(p, allow_pickle=False) for p in paths.out("data", "mine").glob("*.x.npy")])
    assert sorted(map(tuple, stored.tolist())) == sorted(map(tuple, x.astype(float).tolist()))


def test_images_are_made_alike_where_the_conf_says_so(project):
    for k in range(ROWS):
        image(project, f"images/{k}.png", size=(6 + k % 3, 5), mode=["L", "RGB", "RGBA"][k % 3])
    conf = {"event_shape": [3, 4, 4], "levels": 256}
    write_conf(project, Case("", lambda f: None, "", **FOLDER, options={"size": [4, 4], "mode": "RGB"}, conf=conf))
    prepare.main(["mine"])
    assert sum(len(open_data("mine").x(split)) for split in open_data("mine").splits) == ROWS
    assert open_data("mine").event_shape == (3, 4, 4)


# --- use


@pytest.fixture
def checkpoint(tmp_path):
    """A VAE of 28x28 images."""
    spec = {
        "_target_": "gen_models.autoencoders.vae.VAE",
        "event_shape": [1, 28, 28],
        "levels": 256,
        "latent": 2,
        "hidden": [4],
    }
    torch.manual_seed(0)
    save_model(tmp_path / "checkpoint", spec, build_model(spec, seed=0))
    return tmp_path / "checkpoint"


def test_a_model_of_28x28_given_32x32_says_both_shapes(checkpoint, tmp_path):
    np.save(tmp_path / "rows.npy", np.zeros((3, 1, 32, 32), np.uint8))
    with pytest.raises(
        DataError, match=r"rows\.npy: rows of shape 1x32x32; this model takes 1x28x28 .*; resize or transpose them"
    ):
        predict.main([str(checkpoint), str(tmp_path / "rows.npy")])


@pytest.mark.parametrize(
    ("command", "words", "line"),
    [
        (predict, "--task decode", "GaussianMixture does not decode; it offers "),
        (predict, "--task reconstruct", "GaussianMixture does not reconstruct; it offers "),
        (compress, "--output out", "GaussianMixture has no decoder"),
        (compress, "--output out --method codes", "GaussianMixture has no codes"),
        (compress, "--output out --method bits_back", "GaussianMixture"),
        (denoise, "--output out.npy", "GaussianMixture was not trained to undo a corruption"),
    ],
)
def test_what_a_model_cannot_do_is_said_before_its_rows_are_read(tmp_path, monkeypatch, command, words, line):
    monkeypatch.chdir(tmp_path)
    mixture = {"_target_": "gen_models.mixtures.gaussian_mixture.GaussianMixture", "event_shape": [3], "levels": None}
    save_model(tmp_path / "gmm", mixture | {"components": 2}, build_model(mixture | {"components": 2}, seed=0))
    with pytest.raises(DataError, match=line):
        command.main([str(tmp_path / "gmm"), "none.csv", *words.split()])


@pytest.mark.parametrize("shape", [(0, 784), (0, 1, 28, 28)])
@pytest.mark.parametrize("task", ["score", "encode", "reconstruct"])
def test_no_rows_give_an_empty_table(checkpoint, tmp_path, capsys, shape, task):
    np.save(tmp_path / "rows.npy", np.zeros(shape, np.uint8))
    predict.main([str(checkpoint), str(tmp_path / "rows.npy"), "--task", task])
    assert capsys.readouterr().out.count("\n") == 1  # the header


def test_a_table_without_rows_gives_an_empty_table(checkpoint, tmp_path, capsys):
    (tmp_path / "rows.csv").write_text(",".join(f"c{k}" for k in range(784)) + "\n")
    predict.main([str(checkpoint), str(tmp_path / "rows.csv")])
    assert capsys.readouterr().out == "neg_elbo,problem\n"
    for ending, read in ((".csv", pacsv.read_csv), (".parquet", pq.read_table)):
        predict.main([str(checkpoint), str(tmp_path / "rows.csv"), "--output", str(tmp_path / f"answer{ending}")])
        answer = read(tmp_path / f"answer{ending}")
        assert (answer.column_names, len(answer)) == (["neg_elbo", "problem"], 0)
    predict.main([str(checkpoint), str(tmp_path / "rows.csv"), "--output", str(tmp_path / "answer.npy")])
    assert np.load(tmp_path / "answer.npy").shape == (0, 1)


COLUMNS = ("a", "b", "c")
FACTS = {"event_shape": [3], "levels": None, "columns": list(COLUMNS)}


def table(tmp_path, header, rows):
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([",".join(header), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_columns_are_taken_by_name_in_the_order_of_the_fit(tmp_path):
    straight = read_events(table(tmp_path, COLUMNS, [[1, 2, 3], [4, 5, 6]]), FACTS)
    assert straight.tolist() == [[1, 2, 3], [4, 5, 6]]
    turned = read_events(table(tmp_path, ("c", "note", "a", "b"), [[3, "x", 1, 2], [6, "y", 4, 5]]), FACTS)
    assert np.array_equal(straight, turned)
    pq.write_table(pa.table({"c": [3, 6], "note": ["x", "y"], "a": [1, 4], "b": [2, 5]}), tmp_path / "rows.parquet")
    assert np.array_equal(read_events(tmp_path / "rows.parquet", FACTS), straight)


@pytest.mark.parametrize("facts", [FACTS, FACTS | {"table": {"columns": [{"name": name} for name in COLUMNS]}}])
def test_a_column_of_the_fit_that_is_not_there_is_named(tmp_path, facts):
    path = table(tmp_path, ("a", "b", "C"), [[1, 2, 3]])
    with pytest.raises(
        DataError, match=r"rows\.csv: column 'c', on which .* is missing among a, b, C.*: rename 'C' to 'c'$"
    ):
        read_events(path, facts)


@pytest.mark.parametrize("facts", [FACTS, FACTS | {"table": {"columns": [{"name": name} for name in COLUMNS]}}])
def test_all_columns_of_the_fit_that_are_not_there_are_named_at_once(tmp_path, facts):
    path = table(tmp_path, ("C", "note", "other"), [[3, 1, 2]])
    with pytest.raises(DataError) as told:
        read_events(path, facts)
    assert str(told.value).endswith(
        "columns 'a', 'b', 'c', on which the model was trained, are missing among C, note, other: "
        "rename 'C' to 'c', add 'a', 'b'; the model takes a, b, c"
    )


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word():
    """`gen-models list | head -1`."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-m", "pipelines.cli", "list"], cwd=ROOT, **pipes) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 128 + signal.SIGPIPE
