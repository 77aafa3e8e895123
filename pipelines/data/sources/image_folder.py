"""Reads a folder of images as rows (channels, height, width) uint8; its subfolders give classes, parts and masks.

image_files.py finds the files, image_layout.py arranges them, image_decoding.py decodes each. All images must be stored
in one mode and have one size, unless the options `mode: L` or `mode: RGB` and `size: [height, width]` convert them.
Notes say what was left out or converted. The options are those of conf/data/NAME.yaml, the conf.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gen_models.errors import DataError
from gen_models.noise import Noise
from pipelines.config import yaml_file
from pipelines.data.sources.arrays import USUAL_SIDE, Arrays
from pipelines.data.sources.files import Scratch, locate, name_of, require_sha256, shown
from pipelines.data.sources.image_colours import CHANNELS, GREY, Look, is_grey, require_look
from pipelines.data.sources.image_decoding import Picture, read_image, require_size, size_of
from pipelines.data.sources.image_files import find_images
from pipelines.data.sources.image_layout import Layout, arrange
from pipelines.data.sources.image_masks import read_mask

BLOCK_ROWS = 256
MOST_NAMED = 5  # of the files that cannot be read
USUAL_BITS = (8, 10, 12)  # cameras and scanners often use only so many of a file's 16 bits


def image_folder(
    noise: Noise,
    *,
    path: str,
    size: Sequence[int] | None = None,
    mode: str | None = None,
    background: str | None = None,
    bits: int | None = None,
    sha256: str | None = None,
) -> Arrays:
    """Read rows (rows, channels, height, width) uint8 from a folder of images. `noise` is not used: nothing is drawn.

    path        the folder
    size        [height, width] to which images are resized, or None to keep their size
    mode        "L" or "RGB" to which images are converted, or None: L if they are stored as grey, RGB if as colours
    background  the colour on which transparent images are drawn, "#ffffff" if None
    bits        for grey images of 16 bits: the value 2^bits - 1 is white; 16 if None
    sha256      the hash that the images must have, or None for any

    If there are folders of classes, their names are the labels; if there are folders train, test and validation, they
    are the source's parts.
    """
    root, look, wanted = locate(path), require_look(mode, background, bits), require_size(size)
    given = {"path": path, "size": wanted and list(wanted), "mode": mode, "background": background, "bits": bits}
    options = {key: value for key, value in {**given, "sha256": sha256}.items() if value is not None}
    layout = arrange(find_images(root))
    reading = _Reading(root, layout, look, wanted, options)
    for row, file in enumerate(layout.files):
        reading.add(row, file)
    require_sha256(sha256, reading.digest.hexdigest(), root)
    names = layout.classes
    classes, y = (np.empty(0), None) if names is None else np.unique(np.array(names), return_inverse=True)
    x = reading.rows()
    return Arrays(
        x,
        None if y is None else y.astype(np.int64),
        tuple(str(name) for name in classes),
        parts=layout.parts,
        origin=reading.origin(),
        name=shown(root),
        masks=reading.masks(),
        names={"path": np.array([name_of(file, root).encode() for file in layout.files])},
        notes=(*layout.notes, *reading.notes()),
        proposed=reading.proposed(),
    )


class _Reading:
    """Reads the files one after another: writes the rows to disk, hashes the files, and counts what the notes say."""

    def __init__(self, root: Path, layout: Layout, look: Look, size: tuple[int, int] | None, options: dict[str, Any]):
        self.root, self.layout, self.look, self.size, self.options = root, layout, look, size, options
        self.first = self._read(0)
        self.shape = self.first.pixels.shape
        self.scratch = Scratch(root, len(layout.files) * self.first.pixels.nbytes)
        height, width = self.shape[1:]
        self.blank = np.zeros((height, width), dtype=np.uint8)
        self.mask_scratch = Scratch(root, len(layout.files) * self.blank.nbytes) if layout.masks else None
        self.digest, self.bytes = hashlib.sha256(), 0
        self.counts: Counter[str] = Counter()
        self.stored: Counter[str] = Counter()
        self.high = 0
        self.is_grey = self.shape[0] == CHANNELS["RGB"]

    def add(self, row: int, file: Path) -> None:
        """Read an image and its mask, if it has one, and append both to the rows and masks on disk."""
        picture = self.first if row == 0 else self._read(row)
        self._require_alike(picture, file)
        self.scratch.write(picture.pixels)
        self._count_bytes(file, picture.content)
        self.stored[picture.stored] += 1
        self.counts["transparent"] += picture.is_transparent
        self.counts["turned"] += picture.is_turned
        self.high = max(self.high, picture.high)
        self.is_grey = self.is_grey and is_grey(picture.pixels)
        if self.mask_scratch is not None:
            mask = self.blank
            if (path := self.layout.masks.get(row)) is not None:
                mask, content = read_mask(path, file, picture.size, self.size)
                self._count_bytes(path, content)
            self.mask_scratch.write(mask)

    def _read(self, row: int) -> Picture:
        """Read the image of a row; the error of one that cannot be read names the others that cannot be, too."""
        try:
            return read_image(self.layout.files[row], size=self.size, look=self.look)
        except DataError as error:
            others = [file for file in self.layout.files[row + 1 :] if self._is_broken(file)]
            if not others:
                raise
            names = ", ".join(map(shown, others[:MOST_NAMED])) + (", ..." if len(others) > MOST_NAMED else "")
            raise DataError(f"{error}; the same of {len(others)} more that cannot be read: {names}") from None

    def _is_broken(self, file: Path) -> bool:
        try:
            read_image(file, size=self.size, look=self.look)
        except DataError:
            return True
        return False

    def rows(self) -> np.ndarray:
        """Return all rows; they have one channel if all images are palettes of greys and no mode was asked for."""
        x = self.scratch.map(np.dtype(np.uint8), (len(self.layout.files), *self.shape))
        if not self._is_grey_palette:
            return x
        height, width = self.shape[1:]
        grey = Scratch(self.root, len(x) * height * width)
        for start in range(0, len(x), BLOCK_ROWS):
            grey.write(x[start : start + BLOCK_ROWS, :1])
        return grey.map(np.dtype(np.uint8), (len(x), 1, height, width))

    def masks(self) -> np.ndarray | None:
        if self.mask_scratch is None:
            return None
        return self.mask_scratch.map(np.dtype(np.uint8), (len(self.layout.files), *self.blank.shape))

    def origin(self) -> dict[str, Any]:
        files = len(self.layout.files) + len(self.layout.masks)
        return {"sha256": self.digest.hexdigest(), "files": files, "bytes": self.bytes}

    def proposed(self) -> Mapping[str, Any]:
        """Return the options that a conf for these images should have in addition to those that were given."""
        found: dict[str, Any] = {}
        if self.counts["transparent"] and "background" not in self.options:
            found["background"] = self.look.background
        if (bits := self._fitting_bits) is not None and "bits" not in self.options:
            found["bits"] = bits
        return found

    def notes(self) -> tuple[str, ...]:
        """Return sentences on how images were converted."""
        total, found = len(self.layout.files), []
        mode = self.look.mode or ("L" if self.shape[0] == 1 or self._is_grey_palette else "RGB")
        for stored, count in sorted(self.stored.items()):
            if stored not in (mode, "I;16"):
                found.append(f"{count} of {total} images are stored as {stored}, and were converted to {mode}")
        if self.counts["transparent"]:
            found.append(
                f"{self.counts['transparent']} of {total} images have transparent pixels: drawn on "
                f"{self.look.background} (options.background)"
            )
        if self.counts["turned"]:
            found.append(f"{self.counts['turned']} of {total} images were turned, as their EXIF orientation says")
        if count := self.stored["I;16"]:
            white = (1 << self.look.bits) - 1
            found.append(f"{count} of {total} images have 16 bits: 0 .. {white} became 0 .. 255 (options.bits)")
            if (bits := self._fitting_bits) is not None and "bits" not in self.options:
                found.append(f"no value is above {self.high}: with options.bits: {bits}, {(1 << bits) - 1} is white")
        if self.is_grey and not self._is_grey_palette and self.look.mode is None:
            found.append("all images are grey, in three equal channels: options.mode: L makes rows a third as long")
        return tuple(found)

    @property
    def _is_grey_palette(self) -> bool:
        return self.is_grey and set(self.stored) <= {"P", "PA"} and self.look.mode is None

    @property
    def _fitting_bits(self) -> int | None:
        if not self.stored["I;16"]:
            return None
        return next((bits for bits in USUAL_BITS if self.high < 1 << bits), None)

    def _count_bytes(self, file: Path, content: bytes) -> None:
        self.digest.update(f"{file.relative_to(self.root).as_posix()}\0".encode("utf-8", "surrogateescape"))
        self.digest.update(hashlib.sha256(content).digest())
        self.bytes += len(content)

    def _require_alike(self, picture: Picture, file: Path) -> None:
        """Raise DataError, with the line of the conf that helps, if an image's mode or size is not the first one's."""
        first, other = self.first, shown(self.layout.files[0])
        if self.look.mode is None and picture.stored != first.stored:
            grey = picture.stored in GREY and first.stored in GREY
            mode = "L" if grey else "RGB"
            raise DataError(
                f"{shown(file)}: mode {picture.stored}, {other} has {first.stored}; say --mode {mode}, "
                f"or write {self._line(mode=mode)}{'' if grey else ', or mode: L in options'}"
            )
        if picture.pixels.shape == self.shape:
            return
        height, width = picture.size
        sizes = Counter(size for size in map(size_of, self.layout.files) if size is not None)
        common, count = max(sizes.items(), key=lambda item: (item[1], item[0]))
        size = [max(1, side * USUAL_SIDE // max(*common, USUAL_SIDE)) for side in common]
        raise DataError(
            f"{shown(file)}: {height}x{width} pixels (height x width), {other} has {first.size[0]}x{first.size[1]}; "
            f"the commonest size is {common[0]}x{common[1]}, of {count} of {len(self.layout.files)} images; "
            f"say --size {size[0]}x{size[1]}, or write {self._line(size=size)}"
        )

    def _line(self, **changes: Any) -> str:
        """Return the line `options: {...}` of the conf with these changes."""
        return f"options: {yaml_file.dump({**self.options, **changes})}"
