"""Keeps the record of the moves of aliases such as `champion`: who made each move, how, and why.

MLflow does not record where an alias was. So the registered model's tag `alias_moves` holds a list of moves, the newest
last. When the list becomes too long for a tag, its rows go to the tag `alias_moves.0001` (later 0002 and so on), and
the list begins anew. A row is

    {"time", "alias", "from": version or null, "to": version or null,
     "who", "how", "reason", "newest": number, "checkpoint_sha256"}

how is `register` (by that command, whose gate in promotion.py decides on champion), `promote` or `rollback` (by a
person, with that command), `outside` (by a person, in MLflow) or `deleted` (the version to which the alias pointed was
deleted). newest is the number of the newest version at that time. Moves to a version have "replaced", the version that
the choice of a person turned down: "from", but for a row that repairs a chosen champion whose files are damaged.

Before gen-models moves an alias, it writes the row to the tag `alias_move_begun`; after the move, it adds the row to
the list and deletes that tag. If the process is killed in between, `settle` finds the tag. So it can tell this move
from one that a person made in MLflow; it records both.
"""

import getpass
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gen_models.errors import RegistryError
from pipelines.registry import versions
from pipelines.registry.versions import Version

CANDIDATE, CHAMPION = "candidate", "champion"
BECAME = {CANDIDATE: "became_candidate", CHAMPION: "became_champion"}  # tags with the time and the reason of a move
MOVES, BEGUN = "alias_moves", "alias_move_begun"
PAGE_LENGTH = 4_900  # of a tag; databases other than SQLite hold 5,000 characters
REASON_LENGTH = 500
REGISTER, PROMOTE, ROLLBACK, OUTSIDE, DELETED = "register", "promote", "rollback", "outside", "deleted"
BY_PERSONS = (PROMOTE, ROLLBACK, OUTSIDE)
LEFT = "the version that the alias leaves"
GATE = "gen-models"  # the "who" of a move that `register` makes
Row = dict[str, Any]


def user() -> str:
    """Return the name of the person at this machine, for the record; "unknown" if the system has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"


def moves_of(client: Any, model: str) -> list[Row]:
    """Return all moves of a model's aliases, the newest last."""
    tags = client.get_registered_model(model).tags
    rows: list[Row] = []
    for page in (*sorted(name for name in tags if name.startswith(f"{MOVES}.")), MOVES):
        rows += [row for row in json.loads(tags.get(page, "[]")) if row not in rows]  # a kill may leave a page twice
    return rows


def move(
    client: Any, alias: str, version: Version, *, how: str, who: str, reason: str, replaced: str | None = LEFT
) -> Row:
    """Move an alias to a version whose stored files are intact, record the move, and return its row.

    replaced: the version that a person's choice turned down, or None if there was none

    Raises RegistryError, with nothing moved, if a file of the version has changed.
    """
    row = _row(client, version.model, alias, version.number, how=how, who=who, reason=reason, held=version)
    row["replaced"] = row["from"] if replaced == LEFT else replaced
    client.set_registered_model_tag(version.model, BEGUN, json.dumps(row))
    try:
        versions.point(client, alias, version)
    except RegistryError:
        client.delete_registered_model_tag(version.model, BEGUN)
        raise
    _end(client, version.model, row)
    return row


def withdraw(client: Any, model: str, alias: str, *, how: str, who: str, reason: str) -> Row:
    """Take an alias away from a model, record this as a move to no version, and return its row."""
    row = _row(client, model, alias, None, how=how, who=who, reason=reason, held=None)
    client.set_registered_model_tag(model, BEGUN, json.dumps(row))
    client.delete_registered_model_alias(model, alias)
    _end(client, model, row)
    return row


def settle(client: Any, model: str) -> list[Row]:
    """Add to the record the moves that it lacks; return the new rows, without a move that gen-models itself had begun.

    The record is compared with where the aliases are now. If a kill interrupted a move of gen-models, the move is
    recorded if the alias has moved, and forgotten if it has not.
    """
    stored = client.get_registered_model(model)
    aliases = {alias: str(number) for alias, number in stored.aliases.items()}
    if BEGUN in stored.tags:
        begun = json.loads(stored.tags[BEGUN])
        if aliases.get(begun["alias"]) == begun["to"]:
            _end(client, model, begun)
        else:
            client.delete_registered_model_tag(model, BEGUN)
    rows = moves_of(client, model)
    known = {row["alias"]: row["to"] for row in rows}
    moved = [alias for alias in sorted({*aliases, *known}) if aliases.get(alias) != known.get(alias)]
    if not moved:
        return []
    held = {version.number: version for version in versions.versions(client, model)}
    found = []
    for alias in moved:
        before, now = known.get(alias), aliases.get(alias)
        how, reason = OUTSIDE, "moved in MLflow; noticed by gen-models at this time"
        if now is None and before not in held:
            how, reason = DELETED, f"version {before} was deleted"
        row = _row(
            client, model, alias, now, how=how, who="unknown", reason=reason, held=held.get(now or ""), was=before
        )
        _append(client, model, row)
        found.append(row)
    return found


