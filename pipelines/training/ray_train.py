"""Runs a training on N workers with Ray Train: on GPUs if there is one for each worker, else on CPUs with gloo."""

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from gen_models.errors import GenModelsError
from gen_models.workers import first_worker_says
from pipelines.storage import carry
from pipelines.storage.place import for_ray, forget_ray
from pipelines.training.ray_cluster import ClusterError, cluster, cpus, gpus, in_thread, ray_folder
from pipelines.training.run_log import RunLog
from pipelines.training.task import Task
from pipelines.training.trainer import train_or_diverge

WORKER_RESTARTS = 3  # how often a training is restarted after a worker died; it resumes from the run log
SECONDS_BETWEEN_REPORTS = 10.0  # a report to Ray takes 0.09 s: less than 1% of a training's time at this pace


class TrainingError(GenModelsError):
    """A training ended without a result."""


def fit(
    key: str, task: Task, workers: int, meanwhile: Callable[[], None] = lambda: None, storage: str | None = None
) -> None:
    """Connect to a cluster and train the task to its end there. Raises TrainingError if it fails."""
    with cluster(sends_code=storage is not None) as ray:
        fit_workers(ray, key, task, workers, meanwhile=meanwhile, storage=storage)


def fit_workers(
    ray: Any,
    key: str,
    task: Task,
    workers: int,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    worker: Callable[[dict[str, Any]], None] | None = None,
    storage: str | None = None,
    **more: Any,
) -> None:
    """Train the task on a connected cluster.

    key: the run's name, for errors; workers: how many processes share each minibatch
    meanwhile: called every fraction of a second by the calling thread
    worker: the function that each worker calls with its configuration; None: train_and_report
    storage: the URI through which the task is carried, or None if all machines see the project folder
    more: goes into that configuration

    Raises ClusterError if the cluster has too few CPUs, TrainingError if the training fails.
    """
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    use_gpu = gpus(ray) >= workers
    if not use_gpu and cpus(ray) < workers:
        raise ClusterError(
            f"params.yaml: workers: {workers} is more than the {cpus(ray)} CPUs of the cluster; "
            f"lower it, or point RAY_ADDRESS at a larger cluster"
        )
    carrier = carry.Carrier(storage) if storage else None
    if carrier:
        more["carried"] = carrier.give_task(task)
        meanwhile = carrier.watch(task.folder, meanwhile)
    try:
        with ray_folder("train") as experiment:
            trainer = TorchTrainer(
                worker or train_and_report,
                train_loop_config={"task": task.as_json(), "seconds_between_reports": SECONDS_BETWEEN_REPORTS, **more},
                scaling_config=ScalingConfig(num_workers=workers, use_gpu=use_gpu),
                torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
                run_config=RunConfig(
                    name=experiment.name,
                    storage_path=for_ray(storage) if storage else str(experiment.parent),
                    checkpoint_config=CheckpointConfig(num_to_keep=1),
                    failure_config=FailureConfig(
                        max_failures=WORKER_RESTARTS,
                        controller_failure_limit=2,  # type: ignore[call-arg]
                    ),
                ),
            )
            try:
                in_thread(trainer.fit, meanwhile)
            finally:
                if carrier:
                    carrier.take(task.folder)
                    forget_ray(carrier.place.uri, experiment.name)
    except ray.train.TrainingFailedError as error:
        raise _reason(error, key, Path(task.folder) / "error.log") from error


def train_and_report(configuration: dict[str, Any]) -> None:
    """Train the task and report to Ray. Each worker of Ray Train calls this function.

    A checkpoint is in the run log before it is reported to Ray.
    """
    import ray.train
    from ray.train import Checkpoint
    from ray.train.torch import get_device

    task = Task(**configuration["task"])
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device = str(get_device())
    reported = time.monotonic()
    train, place = train_or_diverge, {"rank": rank, "world": world, "device": device}
    if carried := configuration.get("carried"):
        train = partial(carry.training, train_or_diverge, carried=carried)
    for record in train(task, **place):
        is_last = record.step == task.steps or not record.metrics
        is_due = is_last or time.monotonic() - reported > configuration["seconds_between_reports"]
        if not record.is_saved or not first_worker_says(int(is_due), device):  # all workers report together
            continue
        latest = RunLog(Path(task.folder)).latest
        saved = Checkpoint.from_directory(str(latest)) if rank == 0 and latest.is_dir() and not carried else None
        ray.train.report(
            {"step": record.step, **record.metrics}, checkpoint=saved, checkpoint_dir_name=f"step_{record.step:08d}"
        )
        reported = time.monotonic()


def _reason(error: Exception, key: str, log: Path) -> TrainingError:
    """Return an error of one line that says what failed inside a worker; write the whole error to the file `log`."""
    text = str(error)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)
    named = [line for line in text.splitlines() if re.match(r"[\w.]+(Error|Exception|Exit|Interrupt)\b", line)]
    last = (named or [line for line in text.splitlines() if line.strip()] or [type(error).__name__])[-1]
    what = last.strip().removeprefix("gen_models.errors.")
    return TrainingError(f"train {key}: {what}; what was saved stays, and all of the error is in {log}")
