"""The options with which `inspect` and `add-data` are told how a file is read and what its columns are."""

import argparse
from pathlib import Path
from typing import Any

from gen_models.errors import ConfigError, option
from pipelines.data.tables.open_table import Reading
from pipelines.data.tables.propose import Wishes

ESCAPES = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "none": ""}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the path and the options of a table to a command's parser."""
    parser.add_argument("path", type=Path, help="a file or folder of data")
    parser.add_argument("--label", help="the column that holds the labels; none: no column")
    parser.add_argument(
        "--kind", action="append", default=[], metavar="COLUMN=KIND", help="number, count, flag, category or time"
    )
    parser.add_argument("--id", action="append", default=[], metavar="COLUMN", help="an identifier, not a feature")
    parser.add_argument("--ignore", action="append", default=[], metavar="COLUMN", help="a column to leave out")
    parser.add_argument("--delimiter", help="between cells of a text: comma, semicolon, tab or |")
    parser.add_argument("--decimal", help="the decimal mark, . or ,")
    parser.add_argument("--thousands", help="the mark between groups of three digits, such as ,")
    parser.add_argument("--encoding", default="utf-8", help="of a text, such as cp1252")
    parser.add_argument(
        "--missing", action="append", default=[], metavar="WORD", help="one more word for a missing value"
    )
    parser.add_argument("--size", metavar="HEIGHTxWIDTH", help="to which images are resized, such as 64x64")
    parser.add_argument("--mode", choices=["L", "RGB"], help="to which images are converted: grey or colours")
    parser.add_argument("--no-header", action="store_true", help="the first line holds data, not names")


def wishes_of(asked: argparse.Namespace) -> Wishes:
    """Return what was said of the columns. Raises ConfigError for a --kind that is not COLUMN=KIND."""
    kinds = {}
    for text in asked.kind:
        column, found, kind = text.rpartition("=")
        if not found or not column:
            example = option("--kind", f"{text.strip('=') or 'shop'}=category")
            raise ConfigError(f"--kind {text}: expected COLUMN=KIND, such as {example}")
        kinds[column] = kind
    return Wishes(asked.label, kinds, tuple(asked.id), tuple(asked.ignore))


def image_options_of(asked: argparse.Namespace) -> dict[str, Any]:
    """Return how images are read, as options of a conf. Raises ConfigError for a size that is none."""
    found: dict[str, Any] = {"mode": asked.mode} if asked.mode is not None else {}
    if asked.size is None:
        return found
    sides = asked.size.lower().split("x")
    if len(sides) != 2 or not all(side.isdigit() and int(side) for side in sides):
        side = next((side for side in sides if side.isdigit() and int(side)), "64")
        raise ConfigError(f"--size {asked.size}: expected HEIGHTxWIDTH in pixels, such as --size {side}x{side}")
    return found | {"size": [int(side) for side in sides]}


def reading_of(asked: argparse.Namespace) -> Reading:
    """Return how a file of text is read. Raises ConfigError for a mark that is none."""
    delimiter, decimal, thousands = (
        ESCAPES.get(mark, mark) for mark in (asked.delimiter, asked.decimal, asked.thousands)
    )
    return Reading(delimiter, decimal, thousands, asked.encoding, not asked.no_header, tuple(asked.missing))
