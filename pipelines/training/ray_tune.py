"""Does jobs with Ray Tune: as many at once as have room in the cluster, in actors that are reused.

A reused actor costs hundredths of a second for each job. The jobs are handed out one by one while Tune runs, so the end
of one may make others ready. The run log of a training says how far it has come, and a training that was killed
continues from its last checkpoint. Ray writes Tune's own state files in place, and a kill can leave them half written,
so nothing is restored from them.

A trial with several workers starts Ray Train inside its actor. Such an actor asks for no CPU itself: otherwise the
actors would take the CPUs that their own workers wait for.
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from pipelines.config.params import Run
from pipelines.storage import carry
from pipelines.storage.place import for_ray, forget_ray
from pipelines.training.in_play import Job
from pipelines.training.ray_cluster import in_thread, ray_folder
from pipelines.training.ray_device import device_of_job
from pipelines.training.ray_lost import ClusterWatch
from pipelines.training.ray_resources import Resources, Room, Share, plain
from pipelines.training.ray_train import reason, train_and_report, trainer_of
from pipelines.training.task import Task
from pipelines.training.trainer import train_or_diverge

PLACE = "place"  # the entry of a job's configuration with the CPUs, GPUs and workers that the job gets
SCHEDULED = "scheduled"  # the entry that says whether a scheduler of Ray's reads what the job reports as it goes
NESTED = "nested"  # the folder, below Tune's, for the state of Ray Train in trials with several workers
JOB_RESTARTS = 1  # how often a job is started again after its process died; a training resumes from its run log


class Jobs(Protocol):
    """A source of jobs, such as a Play."""

    @property
    def is_over(self) -> bool: ...

    def next_job(self) -> Job | None: ...

    def ended(self, job: Job, error: str | None = None) -> None: ...


def tune(
    ray: Any,
    play: Jobs,
    *,
    meanwhile: Callable[[], None],
    scheduler: Any = None,
    storage: str | None = None,
    resources: Resources | None = None,
    work: Callable[[dict[str, Any]], None] | None = None,
) -> None:
    """Do the jobs of a play on a connected cluster until the play is over.

    meanwhile: called every fraction of a second by the calling thread; scheduler: one of Ray's, or None
    storage: the URI through which jobs are carried to machines that do not see the project folder, or None
    resources: what jobs of each kind get; None: one CPU each
    work: the function that does a job, called with the job's configuration; None: do_job

    Raises ClusterError if `resources` is None and the cluster has no CPU, or if the cluster ends or loses the room for
    the jobs.
    """
    from ray import tune as ray_tune
    from ray.tune.search import Searcher

    if play.is_over:
        return
    resources = resources or plain(ray)
    if storage:
        play = carry.Carried(play, carry.Carrier(storage))
        meanwhile = play.watch(meanwhile)
    here = _InDriver(play, Room(resources))

    class Suggest(Searcher):
        """Gives Tune the next ready job as a trial, when Tune asks for one and the cluster has room for the job."""

        def suggest(self, trial_id: str) -> Any:
            job = here.next_job()
            if job is None:
                return Searcher.FINISHED if here.error or here.play.is_over else None
            if not here.room.has_room(job.kind):
                here.held = job
                return None
            here.held, here.given[trial_id] = None, job
            here.room.take(job.kind)
            place = _place(here.room.resources, job, experiment)
            return {**job.configuration, PLACE: place, SCHEDULED: scheduler is not None}

        def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
            pass  # Ends.on_trial_complete and on_trial_error also know the error

        def save(self, checkpoint_path: str) -> None:
            Path(checkpoint_path).touch()  # nothing is restored from it

        def restore(self, checkpoint_path: str) -> None:
            raise NotImplementedError

    class Ends(ray_tune.Callback):
        """Tells the play which jobs ended."""

        def on_trial_complete(self, iteration, trials, trial, **info) -> None:
            here.ended(trial.trial_id)

        def on_trial_error(self, iteration, trials, trial, **info) -> None:
            here.ended(trial.trial_id, _last_line(Path(trial.error_file)))

    with ray_folder("tune") as experiment:
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(work or do_job, _request),
            tune_config=ray_tune.TuneConfig(
                search_alg=Suggest(),
                num_samples=-1,  # until the searcher says that it has finished
                reuse_actors=True,
                max_concurrent_trials=resources.most,
                scheduler=scheduler,
                trial_dirname_creator=str,
            ),
            run_config=ray_tune.RunConfig(
                name=experiment.name,
                storage_path=for_ray(storage) if storage else str(experiment.parent),
                verbose=0,
                callbacks=[Ends()],
                failure_config=ray_tune.FailureConfig(max_failures=JOB_RESTARTS),
            ),
        )
        try:
            in_thread(tuner.fit, here.watch(ClusterWatch(ray, resources, here.kinds, meanwhile)))
        finally:
            if storage:
                forget_ray(storage, experiment.name)
    here.watch(lambda: None)()


class _InDriver:
    """What only the driver process needs: the play, the room, and the jobs that were handed out.

    Ray pickles searchers and callbacks in order to resume from them. Nothing resumes from them here, so this object is
    pickled as an empty one.
    """

    def __init__(self, play: Jobs, room: Room):
        self.play, self.room = play, room
        self.given: dict[str, Job] = {}  # {Ray's number of a trial: its job}
        self.held: Job | None = None  # the next job, which waits for room
        self.error: Exception | None = None  # of the play, when it was asked for a job or told that one has ended

    def kinds(self) -> list[str]:
        """Return the kinds of the jobs that were handed out, or wait for room."""
        return [job.kind for job in [*list(self.given.values()), self.held] if job is not None]

    def next_job(self) -> Job | None:
        """Return the job that waits for room, or the play's next one; None after an error of the play."""
        try:
            return None if self.error else self.held or self.play.next_job()
        except Exception as raised:
            self.error = raised
            return None

    def ended(self, trial_id: str, error: str | None = None) -> None:
        """Tell the play that a job has ended. No error leaves this method, since Ray would take it for the job's.

        Ray would then do the job once more, and say so a second time; whatever it says twice of a job is heard once.
        """
        job = self.given.pop(trial_id, None)
        if job is None:
            return
        self.room.give_back(job.kind)
        try:
            self.play.ended(job, error)
        except Exception as raised:
            self.error = self.error or raised

    def watch(self, meanwhile: Callable[[], None]) -> Callable[[], None]:
        """Return a function that raises the play's error if there is one, and calls `meanwhile` otherwise."""

        def look() -> None:
            if self.error:
                raise self.error
            meanwhile()

        return look

    def __reduce__(self) -> tuple[type, tuple]:
        return object, ()


