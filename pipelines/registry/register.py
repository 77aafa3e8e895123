"""register KEY: the trained model becomes a version of the registered model KEY, and the aliases move.

    candidate   always the version that the graph's outputs describe now
    champion    moves to the candidate if the gate holds: its metric on the test data is finite and not
                worse than the present champion's, on the same data by the same metric; or if the two
                cannot be compared, and then the reason is kept

The stage is idempotent: a version with the same lineage key and checkpoint is found again, not uploaded
again, so going back to an earlier setting goes back to its version. MLflow forgets where an alias was;
aliases.jsonl beside version.json is the table of moves, and only grows.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from gen_models import checkpoint
from pipelines import config, tracking
from pipelines.registry import serving, upload, versions
from pipelines.registry.versions import Version
from pipelines.runtime import paths
from pipelines.runtime.stage import argument, produce, run

CANDIDATE, CHAMPION = "candidate", "champion"
BECAME = {CANDIDATE: "became_candidate", CHAMPION: "became_champion"}  # a version's tags: why, and since when
EVALUATED_AS = {"mmd": "mmd2"}  # the conf's metric, where evaluate reports it by another name
LINEAGE = ("key", "run", "model", "family", "data", "data_sha256", "conf_sha256", "git_commit", "seed", "metric")


@dataclass(frozen=True)
class Standing:
    """What the gate compares: the metric's value on the test data."""

    metric: str
    value: float
    data_sha256: str


def main(argv: list[str]) -> None:
    key = config.params().run(argument(argv, "register", "RUN", __doc__)).key
    written = register(key)
    print(f"{key}: version {written['version']}, {' and '.join(written['aliases']) or 'no alias'}; {written['reason']}")


def register(key: str) -> dict[str, Any]:
    """Do the stage's work; returns version.json, with the gate's `reason` beside."""
    output = paths.out("register", key)
    with produce(output) as folder, tracking.translated():
        table = _table(output)
        lineage, evaluation = upload.lineage_of(key), upload.evaluation_of(key)
        trained = paths.out("train", key, "checkpoint")
        checkpoint.verify(trained)
        tags = _tags(lineage, evaluation, trained)
        client = tracking.open_store()
        recorded = upload.replay(key)
        version = _find_stored(client, key, tags) or versions.upload(
            client, key, trained, facts=serving.facts_of(trained, *_of_the_data(lineage)), tags=tags,
            run_id=recorded.run_id, experiment_id=recorded.experiment_id,
        )  # fmt: skip
        _describe(client, version, tags, upload.numbers_in(evaluation))
        reason = move_aliases(client, version, _standing(tags))
        aliases = versions.models(client)[key]
        _extend(table, client, key, aliases)
        written = {
            "model": key, "version": int(version.number), "run_id": version.run_id,
            "experiment_id": recorded.experiment_id,
            "aliases": sorted(alias for alias, number in aliases.items() if number == version.number),
            "checkpoint_sha256": tags["checkpoint_sha256"],
        }  # fmt: skip
        (folder / "version.json").write_text(json.dumps(written, indent=1))
        (folder / "aliases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table))
    return {**written, "reason": reason}


def move_aliases(client: Any, version: Version, standing: Standing) -> str:
    """candidate to `version`, champion too if the gate holds; returns the gate's reason."""
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
    passes, reason = gate(standing, _standing(present.tags) if present else None, present.number if present else "")
    if passes:
        _move(client, CHAMPION, version, reason)
    return reason


def gate(candidate: Standing, champion: Standing | None, number: str) -> tuple[bool, str]:
    """Whether a candidate may become champion, and why; `number` is the present champion's version."""
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


def _move(client: Any, alias: str, version: Version, reason: str) -> None:
    """The reason first, so that a kill between the two leaves no move unexplained."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(version.model, version.number, BECAME[alias], f"{since} {reason}")
    versions.point(client, alias, version)


def _find_stored(client: Any, key: str, tags: Mapping[str, str]) -> Version | None:
    """The newest intact version of the same training, checkpoint and serving code."""
    identity = ("key", "checkpoint_sha256", "serving_sha256")
    for version in versions.versions(client, key):
        if version.is_ready and all(version.tags.get(name) == tags[name] for name in identity):
            changed = versions.what_changed(client, version)
            if changed is None:
                return version
            print(f"{changed.partition(';')[0]}; no alias moves to it, the model is stored as a new version")
    return None


def _tags(lineage: Mapping[str, Any], evaluation: Mapping[str, Any], trained: Path) -> dict[str, str]:
    """A version's lineage. Raises MissingOutputError if the evaluation is of another checkpoint."""
    digest = checkpoint.digest(trained)
    for name, expected in (("checkpoint_sha256", digest), ("data_sha256", lineage["data_sha256"])):
        if evaluation.get(name) != expected:
            raise upload.MissingOutputError(
                f"out/evaluate/{lineage['run']}/metrics.json: {name} is {str(evaluation.get(name))[:12]}, the trained "
                f"model's {expected[:12]}; run `dvc repro evaluate@{lineage['run']}`"
            )
    value = evaluation.get(EVALUATED_AS.get(lineage["metric"], lineage["metric"]))
    return {
        **{name: str(lineage[name]) for name in LINEAGE},
        "checkpoint_sha256": digest,
        "serving_sha256": sha256(Path(serving.__file__).read_bytes()).hexdigest(),
        "value": repr(math.nan if value is None else float(value)),
    }


def _standing(tags: Mapping[str, str]) -> Standing:
    return Standing(tags.get("metric", "no metric"), float(tags.get("value", "nan")), tags.get("data_sha256", ""))


def _of_the_data(lineage: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[str]]:
    """Where the prepared data are there: mean and std of the training rows, the unit of reconstruction errors; and
    the names of a table's columns."""
    path = paths.out("data", lineage["data"], "manifest.json")
    if not path.is_file():
        return None, []
    manifest = json.loads(path.read_text())
    return {name: manifest["statistics"][name] for name in ("mean", "std")}, manifest.get("columns", [])


def _describe(client: Any, version: Version, tags: Mapping[str, str], metrics: Mapping[str, float]) -> None:
    """What evaluate measured, on the version's page; measured again, it is written again."""
    for name in ("metric", "value", "data_sha256"):
        if version.tags.get(name) != tags[name]:
            client.set_model_version_tag(version.model, version.number, name, tags[name])
    rows = "\n".join(f"| {name} | {value:.6g} |" for name, value in metrics.items())
    text = f"{tags['model']} on {tags['data']}, test data\n\n| metric | value |\n|---|---|\n{rows}"
    client.update_model_version(version.model, version.number, text)


def _table(output: Path) -> list[dict[str, Any]]:
    path = output / "aliases.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def _extend(table: list[dict[str, Any]], client: Any, model: str, aliases: Mapping[str, str]) -> None:
    """A row for each alias that is not where the table's last row left it: also after a kill between the two."""
    held = {version.number: version for version in versions.versions(client, model)}
    for alias in (CANDIDATE, CHAMPION):
        last = next((row["to"] for row in reversed(table) if row["alias"] == alias), None)
        if alias in aliases and last != aliases[alias]:
            version = held[aliases[alias]]
            since, _, reason = version.tags.get(BECAME[alias], " set by hand").partition(" ")
            row = {"time": since, "alias": alias, "from": last, "to": version.number, "reason": reason}
            table.append({**row, "checkpoint_sha256": version.tags.get("checkpoint_sha256")})


if __name__ == "__main__":
    run(main)
