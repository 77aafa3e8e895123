"""What a person does who takes an error at its word: one reader of the fixes that errors offer, which applies them.

A fix is a command in backquotes, an option to say, a name that was meant, a line or key to write, an entry to remove,
a name to take, a file to remove, or an expression of NumPy to save. Advice without words to type is none.
"""

import contextlib
import importlib
import os
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gen_models.errors import GenModelsError
from pipelines.cli import STAGES, TOOLS
from pipelines.config import yaml_file
from tests.project import call

VALUE = r"""\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}|\[[^\]]*\]|"[^"]*"|'[^']*'|[^\s;,()]+"""
PLACE = r"(?: (?:at|to|in|under) (?P<place>[a-z]\w*(?:\.[^;,()]+?)?)(?= ?[;,:()]| (?:in|or|here)\b|$))?"
KEY = r"[\w.]+|\"[^\"]*\"|'[^']*'"
ADVICE = re.compile(r"; |\? |: (?=write |keep |use |remove )")  # what is said before is what is wrong
WRITE = re.compile(rf"(?:write|add|or|quotes,) (?P<key>{KEY}): (?P<value>{VALUE}){PLACE}")
WRITE_VALUE = re.compile(rf"(?:write|add) (?!it\b|its\b)(?P<value>{VALUE})(?! (?:and|of)\b){PLACE}(?!:)")
ON_A_LINE = re.compile(r"line (\d+): (?:\w+: )?(?:(\S+): PyYAML reads|.*?the key (\S+) )")
INSTEAD = re.compile(
    r"(?:write |, |or )(?:(\"[^\"]*\") for the text|([^\s\",]+) for the number|(true|false)\b|(\"[^\"]+\"|\w+)$)"
)
OPTION = re.compile(
    r"(say|or|with|as|,) (--[a-z-]+)(?:(=)|\b)(?: ?('[^']*'(?:\"'\"'[^']*')*|(?!to |or |in |is )[^ ;,()]+|,))?"
)
FLAGS = ("--no-header", "--header", "--force")
PROGRAMS = ("gen-models", "dvc", "git", "chmod")
FILE = re.compile(r"conf/\w+/[\w.-]+\.yaml|params\.yaml")


@dataclass
class Attempt:
    """A command in a project's folder: what is typed, and the environment that it is typed in.

    apart: whether it runs in a process of its own, as commands that start others do
    """

    root: Path
    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    apart: bool = False

    def run(self) -> str | None:
        """Run the command of gen-models. Return its error's line, None if it succeeds."""
        if self.apart:
            done = call(self.root, "gen-models", *self.words)
            return done.stderr.splitlines()[-1].removeprefix("error: ") if done.returncode else None
        verb, *arguments = self.words
        before = {key: os.environ.get(key) for key in ("GEN_MODELS_ROOT", *self.environment)}
        os.environ.update({"GEN_MODELS_ROOT": str(self.root), **self.environment})
        try:
            with contextlib.chdir(self.root):
                importlib.import_module((STAGES | TOOLS)[verb].module).main(arguments)
        except GenModelsError as error:
            return str(error)
        finally:
            for key, value in before.items():
                os.environ.pop(key, None) if value is None else os.environ.__setitem__(key, value)
        return None


@dataclass(frozen=True)
class Fix:
    """A fix that an error offers: the words that it was read from, and what to do.

    of: "option" of a command that takes any, "line" of a file that is there, or "" for all others
    """

    words: str
    apply: Callable[[Attempt], None]
    of: str = ""

    def __str__(self) -> str:
        return self.words


def fixes(message: str, attempt: Attempt) -> list[Fix]:
    """Return the fixes that an error offers to who typed this command.

    `add-data` takes options, and its conf is not written yet; `prepare` reads a conf, and takes no options.
    """
    is_adding = attempt.words[0] in ("add-data", "inspect")
    return [fix for fix in _all(message) if fix.of != ("line" if is_adding else "option")]


