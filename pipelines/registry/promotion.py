"""Decides which version is the candidate and which the champion, and says why.

    candidate   always the version that was made from what out/ holds now
    champion    the first version of a name; then the candidate takes over if the gate allows it: its metric on the
                test data must be finite, its samples and latents not collapsed, and it must not be worse than the
                champion on the same test data. Two versions that cannot be compared, because of other data or another
                metric, do not change places; the reason then has the command that does it by hand

A person's choice, made with `gen-models promote`, `gen-models rollback` or in MLflow, stands until a person changes it,
or until a model that is new since then is better, on the same data, than both the chosen version and the one that the
choice replaced.

moves.py keeps the record of all moves.
"""

import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines.registry import moves, versions
from pipelines.registry.moves import CANDIDATE, CHAMPION, GATE, REGISTER
from pipelines.registry.versions import Version

IS_CHAMPION = "this version is champion already"
NOT_COLLAPSED = "no"
PLAIN = "whole rows"


@dataclass(frozen=True)
class Standing:
    """What the gate compares of a version.

    metric, value: a metric's name and its value on the test rows, lower is better
    data_sha256: the hash of the data; rows_sha256: the hash of their rows, "" for a version of an earlier release
    collapsed: in what way samples or latents collapsed, or ""
    observed: what of the data the metric is about, such as binary pixels; "" for whole rows, None if that is not known,
    as of versions of earlier releases
    """

    metric: str
    value: float
    data_sha256: str
    collapsed: str = ""
    rows_sha256: str = ""
    observed: str | None = None

    @property
    def fault(self) -> str:
        """Why a version with this standing cannot be champion; "" if it can."""
        if not math.isfinite(self.value):
            return f"{self.metric} {self.value:.6g} is not finite"
        return f"it collapsed ({self.collapsed})" if self.collapsed else ""


def move_aliases(client: Any, version: Version, standing: Standing) -> str:
    """Move the alias candidate to `version`, and champion too if the gate allows it; return the gate's reason.

    Call `moves.settle` before the version is uploaded. It records a choice that a person made in MLflow, and with it
    which versions there were to choose from.
    """
    aliases = versions.aliases(client, version.model)
    if aliases.get(CANDIDATE) != version.number:
        moves.move(client, CANDIDATE, version, how=REGISTER, who=GATE, reason="the graph's outputs")
    return _move_champion(client, version, standing, aliases.get(CHAMPION))


def gate(candidate: Standing, champion: Standing | None, number: str) -> tuple[bool, str]:
    """Return (whether the candidate may become champion, the reason).

    champion: the standing of the present champion, or None; number: its version
    """
    ours = f"{candidate.metric} {candidate.value:.6g}"
    if candidate.fault:
        return False, f"{candidate.fault}, {versions.BY_HAND_ONLY}"
    if champion is None:
        return True, f"no other was champion, {ours}"
    if why := incomparable(candidate, champion):
        return False, f"not comparable with version {number}, which stays champion: {why}"
    theirs = f"version {number}'s {champion.value:.6g} on the same data"
    if champion.fault:
        return True, f"{ours}, and of version {number}, {champion.fault}"
    if candidate.value <= champion.value:
        return True, f"{ours} is not worse than {theirs}"
    return False, f"{ours} is worse than {theirs}, which stays champion"


def incomparable(one: Standing, other: Standing) -> str:
    """Return why the metrics of two versions cannot be compared, or ""."""
    if one.metric != other.metric:
        return f"{one.metric} now, {other.metric} then"
    if None not in (one.observed, other.observed) and one.observed != other.observed:
        return f"{one.metric} of {one.observed or PLAIN} now, of {other.observed or PLAIN} then"
    same_rows = one.rows_sha256 == other.rows_sha256 != ""
    if one.data_sha256 != other.data_sha256 and not same_rows:
        return f"it was evaluated on other data ({one.data_sha256[:12]} now, {other.data_sha256[:12]} then)"
    return ""


def standing_of(tags: Mapping[str, str]) -> Standing:
    """Return a version's standing as its tags say."""
    collapsed = tags.get("collapsed", NOT_COLLAPSED)
    return Standing(
        tags.get("metric", "no metric"),
        float(tags.get("value", "nan")),
        tags.get("evaluated_sha256", tags.get("data_sha256", "")),
        "" if collapsed == NOT_COLLAPSED else collapsed,
        tags.get("rows_sha256", ""),
        tags.get("observed"),
    )


def command(model: str, number: str, reason: str = "a reason") -> str:
    """Return the shell command that makes a version champion by hand."""
    return f"gen-models promote {shlex.quote(model)} {number} --reason {shlex.quote(reason)}"