def do_job(configuration: dict[str, Any]) -> None:
    """Train a task from its last checkpoint, evaluate a run, or measure a case of a benchmark, and report to Ray Tune.

    Each report waits until the driver has read it. Therefore a training reports as it goes only if a scheduler of Ray's
    reads it, which may stop the training early; without one, a job reports once, when it has ended.

    configuration: the configuration of a Job, with the entries PLACE and SCHEDULED. Tune's actors call this function.
    """
    from ray import tune

    carried = configuration.get("carried")
    if "task" in configuration:
        if configuration[PLACE]["workers"] > 1:
            _train_nested(configuration)
            return
        task, train = Task(**configuration["task"]), train_or_diverge
        if carried:
            train = partial(carry.training, train_or_diverge, carried=carried)
        for record in train(task, device=device_of_job()):
            if configuration[SCHEDULED]:
                tune.report({"step": record.step, "value": record.value})
        if configuration[SCHEDULED]:
            return
    elif "benchmark" in configuration:
        from pipelines.adbench.play import measure as measure_case

        measure_case(**configuration["benchmark"])
    else:
        from pipelines.evaluation.measure import measure  # imports scikit-learn and matplotlib

        run, asked = Run(**configuration["evaluation"]["run"]), configuration["evaluation"]["arguments"]
        if carried:
            carry.evaluation(measure, run, asked, carried)
        else:
            measure(run, **asked)
    tune.report({"step": 1, "value": 0.0})  # Ray prints a line for what ends without a report


def _place(resources: Resources, job: Job, experiment: Path) -> dict[str, Any]:
    """Return, as plain data, what a job gets, how Ray places its workers, and a folder for Ray Train's state."""
    share = asdict(resources.share(job.kind))
    return {**share, "placement": resources.placement, "folder": str(experiment / NESTED)}


def _request(configuration: dict[str, Any]) -> Any:
    """Return what Ray must have free before it starts a job.

    A job with several workers asks for next to nothing here: its workers ask for what they need.
    """
    from ray.tune import PlacementGroupFactory

    place = configuration[PLACE]
    if place["workers"] > 1:
        return PlacementGroupFactory([{"CPU": 0, "memory": 1}])
    return PlacementGroupFactory([Share(place["cpus"], place["gpus"]).as_ray()])


def _train_nested(configuration: dict[str, Any]) -> None:
    """Train the task of a trial with several workers of Ray Train, which report to Ray Tune too.

    The result is in the task's run log.
    """
    from ray.train import TrainingFailedError
    from ray.tune.integration.ray_train import TuneReportCallback

    task, place = Task(**configuration["task"]), configuration[PLACE]
    told = {"task": configuration["task"], "seconds_between_reports": 0.0}
    name = f"{Path(task.folder).name}-{uuid4().hex[:8]}"  # a new name, or Ray would resume an older training
    storage = None
    if "carried" in configuration:
        told["carried"] = configuration["carried"]
        storage = configuration["carried"]["storage"]
    trainer = trainer_of(
        train_and_report,
        told,
        Share(place["cpus"], place["gpus"], place["workers"]),
        place["placement"],
        name=name,
        storage_path=for_ray(storage) if storage else place["folder"],
        callbacks=[TuneReportCallback()],
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise reason(error, Path(task.folder).name, Path(task.folder) / "error.log") from None
    finally:
        if storage:
            forget_ray(storage, name)


def _last_line(error_file: Path) -> str:
    """Return the last line of the file in which Ray keeps a failed task's error."""
    lines = [line.strip() for line in error_file.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("gen_models.errors.") if lines else f"it failed, see {error_file}"
