"""train KEY: Ray Train's TorchTrainer plays a run with its sweep's best setting and the full budget.

The workers write the ledger (history, samples, checkpoints); the driver follows it, draws progress and
feeds the tracker, so that a slow or absent tracker never stalls a step. A killed training resumes from the
ledger's last checkpoint and ends bit for bit where the undisturbed one ends.
"""

import json
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gen_models import checkpoint
from gen_models.errors import CheckpointError, ConfigError, DivergedError, GenModelsError
from gen_models.workers import first_worker_says
from pipelines import config, figures, lineage, tracking
from pipelines.data.store import open_data, open_folder
from pipelines.runtime import paths
from pipelines.runtime.progress import Progress
from pipelines.runtime.stage import argument, produce, run
from pipelines.training.ray_cluster import ClusterError, cluster, cpus, gpus, in_thread, ray_folder
from pipelines.training.run_log import Ledger
from pipelines.training.trainer import Task, build_training, play_to_the_end, task_of

WORKER_RESTARTS = 3  # of a training whose worker died; it resumes from the ledger
SECONDS_BETWEEN_REPORTS = 10.0  # a report to Ray waits for 0.09 s: under 1% of a training at this pace


class TrainingError(GenModelsError):
    """A training that ended without a result."""


def main(argv: list[str]) -> None:
    key = argument(argv, "train", "RUN", __doc__)
    params = config.params()
    line = params.run(key)
    setting = best_setting(str(line.setting))
    conf = config.override(config.compose(line.model, line.data, params.budget), setting)
    if conf["batch_size"] % params.workers:
        raise GenModelsError(
            f"params.yaml: workers: {params.workers} does not divide the batch_size {conf['batch_size']} "
            f"of conf/model/{line.model}.yaml; choose one that does"
        )
    with produce(paths.out("train", key)) as folder:
        facts = lineage_of(key, line.model, line.family, line.data, conf, params.seed, params.workers)
        scratch = paths.work("train", f"{key}-{facts['key'][:12]}")
        task = task_of(
            conf,
            paths.out("data", line.data),
            seed=params.seed,
            steps=conf["budget"]["steps"],
            folder=scratch,
            is_trial=False,
        )
        build_training(conf, params.seed)  # what cannot be built is said before a cluster starts
        recorder = tracking.Recorder(facts)
        with Follower(key, task, recorder):
            ledger = Ledger(scratch)
            if not ledger.is_finished(task.steps):
                fit(key, task, params.workers)
            if reason := ledger.diverged():
                recorder.diverged(reason)
                raise DivergedError(f"train {key}: {reason}; the best model before that is {ledger.best}")
        hand_over(task, facts, folder)
        recorder.finish("FINISHED", folder / "checkpoint")
    remove(scratch)


def best_setting(sweep: str) -> dict[str, Any]:
    """{dotted key: value} that a sweep found best."""
    path = paths.out("sweep", sweep, "best.json")
    if not path.is_file():
        raise ConfigError(f"{path} is not there: run `dvc repro sweep@{sweep}` first")
    return json.loads(path.read_text())["override"]


def lineage_of(
    key: str, model: str, family: str, data: str, conf: dict[str, Any], seed: int, workers: int
) -> dict[str, Any]:
    """Where the result comes from: written beside it, and as tags into the tracker and the registry."""
    facts = {
        "conf_sha256": lineage.sha256_json(conf),
        "data_sha256": open_data(data).sha256,
        "code_sha256": lineage.code_sha256(family),
        "seed": seed,
        "workers": workers,
    }
    return {
        "key": lineage.key(stage="train", run=key, **facts),
        "run": key,
        "model": model,
        "family": family,
        "data": data,
        **facts,
        "git_commit": lineage.git_commit(),
        "steps": conf["budget"]["steps"],
        "metric": conf["metric"],
        "params": lineage.params_of(conf),
        "versions": lineage.versions(),
    }


def fit(key: str, task: Task, workers: int) -> None:
    """Ray Train's part of a run."""
    with cluster() as ray:
        fit_workers(ray, key, task, workers)


