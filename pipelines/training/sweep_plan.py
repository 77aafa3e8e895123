"""What a sweep of params.yaml consists of: its configuration, lineage and course, and its folder in work/.

In that folder, each trial has a folder of its own, named by a hash of all that decides the trial. So the stage `sweep`
finds the trials that `gen-models play` has trained, and the other way round; a sweep that grows finds the trials that
it had; and a trial of other code, data or settings is never taken for one of this sweep. Nothing here imports torch: a
stage whose trials have ended only collects them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.config.compose import compose_line
from pipelines.config.params import Params
from pipelines.data.store import open_data
from pipelines.lineage import facts
from pipelines.lineage.fingerprint import code_sha256
from pipelines.lineage.hashing import sha256_json
from pipelines.runtime import paths
from pipelines.training import trials
from pipelines.training.course import Course
from pipelines.training.run_log import RunLog
from pipelines.training.rungs import stops
from pipelines.training.task import Task
from pipelines.training.trials import Place, Trial

OF_SWEEPS = ("budget.trials", "budget.seeds", "sweep.finalists")  # keys that say nothing of where a trial reports
MOST_OTHERS = 256  # how many run logs of former trials are kept, without checkpoints: the sweep may return to them


@dataclass(frozen=True)
class SweepPlan:
    """A sweep of params.yaml: its conf, its lineage, and the folder of its trials' run logs.

    key: the name of the sweep; data: the name of the data set
    fixed: {dotted key: value} that the sweep's line of params.yaml sets, for the training too; conf has these values
    already
    """

    key: str
    data: str
    conf: dict[str, Any]
    lineage: dict[str, Any]
    folder: Path
    fixed: dict[str, Any] = field(default_factory=dict)

    def course(self) -> Course:
        """Return the course of the sweep, to be walked from its beginning."""
        mark = {"asha": "asha-", "pbt": "pbt-"}.get(self.conf["sweep"]["scheduler"], "")
        name = self.lineage["key"][:12]
        decides = {name: self.lineage.get(name) for name in ("data_sha256", "code_sha256")}
        place = Place(
            paths.out("data", self.data),
            self.folder,
            decides,
            tuple(stops(self.conf)),
            f"{mark}{name}-" if mark else "",  # such trials depend on the others of their sweep
        )
        return Course(self.conf, place, self.lineage["seed"], self.folder / f"settings-{name}.json")

    def without_repeats(self) -> "SweepPlan":
        """Return this plan without the trainings of finalists with other seeds."""
        return replace(self, conf={**self.conf, "budget": {**self.conf["budget"], "seeds": 1}})

    @property
    def tasks(self) -> list[Task]:
        """The tasks of the first round."""
        first, _ = next(iter(self.course().rounds()))
        return first

    def trial_folders(self) -> set[Path]:
        """Return the folders of the trials of all rounds that have ended, and of the next round."""
        found: set[Path] = set()
        for tasks, until in self.course().rounds():
            found |= {Path(task.folder) for task in tasks}
            if not _have_ended(tasks, until):
                break
        return found

    def played(self) -> list[Trial] | None:
        """Return the trials, each with the step up to which the sweep trains it (`granted`).

        Returns None if some trials have not ended.
        """
        course = self.course()
        for tasks, until in course.rounds():
            if not _have_ended(tasks, until):
                return None
        return course.trials

    def is_played(self) -> bool:
        """Return whether every trial has ended: by its last step, by a divergence, or stopped by the scheduler."""
        return self.played() is not None

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of trials.json. Raises SweepError if trials have not ended."""
        found = self.played()
        if found is None:
            raise trials.SweepError(f"sweep {self.key}: trials have not ended; run the same command to continue")
        return trials.rows(found, self.conf["metric"])

    def is_collected(self) -> bool:
        """Return whether out/sweep/KEY has the result of this plan."""
        return facts.key_of(paths.out("sweep", self.key)) == self.lineage["key"]

    def played_again(self) -> str:
        """Return a line that says why this sweep has to train settings again that it has trained before.

        Returns "" if it does not have to, and for the schedulers asha and pbt.
        """
        if self.conf["sweep"]["scheduler"] in ("asha", "pbt") or not self.folder.is_dir():
            return ""
        names = [Path(task.folder).name for task in self.tasks]
        before = {path.name for path in self.folder.iterdir() if path.is_dir()}
        others = {name.partition("-")[0] for name in before - set(names)}
        if any(name in before for name in names) or not any(name.partition("-")[0] in others for name in names):
            return ""
        budget = self.conf["budget"]
        if self.conf["schedule"] != "constant":
            why = f"the schedule {self.conf['schedule']} ends with trial_steps"
        elif budget.get("trial_report_every") is None:
            why = "a trial's reports are spread over trial_steps; budget.trial_report_every fixes their distance"
        else:
            why = (
                "the sweep compares its trials at steps without a report; end trials at multiples of trial_report_every"
            )
        return f"sweep {self.key}: its trials are trained again: {why}"

    def prune(self, found: Sequence[Trial]) -> None:
        """Remove the checkpoints of trials that the sweep would not continue from if it grew: see docs/sweeps.md.

        found: the trials of the sweep, all of which have ended
        """
        budget, sweep = self.conf["budget"], self.conf["sweep"]
        if self.conf["schedule"] == "constant" and budget.get("trial_report_every"):
            keep = [trial.task.folder for trial in found]  # with more steps, all would go on
        else:
            keep = [folder for rung in stops(self.conf)[:-1] for folder in self._next_in_line(found, rung)]
        if sweep["scheduler"] in ("asha", "pbt"):
            keep = []
        trials.prune(found, self.folder, keep=keep, most=MOST_OTHERS)
        for path in set(self.folder.glob("settings-*.json")) - {self.course().drawn}:
            path.unlink()

    def _next_in_line(self, found: Sequence[Trial], rung: int) -> list[str]:
        """Return the folders of the best trials that ended at a rung, as many as went on beyond the rung.

        A sweep with twice the trials would let these go on too.
        """
        ended = [trial for trial in found if trial.granted == rung]
        value = {trial.task.folder: trials.best_of(trial.task, self.conf["metric"], rung)[0] for trial in ended}
        return sorted(value, key=lambda folder: value[folder])[: sum(trial.granted > rung for trial in found)]


def _have_ended(tasks: Sequence[Task], until: int) -> bool:
    return all(RunLog(Path(task.folder)).is_finished(until) for task in tasks)


def sweep_plan(asked: Params, key: str) -> SweepPlan:
    """Return the plan of the sweep `key`. asked: params.yaml

    Raises DataError if the data set is not prepared, ConfigError for a fault of the conf.
    """
    line = asked.sweep(key)
    conf = compose_line(line, asked.budget)
    decides: dict[str, Any] = {
        "conf_sha256": sha256_json(facts.deciding(conf)),
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
    of_training = {name: value for name, value in line.fixed.items() if name not in OF_SWEEPS}
    return SweepPlan(key, line.data, conf, lineage, paths.work("sweep", key), of_training)
