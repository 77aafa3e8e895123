"""docs/chapter.md names code and tests: what it names is there."""

import ast
import re
from pathlib import Path

import pytest

from benchmarks import flows, plan

REFERENCE = re.compile(r"`([\w/]+\.(?:py|md|html))(?:::([\w.]+))?`")
ROOT = Path(__file__).resolve().parent.parent
CHAPTER = (ROOT / "docs" / "chapter.md").read_text()
MADE_BY_A_COMMAND = ("reports/index.html", "reports/games.html")


@pytest.mark.parametrize(("file", "symbol"), sorted(set(REFERENCE.findall(CHAPTER))))
def test_what_the_chapters_index_names_is_there(file, symbol):
    if file in MADE_BY_A_COMMAND:
        return
    assert (ROOT / file).is_file()
    names = ast.parse((ROOT / file).read_text()).body if symbol else []
    for name in symbol.split(".") if symbol else ():
        named = {node.name: node for node in names if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert name in named, f"{file} has no {symbol}"
        names = named[name].body


def test_every_row_of_the_index_has_code_and_a_test():
    rows = [line for line in CHAPTER.splitlines() if line.startswith("| ") and not line.startswith("| the chapter |")]
    assert rows
    for line in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        assert len(cells) == 5, line
        assert "gen_models/" in cells[1], line
        assert "tests/" in cells[2], line
        assert cells[3], line


def test_the_rows_that_the_index_names_are_measured():
    planned = {*flows.table(), *plan.table("games"), *plan.table("latent")}
    for cell in re.findall(r"\brows? ([\w, -]+)", CHAPTER):
        words = [part.split()[0] for part in cell.split(", ") if part.strip()]
        names = [word for word in words if "-" in word and not word.endswith("-PLANE")]
        stem = words[0].rpartition("-")[0]
        assert {stem + name if name.startswith("-") else name for name in names} <= planned, cell
