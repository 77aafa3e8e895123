"""Carries jobs through a storage: what a job needs before it starts, and what it leaves when it ends.

A job is a trial, a training or an evaluation. A storage is a place for files that all machines can reach, such as an S3
bucket. The driver is the process that hands out jobs; workers on other machines do them.

1. The driver puts two things into the storage: the data of a job, and what earlier attempts at the job left.
2. A worker fetches both into a folder of its machine, does the job there, and stores copies of that folder, the
   snapshots (`training`, `evaluation`).
3. When the job has ended, the driver fetches the newest snapshot into work/, where the result lies as if the job had
   been done there, and removes the job's snapshots (`Carrier`, `Carried`).

If the driver or a worker is killed, a training continues from its newest snapshot.
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
TRAINED = "trained"  # the folder, below that of an evaluation, with the training that it evaluates
SECONDS_BETWEEN_LOOKS = 5.0


class Carrier:
    """Carries jobs for the driver: stores what a job needs, and fetches what the job has left in the storage."""

    def __init__(self, uri: str):
        self.place = Place(uri)
        self._data: dict[str, str] = {}  # {folder of prepared data: hash under which the storage has it}

    def give_task(self, task: Task) -> dict[str, Any]:
        """Store the data set of a training, and the training's run log if it is ahead of the newest snapshot.

        Returns {"storage": the URI, "name": the job's name in the storage, "data": the hash under which the data set is
        stored}. This is what `training` takes as `carried`.
        """
        log, snapshots = RunLog(Path(task.folder)), self._snapshots(task.folder)
        newest = next(iter(snapshots.newest_first()), None)
        if (step := log.saved_step()) > (newest.rank[0] if newest else 0):
            snapshots.attempt().save(log.folder, step)
        return self._where(task.folder, task.data)

    def give_evaluation(self, folder: str, data: Path, trained: Path) -> dict[str, Any]:
        """Store the data set of an evaluation, and the training that it evaluates, unless the storage has them.

        folder: the evaluation's folder in work/; data: the folder of the prepared data set; trained: the folder of the
        training

        Returns the same keys as `give_task`. This is what the function `evaluation` takes as `carried`.
        """
        snapshots = Snapshots(self.place, f"{_name(folder)}/{TRAINED}")
        if not snapshots.newest_first():
            snapshots.attempt().save(trained, 0)
        return self._where(folder, str(data))

    def take(self, folder: str) -> None:
        """Fetch the newest snapshot of a job into the job's folder, then remove all snapshots of the job.

        If the storage has no snapshot of the job, do nothing.
        """
        snapshots = self._snapshots(folder)
        if snapshots.fetch(Path(folder)) is not None:
            snapshots.remove()

    def look(self, folder: str) -> None:
        """Fetch the history of a running training into its folder in work/, so that people can see how far it is.

        If the storage has no snapshot of the training yet, do nothing.
        """
        history = self._snapshots(folder).read("history.jsonl")
        if history is not None:
            path = RunLog(Path(folder)).history_path
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                file.write(history)

    def watch(self, folder: str, meanwhile: Callable[[], None]) -> Callable[[], None]:
        """Return a function that calls `meanwhile` and, every few seconds, first calls `look(folder)`."""
        return _after_looks(lambda: self.look(folder), meanwhile)

    def _where(self, folder: str, data: str) -> dict[str, Any]:
        if data not in self._data:
            self._data[data] = node.store_data(self.place, Path(data))
        return {"storage": self.place.uri, "name": _name(folder), "data": self._data[data]}

    def _snapshots(self, folder: str) -> Snapshots:
        return Snapshots(self.place, _name(folder))


class Carried:
    """The jobs of a play, with every job's files carried through a storage.

    A play (`pipelines.training.in_play.Play`) says which jobs may start. This class has the methods of
    `pipelines.training.ray_tune.Jobs`, so that `tune` can take it in the place of a play: `next_job` also stores what
    the job needs, and `ended` also fetches what it left.
    """

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
        """Return a function that calls `meanwhile` and, every few seconds, first fetches the histories of trainings."""

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
    """Do a training in a folder of this machine, beginning at its newest snapshot; store each checkpoint as a snapshot.

    train: `train_or_diverge`; carried: what `Carrier.give_task` returned
    rank, world: this worker's index, and how many workers there are; place: other arguments of `train`, such as device

    Yields the records of `train`. If there are several workers, the first one (rank 0) finds the newest snapshot, all
    continue from it, and only the first one stores snapshots.
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
    """Evaluate a run in a folder of this machine, and store the result as a snapshot.

    measure: the function `measure` of pipelines/evaluation/measure.py; run, arguments: what it is called with, after
    the paths in `arguments` are replaced by those of this machine; carried: what `Carrier.give_evaluation` returned

    Raises StorageError if the storage does not have the run's training.
    """
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
    """Return a function that calls `meanwhile` and, every SECONDS_BETWEEN_LOOKS, first calls `look`.

    A StorageError of `look` is ignored: the next look may reach the storage again.
    """
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
    """Return the name of a job in the storage: jobs/ and the path of the job's folder below work/."""
    return "jobs/" + Path(folder).relative_to(paths.work()).as_posix()