def noticed(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each move of champion among the rows that `moves.settle` returned."""
    found = []
    for row in rows:
        if row["alias"] == CHAMPION and row["how"] == moves.DELETED:
            found.append(f"noticed that version {row['from']}, the champion, was deleted")
        elif row["alias"] == CHAMPION:
            to = (
                f"moved from version {row['from']} to {row['to']}" if row["to"] else f"taken from version {row['from']}"
            )
            found.append(f"noticed that champion was {to} outside gen-models")
    return found


def _move_champion(client: Any, version: Version, standing: Standing, number: str | None) -> str:
    chosen = moves.choice(moves.moves_of(client, version.model))
    present = versions.find(client, version.model, number) if number else None
    if number == version.number and chosen is None and standing.fault:
        reason = f"{standing.fault}, {versions.NO_LONGER}"
        moves.withdraw(client, version.model, CHAMPION, how=REGISTER, who=GATE, reason=reason)
        return f"{reason}; `{command(version.model, version.number)}` makes it champion all the same"
    if number == version.number:
        return IS_CHAMPION
    damage = (versions.what_changed(client, present) or "").partition(";")[0] if present else ""
    if chosen is not None:
        return _beside_a_choice(client, version, standing, present, chosen, damage)
    theirs = standing_of(present.tags) if present else None
    if damage and theirs is not None:
        theirs = replace(theirs, value=math.nan)
    passes, reason = gate(standing, theirs, number or "")
    if damage:
        reason = damage if passes else f"{damage}; {reason}"
    if passes:
        moves.move(client, CHAMPION, version, how=REGISTER, who=GATE, reason=reason)
        return reason
    if theirs is not None and not standing.fault and incomparable(standing, theirs):
        is_same = (standing.metric, standing.data_sha256) == (theirs.metric, theirs.data_sha256)
        why = "other data" if standing.metric == theirs.metric else "another metric"
        why = f"of {standing.observed or PLAIN}" if is_same else why
        return f"{reason}; `{command(version.model, version.number, why)}` makes this one champion"
    return reason


def _beside_a_choice(
    client: Any,
    version: Version,
    standing: Standing,
    present: Version | None,
    chosen: Mapping[str, Any],
    damage: str,
) -> str:
    """Decide on champion where a person's choice stands; return the reason.

    `version` becomes champion if it is new since the choice and better than the chosen version and the one that the
    choice replaced, or if it is the same model as the champion, whose stored files are damaged.

    standing: that of `version`; present: the champion, or None; chosen: the row of the person's move
    damage: what is wrong with the champion's stored files, or ""
    """
    held = versions.versions(client, version.model)
    ours = version.tags.get("checkpoint_sha256")
    if damage and present is not None and present.tags.get("checkpoint_sha256") == ours:
        reason = f"{damage}; the same model, chosen by {moves.said(chosen)}"
        how, who = chosen.get("how", moves.OUTSIDE), chosen.get("who", "unknown")
        replaced = chosen.get("replaced", chosen["from"])
        moves.move(client, CHAMPION, version, how=how, who=who, reason=reason, replaced=replaced)
        return damage
    known = int(chosen.get("newest", version.number))
    chosen_from = (chosen["to"], chosen.get("replaced", chosen["from"]))
    is_new = all(other.tags.get("checkpoint_sha256") != ours for other in held if int(other.number) <= known)
    beaten = {other.number: other for other in held if other.number in chosen_from}
    theirs = [standing_of(other.tags) for other in beaten.values()]
    by = f"chosen by {moves.said(chosen)}"
    stays = f"version {present.number} stays champion, as {by}" if present else f"{versions.NONE}, as {by}"
    if present is None and chosen["to"] is not None:
        stays = f"{versions.NONE}: version {chosen['to']} was deleted; it was {by}"
    stays = f"{damage}; {stays}" if damage else stays
    is_there = chosen["to"] is None or chosen["to"] in beaten  # with a deleted version nothing can be compared
    is_better = is_there and all(
        not incomparable(standing, other) and (other.fault or standing.value < other.value) for other in theirs
    )
    if is_new and is_better and not standing.fault:
        numbers = " and ".join(f"version {other}" for other in sorted(beaten, key=int)) or "nothing that is left"
        reason = (
            f"{standing.metric} {standing.value:.6g} is better than {numbers} on the same data, which ends the choice "
            f"by {moves.said(chosen)}"
        )
        moves.move(client, CHAMPION, version, how=REGISTER, who=GATE, reason=reason)
        return reason
    if present is not None and (why := incomparable(standing, standing_of(present.tags))):
        stays = f"not comparable with version {present.number}: {why}; {stays}"
    return f"{stays}; `{command(version.model, version.number)}` changes that"
