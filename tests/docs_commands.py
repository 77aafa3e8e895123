"""The commands that README.md and docs/ show, each as it is typed, page by page in the order of the page."""

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from tests.project import HERE

PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in HERE.glob("docs/*.md")))
PROGRAMS = (
    *("apt", "dvc", "gen-models", "git", "kubectl", "make", "mlflow", "pip", "pytest", "python", "python3", "ray"),
    "source",
)
SHELLS = ("", "bash", "console", "sh")  # languages of fenced blocks in which lines are commands
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}(?=(?:" + "|".join(PROGRAMS) + r") )(.*)$", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
QUOTED = r"'[^']*'|\"[^\"]*\""
BEFORE_COMMENT = re.compile(rf"(?:{QUOTED}|(?!\s+#\s).)*")
ASSIGNMENT = re.compile(r"[A-Z_]+=\S*\s+")


class Command(NamedTuple):
    """text: what is typed, without its comment; is_line: a line of a block, and not a word in a sentence."""

    page: str
    text: str
    is_line: bool

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def commands() -> list[Command]:
    """Return the commands of all pages; one that a page names again in a sentence counts once."""
    return [command for page in PAGES for command in commands_of(page, (HERE / page).read_text())]


def commands_of(page: str, text: str) -> list[Command]:
    """Return the commands of one page, in its order. text: the page's"""
    placed: list[tuple[int, str, bool]] = []
    for block in FENCED.finditer(text):
        if block[1] in SHELLS:
            placed += [(block.start(), line, True) for line in _typed(block[2], is_shell=block[1] != "")]
    prose = FENCED.sub(lambda block: " " * len(block[0]), text)  # places stay
    placed += [(line.start(), _without_comment(line[1]), True) for line in INDENTED.finditer(prose)]
    for span in INLINE.finditer(prose):
        said = " ".join(span[1].split())
        if _program(said) in PROGRAMS and len(said.split()) > 1:
            placed.append((span.start(), said, False))
    found: list[Command] = []
    for _, said, is_line in sorted(placed, key=lambda one: one[0]):
        if is_line or said not in [one.text for one in found]:
            found.append(Command(page, said, is_line))
    return found


def words_of(text: str) -> Iterator[list[str]]:
    """Yield the words of each program that a line calls, without the variables before it."""
    for part in text.split(" && "):
        while found := ASSIGNMENT.match(part):
            part = part[found.end() :]
        yield shlex.split(part)


def _typed(block: str, *, is_shell: bool) -> list[str]:
    """Return the commands of a block: all its lines, or of a block without a language those of a known program."""
    lines = [_without_comment(line) for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines()]
    if any(line.startswith("$ ") for line in lines):  # a transcript: the other lines are answers
        return [line[2:] for line in lines if line.startswith("$ ")]
    known = (*PROGRAMS, "cat", "docker", "export")
    return [line for line in lines if line.strip() and (is_shell or _program(line) in known)]


def _without_comment(line: str) -> str:
    found = BEFORE_COMMENT.match(line)
    return found[0] if found else line


def _program(command: str) -> str:
    while found := ASSIGNMENT.match(command):
        command = command[found.end() :]
    return command.partition(" ")[0]
