"""Decodes one image. Files are not trusted: one with too many bytes or pixels is refused before it is decoded.

An image is turned as its EXIF orientation says, converted to L or RGB (image_colours.py) and resized if that is asked
for. Whatever Pillow raises becomes a DataError of one line that names the file.
"""

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from gen_models.errors import ConfigError, DataError
from pipelines.data.sources.files import require_file, shown, unreadable, why
from pipelines.data.sources.image_colours import Look, convert, stored_mode
from pipelines.data.sources.left_out import cure_of_one

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", *(["AVIF"] if features.check("avif") else []))
MOST_BYTES = 64 << 20  # the largest file
MOST_PIXELS = 1 << 24  # the largest image: 4096 x 4096
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    pixels          (channels, height, width) uint8
    content         the bytes of its file
    stored          the mode in which it was stored, such as RGBA
    size            (height, width) before it was resized
    is_transparent  whether any pixel was transparent
    is_turned       whether it was turned, as its EXIF orientation says
    high            the largest value of an image of 16 bits, else 0
    """

    pixels: np.ndarray
    content: bytes
    stored: str
    size: tuple[int, int]
    is_transparent: bool
    is_turned: bool
    high: int


def read_image(path: Path, *, size: Sequence[int] | None = None, look: Look | None = None) -> Picture:
    """Read an image from a file, decode it, convert it and resize it.

    size: [height, width] to which it is resized, or None to keep its size; look: how it is converted, or None for the
    defaults. Raises DataError if the file cannot be read as an image.
    """
    content = read_content(path)
    with pillow_errors(path, content):
        image, is_turned = load(content, path)
        stored, (width, height) = stored_mode(image), image.size
        seen = convert(image, look or Look(), shown(path))
        image = seen.image
        if size is not None and (height, width) != tuple(size):
            image = image.resize((size[1], size[0]), Image.Resampling.LANCZOS)
        pixels = np.asarray(image, dtype=np.uint8)
        channels_first = pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(np.moveaxis(pixels, 2, 0))
    return Picture(channels_first, content, stored, (height, width), seen.is_transparent, is_turned, seen.high)


def size_of(path: Path) -> tuple[int, int] | None:
    """Return (height, width) of an image from its header, turned as EXIF says; None if it cannot be read."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            is_aside = _orientation(image) in (5, 6, 7, 8) and image.format != "TIFF"  # Pillow turns TIFF itself
            return (width, height) if is_aside else (height, width)
    except Exception:  # a damaged file has no size
        return None


def require_size(size: Any) -> tuple[int, int] | None:
    """Return `options.size` as (height, width), or None if it is None. Raises ConfigError if it is not a size."""
    if size is None:
        return None
    is_size = isinstance(size, (list, tuple)) and len(size) == 2 and all(type(s) is int and s > 0 for s in size)
    if not is_size or size[0] * size[1] > MOST_PIXELS:
        side = size if type(size) is int and 0 < size <= MOST_PIXELS**0.5 else 32
        raise ConfigError(
            f"options.size: {size!r} is not [height, width] in pixels; write size: [{side}, {side}] or so"
        )
    return size[0], size[1]


def read_content(path: Path) -> bytes:
    """Return the bytes of an image's file. Raises DataError if it is empty, too large or not a regular file."""
    length = require_file(path)
    if length > MOST_BYTES:
        raise DataError(f"{shown(path)}: {length} bytes, more than {MOST_BYTES} of an image; make it smaller")
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def load(content: bytes, path: Path) -> tuple[Image.Image, bool]:
    """Decode the bytes of an image's file; return (the image, turned as EXIF says, whether it was turned).

    Call this within `pillow_errors`. Raises DataError for an image with too many pixels or more than one frame.
    """
    image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _too_large(path, f", {width}x{height}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # MPO is a camera's JPEG, whose other frames are previews or gain maps
        what = "pages" if image.format == "TIFF" else "frames"
        raise DataError(f"{shown(path)}: animated, {frames} {what}; keep one")
    image.load()
    turn = TURNS.get(_orientation(image))
    return (image, False) if turn is None else (image.transpose(turn), True)


@contextmanager
def pillow_errors(path: Path, content: bytes) -> Iterator[None]:
    """Turn what Pillow raises on damaged files into a DataError of one line."""
    with warnings.catch_warnings(action="ignore"):
        try:
            yield
        except DataError:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise _too_large(path, "") from None
        except UnidentifiedImageError:
            cure = cure_of_one(path)
            raise DataError(
                f"{shown(path)}: not an image that is read, begins with {content[:8]!r}; "
                f"{cure or 'remove it or save it as one'}"
            ) from None
        except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
            raise DataError(f"{shown(path)}: a damaged image ({why(error)}); copy it again or remove it") from None


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF does not spoil the pixels
        return 1


def _too_large(path: Path, found: str) -> DataError:
    return DataError(f"{shown(path)}: more than {MOST_PIXELS} pixels{found}; make it smaller, or remove it")
