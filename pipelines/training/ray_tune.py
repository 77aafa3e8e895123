"""Does jobs with Ray Tune: as many at once as the cluster has CPUs, in actors that are reused.

A reused actor costs hundredths of a second for each job. The jobs are handed out one by one while Tune runs, so the end
of one may make others ready. The run log of a training says how far it has come, and what was killed continues from its
last checkpoint. Ray writes Tune's own state files in place, and a kill can leave them half written, so nothing is
restored from them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from pipelines.config.params import Run
from pipelines.storage import carry
from pipelines.storage.place import for_ray, forget_ray
from pipelines.training.in_play import Job
from pipelines.training.ray_cluster import ClusterError, cpus, in_thread, ray_folder
from pipelines.training.task import Task
from pipelines.training.trainer import train_or_diverge

JOB_RESTARTS = 1  # how often a job is started again after its process died; a training resumes from its run log


class Jobs(Protocol):
    """Where jobs come from: a Play, for example."""

    @property
    def is_over(self) -> bool: ...

    def next_job(self) -> Job | None: ...

    def ended(self, job: Job, error: str | None = None) -> None: ...


def tune(
    ray: Any, play: Jobs, *, meanwhile: Callable[[], None], scheduler: Any = None, storage: str | None = None
) -> None:
    """Do the jobs of a play on a connected cluster until it is over.

    meanwhile: called every fraction of a second by the calling thread; scheduler: one of Ray's, or None
    storage: the URI through which jobs are carried to machines that do not see the project folder, or None

    Raises ClusterError if the cluster has no CPU.
    """
    from ray import tune as ray_tune
    from ray.tune.search import Searcher

    if play.is_over:
        return
    if (at_once := cpus(ray)) < 1:
        raise ClusterError("the cluster has no CPU; a trial, training or evaluation needs one")
    if storage:
        play = carry.Carried(play, carry.Carrier(storage))
        meanwhile = play.watch(meanwhile)
    here = _InDriver(play)

    class Suggest(Searcher):
        """Hands out the jobs that are ready, when Tune asks for the next trial."""

        def suggest(self, trial_id: str) -> Any:
            job = here.play.next_job()
            if job is None:
                return Searcher.FINISHED if here.play.is_over else None
            here.given[trial_id] = job
            return job.configuration

        def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
            pass  # Ends.on_trial_complete and on_trial_error also know the error

        def save(self, checkpoint_path: str) -> None:
            Path(checkpoint_path).touch()  # nothing is restored from it

        def restore(self, checkpoint_path: str) -> None:
            raise NotImplementedError

    class Ends(ray_tune.Callback):
        """Tells the play which jobs ended."""

        def on_trial_complete(self, iteration, trials, trial, **info) -> None:
            here.play.ended(here.given.pop(trial.trial_id))

        def on_trial_error(self, iteration, trials, trial, **info) -> None:
            here.play.ended(here.given.pop(trial.trial_id), _last_line(Path(trial.error_file)))

    with ray_folder("tune") as experiment:
        tuner = ray_tune.Tuner(
            ray_tune.with_resources(do_job, {"cpu": 1}),
            tune_config=ray_tune.TuneConfig(
                search_alg=Suggest(),
                num_samples=-1,  # until the searcher says that it has finished
                reuse_actors=True,
                max_concurrent_trials=at_once,
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
            in_thread(tuner.fit, meanwhile)
        finally:
            if storage:
                forget_ray(storage, experiment.name)


class _InDriver:
    """What only the driver process needs. Ray pickles searchers and callbacks for a resume that is not made here."""

    def __init__(self, play: Jobs):
        self.play = play
        self.given: dict[str, Job] = {}  # {Ray's number of a trial: its job}

    def __reduce__(self) -> tuple[type, tuple]:
        return object, ()


def do_job(configuration: dict[str, Any]) -> None:
    """Train a task from its last checkpoint, evaluate a run, or measure a case of a benchmark, and report to Ray Tune.

    configuration: that of a Job. Tune's actors call this.
    """
    from ray import tune

    carried = configuration.get("carried")
    if "task" in configuration:
        task = Task(**configuration["task"])
        for record in carry.training(train_or_diverge, task, carried) if carried else train_or_diverge(task):
            tune.report({"step": record.step, "value": record.value})
        return
    if "benchmark" in configuration:
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


def _last_line(error_file: Path) -> str:
    """Return the last line of the file in which Ray keeps a failed task's error."""
    lines = [line.strip() for line in error_file.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("gen_models.errors.") if lines else f"it failed, see {error_file}"
