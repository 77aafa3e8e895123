"""register [RUN ...]: logs in MLflow what it lacks of the results in out/, and registers the trained models.

    gen-models register

For each sweep and run, whatever the store lacks is logged. The trained model becomes a version of the registered model
that has the name of the run. Then the aliases `candidate` and `champion` move, as promotion.py says; a move that
someone made in MLflow is noticed, recorded and kept.

The stage is idempotent. A version with the same checkpoint, calibration and serving code is not uploaded again, so if
you return to an earlier setting, the alias candidate returns to its version. DVC does not track the store: run
`gen-models register` if the store was removed, did not answer during a training, or is on another machine. If nothing
is missing, this takes seconds.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gen_models import checkpoint
from gen_models.anomalies.calibration import FILE as CALIBRATION
from gen_models.errors import GenModelsError
from pipelines import tracking
from pipelines.config.params import params
from pipelines.lineage.audit import run_stage
from pipelines.lineage.hashing import source_sha256
from pipelines.registry import moves, origins, serving, upload, versions
from pipelines.registry.model_page import describe_model, version_page, warnings
from pipelines.registry.moves import CHAMPION
from pipelines.registry.promotion import NOT_COLLAPSED, move_aliases, noticed, standing_of
from pipelines.registry.up_to_date import MARK, Store, mark
from pipelines.registry.upload import Replayed, replay, replay_sweep
from pipelines.registry.versions import Version
from pipelines.runtime import paths
from pipelines.runtime.stage import hold, parse, run_keys

EVALUATED = ("metric", "value", "evaluated_sha256", "rows_sha256", "observed", "collapsed")
LINEAGE = ("key", "run", "model", "family", "data", "data_sha256", "conf_sha256", "git_commit", "seed", "metric")
COLLAPSED = "Collapsed: "
GATE_LENGTH, MOST_OTHERS = 1000, 20


def main(argv: list[str]) -> None:
    asked, known = parse(argv, "register", __doc__, run_keys), params()
    runs = [known.run(key).key for key in asked.runs] or list(known.runs)
    used = {known.run(key).setting for key in runs}
    sweeps = [key for key in known.sweeps if key in used or not asked.runs]
    if not asked.runs:
        sweeps, runs = _there("sweep", sweeps, "not swept yet"), _there("train", runs, "not trained yet")
    client = tracking.open_store()
    with tracking.translated():
        store = Store(client) if tracking.is_local() else None
    failed = [name for name in sweeps if not _tell(f"sweep {name}", lambda key: register_sweep(key, store), name)]
    failed += [name for name in runs if not _tell(name, lambda key: register_run(key, store), name)]
    if failed:
        raise SystemExit(1)


def _there(stage: str, keys: list[str], otherwise: str) -> list[str]:
    """Return the keys that have an output of a stage; print one line with all others."""
    absent = [key for key in keys if not paths.out(stage, key).is_dir()]
    if absent:
        print(f"{otherwise}: {', '.join(absent)}")
    return [key for key in keys if key not in absent]


def register_sweep(sweep: str, store: Store | None = None) -> str:
    """Log a sweep and its trials; return what was done, in words.

    store: the content of a local store, which shows if there is nothing to do; None: MLflow is asked
    """
    if not paths.out("sweep", sweep).is_dir():
        return "not swept yet"
    if not paths.out("sweep", sweep, "lineage.json").is_file():
        return "no lineage.json in its output; nothing to compare"
    lineage, trials = upload.sweep_of(sweep)
    if store is not None and store.has_sweep(lineage["key"], trials):
        return "up to date"
    return "logged" if replay_sweep(sweep) else "up to date"


def register_run(run: str, store: Store | None = None) -> str:
    """Log a run and register its model; return what was done, in words. store: as for `register_sweep`"""
    if not paths.out("train", run).is_dir():
        return "not trained yet"
    if not paths.out("evaluate", run).is_dir():
        return f"{_words(replay(run))}; not evaluated yet"
    if store is not None and (words := store.settled(run)) is not None:
        return f"up to date; {words}"
    done = register(run)
    aliases = f" ({', '.join(done['aliases'])})" if done["aliases"] else ""
    return f"{_words(done['replayed'])}; version {done['version']}{aliases}; {done['reason']}"


def register(key: str) -> dict[str, Any]:
    """Register one run; return what was stored, and the gate's reason.

    The keys are model, version, run_id, experiment_id, aliases, checkpoint_sha256, reason and replayed.

    Raises MissingOutputError if the run is not trained or not evaluated, or if its evaluation is of another checkpoint
    or other data; CheckpointError if the checkpoint is damaged.
    """
    with hold(paths.out("register", key)), tracking.translated():
        lineage, evaluation = upload.lineage_of(key), upload.evaluation_of(key)
        trained = paths.out("train", key, "checkpoint")
        checkpoint.verify(trained)
        tags = _tags(lineage, evaluation, trained)
        client = tracking.open_store()
        seen = moves.settle(client, key) if versions.exists(client, key) else []
        recorded = replay(key)
        version = _find_stored(client, key, tags) or versions.upload(
            client, key, trained, facts=serving.facts_of(trained), calibration=_calibration(key),
            tags={**tags, **origins.recorded(lineage)}, run_id=recorded.run_id, experiment_id=recorded.experiment_id,
        )  # fmt: skip
        _describe(client, version, tags, lineage, upload.numbers_in(evaluation))
        reason = move_aliases(client, version, standing_of(tags))
        aliases = versions.aliases(client, key)
        if aliases.get(CHAMPION) != version.number:
            _set(client, version, {"gate": reason[:GATE_LENGTH]})
        _set(client, version, origins.outputs(key))
        describe_model(client, key)
        _set(client, version, {MARK: mark(key, aliases, client.get_registered_model(key).tags)})
        return {
            "model": key,
            "version": int(version.number),
            "run_id": version.run_id,
            "experiment_id": recorded.experiment_id,
            "aliases": sorted(alias for alias, number in aliases.items() if number == version.number),
            "checkpoint_sha256": tags["checkpoint_sha256"],
            "reason": "; ".join([*noticed(seen), reason]),
            "replayed": recorded,
        }


def _find_stored(client: Any, key: str, tags: Mapping[str, str]) -> Version | None:
    """Return the newest version with the same checkpoint, calibration and serving code whose files are intact, or None.

    The lineage key does not count: another training that ends with the same bytes makes no new version.
    """
    identity = ("checkpoint_sha256", "serving_sha256", "calibration_sha256")
    for version in versions.versions(client, key):
        if version.is_ready and all(version.tags.get(name) == tags[name] for name in identity):
            changed = versions.what_changed(client, version)
            if changed is None:
                return version
            print(f"{changed.partition(';')[0]}; no alias moves to it, the model is stored as a new version")
    return None


def _tags(lineage: Mapping[str, Any], evaluation: Mapping[str, Any], trained: Path) -> dict[str, str]:
    """Return the tags of a version: its lineage and its metric on the test data.

    Raises MissingOutputError if the evaluation is of another checkpoint or other data.
    """
    digest = checkpoint.digest(trained)
    for name, expected in (("checkpoint_sha256", digest), ("data_sha256", lineage["data_sha256"])):
        if evaluation.get(name) != expected:
            raise upload.MissingOutputError(
                f"out/evaluate/{lineage['run']}/metrics.json: {name} is {str(evaluation.get(name))[:12]}, the trained "
                f"model's {expected[:12]}; run `dvc repro evaluate@{lineage['run']}`"
            )
    value = evaluation.get("criterion")
    if value is None:
        raise upload.MissingOutputError(
            f"out/evaluate/{lineage['run']}/metrics.json has no criterion, {lineage['metric']} on test rows, by which "
            f"versions are compared; run `dvc repro evaluate@{lineage['run']}`"
        )
    wrong = warnings(upload.numbers_in(dict(evaluation)), upload.latents_of(lineage["run"]))
    collapsed = [line.removeprefix(COLLAPSED).rstrip(".") for line in wrong if line.startswith(COLLAPSED)]
    return {
        **{name: str(lineage[name]) for name in LINEAGE},
        "checkpoint_sha256": digest,
        "serving_sha256": source_sha256(Path(serving.__file__)),
        "calibration_sha256": _sha256(_calibration(lineage["run"])),
        "value": repr(float(value)),
        "evaluated_sha256": lineage["data_sha256"],
        **origins.rows(lineage),
        "observed": _observed(lineage, evaluation),
        "collapsed": "; ".join(collapsed) or NOT_COLLAPSED,
    }


def _observed(lineage: Mapping[str, Any], evaluation: Mapping[str, Any]) -> str:
    """Return what of the data the metric is about: binary pixels, or a rate of the front; "" for whole rows."""
    front = lineage.get("front") if str(lineage["metric"]) == "distortion_at_rate" else None
    return "binary pixels" if "binary_nats" in evaluation else f"the front {json.dumps(front)}" if front else ""


def _calibration(key: str) -> Path | None:
    """Return the file with the scores of a run's calibration rows; None if it has none."""
    path = paths.out("evaluate", key, CALIBRATION)
    return path if path.is_file() else None


