"""Runs a sweep's trials with Ray Tune: as many at once as the cluster has CPUs, in actors that are reused.

A reused actor costs hundredths of a second for each trial. The run log of a trial says how far it has come. A sweep
that was killed continues with the trials that are not finished, each from its last checkpoint. Ray writes Tune's own
state files in place, and a kill can leave them half written, so nothing is restored from them.
"""

from pathlib import Path
from typing import Any

from pipelines.runtime.progress import Progress
from pipelines.training.initial_model import build_training
from pipelines.training.ray_cluster import ClusterError, cluster, cpus, in_thread, ray_folder
from pipelines.training.run_log import RunLog
from pipelines.training.schedulers import asha_arguments
from pipelines.training.task import Task
from pipelines.training.trainer import train_or_diverge
from pipelines.training.trials import SweepError

TRIAL_RESTARTS = 1  # how often a trial is restarted after its process died; it resumes from its run log


def advance(title: str, conf: dict[str, Any], tasks: list[Task], until: int) -> None:
    """Train each task up to step `until`; the scheduler or a loss that is not finite may stop it before.

    title: names the sweep in progress and errors; conf: the sweep's configuration

    Raises SweepError if a trial fails or does not finish.
    """
    unfinished = [task for task in tasks if not RunLog(Path(task.folder)).is_finished(until)]
    if not unfinished:
        return
    for task in unfinished:
        build_training(task.conf, task.seed)  # refuses a setting that cannot be built before a cluster starts
    with cluster() as ray:
        if cpus(ray) < 1:
            raise ClusterError(f"sweep {title}: the cluster has no free CPU; a trial needs one")
        progress = Progress(f"sweep {title}", len(tasks), "trial")
        tune_trials(ray, conf, unfinished, until, progress, done=len(tasks) - len(unfinished), at_once=cpus(ray))
        progress.close()
    for log in (RunLog(Path(task.folder)) for task in unfinished):
        if not log.is_finished(until):
            if conf["sweep"]["scheduler"] != "asha" or not log.history():
                raise SweepError(f"sweep {title}: {log.folder} is not finished; run the same command to continue")
            log.stop()


def tune_trials(
    ray: Any, conf: dict[str, Any], tasks: list[Task], until: int, progress: Progress, *, done: int, at_once: int
) -> None:
    """Train each task up to step `until` on a connected cluster, `at_once` of them at a time.

    done: the number of trials that were finished before, for the progress
    """
    from ray import tune

    class Watch(tune.Callback):
        """Shows progress when a trial ends."""

        def __init__(self) -> None:
            self.done, self.best = done, float("inf")

        def on_trial_result(self, iteration, trials, trial, result, **info) -> None:
            self.best = min(self.best, result["value"])

        def on_trial_complete(self, iteration, trials, trial, **info) -> None:
            self.done += 1
            progress.show(self.done, f"best {conf['metric']} {self.best:.4g}")

    is_asha = conf["sweep"]["scheduler"] == "asha"
    scheduler = tune.schedulers.ASHAScheduler(**asha_arguments(conf, until)) if is_asha else None
    with ray_folder("tune") as experiment:
        tuner = tune.Tuner(
            tune.with_resources(trial, {"cpu": 1}),
            param_space={"task": tune.grid_search([{**task.as_json(), "steps": until} for task in tasks])},
            tune_config=tune.TuneConfig(
                reuse_actors=True, max_concurrent_trials=at_once, scheduler=scheduler, trial_dirname_creator=str
            ),
            run_config=tune.RunConfig(
                name=experiment.name,
                storage_path=str(experiment.parent),
                verbose=0,
                callbacks=[Watch()],
                failure_config=tune.FailureConfig(max_failures=TRIAL_RESTARTS),
            ),
        )
        results = in_thread(tuner.fit)
    if results.errors:
        raise SweepError(f"{results.num_errors} trials failed; the first: {_last_line(results.errors[0])}")


def trial(configuration: dict[str, Any]) -> None:
    """Train one trial, from its last checkpoint if it has one, and report each step and its metric to Ray Tune.

    configuration: {"task": the fields of a Task}. Tune's actors call this.
    """
    from ray import tune

    for record in train_or_diverge(Task(**configuration["task"])):
        tune.report({"step": record.step, "value": record.value})


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
