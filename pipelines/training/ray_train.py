"""Trains one task on N workers with Ray Train. Each worker gets the CPUs and GPUs that the resources say.

NCCL lets workers talk only if each has a GPU of its own; workers that share one, or have none, use gloo.
"""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gen_models.errors import GenModelsError
from gen_models.workers import first_worker_says
from pipelines.config.params import params
from pipelines.storage import carry
from pipelines.storage.place import for_ray, forget_ray
from pipelines.training.in_play import TRAINING
from pipelines.training.ray_cluster import in_thread, ray_folder
from pipelines.training.ray_device import device_of_worker
from pipelines.training.ray_lost import ClusterWatch
from pipelines.training.ray_nodes import NODE_SECONDS
from pipelines.training.ray_resources import Resources, Share, resources_for
from pipelines.training.run_log import RunLog
from pipelines.training.task import Task
from pipelines.training.trainer import train_or_diverge

WORKER_RESTARTS = 3  # how often a training is restarted after a worker died; it resumes from the run log
SECONDS_BETWEEN_REPORTS = 10.0  # a report to Ray takes 0.09 s: less than 1% of a training's time at this pace


class TrainingError(GenModelsError):
    """A training ended without a result."""


def fit_workers(
    ray: Any,
    key: str,
    task: Task,
    workers: int,
    *,
    meanwhile: Callable[[], None] = lambda: None,
    worker: Callable[[dict[str, Any]], None] | None = None,
    storage: str | None = None,
    resources: Resources | None = None,
    **more: Any,
) -> None:
    """Train a task on a connected cluster with Ray Train.

    key: the run's name, for errors; workers: how many processes share each minibatch
    meanwhile: called every fraction of a second by the calling thread
    worker: the function that each worker calls with its configuration; None: train_and_report
    storage: the URI through which the task is carried, or None if all machines see the project folder
    resources: what a training gets; None: what conf/cluster says
    more: further entries of the workers' configuration

    Raises ClusterError if the cluster has no room for the training, ends or loses that room, and TrainingError if the
    training fails.
    """
    resources = resources or resources_for(ray, replace(params(), workers=workers))
    share = resources.share(TRAINING)
    assert share.workers == workers, (share, workers)
    carrier = carry.Carrier(storage) if storage else None
    if carrier:
        more["carried"] = carrier.give_task(task)
        meanwhile = carrier.watch(task.folder, meanwhile)
    try:
        with ray_folder("train") as experiment:
            trainer = trainer_of(
                worker or train_and_report,
                {"task": task.as_json(), "seconds_between_reports": SECONDS_BETWEEN_REPORTS, **more},
                share,
                resources.placement,
                uses_nccl=share.gpus >= 1 and sees_cuda(ray),
                name=experiment.name,
                storage_path=for_ray(storage) if storage else str(experiment.parent),
            )
            try:
                in_thread(trainer.fit, ClusterWatch(ray, resources, lambda: [TRAINING], meanwhile))
            finally:
                if carrier:
                    carrier.take(task.folder)
                    forget_ray(carrier.place.uri, experiment.name)
    except ray.train.TrainingFailedError as error:
        raise reason(error, f"train {key}", Path(task.folder) / "error.log") from error


def trainer_of(
    worker: Callable[[dict[str, Any]], None],
    configuration: dict[str, Any],
    share: Share,
    placement: str,
    *,
    uses_nccl: bool = False,
    **run: Any,
) -> Any:
    """Return a trainer of Ray Train, whose workers all call `worker` with the configuration.

    share: how many workers there are, and what each gets; placement: Ray's strategy for placing them on nodes
    uses_nccl: whether workers talk by NCCL, else by gloo; run: arguments of Ray's RunConfig

    If Ray cannot start the workers, it gives up after a few tries; by default it would try for ever.
    """
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from pipelines.training.ray_interface import ByNodeAddress  # imports Ray

    return TorchTrainer(
        worker,
        train_loop_config=configuration,
        scaling_config=ScalingConfig(
            num_workers=share.workers,
            use_gpu=share.gpus > 0,
            resources_per_worker=share.as_ray(),
            placement_strategy=placement,
        ),
        torch_config=ByNodeAddress(backend="nccl" if uses_nccl else "gloo"),
        run_config=RunConfig(
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(
                max_failures=WORKER_RESTARTS,
                controller_failure_limit=2,  # type: ignore[call-arg]
            ),
            **run,
        ),
    )


def sees_cuda(ray: Any) -> bool:
    """Return whether PyTorch can use a GPU that Ray gives to a task: some GPUs are only declared.

    A machine may have declared a GPU to Ray that its PyTorch cannot use. If no GPU becomes free for this test within
    NODE_SECONDS, because others use the cluster too, the answer is False: gloo, which is used then, works anywhere.
    """

    def look() -> bool:
        import torch

        return torch.cuda.is_available()

    asked = ray.remote(num_gpus=0.01, num_cpus=0)(look).remote()
    try:
        return in_thread(lambda: ray.get(asked, timeout=NODE_SECONDS))
    except ray.exceptions.GetTimeoutError:
        ray.cancel(asked)
        return False


def train_and_report(configuration: dict[str, Any]) -> None:
    """Train the task and report to Ray. Each worker of Ray Train calls this function.

    configuration: "task": the task as plain data; "seconds_between_reports"; and "carried", if a storage carries the
    task

    A checkpoint is in the run log before it is reported to Ray.
    """
    import ray.train
    from ray.train import Checkpoint

    task = Task(**configuration["task"])
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device = device_of_worker()
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
            {"step": record.step, "value": record.value, **record.metrics},
            checkpoint=saved,
            checkpoint_dir_name=f"step_{record.step:08d}",
        )
        reported = time.monotonic()


def reason(error: Exception, what: str, log: Path) -> TrainingError:
    """Return an error of one line that says what failed inside a worker; write the whole error to the file `log`.

    error: what Ray raised; what: what was being trained, such as "train vae-digits"
    """
    text = str(error)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)
    named = [line for line in text.splitlines() if re.match(r"[\w.]+(Error|Exception|Exit|Interrupt)\b", line)]
    last = (named or [line for line in text.splitlines() if line.strip()] or [type(error).__name__])[-1]
    said = last.strip().removeprefix("gen_models.errors.")
    return TrainingError(f"{what}: {said}; what was saved stays, and all of the error is in {log}")
