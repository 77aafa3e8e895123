"""What a training of params.yaml consists of: its lineage and its task, whose folder in work/ is named by a hash.

The hash covers all that decides the result. So the stage `train` finds a training that `gen-models play` has done or
begun, and the other way round. Nothing here imports torch: a stage whose training has ended only collects it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gen_models.errors import ConfigError, GenModelsError
from gen_models.files import replacing
from pipelines.config.compose import compose, family_of, override
from pipelines.config.params import Params
from pipelines.data.store import open_data
from pipelines.lineage import facts
from pipelines.lineage.fingerprint import code_sha256
from pipelines.lineage.hashing import sha256_json
from pipelines.runtime import paths
from pipelines.training.run_log import RunLog
from pipelines.training.rungs import trial_reports
from pipelines.training.task import Task, task_of


@dataclass(frozen=True)
class TrainingPlan:
    """A training of params.yaml.

    key: the name of the run; lineage: the content of its lineage.json; workers: how many workers share each minibatch
    """

    key: str
    lineage: dict[str, Any]
    task: Task
    workers: int

    @property
    def log(self) -> RunLog:
        return RunLog(Path(self.task.folder))

    def is_played(self) -> bool:
        """Return whether the training has ended, by its last step or by a divergence."""
        return self.log.is_finished(self.task.steps)

    def seal(self) -> Path:
        """Write lineage.json into the folder of the run log, and return this folder.

        The folder then holds all that the stage `train` will copy to out/train/KEY.
        """
        with replacing(self.log.folder / "lineage.json") as file:
            file.write(json.dumps(self.lineage, indent=1, sort_keys=True).encode())
        return self.log.folder

    def is_collected(self) -> bool:
        """Return whether out/train/KEY has the result of this plan."""
        return facts.key_of(paths.out("train", self.key)) == self.lineage["key"]


def training_plan(asked: Params, key: str, setting: Mapping[str, Any]) -> TrainingPlan:
    """Return the plan of a run's training. asked: params.yaml; key: the name of the run

    setting: {dotted key: value}, the setting that a sweep found best

    The lineage of the plan says what decides the result, and describes the run. It is written to lineage.json beside
    the result, and becomes the tags and params of the run in MLflow.

    Raises GenModelsError if the batch size is not divisible by the number of workers, DataError if the data set is not
    prepared.
    """
    line = asked.run(key)
    conf = override(compose(line.model, line.data, asked.budget), setting)
    if conf["batch_size"] % asked.workers:
        raise GenModelsError(
            f"params.yaml: workers: {asked.workers} does not divide the batch_size {conf['batch_size']} "
            f"of conf/model/{line.model}.yaml; choose one that does"
        )
    decides = {
        "conf_sha256": sha256_json(facts.deciding(conf)),
        "data_sha256": open_data(line.data).sha256,
        "code_sha256": code_sha256("train", line.model),
        "seed": asked.seed,
        "workers": asked.workers,
    }
    lineage = {
        "key": facts.key(stage="train", run=key, **decides),
        "run": key,
        "model": line.model,
        "family": family_of(conf),
        "data": line.data,
        **decides,
        "git_commit": facts.git_commit(),
        "steps": conf["budget"]["steps"],
        "metric": conf["metric"],
        "front": conf["sweep"].get("front"),
        "params": facts.params_of(conf),
        "versions": facts.versions(),
    }
    task = task_of(
        conf,
        paths.out("data", line.data),
        seed=asked.seed,
        steps=conf["budget"]["steps"],
        folder=paths.work("train", f"{key}-{lineage['key'][:12]}"),
        is_trial=False,
    )
    return TrainingPlan(key, lineage, replace(task, report_also=trial_reports(conf)), asked.workers)


def best_setting(key: str, sweep: str) -> dict[str, Any]:
    """Return the setting with which a run trains, {dotted key: value}; each run has its own copy in out/sweep/KEY.

    key: the name of the run; sweep: the run whose sweep found the setting, `key` itself or another one. Raises
    ConfigError, which names the stage to run, if the copy is not there yet.
    """
    path = paths.out("sweep", key, "setting.json")
    if not path.is_file():
        stage = f"sweep@{key}" if key == sweep else f"reuse@{key}"
        raise ConfigError(f"{path} is not there: run `dvc repro {stage}` first")
    return json.loads(path.read_text())