def choice(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the last move of champion if a person made it, else None: then the gate decides.

    The person may have taken the alias away: then the row's "to" is null. Moves that were recorded because a version
    was deleted do not count.
    """
    of_champion = [row for row in rows if row["alias"] == CHAMPION and row.get("how") != DELETED]
    return of_champion[-1] if of_champion and is_by_person(of_champion[-1]) else None


def is_by_person(row: Mapping[str, Any]) -> bool:
    """Return whether a person made a move; rows of earlier releases have no "how", and say it in their reason."""
    return row["how"] in BY_PERSONS if "how" in row else row["reason"] == "set by hand"


def champions(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the numbers of the versions that were champion, the oldest first, without those that a rollback left.

    A rollback removes all versions after the one to which it returns. So a second rollback goes one further back. A
    version that the gate withdrew, since it had collapsed, is removed too.
    """
    way: list[str] = []
    for row in rows:
        if row["alias"] != CHAMPION:
            continue
        if row["to"] is None:
            if row.get("how") == REGISTER and way and way[-1] == row["from"]:  # the gate withdrew it
                del way[-1]
            continue
        if row.get("how") == ROLLBACK and row["to"] in way:
            del way[len(way) - way[::-1].index(row["to"]) :]
        if not way or way[-1] != row["to"]:
            way.append(row["to"])
    return way


def said(row: Mapping[str, Any]) -> str:
    """Return who made a move, how, when and why, in words."""
    how = row.get("how", OUTSIDE if is_by_person(row) else REGISTER)
    who = {
        REGISTER: "the gate of `gen-models register`",
        PROMOTE: f"{row.get('who')}, with `gen-models promote`",
        ROLLBACK: f"{row.get('who')}, with `gen-models rollback`",
        OUTSIDE: "someone, in MLflow",
        DELETED: "someone, by deleting the version",
    }[how]
    return f"{who}, {row['time'][:16].replace('T', ' ')}: {row['reason']}"


def _row(
    client: Any,
    model: str,
    alias: str,
    to: str | None,
    *,
    how: str,
    who: str,
    reason: str,
    held: Version | None,
    was: str | None = None,
) -> Row:
    stored = client.get_registered_model(model)
    newest = max((int(version.number) for version in versions.versions(client, model)), default=0)
    now = stored.aliases.get(alias)
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "alias": alias,
        "from": was if how in (OUTSIDE, DELETED) else (str(now) if now is not None else None),
        "to": to,
        "who": who,
        "how": how,
        "reason": " ".join(reason.split())[:REASON_LENGTH],
        "newest": newest,
        "checkpoint_sha256": held.tags.get("checkpoint_sha256") if held else None,
    }


def _end(client: Any, model: str, row: Row) -> None:
    """Record a move whose row is in the tag `alias_move_begun`, unless it is recorded, and delete that tag."""
    if row["to"] is not None and row["alias"] in BECAME:
        client.set_model_version_tag(model, row["to"], BECAME[row["alias"]], f"{row['time']} {row['reason']}")
    if (rows := moves_of(client, model)) == [] or rows[-1] != row:
        _append(client, model, row)
    client.delete_registered_model_tag(model, BEGUN)


def _append(client: Any, model: str, row: Row) -> None:
    """Add a row to the tag `alias_moves`; if that would become too long, move its old rows to a tag of their own."""
    tags = client.get_registered_model(model).tags
    page = json.loads(tags.get(MOVES, "[]"))
    if page and len(json.dumps([*page, row])) > PAGE_LENGTH:
        full = sum(name.startswith(f"{MOVES}.") for name in tags)
        client.set_registered_model_tag(model, f"{MOVES}.{full + 1:04d}", json.dumps(page))
        page = []
    client.set_registered_model_tag(model, MOVES, json.dumps([*page, row]))
