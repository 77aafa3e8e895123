"""Decides which version is the candidate and which the champion, and records why.

    candidate   always the version that the graph's outputs describe now
    champion    moves to the candidate if the gate allows it: the candidate's metric on the test data must be finite,
                and not worse than the champion's. If the two cannot be compared (other data, another metric, or
                changed files), the alias moves too, and the reason is kept

MLflow does not record where an alias was. Therefore the registered model's tag `alias_moves` holds a table of moves,
the newest last.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines.registry import versions
from pipelines.registry.versions import Version

CANDIDATE, CHAMPION = "candidate", "champion"
BECAME = {CANDIDATE: "became_candidate", CHAMPION: "became_champion"}  # tags with the time and the reason of a move
MOVES = "alias_moves"
MOST_MOVES = 200  # only the last moves are kept, because MLflow limits a tag's length


@dataclass(frozen=True)
class Standing:
    """The values that the gate compares: a metric, its value on the test data, and the hash of the data."""

    metric: str
    value: float
    data_sha256: str


def move_aliases(client: Any, version: Version, standing: Standing) -> str:
    """Move the alias candidate to `version`, and champion too if the gate allows it; return the gate's reason."""
    aliases = versions.models(client)[version.model]
    if aliases.get(CANDIDATE) != version.number:
        _move(client, CANDIDATE, version, "the graph's outputs")
    if aliases.get(CHAMPION) == version.number:
        return "it is the champion already"
    present = None
    if CHAMPION in aliases:
        present = versions.find(client, version.model, CHAMPION)
        if changed := versions.what_changed(client, present):
            _move(client, CHAMPION, version, changed)
            return changed
    passes, reason = gate(standing, standing_of(present.tags) if present else None, present.number if present else "")
    if passes:
        _move(client, CHAMPION, version, reason)
    return reason


def gate(candidate: Standing, champion: Standing | None, number: str) -> tuple[bool, str]:
    """Return (whether the candidate may become champion, the reason). number: the version of the present champion"""
    ours = f"{candidate.metric} {candidate.value:.6g}"
    if not math.isfinite(candidate.value):
        return False, f"{ours} is not finite, so it cannot be champion"
    if champion is None:
        return True, f"the first champion, {ours}"
    if champion.metric != candidate.metric:
        return True, f"not comparable with version {number}: {candidate.metric} now, {champion.metric} then"
    if champion.data_sha256 != candidate.data_sha256:
        return True, f"not comparable with version {number}: it was evaluated on other data; {ours} on these"
    theirs = f"version {number}'s {champion.value:.6g} on the same data"
    if not math.isfinite(champion.value) or candidate.value <= champion.value:
        return True, f"{ours} is not worse than {theirs}"
    return False, f"{ours} is worse than {theirs}, which stays champion"


def standing_of(tags: Mapping[str, str]) -> Standing:
    """Return a version's standing as its tags say."""
    return Standing(tags.get("metric", "no metric"), float(tags.get("value", "nan")), tags.get("data_sha256", ""))


def moves_of(client: Any, model: str) -> list[dict[str, Any]]:
    """Return the table of moves, with {"time", "alias", "from", "to", "reason", "checkpoint_sha256"} for each."""
    return json.loads(client.get_registered_model(model).tags.get(MOVES, "[]"))


def record_moves(client: Any, model: str) -> None:
    """Add a row to the table for each alias that is not where the table's last row says.

    This also records a move after which the process was killed, and one that was made by hand.
    """
    table, aliases = moves_of(client, model), versions.models(client)[model]
    known, held = len(table), {version.number: version for version in versions.versions(client, model)}
    for alias in (CANDIDATE, CHAMPION):
        last = next((row["to"] for row in reversed(table) if row["alias"] == alias), None)
        if alias in aliases and last != aliases[alias]:
            version = held[aliases[alias]]
            since, _, reason = version.tags.get(BECAME[alias], " set by hand").partition(" ")
            row = {"time": since, "alias": alias, "from": last, "to": version.number, "reason": reason}
            table.append({**row, "checkpoint_sha256": version.tags.get("checkpoint_sha256")})
    if len(table) > known:
        client.set_registered_model_tag(model, MOVES, json.dumps(table[-MOST_MOVES:]))


def _move(client: Any, alias: str, version: Version, reason: str) -> None:
    """Move an alias to a version. The reason is written first, so that a kill leaves no move without a reason."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(version.model, version.number, BECAME[alias], f"{since} {reason}")
    versions.point(client, alias, version)
