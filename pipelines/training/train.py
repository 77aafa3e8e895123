"""train KEY: trains a run with its sweep's best setting and the whole budget, with Ray Train, to out/train/KEY.

    checkpoint/     the best model, which gen_models can load without the pipeline
    history.jsonl   the metrics of each report
    samples/        samples at each report, drawn with the same noise
    lineage.json    hashes of what decides the result

A training that was killed resumes from the last checkpoint of its run log. It ends with the same bits as a training
that was not killed.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from gen_models import checkpoint
from gen_models.errors import CheckpointError, ConfigError, DivergedError, GenModelsError
from pipelines import tracking
from pipelines.config.compose import compose, family_of, override
from pipelines.config.params import params
from pipelines.data.store import open_data
from pipelines.lineage import facts
from pipelines.lineage.audit import run_stage
from pipelines.lineage.fingerprint import code_sha256
from pipelines.lineage.hashing import sha256_json
from pipelines.runtime import paths
from pipelines.runtime.stage import argument, produce
from pipelines.training.follower import Follower
from pipelines.training.initial_model import build_training
from pipelines.training.ray_train import TrainingError, fit
from pipelines.training.run_log import RunLog
from pipelines.training.task import Task, task_of


def main(argv: list[str]) -> None:
    key = argument(argv, "train", "RUN", __doc__)
    asked = params()
    line = asked.run(key)
    conf = override(compose(line.model, line.data, asked.budget), best_setting(key, line.setting))
    if conf["batch_size"] % asked.workers:
        raise GenModelsError(
            f"params.yaml: workers: {asked.workers} does not divide the batch_size {conf['batch_size']} "
            f"of conf/model/{line.model}.yaml; choose one that does"
        )
    with produce(paths.out("train", key)) as folder:
        lineage = lineage_of(key, line.model, line.data, conf, asked.seed, asked.workers)
        scratch = paths.work("train", f"{key}-{lineage['key'][:12]}")
        task = task_of(
            conf,
            paths.out("data", line.data),
            seed=asked.seed,
            steps=conf["budget"]["steps"],
            folder=scratch,
            is_trial=False,
        )
        build_training(conf, asked.seed)  # refuses a conf that cannot be built before a cluster starts
        recorder = tracking.Recorder(lineage)
        with Follower(key, task, recorder):
            log = RunLog(scratch)
            if not log.is_finished(task.steps):
                fit(key, task, asked.workers)
            if reason := log.diverged():
                recorder.diverged(reason)
                raise DivergedError(f"train {key}: {reason}; the best model before that is {log.best}")
        hand_over(task, lineage, folder)
        recorder.finish("FINISHED", folder / "checkpoint")
    remove(scratch)


def best_setting(key: str, sweep: str) -> dict[str, Any]:
    """Return the best setting of a sweep, {dotted key: value}, with which a run trains.

    key: the run; sweep: the sweep whose setting it uses. Raises ConfigError if that sweep has no result yet.
    """
    path = paths.out("sweep", key, "best.json")
    if not path.is_file():
        stage = f"sweep@{key}" if key == sweep else f"reuse@{key}"
        raise ConfigError(f"{path} is not there: run `dvc repro {stage}` first")
    return json.loads(path.read_text())["override"]


def lineage_of(key: str, model: str, data: str, conf: dict[str, Any], seed: int, workers: int) -> dict[str, Any]:
    """Return the lineage of a training: what decides its result, and facts about it.

    It is written beside the result, and becomes the tags and params of the run in MLflow.
    """
    decides = {
        "conf_sha256": sha256_json(conf),
        "data_sha256": open_data(data).sha256,
        "code_sha256": code_sha256("train", model),
        "seed": seed,
        "workers": workers,
    }
    return {
        "key": facts.key(stage="train", run=key, **decides),
        "run": key,
        "model": model,
        "family": family_of(conf),
        "data": data,
        **decides,
        "git_commit": facts.git_commit(),
        "steps": conf["budget"]["steps"],
        "metric": conf["metric"],
        "front": conf["sweep"].get("front"),
        "params": facts.params_of(conf),
        "versions": facts.versions(),
    }


def hand_over(task: Task, lineage: dict[str, Any], folder: Path) -> None:
    """Copy the best checkpoint, the history and the samples into the stage's output, and write the lineage there.

    If the checkpoint is damaged, the run log is removed and TrainingError is raised.
    """
    log = RunLog(Path(task.folder))
    try:
        checkpoint.verify(log.best)
    except CheckpointError as error:
        remove(log.folder)
        raise TrainingError(f"{error}; its training was removed, run the same command to begin it again") from None
    shutil.copytree(log.best, folder / "checkpoint")
    shutil.copy(log.history_path, folder / "history.jsonl")
    if (log.folder / "samples").is_dir():
        shutil.copytree(log.folder / "samples", folder / "samples")
    (folder / "lineage.json").write_text(json.dumps(lineage, indent=1, sort_keys=True))


def remove(folder: Path) -> None:
    """Rename a run log and remove it, so that a kill in the middle leaves nothing that looks like a finished one."""
    doomed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed)


if __name__ == "__main__":
    run_stage("train", main)
