"""Moves the alias `champion` as a person asks: verifies the version's files, moves the alias, and records the move.

Without a person, the gate in promotion.py decides which version is champion. A choice made here stands until a person
changes it, or until a model that is new since then is better (promotion.py).
"""

from typing import Any

from gen_models.errors import RegistryError, unknown
from pipelines.registry import moves, promotion, versions
from pipelines.registry.model_page import describe_model
from pipelines.registry.moves import CHAMPION, PROMOTE, ROLLBACK
from pipelines.registry.promotion import standing_of
from pipelines.registry.versions import Version
from pipelines.runtime import paths
from pipelines.runtime.stage import hold


def promote(client: Any, model: str, which: str, reason: str) -> list[str]:
    """Make a version champion; return lines that say what was done, and what speaks against the version.

    which: an alias or a number. Raises RegistryError if there is no such version or its stored files have changed.
    """
    version = versions.find(client, model, which)
    with hold(paths.out("register", model)):
        moves.settle(client, model)
        return _choose(client, version, PROMOTE, reason)


def rollback(client: Any, model: str, reason: str, to: str | None = None) -> list[str]:
    """Make the previous champion, or the version `to`, champion again; return lines that say what was done.

    If the version of a previous champion was deleted, or its stored files have changed, the champion before it is
    taken. to: an alias or a number

    Raises RegistryError if the model is not registered, if there is no champion to go back to, or if the version `to`
    does not exist, is champion already, or has stored files that have changed.
    """
    if not versions.exists(client, model):
        raise RegistryError(unknown("registered model", model, versions.models(client)))
    with hold(paths.out("register", model)):
        moves.settle(client, model)
        now = versions.aliases(client, model).get(CHAMPION)
        if to is not None:
            version, skipped = versions.find(client, model, to), list[str]()
        else:
            version, skipped = _before(client, model, now)
        if version.number == now:
            raise RegistryError(f"{model}: version {now} is the champion already; nothing was moved")
        return [*skipped, *_choose(client, version, ROLLBACK, reason)]


def _before(client: Any, model: str, now: str | None) -> tuple[Version, list[str]]:
    """Return the champion before version `now`, and a line for each earlier champion that was passed over."""
    held = {version.number: version for version in versions.versions(client, model)}
    way = moves.champions(moves.moves_of(client, model))
    if now is not None and way and way[-1] == now:
        del way[-1]
    skipped = []
    for number in reversed(way):
        if number == now:
            continue
        if number not in held:
            skipped.append(f"{model}: passed over version {number}, which was deleted")
        elif changed := versions.what_changed(client, held[number]):
            skipped.append(f"{model}: passed over {changed.partition(';')[0]}")
        else:
            return held[number], skipped
    others = sorted((number for number in held if number != now), key=int)
    fix = "it has no other version; to have no champion, remove the alias `champion` on its page in MLflow"
    if others:
        fix = f"choose one with --to {others[-1]} (its other versions: {', '.join(others)})"
    raise RegistryError("; ".join([*skipped, f"{model}: no champion before this one is left; {fix}"]))


def _choose(client: Any, version: Version, how: str, reason: str) -> list[str]:
    now = versions.aliases(client, version.model).get(CHAMPION)
    held = {other.number: other for other in versions.versions(client, version.model)}
    row = moves.move(client, CHAMPION, version, how=how, who=moves.user(), reason=reason)
    describe_model(client, version.model)
    was = f"was {now}" if now else "there was none"
    lines = [f"{version.model}: champion is version {version.number} ({was}): {row['reason']}"]
    standing = standing_of(version.tags)
    if standing.fault:
        lines.append(f"note: of version {version.number}, {standing.fault}")
    if now in held and (why := promotion.incomparable(standing, standing_of(held[now].tags))):
        lines.append(f"note: not comparable with version {now}: {why}")
    return lines
