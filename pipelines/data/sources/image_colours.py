"""Converts an image, in whatever mode it is stored, to grey (L) or RGB of 8 bits, as it looks to the eye.

The modes are Pillow's.

1, LA, I;16, I       become L; 16 bits are scaled by options.bits: 2^bits - 1 becomes 255, with rounding
P, CMYK, RGBA, ...   become RGB
transparent images   are drawn on the colour options.background, so that colours which nobody sees do not count
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from gen_models.errors import ConfigError, DataError

CHANNELS = {"L": 1, "RGB": 3}
WHITE = "#ffffff"
GREY = ("1", "L", "LA", "La", "I;16")
COLOURED = ("RGB", "RGBA", "RGBa", "RGBX", "P", "PA", "CMYK", "YCbCr")
OF_16_BITS = ("I;16", "I;16L", "I;16B", "I;16N", "I")
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
MOST_BITS = 16


@dataclass(frozen=True)
class Look:
    """How images are converted.

    mode        "L" or "RGB"; None: L if the stored mode is grey, RGB if it has colours
    background  the colour on which transparent images are drawn, #rrggbb
    bits        for grey images that are stored with 16 bits: the value 2^bits - 1 is white
    """

    mode: str | None = None
    background: str = WHITE
    bits: int = MOST_BITS


@dataclass(frozen=True)
class Seen:
    """A converted image, in mode L or RGB.

    is_transparent: whether any pixel was transparent; high: the largest value of an image of 16 bits, else 0
    """

    image: Image.Image
    is_transparent: bool = False
    high: int = 0


def require_look(mode: Any, background: Any, bits: Any) -> Look:
    """Return the options mode, background and bits as a Look, with defaults for those that are None.

    Raises ConfigError for an option that cannot be used.
    """
    if mode is not None and mode not in CHANNELS:
        raise ConfigError(f"options.mode: {mode!r} is none; write mode: L for grey, or mode: RGB")
    background = WHITE if background is None else background
    if not isinstance(background, str) or not re.fullmatch("#[0-9a-fA-F]{6}", background):
        raise ConfigError(f'options.background: {background!r} is not a colour; write "#ffffff" for white, or the like')
    bits = MOST_BITS if bits is None else bits
    if type(bits) is not int or not 8 <= bits <= MOST_BITS:
        raise ConfigError(
            f"options.bits: {bits!r} is not 8 .. {MOST_BITS}, the bits of a grey value; write {MOST_BITS} or so"
        )
    return Look(mode, background, bits)


def stored_mode(image: Image.Image) -> str:
    """Return the mode in which an image is stored; it is "I;16" for 16 bits of grey in any byte order."""
    return "I;16" if image.mode in OF_16_BITS else image.mode


def natural_mode(stored: str) -> str | None:
    """Return "L" for a stored mode of greys, "RGB" for one of colours, and None for one that cannot be converted."""
    return "L" if stored in GREY else "RGB" if stored in COLOURED else None


def convert(image: Image.Image, look: Look, where: str) -> Seen:
    """Convert an image to L or RGB as `look` says.

    image: one whose pixels are loaded; where: its file, for errors. Raises DataError if its mode cannot be converted,
    or if a value of 16 bits is not 0 .. 2^bits - 1.
    """
    stored = stored_mode(image)
    mode = look.mode or natural_mode(stored)
    if mode is None or natural_mode(stored) is None:
        raise DataError(f"{where}: mode {stored}, which cannot be converted; save it as RGB or grey of 8 bits")
    if stored == "I;16":
        return _of_16_bits(image, mode, look, where)
    if image.mode not in WITH_ALPHA and "transparency" not in image.info:
        return Seen(image if image.mode == mode else image.convert(mode))
    # in La and RGBa, colours are multiplied by alpha; La can become RGBA only by way of LA
    drawn = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    paper = Image.new("RGBA", drawn.size, look.background)
    seen = Image.alpha_composite(paper, drawn).convert("RGB")
    is_transparent = bool((np.asarray(drawn.getchannel("A")) < 255).any())
    return Seen(seen if mode == "RGB" else seen.convert(mode), is_transparent)


def is_grey(pixels: np.ndarray) -> bool:
    """Return whether the three channels of an image (3, height, width) are equal."""
    return bool((pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all())


def _of_16_bits(image: Image.Image, mode: str, look: Look, where: str) -> Seen:
    values = np.asarray(image).astype(np.int64)
    low, high, white = int(values.min()), int(values.max()), (1 << look.bits) - 1
    if low < 0 or high > white:
        value = low if low < 0 else high
        fix = (
            f"write options.bits: {max(high.bit_length(), 9)}"
            if low >= 0 and high < 1 << MOST_BITS
            else "save it with 8"
        )
        raise DataError(f"{where}: a grey value of {value}, not 0 .. {white} ({look.bits} bits); {fix}")
    seen = Image.fromarray(((values * 255 + white // 2) // white).astype(np.uint8)).convert(mode)
    hidden = image.info.get("transparency")
    is_hidden = values == hidden if isinstance(hidden, int) else np.zeros(values.shape, dtype=bool)
    if is_hidden.any():
        seen.paste(Image.new("RGB", seen.size, look.background).convert(mode), mask=Image.fromarray(is_hidden))
    return Seen(seen, is_transparent=bool(is_hidden.any()), high=high)
