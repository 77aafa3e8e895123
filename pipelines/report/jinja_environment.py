"""The Jinja environment of all pages. Autoescape is on, so text that comes from a file is never read as markup."""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipelines.report import as_text

TEMPLATES = Path(__file__).with_name("templates")


@cache
def environment() -> Environment:
    """Return the environment, with the filters of as_text.py; made once, so that a template is compiled once."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    for text in (as_text.decimal, as_text.setting, as_text.significant, as_text.spread, as_text.short, as_text.commit):
        made.filters[text.__name__] = text
    made.globals["model_page"] = as_text.model_page
    return made