def _all(message: str) -> list[Fix]:
    plain = re.sub(r"`[^`]*`", "``", message)
    advice = plain[match.end() :] if (match := ADVICE.search(plain)) else ""
    return [
        *_commands(message),
        *_options(plain),
        *_names(plain),
        *_lines(message, plain, advice),
        *_removals(plain),
        *_environment(plain),
        *_arrays(plain),
    ]


def _commands(message: str) -> list[Fix]:
    found = []
    for text in re.findall(r"(?:run|or|use|by|try|write|keep) `([^`]+)`", message):
        words = shlex.split(text)
        if words[0] in PROGRAMS and f"`{text}` first" in message:
            found.append(Fix(text, lambda attempt, words=words: _shell(attempt, words)))
        elif words[0] == "gen-models":
            found.append(Fix(text, lambda attempt, words=words: attempt.__setattr__("words", words[1:])))
        elif words[0] in PROGRAMS:
            found.append(Fix(text, lambda attempt, words=words: _shell(attempt, words)))
        elif (match := re.fullmatch(r"([\w-]+): (.+)", text)) and f"keep `{text}`" in message:
            line = f"{match[1]}: {match[2]}"
            found.append(Fix(text, lambda attempt, line=line, key=match[1]: _set_line(attempt, message, key, line)))
    return found


def _shell(attempt: Attempt, words: list[str]) -> None:
    done = call(attempt.root, *words)
    assert done.returncode == 0, done.stdout + done.stderr


def _options(plain: str) -> list[Fix]:
    if left := re.search(r"leave ((?:--[a-z]+(?:, | and )?)+) out", plain):
        return [Fix(left[0], lambda attempt: _without(attempt, re.findall(r"--[a-z]+", left[1])))]
    found = []
    for before, option, equals, value in OPTION.findall(plain):
        words = [option] if option in FLAGS else [option, *shlex.split(value)]
        words = [f"{option}={shlex.split(value)[0]}"] if equals else words
        found.append(Fix(" ".join(words), lambda a, words=words, old=before == "as": _say(a, words, old), "option"))
    return found


def _say(attempt: Attempt, words: list[str], in_place: bool) -> None:
    if in_place:
        _without(attempt, words[:1])
    attempt.words += words


def _without(attempt: Attempt, options: list[str]) -> None:
    for option in options:
        while option in attempt.words:
            place = attempt.words.index(option)
            del attempt.words[place : place + 2]


def _names(plain: str) -> list[Fix]:
    found = [
        Fix(f"{right!r} for {wrong!r}", lambda attempt, w=wrong, r=right: _rename(attempt, plain, w, r))
        for wrong, right in re.findall(r"unknown [^':]+ '([^']*)': did you mean '([^']*)'", plain)
    ]
    if gone := re.match(r"(\S+): no such file or folder; did you mean '([^']*)'", plain):
        path = Path(gone[1])
        found.append(Fix(gone[2], lambda attempt: _rename(attempt, plain, str(path), str(path.with_name(gone[2])))))
    if taken := re.search(r"the name '([^']*)'.*; take (\w\S*)$", plain):
        found.append(Fix(f"take {taken[2]}", lambda attempt: _rename(attempt, plain, taken[1], taken[2])))
    return found


def _rename(attempt: Attempt, message: str, wrong: str, right: str) -> None:
    """Put another name for a wrong one: into the command if it has it, else into the file that the error names."""
    words = [
        str(attempt.root / word) if not word.startswith("-") and (attempt.root / word) == Path(wrong) else word
        for word in attempt.words
    ]
    renamed = [re.sub(rf"(?<![\w-]){re.escape(wrong)}(?![\w-])", lambda _: right, word) for word in words]
    if renamed != words:
        attempt.words = renamed
        return
    path = _file(attempt, message)
    text = path.read_text()
    local = wrong if wrong in text else Path(wrong).name
    pattern = rf"(?<![\w-]){re.escape(local)}(?![\w-])"
    assert re.search(pattern, text), (wrong, text)
    path.write_text(re.sub(pattern, lambda _: right if local == wrong else Path(right).name, text, count=1))


