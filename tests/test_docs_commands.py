"""Every command that README.md and docs/ show can be typed: its words are known, and a test runs it as it is written.

`commands` finds them. Each is in `docs_runs.RUNS`, with what it must do, and is run here; or in
`docs_exceptions.EXCEPTIONS`, with the test that runs it or the reason why none can.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import docs_project
from tests.docs_commands import PAGES, Command, commands, commands_of, words_of
from tests.docs_exceptions import EXCEPTIONS
from tests.docs_runs import DEFAULT, RUNS, VERSIONS, Does
from tests.docs_words import is_name, knows
from tests.project import HERE

ALL = commands()
NAMED_TEST = re.compile(r"(tests/\w+\.py)::(\w+)")
NAMED_TESTS = sorted({named for why in EXCEPTIONS.values() for named in NAMED_TEST.findall(why)})
TRAINED = ("vae-digits", "gmm-digits", "denoising_ae-digits", "glow-digits")  # whose runs the pages ask


# --- the words


@pytest.mark.parametrize("page", PAGES)
def test_the_words_of_each_command_are_known(page):
    for command in [command for command in ALL if command.page == page]:
        for words in words_of(command.text):
            assert knows(command, words), f"{command}: {' '.join(words)}"


@pytest.mark.parametrize(
    "wrong",
    [
        "gen-models scores vae-digits rows.npy", "gen-models score vae-digits rows.npy --fp 1 --fdx 2",
        "gen-models predict vae-digits rows.npy --task socre", "gen-models compress --table prior",
        "dvc exp runs", "dvc repro evaluat@vae-digits", "dvc repro compare@vae-digits", "make repor",
        "make chapter BUDGET=fuller", "make repro BUDGETS=full", "python -m benchmarks.flow",
        "python -m benchmarks.flows vae-mnist", "pytest tests/test_no.py",
    ],
)  # fmt: skip
def test_a_wrong_word_is_seen(wrong):
    (command,) = commands_of("a page", f"Now `{wrong}` in a sentence.\n")
    assert not all(knows(command, words) for words in words_of(command.text))


def test_commands_are_found_wherever_a_page_has_them():
    page = (
        "First `make repro`, then `gen-models\nlist`, `dvc.yaml` and `make repro`.\n\n    gen-models games x\n\n"
        "```\n$ A=b gen-models list   # all\nanswer\n```\n\n"
        "```sh\necho 'a # b' \\\n  c    # d\n```\n\n```python\nmake\n```\n"
    )
    assert [(one.text, one.is_line) for one in commands_of("x", page)] == [
        ("make repro", False), ("gen-models list", False), ("gen-models games x", True),
        ("A=b gen-models list", True), ("echo 'a # b' c", True),
    ]  # fmt: skip
    assert list(words_of("A=b gen-models list && make x")) == [["gen-models", "list"], ["make", "x"]]


# --- each is run, or is known not to be


def reasons(command: Command) -> list[str]:
    """Return the keys of EXCEPTIONS that the command matches."""
    texts = [command.text, str(command)] if command.is_line else [command.text]
    return [key for key in EXCEPTIONS if any(re.fullmatch(key, text) for text in texts)]


def is_run(command: Command) -> bool:
    """Return whether the command is run here: on its page, or, if a sentence only mentions it, on another."""
    if command.is_line:
        return command.text in RUNS.get(command.page, {})
    return any(command.text in runs for runs in RUNS.values())


def is_only_named(command: Command) -> bool:
    """Return whether a sentence names a verb that takes more words."""
    as_line = command._replace(is_line=True)
    return is_name(command) and not all(knows(as_line, words) for words in words_of(command.text))


def test_each_command_is_run_here_or_is_known_not_to_be():
    for command in ALL:
        assert is_run(command) or reasons(command) or is_only_named(command), f"{command}: add it to RUNS or EXCEPTIONS"
        assert not (is_run(command) and reasons(command)), f"{command}: is both in RUNS and in EXCEPTIONS"


def test_the_tables_name_only_what_is_there():
    used = {key for command in ALL for key in reasons(command)}
    assert used == set(EXCEPTIONS), f"match no command: {set(EXCEPTIONS) - used}"
    there = {(command.page, command.text) for command in ALL}
    stale = {(page, text) for page, runs in RUNS.items() for text in runs} - there
    assert not stale, f"are on no page: {stale}"


@pytest.mark.parametrize(("file", "name"), NAMED_TESTS)
def test_a_test_that_an_exception_names_is_there_and_is_run(file, name):
    """By `make test` or, marked slow, by `make faults`: so it needs no GPU."""
    tree = ast.parse((HERE / file).read_text())
    (found,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]
    marks = [ast.unparse(node) for node in found.decorator_list]
    marks += [ast.unparse(node) for node in tree.body if ast.unparse(node).startswith("pytestmark")]
    assert "mark.gpu" not in " ".join(marks)


# --- running them


@pytest.fixture(scope="module")
def default(tmp_path_factory) -> Path:
    """The default project, with photos of a person's own, trained."""
    root = docs_project.make(tmp_path_factory.mktemp("default") / "project", TRAINED)
    docs_project.run(root, "gen-models add-data photos photos")
    docs_project.train(root, ["vae-digits", "glow-digits", "vae-photos"])
    return root