def _sha256(path: Path | None) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else "none"


def _describe(
    client: Any, version: Version, tags: Mapping[str, str], lineage: Mapping[str, Any], metrics: Mapping[str, float]
) -> None:
    """Write the version's metrics and page in MLflow, since they may have changed since the last time.

    If another training than the version's ended with the same bytes, the tag `same_bytes` gets that training; the
    version keeps the lineage of the first.
    """
    _set(client, version, {name: tags.get(name, "") for name in EVALUATED})
    if version.tags.get("key") == tags["key"] and "code_sha256" not in version.tags:  # stored by an earlier release
        _set(client, version, origins.recorded(lineage))
    elif version.tags.get("key") != tags["key"]:
        others = json.loads(version.tags.get("same_bytes", "[]"))
        other = {name: tags[name] for name in ("key", "data_sha256", "git_commit", "seed")}
        if other not in others:
            _set(client, version, {"same_bytes": json.dumps([*others, other][-MOST_OTHERS:])})
    experiment = client.get_run(version.run_id).info.experiment_id
    page = version_page(version.model, version.number, lineage, metrics, (experiment, version.run_id))
    client.update_model_version(version.model, version.number, page)


def _set(client: Any, version: Version, tags: Mapping[str, str]) -> None:
    """Set those of the tags whose value the version does not have yet."""
    for name, value in tags.items():
        if version.tags.get(name) != value:
            client.set_model_version_tag(version.model, version.number, name, value)


def _tell(title: str, act: Callable[[str], str], name: str) -> bool:
    try:
        print(f"{title}: {act(name)}", flush=True)
    except GenModelsError as error:
        print(f"{title}: error: {error}", file=sys.stderr, flush=True)
        return False
    return True


def _words(done: Replayed) -> str:
    if not (done.is_new or done.numbers or done.pictures):
        return "up to date"
    sent = [f"{count} {what}" for count, what in ((done.numbers, "numbers"), (done.pictures, "pictures")) if count]
    return f"logged {' and '.join(sent) or 'the run'}"


if __name__ == "__main__":
    run_stage("register", main)