def _lines(message: str, plain: str, advice: str) -> list[Fix]:
    at = ON_A_LINE.search(plain)
    if at is not None:
        wrong = at[2] or at[3]
        if plain.endswith("remove one"):
            return [Fix("remove the line", lambda attempt: _remove_line(attempt, message, int(at[1])))]
        offered = ["".join(groups) for groups in INSTEAD.findall(plain[at.end() :])]
        return [
            Fix(right, lambda attempt, right=right: _on_line(attempt, message, int(at[1]), wrong, right))
            for right in offered
        ]
    found = {}
    for match in WRITE.finditer(advice):
        found[match.start()] = Fix(match[0], lambda a, m=match: _set(a, message, m), "line")
    for match in WRITE_VALUE.finditer(advice):
        found.setdefault(match.start(), Fix(match[0], lambda a, m=match: _put(a, message, m), "line"))
    return [found[start] for start in sorted(found)]


def _file(attempt: Attempt, message: str) -> Path:
    """Return the file of which an error speaks, else the conf of the data set that is prepared."""
    match = FILE.search(message)
    path = attempt.root / (match[0] if match else f"conf/data/{attempt.words[1]}.yaml")
    if path.is_symlink():  # to this project's own
        text = path.read_text()
        path.unlink()
        path.write_text(text)
    return path


def _subject(message: str) -> list[str]:
    """Return the keys of which an error speaks: ["split", "test"] of conf/data/t.yaml: split.test: ..."""
    match = re.match(rf"(?:{FILE.pattern}): ([^:]*?): ", message)
    return match[1].split(".") if match and " " not in match[1] else []


def _load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


def _save(path: Path, held: dict[str, Any]) -> None:
    path.write_text("".join(f"{yaml_file.dump({key: value})[1:-1]}\n" for key, value in held.items()))


def _set(attempt: Attempt, message: str, words: re.Match[str]) -> None:
    """Write `key: value` where an error says, or beside the key of which it speaks."""
    path = _file(attempt, message)
    held, above, place = _load(path), _subject(message)[:-1], words["place"]
    if place is not None:
        above = place.split(".") if not place.startswith("columns.") else ["columns", place.removeprefix("columns.")]
    inner = held
    for step in above:
        inner = inner.setdefault(step, {})
    inner[yaml.safe_load(words["key"])] = yaml.safe_load(words["value"])
    _save(path, held)


def _put(attempt: Attempt, message: str, words: re.Match[str]) -> None:
    """Write a value where an error says, or for the key of which it speaks; "add" adds it to a list."""
    path = _file(attempt, message)
    held, keys = _load(path), words["place"].split(".") if words["place"] else _subject(message)
    inner: Any = held
    for step in keys[:-1]:
        inner = inner[step] if step in inner else inner[int(step)]
    new, last = yaml.safe_load(words["value"]), keys[-1]
    inner[last] = [*inner[last], new] if words[0].startswith("add") else new
    _save(path, held)


def _set_line(attempt: Attempt, message: str, key: str, line: str) -> None:
    """Write a line in place of the lines of a key."""
    path = _file(attempt, message)
    text = re.sub(rf"(?ms)^{key}:.*?(?=^\S|\Z)", lambda _: f"{line}\n", path.read_text())
    path.write_text(re.sub(r"(?m)^(sweeps|reuses):", r"\1: &\1", text))


def _on_line(attempt: Attempt, message: str, number: int, wrong: str, right: str) -> None:
    path = _file(attempt, message)
    lines = path.read_text().splitlines()
    assert wrong in lines[number - 1], lines[number - 1]
    lines[number - 1] = lines[number - 1].replace(wrong, right, 1)
    path.write_text("\n".join(lines) + "\n")


def _remove_line(attempt: Attempt, message: str, number: int) -> None:
    match = FILE.match(message)
    path = attempt.root / match[0] if match else Path(message.partition(", line ")[0])
    lines = path.read_text().splitlines(keepends=True)
    del lines[number - 1]
    path.write_text("".join(lines))


