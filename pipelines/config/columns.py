"""Reads and checks the key `columns` of conf/data/NAME.yaml: the role and the kind of each column of a table.

The role is feature, label, id or ignore; a feature also has a kind, such as number or category. A column whose cells
are lists of n values may be written as one entry x with `length: n`. That entry stands for n columns: x[0], x[1] and so
on.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gen_models.errors import ConfigError, unknown
from gen_models.table import FILL, KINDS, REFUSE, TIMES, VALUE, Column, Schema
from pipelines.config import yaml_file

PLACE = re.compile(r"(.+)\[(\d+)\]")
MOST_LENGTH = 100_000
ROLES = ("feature", "label", "id", "ignore")
KEYS = ("role", "kind", "step", "values", "missing", "as", "length")
MISSING = {
    **dict.fromkeys(("number", "count", "time"), (REFUSE, FILL)),
    "flag": (REFUSE,),
    "category": (REFUSE, VALUE),
}


@dataclass(frozen=True)
class Roles:
    """What the key `columns` says of a table.

    schema: the features, with their kinds; label: the name of the column of labels, or None
    ids: the names of the columns that identify rows; known: the names of all columns that have an entry
    """

    schema: Schema
    label: str | None
    ids: tuple[str, ...]
    known: frozenset[str]


def roles_of(columns: Any, where: str) -> Roles:
    """Return what the key `columns` says. Raises ConfigError, with the file and the column, for an unusable entry.

    columns: the value of the key, as it was read from YAML; where: the name of the file, for the error
    """
    if not isinstance(columns, Mapping) or not columns:
        raise ConfigError(
            f"{where}: columns: expected a mapping such as {{amount: {{kind: number}}}}, found {columns!r}"
        )
    features, labels, ids, known = [], [], [], []
    for name, entry in _each(columns, where):
        known.append(name)
        at = f"{where}: columns.{name}"
        if not isinstance(name, str):
            raise ConfigError(f"{at}: YAML reads this name as {type(name).__name__}; put it in quotes")
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{at}: expected a mapping such as {{kind: number}}, found {entry!r}")
        for key in entry:
            if key not in KEYS:
                raise ConfigError(f"{at}: " + unknown("key", str(key), KEYS))
        role = entry.get("role", "feature")
        if role not in ROLES:
            raise ConfigError(f"{at}: " + unknown("role", str(role), ROLES))
        if role == "label":
            labels.append(name)
        elif role == "id":
            ids.append(name)
        elif role == "feature":
            features.append(_column(name, entry, at))
    if len(labels) > 1:
        raise ConfigError(f"{where}: columns: {', '.join(labels)} are all labels; keep one, and ignore the others")
    if not features:
        raise ConfigError(f"{where}: columns: none is a feature; give one a kind, such as {{kind: number}}")
    return Roles(Schema(tuple(features)), labels[0] if labels else None, tuple(ids), frozenset(known))


def collapsed(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return `columns` with x[0], x[1], ..., the columns of a list, replaced by one entry x that has their `length`.

    They are replaced only if there are two or more, numbered from 0 in this order, if their entries are equal, and if
    no column is called x.
    """
    groups: dict[str, list[str]] = {}
    for name in columns:
        if (match := PLACE.fullmatch(name)) is not None:
            groups.setdefault(match[1], []).append(name)
    alike = {
        name: {**columns[places[0]], "length": len(places)}
        for name, places in groups.items()
        if name not in columns
        and len(places) > 1
        and places == [f"{name}[{k}]" for k in range(len(places))]
        and all(columns[place] == columns[places[0]] for place in places)
    }
    found: dict[str, Any] = {}
    for name, entry in columns.items():
        match = PLACE.fullmatch(name)
        if match is not None and match[1] in alike:
            found[match[1]] = alike[match[1]]
        else:
            found[name] = entry
    return found


def _each(columns: Mapping[str, Any], where: str) -> Iterator[tuple[Any, Any]]:
    """Yield each column's name and entry; an entry x with `length: n` yields n columns: x[0], x[1] and so on."""
    for name, entry in columns.items():
        if not isinstance(entry, Mapping) or "length" not in entry:
            yield name, entry
            continue
        length = entry["length"]
        if type(length) is not int or not 1 <= length <= MOST_LENGTH:
            raise ConfigError(f"{where}: columns.{name}.length: {length!r} is not a whole number, 1 .. {MOST_LENGTH}")
        for place in range(length):
            yield f"{name}[{place}]", {key: value for key, value in entry.items() if key != "length"}


def _column(name: str, entry: Mapping[str, Any], at: str) -> Column:
    kind = entry.get("kind", "number")
    if kind not in KINDS:
        raise ConfigError(f"{at}: " + unknown("kind", str(kind), KINDS))
    missing = entry.get("missing", REFUSE)
    if missing not in MISSING[kind]:
        *_, usual = known = MISSING[kind]
        raise ConfigError(f"{at}.missing: {missing!r} is not one of {', '.join(known)}, for a {kind}; write {usual}")
    step = entry.get("step")
    if step is not None and (isinstance(step, bool) or not isinstance(step, (int, float)) or not step > 0):
        raise ConfigError(
            f"{at}.step: {step!r} is not a number above 0; write 0.01, or the step of its grid, or leave it out"
        )
    if step is not None and kind != "number":
        raise ConfigError(f"{at}.step: only numbers have one; leave it out for a {kind}")
    as_ = entry.get("as", "seconds")
    if as_ not in TIMES or ("as" in entry and kind != "time"):
        fix = (
            f"write one of {', '.join(TIMES)}" if kind == "time" else f"only times have one; leave it out for a {kind}"
        )
        raise ConfigError(f"{at}.as: {as_!r}: {fix}")
    values = _values(entry.get("values"), kind, missing, at)
    return Column(name, kind, None if step is None else float(step), values, missing, None, as_)


def _values(values: Any, kind: str, missing: str, at: str) -> tuple[str, ...]:
    if kind not in ("flag", "category"):
        if values is not None:
            raise ConfigError(f"{at}.values: only categories and flags have them; leave them out for a {kind}")
        return ()
    if not isinstance(values, (list, tuple)) or not values:
        raise ConfigError(f"{at}.values: expected a list of words such as [north, south], found {values!r}")
    for value in values:
        if not isinstance(value, str):
            what = type(value).__name__
            raise ConfigError(f"{at}.values: YAML reads {value!r} as {what}; write {_quoted(values)}")
    if len(set(values)) < len(values):
        once = yaml_file.dump(list(dict.fromkeys(values)))
        raise ConfigError(f"{at}.values: a word stands there twice; write {once}")
    if kind == "flag" and len({value.lower() for value in values}) < len(values):
        raise ConfigError(f"{at}.values: the words differ only in upper and lower case; write kind: category")
    if kind == "flag" and len(values) != 2:
        raise ConfigError(f"{at}.values: {len(values)} words, a flag has two, for 0 and for 1; write kind: category")
    if kind == "category" and len(values) + (missing == VALUE) < 2:
        raise ConfigError(f"{at}.values: one word, a category has two or more; write role: ignore")
    return tuple(values)


def _quoted(values: Sequence[Any]) -> str:
    """Return a list of values as YAML text, each value in quotes."""
    words = [("true" if value else "false") if isinstance(value, bool) else str(value) for value in values]
    return f"[{', '.join(json.dumps(word, ensure_ascii=False) for word in words)}]"
