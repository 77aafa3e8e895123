"""Whether the words of a command are known to the program that it calls: asked of the real parsers."""

import argparse
import contextlib
import importlib.util
import io
import json
import re
from collections.abc import Sequence

import yaml
from dvc.cli.parser import get_main_parser

from pipelines import cli
from tests.docs_commands import Command
from tests.project import HERE

MAKEFILE = (HERE / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"\$\(([A-Z]+)\)", MAKEFILE)) - set(re.findall(r"^([A-Z]+) :=", MAKEFILE, re.MULTILINE))
STAGES = yaml.safe_load((HERE / "dvc.yaml").read_text())["stages"]


def knows(command: Command, words: list[str]) -> bool:
    """Return whether the program that is called takes the words; only of programs that this project has or pins."""
    program, *rest = words
    if program == "gen-models":
        known = (cli.STAGES | cli.TOOLS).get(rest[0])
        if known is None:
            return False
        parser = argparse.ArgumentParser()
        known.add(parser)
        return accepts(parser, rest[1:]) or is_name(command)
    if program == "dvc":
        targets = [word for word in rest[1:] if not word.startswith("-")] if rest[0] == "repro" else []
        return (accepts(get_main_parser(), rest) or is_name(command)) and all(map(is_stage, targets))
    if program == "make":
        named = [word.partition("=") for word in rest if "=" in word]
        return {word for word in rest if "=" not in word} <= TARGETS and all(
            name in VARIABLES and (name != "BUDGET" or (HERE / "conf" / "budget" / f"{value}.yaml").is_file())
            for name, _, value in named
        )
    if words[:2] == ["python", "-m"]:
        measured = [word for word in words[3:] if not word.startswith("-")]
        return importlib.util.find_spec(words[2]) is not None and all(is_row(words[2], row) for row in measured)
    if program == "pytest":
        return all((HERE / word).is_file() for word in rest if word.startswith("tests/"))
    return True


def is_name(command: Command) -> bool:
    """Return whether a sentence only names a program and its verb, such as `gen-models score`."""
    return not command.is_line and len(command.text.split()) == 2


def accepts(parser: argparse.ArgumentParser, words: Sequence[str]) -> bool:
    """Return whether a parser, and its check, take the words."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            asked = parser.parse_args(words)
            if check := getattr(asked, "check", None):
                check(asked)
        except (SystemExit, Exception) as error:
            return isinstance(error, SystemExit) and error.code == 0
    return True


def is_stage(target: str) -> bool:
    name, _, key = target.partition("@")
    return name in STAGES and (not key or "foreach" in STAGES[name])


def is_row(module: str, row: str) -> bool:
    """Return whether the row is one that this command has measured."""
    path = HERE / "benchmarks" / "results" / f"{row}.json"
    return path.is_file() and json.loads(path.read_text())["command"].split()[2] == module