def _removals(plain: str) -> list[Fix]:
    """What to remove: (the pattern of an error's line, what is done with its groups)."""
    of_file, found = rf"(?:{FILE.pattern}): ", []
    for pattern, remove in (
        (r".*, line (\d+): .*; remove the line$", lambda a, line: _remove_line(a, plain, int(line))),
        (r"(.*), line 1: .*; remove the lines above the header$", _remove_remarks),
        (of_file + r"(\w+): .*(?:remove the line|leave it out)$", lambda a, key: _drop(a, plain, [key])),
        (
            of_file + r"columns\.(.+)\.(\w+): .*leave (?:it|them) out\b",
            lambda a, *keys: _drop(a, plain, ["columns", *keys]),
        ),
        (of_file + r"(\w+) and \w+: .*; remove one$", lambda a, key: _drop(a, plain, [key])),
        (of_file + r"\w+ and (\w+): .*; remove one$", lambda a, key: _drop(a, plain, [key])),
        (
            of_file + r"files\.(\w+): .* is also listed under data:; remove it there$",
            lambda a, key: _drop(a, plain, ["data", key]),
        ),
        (of_file + r".*: data '(\w+)' is not listed under data:; add it there", lambda a, name: _list(a, name)),
        (of_file + r"files\.(\w+): .*; list it under data:$", lambda a, name: _list(a, name)),
        (r"(/[^:]*): .*\bremove it\b", lambda a, path: Path(path).unlink()),
    ):
        if (match := re.match(pattern, plain)) is not None:
            words = " ".join((plain.rpartition("; ")[2], *match.groups()))
            found.append(Fix(words, lambda a, remove=remove, match=match: remove(a, *match.groups())))
    return found


def _remove_remarks(_: Attempt, path: str) -> None:
    lines = Path(path).read_text().splitlines(keepends=True)
    Path(path).write_text("".join(line for line in lines if not line.startswith("#")))


def _drop(attempt: Attempt, message: str, keys: Sequence[str]) -> None:
    path = _file(attempt, message)
    held = _load(path)
    inner: Any = held
    for key in keys[:-1]:
        inner = inner[key]
    inner.pop(keys[-1]) if isinstance(inner, dict) else inner.remove(keys[-1])
    _save(path, held)


def _list(attempt: Attempt, name: str) -> None:
    path = attempt.root / "params.yaml"
    held = _load(path)
    held["data"] = [*held["data"], name]
    if isinstance(held.get("files"), dict):
        held["files"].pop(name, None)
    _save(path, held)


def _environment(plain: str) -> list[Fix]:
    if unset := re.match(r"([A-Z_]+)=.*; set it to the project's folder$", plain):
        return [Fix("the project's folder", lambda attempt: attempt.environment.update({unset[1]: str(attempt.root)}))]
    return [
        Fix(f"{name}={value}", lambda attempt, name=name, value=value: attempt.environment.update({name: value}))
        for name, value in re.findall(r"set ([A-Z_]+)=(\S+)$", plain)
    ]


def _arrays(plain: str) -> list[Fix]:
    """What to save in place of an array, as Python says it: x is the array, y the labels, path the file."""
    file = re.match(r"([^:\[]+\.np[yz])(?:\[(\w+)\])?: ", plain)
    expression = re.search(r"; save ((?:np\.|numpy\.)?[xy]?[\w.]*\(.*\))$", plain) or re.search(
        r"save (x\.\S+\(.*\))$", plain
    )
    call = re.search(r": (numpy\.savez?\(path, .*\))$|with (numpy\.save\(path, rows\))$", plain)
    if file is None or not (expression or call):
        return []
    path = Path(file[1])

    def save(_: Attempt) -> None:
        loaded = np.load(path, allow_pickle=True)
        held = {name: loaded[name] for name in loaded.files} if path.suffix == ".npz" else {"x": np.array(loaded)}
        known = {"np": np, "numpy": np, "path": path, **held}
        if call:
            arrays = list(held.values())
            known |= {"rows": np.atleast_2d(arrays[0]), "labels": arrays[-1]}
            eval(call[1] or call[2], known)  # noqa: S307  our own words
            return
        name = file[2] or "x"
        held[name] = eval(expression[1], {**known, "x": held[name], "y": held[name]})  # noqa: S307
        np.savez(path, **held) if path.suffix == ".npz" else np.save(path, held["x"])

    return [Fix((expression or call)[0], save)]
