"""Translates the command-line options of `inspect` and `add-data`: how a file is read, and what its columns are."""

import argparse
from typing import Any

from gen_models.errors import ConfigError, option
from pipelines.data.tables.open_table import Reading
from pipelines.data.tables.propose import Wishes


def wishes_of(asked: argparse.Namespace) -> Wishes:
    """Return what --label, --kind, --id and --ignore say about a table's columns.

    Raises ConfigError for a --kind that is not COLUMN=KIND.
    """
    kinds = {}
    for text in asked.kind:
        column, found, kind = text.rpartition("=")
        if not found or not column:
            example = option("--kind", f"{text.strip('=') or 'shop'}=category")
            raise ConfigError(f"--kind {text}: expected COLUMN=KIND, such as {example}")
        kinds[column] = kind
    return Wishes(asked.label, kinds, tuple(asked.id), tuple(asked.ignore), asked.header)


def image_options_of(asked: argparse.Namespace) -> dict[str, Any]:
    """Return what --mode and --size say about images, as the `options:` of conf/data/NAME.yaml.

    Raises ConfigError if --size is not HEIGHTxWIDTH.
    """
    found: dict[str, Any] = {"mode": asked.mode} if asked.mode is not None else {}
    if asked.size is None:
        return found
    sides = asked.size.lower().split("x")
    if len(sides) != 2 or not all(side.isdigit() and int(side) for side in sides):
        side = next((side for side in sides if side.isdigit() and int(side)), "64")
        raise ConfigError(f"--size {asked.size}: expected HEIGHTxWIDTH in pixels, such as --size {side}x{side}")
    return found | {"size": [int(side) for side in sides]}


def reading_of(asked: argparse.Namespace) -> Reading:
    """Return how a table that is a text file is read, by --delimiter, --decimal, --thousands and the like.

    Raises ConfigError for a delimiter, a decimal mark or a mark between thousands that is not supported.
    """
    marks = (asked.delimiter, asked.decimal, asked.thousands)
    return Reading(*marks, asked.encoding, not asked.no_header, tuple(asked.missing))
