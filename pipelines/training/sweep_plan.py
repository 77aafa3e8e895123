"""What a sweep of params.yaml consists of: its configuration, lineage and trials, and their folder in work/.

The name of that folder holds a hash of all that decides the result. So whoever trains first, the stage `sweep` or
`gen-models play`, leaves the trials where the other one finds them, and trials of other code, data or settings are
never taken for them. Nothing here imports torch: a stage whose trials have ended only collects them.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gen_models.files import replacing
from pipelines.config.compose import compose
from pipelines.config.params import Params
from pipelines.data.store import open_data
from pipelines.lineage import facts
from pipelines.lineage.fingerprint import code_sha256
from pipelines.lineage.hashing import sha256_json
from pipelines.runtime import paths
from pipelines.training.run_log import RunLog
from pipelines.training.schedulers import rounds
from pipelines.training.task import Task
from pipelines.training.trials import Trials, row, trials_of


@dataclass(frozen=True)
class SweepPlan:
    """A sweep of params.yaml: its conf, its lineage, and the folder of its trials' run logs."""

    key: str
    data: str
    conf: dict[str, Any]
    lineage: dict[str, Any]
    folder: Path

    @cached_property
    def trials(self) -> Trials:
        """(setting, task) for each trial. The settings are drawn once and then read from the folder.

        All trials share the seed, so they differ by their settings only.
        """
        path = self.folder / "settings.json"
        if not path.is_file():
            from pipelines.training.search import settings  # imports scipy.stats

            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(json.dumps(settings(self.conf, self.lineage["seed"])).encode())
        return trials_of(
            self.conf, json.loads(path.read_text()), paths.out("data", self.data), self.lineage["seed"], self.folder
        )

    @property
    def tasks(self) -> list[Task]:
        return [task for _, task in self.trials]

    def is_played(self) -> bool:
        """Return whether every trial has run for as many steps as the scheduler grants."""
        return all(
            RunLog(Path(task.folder)).is_finished(until)
            for tasks, until in rounds(self.conf, self.tasks)
            for task in tasks
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of trials.json."""
        return [row(index, changes, task, self.conf["metric"]) for index, (changes, task) in enumerate(self.trials)]

    def is_collected(self) -> bool:
        """Return whether out/sweep/KEY has the result of this plan."""
        return facts.key_of(paths.out("sweep", self.key)) == self.lineage["key"]


def sweep_plan(asked: Params, key: str) -> SweepPlan:
    """Return the plan of a sweep. Raises DataError if its data are not prepared, ConfigError for a conf's fault."""
    line = asked.sweep(key)
    conf = compose(line.model, line.data, asked.budget)
    decides: dict[str, Any] = {
        "conf_sha256": sha256_json(conf),
        "data_sha256": open_data(line.data).sha256,
        "code_sha256": code_sha256("sweep", line.model),
        "seed": asked.seed,
    }
    lineage = {
        **decides,
        "key": facts.key(stage="sweep", **decides),
        "git_commit": facts.git_commit(),
        "data": line.data,
    }
    return SweepPlan(key, line.data, conf, lineage, paths.work("sweep", f"{key}-{lineage['key'][:12]}"))
