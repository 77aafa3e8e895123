"""MNIST (LeCun, Cortes and Burges, 1998) and Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): 70,000 images of 28x28.

The four IDX files, gzipped or not, are looked for in `options.folder`, then in $GEN_MODELS_DATA and its folder mnist
or fashion-mnist, then where Debian's package puts Fashion-MNIST, then among earlier downloads, and last at mirrors. The
gzip files differ between mirrors and their content does not, so the sha256 of the unpacked bytes is pinned here.
The 10,000 test images are a part of their own, "test"; the other 60,000 are the part "train".
"""

import gzip
import hashlib
import io
import os
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gen_models.errors import ConfigError, DataError
from gen_models.files import replacing
from gen_models.noise import Noise
from pipelines.data.sources.arrays import Arrays
from pipelines.data.sources.files import require_file, shown, why
from pipelines.data.sources.idx import GZIP, parse_idx
from pipelines.runtime import paths

VARIABLE = "GEN_MODELS_DATA"
SECONDS = 20.0  # a mirror that is silent for longer is given up
MOST_PACKED = 32 << 20  # Fashion's training images are 26 MB
BYTES = {  # unpacked
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}


@dataclass(frozen=True)
class Collection:
    """A data set of MNIST's format.

    name     the name of its folder inside $GEN_MODELS_DATA
    folders  further folders to look in, in order
    mirrors  the URLs from which to download its files, in order
    classes  the names of its classes
    sha256   {name of a file: hash of its unpacked bytes}
    """

    name: str
    folders: tuple[str, ...]
    mirrors: tuple[str, ...]
    classes: tuple[str, ...]
    sha256: dict[str, str]


MNIST = Collection(
    "mnist",
    (),
    ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
    tuple(str(digit) for digit in range(10)),
    {
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
)
FASHION_MNIST = Collection(
    "fashion-mnist",
    ("/usr/share/datasets/fashion-mnist",),
    (
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"),
    {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
)


def mnist(noise: Noise, *, folder: str | None = None) -> Arrays:
    """Return x (70000, 1, 28, 28) uint8, and y, the digit. `noise` is not used: nothing is drawn.

    folder: a folder in which to look for the four IDX files first, or None
    """
    return _arrays(MNIST, folder)


def fashion_mnist(noise: Noise, *, folder: str | None = None) -> Arrays:
    """Return x (70000, 1, 28, 28) uint8, and y, the kind of article; noise, folder: as in `mnist`."""
    return _arrays(FASHION_MNIST, folder)


def _arrays(collection: Collection, folder: str | None) -> Arrays:
    found = {name: _read(collection, name, folder) for name in BYTES}
    x = np.concatenate([found["train-images-idx3-ubyte"], found["t10k-images-idx3-ubyte"]])[:, None]
    y = np.concatenate([found["train-labels-idx1-ubyte"], found["t10k-labels-idx1-ubyte"]]).astype(np.int64)
    cut = len(found["train-labels-idx1-ubyte"])
    return Arrays(x, y, collection.classes, parts={"train": np.arange(cut), "test": np.arange(cut, len(y))})


def _read(collection: Collection, name: str, folder: str | None) -> np.ndarray:
    """Return one of the four files as an array, from the first folder that has it, else from the mirrors.

    Raises DataError if the file in that folder does not have the pinned sha256, or if no mirror has a file with it.
    """
    if (path := find(collection, name, folder)) is not None:
        return parse_idx(content_of(path, collection, name), path)
    reasons = []
    for mirror in collection.mirrors:
        try:
            packed = _download(f"{mirror}{name}.gz")
            content = _unpacked(packed, BYTES[name])
        except (OSError, EOFError, zlib.error, ValueError) as error:
            reasons.append(f"{mirror} ({why(error)})")
            continue
        if (digest := hashlib.sha256(content).hexdigest()) != collection.sha256[name]:
            reasons.append(f"{mirror} (sha256 {digest[:12]})")
            continue
        _keep(packed, _downloads(collection) / f"{name}.gz")
        return parse_idx(content, Path(f"{name}.gz"))
    looked = ", ".join(shown(place) for place in _folders(collection, folder))
    raise DataError(
        f"{collection.name}: {name}(.gz) is not in {looked}, "
        f"nor could it be had from {', '.join(reasons)}; put the four files into a folder and set {VARIABLE} to it"
    )


def find(collection: Collection, name: str, folder: str | None) -> Path | None:
    """Return the path of one of the four files on this machine, or None.

    name: the file's name, a key of BYTES; folder: a folder in which to look first, or None
    """
    for place in _folders(collection, folder):
        for path in (place / name, place / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def _folders(collection: Collection, folder: str | None) -> Iterator[Path]:
    if folder is not None:
        if not isinstance(folder, str) or not (place := paths.source() / Path(folder).expanduser()).is_dir():
            raise ConfigError(f"options.folder: {folder!r} is not a folder; give the one that holds the four IDX files")
        yield place
    if named := os.environ.get(VARIABLE):
        if not (place := Path(named).expanduser()).is_dir():
            raise ConfigError(f"{VARIABLE}={named}: no such folder; set it to the one that holds the data")
        yield from (place, place / collection.name)
    yield from (Path(place) for place in collection.folders)
    yield _downloads(collection)


def _downloads(collection: Collection) -> Path:
    return paths.work("downloads", collection.name)


def content_of(path: Path, collection: Collection, name: str) -> bytes:
    """Return the unpacked bytes of a file. Raises DataError if their sha256 is not `collection.sha256[name]`."""
    require_file(path)
    try:
        with path.open("rb") as file:
            content = _unpacked(file.read(MOST_PACKED + BYTES[name]), BYTES[name])
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{shown(path)}: cannot be read ({why(error)}); copy or download it again") from None
    if (digest := hashlib.sha256(content).hexdigest()) != collection.sha256[name]:
        raise DataError(
            f"{shown(path)}: expected the sha256 of {collection.name}, {collection.sha256[name]}, found {digest}; "
            "copy or download it again"
        )
    return content


def _unpacked(content: bytes, size: int) -> bytes:
    """Return the content, unpacked if it is gzip, and cut to `size` + 1 bytes: the hash then refuses surplus bytes."""
    if content[:2] != GZIP:
        return content[: size + 1]
    with gzip.open(io.BytesIO(content)) as file:
        return file.read(size + 1)


def _download(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        content = answer.read(MOST_PACKED + 1)
    if len(content) > MOST_PACKED:
        raise ValueError(f"more than {MOST_PACKED} bytes")
    return content


def _keep(content: bytes, path: Path) -> None:
    """Write a file in one step, so that a kill leaves either all of it or nothing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise DataError(
            f"{error.filename or path}: {error.strerror}; free some space and run the same command again"
        ) from None
