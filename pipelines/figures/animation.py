"""Writes frames with captions as an animated GIF. The same frames give the same bytes."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipelines.figures.style import INK

MOST_BYTES = 300_000
TRIES = ((64, 24), (32, 16), (16, 8), (8, 4))  # (colours, frames), tried in order until the file is small enough
FIRST_MS, FRAME_MS, LAST_MS = 800, 350, 2500
CAPTION_PIXELS = 16


def animation(frames: Mapping[str, np.ndarray], to: Path) -> None:
    """Write an animation that repeats for ever.

    frames: {caption: picture (height, width, 3) uint8}, in order, all of one size

    All frames share one palette. Frames and colours are dropped until the file has at most MOST_BYTES, or until the
    last entry of TRIES is reached; the first and the last frame are always kept.
    """
    captioned = [_captioned(name, frame) for name, frame in frames.items()]
    content = b""
    for colours, most in TRIES:
        chosen = np.unique(np.linspace(0, len(captioned) - 1, min(most, len(captioned))).round().astype(int))
        content = _gif([captioned[k] for k in chosen], colours)
        if len(content) <= MOST_BYTES:
            break
    to.write_bytes(content)


def _captioned(name: str, frame: np.ndarray) -> Image.Image:
    height, width = frame.shape[:2]
    canvas = Image.new("RGB", (width, height + CAPTION_PIXELS), "white")
    canvas.paste(Image.fromarray(frame), (0, CAPTION_PIXELS))
    ImageDraw.Draw(canvas).text((3, 2), name, fill=INK, font=ImageFont.load_default())
    return canvas


def _gif(frames: list[Image.Image], colours: int) -> bytes:
    strip = Image.fromarray(np.concatenate([np.asarray(frame) for frame in frames]))
    palette = strip.quantize(colours, method=Image.Quantize.MEDIANCUT)
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    times = [FIRST_MS, *[FRAME_MS] * (len(drawn) - 2), LAST_MS] if len(drawn) > 1 else [LAST_MS]
    file = BytesIO()
    drawn[0].save(file, "GIF", save_all=True, append_images=drawn[1:], duration=times, loop=0)
    return file.getvalue()
