"""The templates of all pages. Autoescape is on: whatever comes from a file is text, never markup."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parent.with_name("templates")


def environment() -> Environment:
    """A fresh environment, to which a page adds its own filters."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
