"""Writes what a version's tags say of it, its lineage above all, as lines for people."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines.registry import moves
from pipelines.registry.moves import CHAMPION
from pipelines.registry.promotion import standing_of
from pipelines.registry.versions import Version

HASHES = (
    ("code", "code_sha256"),
    ("conf", "conf_sha256"),
    ("checkpoint", "checkpoint_sha256"),
    ("data", "data_sha256"),
    ("calibration", "calibration_sha256"),
    ("serving code", "serving_sha256"),
)


def told(version: Version, name: str, otherwise: Any = None) -> Any:
    """Return the value of a tag that holds JSON, or `otherwise` if the version has no such tag, or a damaged one."""
    return from_tags(version.tags, name, otherwise)


def from_tags(tags: Mapping[str, str], name: str, otherwise: Any = None) -> Any:
    """Return what `told` returns, from the tags of a version."""
    try:
        return json.loads(tags[name])
    except (KeyError, ValueError):
        return otherwise


def lines(version: Version, aliases: Sequence[str], rows: Sequence[moves.Row]) -> Iterator[str]:
    """Yield the lines that say what a version is and where it comes from.

    aliases: those that point to the version; rows: all moves of the model's aliases, the newest last
    """
    tags, unknown = version.tags, "not recorded"
    standing = standing_of(tags)
    yield f"{version.model} version {version.number}" + (f" ({', '.join(sorted(aliases))})" if aliases else "")
    sweep = [
        (what, tags.get(name, unknown)) for what, name in (("", "sweep"), ("trial", "trial"), ("key", "sweep_key"))
    ]
    facts = {
        "model": f"{tags.get('model', unknown)} on {tags.get('data', unknown)}",
        "run": f"{tags.get('run', unknown)}, key {tags.get('key', unknown)}",
        "in MLflow": f"run {version.run_id}",
        "sweep": ", ".join(f"{what} {value}".strip() for what, value in sweep),
        "params": ", ".join(f"{name} {value}" for name, value in told(version, "params", {}).items()) or unknown,
        "seed": f"{tags.get('seed', unknown)}; of the split {tags.get('data_seed', unknown)}",
        "workers": tags.get("workers", unknown),
        "steps": tags.get("steps", unknown),
        "metric": f"{standing.metric} {standing.value:.6g} on the test rows of data {standing.data_sha256[:12]}",
        "git commit": tags.get("git_commit", unknown),
        **{name: tags.get(tag, unknown) for name, tag in HASHES},
        "data source": (told(version, "source", {}) or {}).get("sha256", "no file, or not recorded"),
    }
    if standing.collapsed:
        facts["collapsed"] = standing.collapsed
    if others := told(version, "same_bytes", []):
        facts["same bytes by"] = "; ".join(
            f"key {other['key']}, data {other['data_sha256'][:12]}, commit {other['git_commit'][:12]}"
            for other in others
        )
    last = [row for row in rows if row["alias"] == CHAMPION and version.number in (row["to"], row["from"])]
    if last:
        to = "became champion" if last[-1]["to"] == version.number else "was champion before this move"
        facts[CHAMPION] = f"{to}: {moves.said(last[-1])}"
    for name, value in facts.items():
        yield f"  {name:<14}{value}"
