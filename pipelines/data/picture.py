"""Draws what `inspect` found: a histogram of each column of a table, or a grid of the images of each class."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from gen_models.files import replacing
from pipelines import figures
from pipelines.data.look import Found
from pipelines.data.tables.facts import Facts

MOST_COLUMNS = 40
DARK = 16  # bytes with larger values are grey levels up to 255; up to this, the largest value is drawn white
IMAGES_OF_A_CLASS, MOST_CLASSES = 12, 12


def draw(found: Found, path: Path) -> Path | None:
    """Draw what was found into the file `path`, and return `path`; return None if there is nothing to draw.

    A table gets a chart of each of its columns, at most MOST_COLUMNS; those that are features are coloured. Images with
    1 or 3 channels are drawn as a grid. For other rows nothing is drawn.
    """
    if found.facts:
        charts = {name: content for name, fact in found.facts.items() if (content := _content(fact)) is not None}
        shown = dict(list(charts.items())[:MOST_COLUMNS])
        used = {name for name in shown if "role" not in found.columns.get(name, {"role": "ignore"})}
        used |= {name for name in shown if name not in found.columns}  # x[0], x[1], ... of a column x of lists
        missing = {name: sum(found.facts[name].missing.values()) for name in shown}
        return _written(path, lambda to: figures.columns(shown, to, used=used, missing=missing)) if shown else None
    if found.arrays is not None and figures.is_image(found.arrays.x.shape[1:]) and found.arrays.x.shape[1] in (1, 3):
        sheet = _sheet(found)
        levels = 256 if sheet.dtype == np.uint8 and sheet.max(initial=0) > DARK else None
        return _written(path, lambda to: figures.image_grid(sheet, to, levels=levels, columns=IMAGES_OF_A_CLASS))
    return None


def _content(fact: Facts) -> np.ndarray | Mapping[str, int] | None:
    """Return what a chart of a column shows, or None if there is nothing.

    It is the numbers, for a histogram, if the column has more than 2 different ones, else {word: how often}.
    """
    numbers = fact.numbers()
    if len(numbers) > 1 and fact.share_of_numbers == 1.0 and (fact.words is None or len(fact.words) > 2):
        return numbers
    return fact.words or None


def _sheet(found: Found) -> np.ndarray:
    """Return the images of a grid, line by line, with IMAGES_OF_A_CLASS images in a line.

    If there are several classes, each has a line with its first images, for at most MOST_CLASSES classes. Otherwise the
    grid has at most 4 lines of images, chosen evenly from all.
    """
    arrays = found.arrays
    assert arrays is not None
    count = len(arrays.x)
    if arrays.y is None or len(arrays.classes) < 2:
        places = np.linspace(0, count - 1, min(count, IMAGES_OF_A_CLASS * 4)).astype(int)
        return np.asarray(arrays.x[places])
    blank = np.zeros((1, *arrays.x.shape[1:]), dtype=arrays.x.dtype)
    lines = []
    for label in range(min(len(arrays.classes), MOST_CLASSES)):
        rows = np.asarray(arrays.x[np.flatnonzero(arrays.y == label)[:IMAGES_OF_A_CLASS]])
        lines.append(np.concatenate([rows, blank.repeat(IMAGES_OF_A_CLASS - len(rows), axis=0)]))
    return np.concatenate(lines)


def _written(path: Path, to: Callable[[BinaryIO], None]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        to(file)
    return path
