"""Makes small pictures for the first page, as data: URIs, so that the page needs no other file."""

from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

WIDTHS = (640, 480, 360, 260, 180)  # tried in this order
COLOURS = 128


@dataclass(frozen=True)
class Thumbnail:
    """A small picture; uri: the PNG itself; size: (width, height) in pixels; alt: what it shows."""

    uri: str
    size: tuple[int, int]
    alt: str


def thumbnail(content: bytes, alt: str, *, most_bytes: int) -> Thumbnail:
    """Return a PNG in at most `most_bytes` if one of WIDTHS allows it, else in the smallest width.

    Raises OSError if the content is no picture.
    """
    with Image.open(BytesIO(content)) as picture:
        size = picture.size
        if len(content) <= most_bytes and size[0] <= WIDTHS[0]:
            return embedded(content, size, alt)
        whole = picture.convert("RGB")
    for width in (width for width in WIDTHS if width <= size[0] or width == WIDTHS[-1]):
        small = whole.resize((width, max(1, round(size[1] * width / size[0]))), Image.Resampling.LANCZOS)
        made = png(small.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE))
        if len(made) <= most_bytes:
            break
    return embedded(made, small.size, alt)


def png(picture: Image.Image) -> bytes:
    file = BytesIO()
    picture.save(file, "PNG", optimize=True)
    return file.getvalue()


def embedded(content: bytes, size: tuple[int, int], alt: str) -> Thumbnail:
    """Return a PNG, unchanged, as a Thumbnail. size: (width, height) in pixels; alt: what it shows"""
    return Thumbnail(f"data:image/png;base64,{b64encode(content).decode()}", size, alt)