def fit_workers(
    ray: Any, key: str, task: Task, workers: int, *, worker: Callable[[dict[str, Any]], None] | None = None, **more: Any
) -> None:
    """N workers on GPUs if each can have one, else on CPUs with gloo; `more` goes into the worker's configuration."""
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    use_gpu = gpus(ray) >= workers
    if not use_gpu and cpus(ray) < workers:
        raise ClusterError(
            f"params.yaml: workers: {workers} is more than the {cpus(ray)} CPUs of the cluster; "
            f"lower it, or point RAY_ADDRESS at a larger cluster"
        )
    try:
        with ray_folder("train") as experiment:
            trainer = TorchTrainer(
                worker or play_and_report,
                train_loop_config={"task": task.as_json(), "seconds_between_reports": SECONDS_BETWEEN_REPORTS, **more},
                scaling_config=ScalingConfig(num_workers=workers, use_gpu=use_gpu),
                torch_config=TorchConfig(backend="nccl" if use_gpu else "gloo"),
                run_config=RunConfig(
                    name=experiment.name,
                    storage_path=str(experiment.parent),
                    checkpoint_config=CheckpointConfig(num_to_keep=1),
                    failure_config=FailureConfig(
                        max_failures=WORKER_RESTARTS,
                        controller_failure_limit=2,  # type: ignore[call-arg]
                    ),
                ),
            )
            in_thread(trainer.fit)
    except ray.train.TrainingFailedError as error:
        raise _reason(error, key, Path(task.folder) / "error.log") from error


def play_and_report(configuration: dict[str, Any]) -> None:
    """What each of Ray Train's workers runs. A checkpoint is in the ledger before Ray hears of it."""
    import ray.train
    from ray.train import Checkpoint
    from ray.train.torch import get_device

    task = Task(**configuration["task"])
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    device = str(get_device())
    reported = time.monotonic()
    for record in play_to_the_end(task, rank=rank, world=world, device=device):
        is_last = record.step == task.steps or not record.metrics
        is_due = is_last or time.monotonic() - reported > configuration["seconds_between_reports"]
        if not record.is_saved or not first_worker_says(int(is_due), device):  # a report is a barrier
            continue
        latest = Ledger(Path(task.folder)).latest
        saved = Checkpoint.from_directory(str(latest)) if rank == 0 and latest.is_dir() else None
        ray.train.report(
            {"step": record.step, **record.metrics}, checkpoint=saved, checkpoint_dir_name=f"step_{record.step:08d}"
        )
        reported = time.monotonic()


def hand_over(task: Task, facts: dict[str, Any], folder: Path) -> None:
    """The stage's output: the best checkpoint, verified, the history, the samples and the lineage."""
    ledger = Ledger(Path(task.folder))
    try:
        checkpoint.verify(ledger.best)
    except CheckpointError as error:
        remove(ledger.folder)
        raise TrainingError(f"{error}; its training was removed, run the same command to begin it again") from None
    shutil.copytree(ledger.best, folder / "checkpoint")
    shutil.copy(ledger.history_path, folder / "history.jsonl")
    if (ledger.folder / "samples").is_dir():
        shutil.copytree(ledger.folder / "samples", folder / "samples")
    (folder / "lineage.json").write_text(json.dumps(facts, indent=1, sort_keys=True))


def remove(folder: Path) -> None:
    """All of a ledger or none of it: a kill in the middle leaves nothing that could be taken for a finished one."""
    doomed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed)


class Follower:
    """Follows a ledger in a thread: progress and the tracker see each step once, in order, to the end."""

    def __init__(self, key: str, task: Task, recorder: tracking.Recorder):
        self._ledger, self._task, self._recorder = Ledger(Path(task.folder)), task, recorder
        self._progress = Progress(f"train {key}", task.steps, "step")
        self._dataset = open_folder(Path(task.data))
        self._seen = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, kind, error, trace) -> None:
        self._stop.set()
        self._thread.join()
        if error is None:
            self._catch_up()
        else:
            self._recorder.finish("KILLED" if isinstance(error, SystemExit) else "FAILED", None)
        self._progress.close()

    def _follow(self) -> None:
        while not self._stop.wait(0.25):
            self._catch_up()

    def _catch_up(self) -> None:
        metric = f"validation.{self._task.conf['metric']}"
        for line in self._ledger.history():
            if line["step"] <= self._seen or "diverged" in line:
                continue
            if not self._seen:
                self._draw(0)
            self._recorder.log(line["step"], line["metrics"])
            self._draw(line["step"])
            self._seen = line["step"]
            self._progress.show(line["step"], f"{metric} {line['metrics'][metric]:.4g}")

    def _draw(self, step: int) -> None:
        picture = figures.step_picture(self._ledger.folder, step, self._dataset)
        if picture is not None:
            self._recorder.log_samples(step, picture)


def _reason(error: Exception, key: str, log: Path) -> TrainingError:
    """One line of what went wrong inside a worker; all of it goes into a file."""
    text = str(error)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)
    named = [line for line in text.splitlines() if re.match(r"[\w.]+(Error|Exception|Exit|Interrupt)\b", line)]
    last = (named or [line for line in text.splitlines() if line.strip()] or [type(error).__name__])[-1]
    what = last.strip().removeprefix("gen_models.errors.")
    return TrainingError(f"train {key}: {what}; what was saved stays, and all of the error is in {log}")


if __name__ == "__main__":
    run(main)