@pytest.fixture(scope="module")
def versions(tmp_path_factory) -> Path:
    """A project of two trained runs, on rows that no seed divides anew, as docs/registry.md advises."""
    root = docs_project.make(tmp_path_factory.mktemp("versions") / "project", ["vae-digits", "gmm-digits"])
    with (root / "conf" / "data" / "digits.yaml").open("a") as file:
        file.write("seed: 0\n")
    docs_project.run(root, "git commit -q -a -m 'one split'")
    docs_project.train(root, [])
    return root


def follow(root: Path, page: str) -> None:
    """Run the commands of a page that are in RUNS, in the order of the page, and check what each does."""
    runs, exports, served = RUNS[page], [], []
    for address in {does.serves for does in runs.values() if does.serves}:
        if docs_project.is_taken(address):
            pytest.skip(f"{address} is taken by another program, and the commands are run as they are written")
    try:
        for command in ALL:
            if command.page == page and command.text in runs:
                one_command(root, command.text, runs[command.text], exports, served)
    finally:
        for server in served:
            server.end()


def one_command(root: Path, text: str, does: Does, exports: list[str], served: list) -> None:
    """Run one command of a page. exports and served grow by what it sets and starts."""
    for name in does.writes:
        (root / name).unlink(missing_ok=True)
    if does.before:
        does.before(root)
    if does.serves:
        while served:
            served.pop().end()
        served.append(docs_project.Server(root, text, does.serves))
        said = served[-1].log.read_text()
        assert served[-1].is_up, f"{text}\n{said[-4000:]}"
    else:
        said = docs_project.run(root, filled(root, text), exports)
    if text.startswith("export "):
        exports.append(text)
    assert re.search(does.says, said, re.MULTILINE), f"{text} says no {does.says!r}:\n{said[-4000:]}"
    for name in (*does.writes, *does.leaves):
        assert (root / name).exists(), f"{text} has left no {name}:\n{said[-4000:]}"
    if does.check:
        does.check(root, said)


def filled(root: Path, text: str) -> str:
    """Return the command with NAME replaced by the newest experiment's."""
    if "NAME" not in text.split():
        return text
    return text.replace("NAME", docs_project.run(root, "dvc exp list --name-only").split()[0])


@pytest.mark.slow
@pytest.mark.parametrize("page", DEFAULT)
def test_the_commands_of_a_page_of_the_default_runs_do_what_it_says(default, page):
    docs_project.before(default, page)
    follow(default, page)


@pytest.mark.slow
@pytest.mark.parametrize("page", VERSIONS)
def test_the_commands_of_a_page_of_versions_do_what_it_says(versions, page):
    docs_project.before(versions, page)
    follow(versions, page)


@pytest.mark.slow
def test_the_rows_that_the_pages_name_are_known_to_their_commands():
    """By their own parsers: --help lists all rows."""
    named: dict[str, set[str]] = {}
    for command in ALL:
        if found := re.fullmatch(r"python -m (benchmarks\.\w+) (.*)", command.text):
            named.setdefault(found[1], set()).update(found[2].split())
    for module, rows in named.items():
        wide = {**os.environ, "COLUMNS": "10000"}  # no name is divided
        words = [sys.executable, "-m", module, "--help"]
        done = subprocess.run(words, cwd=HERE, env=wide, capture_output=True, text=True)
        assert rows <= set(re.findall(r"[\w-]+", done.stdout)), (module, done.stdout + done.stderr)
