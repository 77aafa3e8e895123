"""Carries jobs through a storage: what a job needs before it starts, and what it leaves when it ends.

The driver hands out jobs whose data, and what was done of them before, are in the storage (`Carried`). A worker fetches
both into a folder of its machine, does the job there, and stores snapshots (`training`, `evaluation`). The driver
fetches the last one into work/, where all else finds it as if the job had been done there, and removes the job's
snapshots. What a killed driver or worker leaves is continued from the newest snapshot.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gen_models.files import replacing
from gen_models.workers import first_worker_says
from pipelines.runtime import paths
from pipelines.storage import node
from pipelines.storage.place import Place, StorageError
from pipelines.storage.snapshots import Snapshots
from pipelines.training.run_log import RunLog
from pipelines.training.task import Record, Task

DIVERGED = "diverged"
TRAINED = "trained"  # below the name of an evaluation: the training that it evaluates
SECONDS_BETWEEN_LOOKS = 5.0


class Carrier:
    """The driver's side: puts a job's needs into the storage, and takes what it left out of it."""

    def __init__(self, uri: str):
        self.place = Place(uri)
        self._data: dict[str, str] = {}  # {folder of prepared data: hash under which the storage has it}

    def give_task(self, task: Task) -> dict[str, Any]:
        """Store the data of a task, and its run log if it is further than the storage's; return where they are."""
        log, snapshots = RunLog(Path(task.folder)), self._snapshots(task.folder)
        newest = next(iter(snapshots.newest_first()), None)
        if (step := log.saved_step()) > (newest.rank[0] if newest else 0):
            snapshots.attempt().save(log.folder, step)
        return self._where(task.folder, task.data)

    def give_evaluation(self, folder: str, data: Path, trained: Path) -> dict[str, Any]:
        """Store the data and the training of an evaluation; return where they are."""
        snapshots = Snapshots(self.place, f"{_name(folder)}/{TRAINED}")
        if not snapshots.newest_first():
            snapshots.attempt().save(trained, 0)
        return self._where(folder, str(data))

    def take(self, folder: str) -> None:
        """Fetch what a job left into its folder, and remove it from the storage, if the storage has anything of it."""
        snapshots = self._snapshots(folder)
        if snapshots.fetch(Path(folder)) is not None:
            snapshots.remove()

    def look(self, folder: str) -> None:
        """Fetch the history of a training that runs, so that people can see how far it is."""
        history = self._snapshots(folder).read("history.jsonl")
        if history is not None:
            path = RunLog(Path(folder)).history_path
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(history)

    def watch(self, folder: str, meanwhile: Callable[[], None]) -> Callable[[], None]:
        """Return `meanwhile`, after a look at a training every few seconds."""
        return _after_looks(lambda: self.look(folder), meanwhile)

    def _where(self, folder: str, data: str) -> dict[str, Any]:
        if data not in self._data:
            self._data[data] = node.store_data(self.place, Path(data))
        return {"storage": self.place.uri, "name": _name(folder), "data": self._data[data]}

    def _snapshots(self, folder: str) -> Snapshots:
        return Snapshots(self.place, _name(folder))


class Carried:
    """The jobs of a play, carried through a storage; see `pipelines.training.ray_tune.Jobs`."""

    def __init__(self, play: Any, carrier: Carrier):
        self._play, self._carrier = play, carrier
        self._runs: dict[str, Any] = {}  # {folder: job} of trainings that run

    @property
    def is_over(self) -> bool:
        return self._play.is_over

    def next_job(self) -> Any:
        while (job := self._play.next_job()) is not None:
            try:
                return replace(job, configuration=self._give(job))
            except StorageError as error:
                self._runs.pop(job.folder, None)
                self._play.ended(job, str(error))
        return None

    def ended(self, job: Any, error: str | None = None) -> None:
        self._runs.pop(job.folder, None)
        try:
            self._carrier.take(job.folder)
        except StorageError as problem:
            error = error or str(problem)
        self._play.ended(job, error)

    def watch(self, meanwhile: Callable[[], None]) -> Callable[[], None]:
        """Return `meanwhile`, after a look at the trainings that run, every few seconds."""

        def look() -> None:
            for folder in list(self._runs):
                self._carrier.look(folder)

        return _after_looks(look, meanwhile)

    def _give(self, job: Any) -> dict[str, Any]:
        if "task" in job.configuration:
            task = Task(**job.configuration["task"])
            if not task.is_trial:
                self._runs[job.folder] = job
            return {**job.configuration, "carried": self._carrier.give_task(task)}
        if "evaluation" in job.configuration:
            asked = job.configuration["evaluation"]["arguments"]
            return {
                **job.configuration,
                "carried": self._carrier.give_evaluation(job.folder, asked["data"], asked["trained"]),
            }
        return job.configuration


def training(
    train: Callable[..., Iterator[Record]],
    task: Task,
    carried: dict[str, Any],
    *,
    rank: int = 0,
    world: int = 1,
    **place: Any,
) -> Iterator[Record]:
    """Do a task in a folder of this machine, from its newest snapshot on, and store a snapshot of each checkpoint.

    train: `train_or_diverge`; carried: what `give_task` returned; rank, world, place: arguments of `train`

    Several workers continue from the snapshot that the first one finds; only the first one stores snapshots.
    """
    storage = Place(carried["storage"])
    snapshots = Snapshots(storage, carried["name"])
    data = node.fetch_data(storage, carried["data"])
    with node.job_folder(carried["name"]) as folder:
        step = snapshots.fetch(folder) if rank == 0 else None
        if world > 1:
            said = first_worker_says(step or 0, place.get("device", "cpu"))
            if rank != 0 and said:
                snapshots.fetch(folder, said)
        attempt = snapshots.attempt()
        local = replace(task, data=str(data), folder=str(folder))
        for record in train(local, rank=rank, world=world, **place):
            if record.is_saved and rank == 0:
                attempt.save(folder, record.step, "" if record.metrics else DIVERGED)
            yield record


def evaluation(measure: Callable[..., None], run: Any, arguments: dict[str, Any], carried: dict[str, Any]) -> None:
    """Evaluate a run in a folder of this machine, and store what came of it. measure: that of pipelines.evaluation"""
    storage = Place(carried["storage"])
    trained = Snapshots(storage, f"{carried['name']}/{TRAINED}")
    with node.job_folder(carried["name"]) as folder:
        source = folder.with_name(TRAINED)
        if trained.fetch(source) is None:
            raise StorageError(f"storage: {storage.uri}/{trained.name}: is not there; run the same command again")
        data = node.fetch_data(storage, carried["data"])
        folder.parent.mkdir(parents=True, exist_ok=True)
        measure(run, **{**arguments, "trained": source, "data": data, "to": folder})
        Snapshots(storage, carried["name"]).attempt().save(folder, 0)


def _after_looks(look: Callable[[], None], meanwhile: Callable[[], None]) -> Callable[[], None]:
    """Return a function that looks every few seconds, whether the storage can be reached or not, and calls another."""
    looked_at = time.monotonic()

    def act() -> None:
        nonlocal looked_at
        if time.monotonic() - looked_at > SECONDS_BETWEEN_LOOKS:
            with suppress(StorageError):
                look()
            looked_at = time.monotonic()
        meanwhile()

    return act


def _name(folder: str) -> str:
    """Return the name of a job in the storage: the place of its folder in work/."""
    return "jobs/" + Path(folder).relative_to(paths.work()).as_posix()
