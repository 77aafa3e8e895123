"""What orchestration costs beside the engine: `python -m benchmarks.pipeline [ROW ...]` on an idle machine.

noop-repro         CPU time of a `dvc repro` that has nothing to do
sweep-overhead-16  the seconds that Tune, the run log and checkpoints add to a trial, without the first trial
sweep-200          the share of all cores' time in which the engine works, in a sweep of 200 trials
sweep-4000         the seconds that a trial without any work takes, in a sweep of 4,000 trials; beside it the memory and
                   the disk that the sweep takes
fit-fixed-cost     what Ray Train's fit() adds to a training, the first time in a session
report-stall       the share of a training that its reports to Ray wait for
"""

import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import rows
from benchmarks.inputs import Inputs
from gen_models.engine import fit
from gen_models.loader import Batches
from gen_models.noise import Noise
from pipelines.config.compose import compose
from pipelines.data.store import open_folder
from pipelines.runtime import paths
from pipelines.training import ray_train, ray_tune
from pipelines.training.in_play import TRIAL, Job, training_job
from pipelines.training.initial_model import build_training, warm_start
from pipelines.training.ray_cluster import cluster
from pipelines.training.task import Task, task_of
from pipelines.training.validation_metrics import ValidationMetrics

TRIALS = 17  # of which the first also pays for what an actor loads once
TRIAL_STEPS = 500
MANY_TRIALS, EMPTY_TRIALS = 200, 4000
EVERY = 10  # of so many trials, one is followed by a job that does the engine's work alone
ALONE = "alone"  # the entry of a job's configuration that names a file: do the engine's work only, and time it
LONG_STEPS = 30_000  # about a minute: long enough for reports at their normal pace
GRAPH = Inputs(files=("dvc.yaml", "params.yaml", "benchmarks/pipeline.py"))
PLAY = Inputs(["benchmarks.pipeline"], ["vae"], ["digits"], measures_carriers=True)  # what trials and trainings run on
ROWS_OF: dict[str, Callable[[], None]] = {}


def row(name: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    def register(measure: Callable[[], None]) -> Callable[[], None]:
        ROWS_OF[name] = measure
        return measure

    return register


@row("noop-repro")
def noop_repro() -> None:
    """Measure the CPU time of `dvc repro`, the least of five runs.

    The first run may have to hash files again whose times have changed. Exits if a stage is stale.
    """
    began, seconds = time.monotonic(), []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(["dvc", "repro"], cwd=paths.root(), capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if "Running stage" in done.stdout:
            sys.exit("noop-repro: the graph is not up to date; run `make repro` first")
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    stages = len(
        subprocess.run(
            ["dvc", "stage", "list", "--name-only"], cwd=paths.root(), capture_output=True, text=True, check=True
        ).stdout.split()
    )
    rows.write(
        "noop-repro",
        model="all",
        data="all",
        figure=min(seconds),
        unit="s of CPU",
        target=0.8 + 0.015 * stages,
        baselines={},
        seeds=[],
        spread=max(seconds) - min(seconds),
        budget=f"{stages} stages, least of 5",
        seconds=time.monotonic() - began,
        inputs=GRAPH,
    )


@row("sweep-overhead-16")
def sweep_overhead() -> None:
    """Measure the seconds from the end of the job before a trial to the trial's end, minus the engine's seconds.

    In one actor, trials take turns with jobs that do a trial's work by the engine alone. A trial is compared with the
    mean of the two such jobs beside it, so that a machine that grows slower does not change the result. The figure is
    the median of 16 trials.
    """
    began = time.monotonic()
    once, often = (_overheads(checkpoints) for checkpoints in (1, 5))
    rows.write(
        "sweep-overhead-16",
        model="vae",
        data="digits",
        figure=statistics.median(once.overheads),
        unit="s a trial",
        target=0.1,
        baselines={
            "engine alone, s a trial": statistics.median(once.engine),
            "with five checkpoints (target 0.2)": statistics.median(often.overheads),
        },
        seeds=[0],
        spread=1.96 * _standard_error_of_median(once.overheads),
        budget=f"{TRIALS - 1} trials of {TRIAL_STEPS} steps, one at a time",
        seconds=time.monotonic() - began,
        inputs=PLAY,
    )


@row("sweep-200")
def sweep_200() -> None:
    """Measure the CPU time that the engine needs for the trials, as a share of the cores' time in the sweep.

    The cores' time is cores x (time from the end of the actors' first trials to the end of the last job). After every
    tenth trial a job does a trial's work by the engine alone. The engine's time of a trial is the median CPU time of
    these jobs: it grows with the cores' time on a machine that grows slower, and it leaves out the time in which the
    engine waits for a core. The wall times of these jobs are subtracted from the cores' time.
    """
    began = time.monotonic()
    note = _empty_note()
    tasks = [_task(f"many-{i}", TRIAL_STEPS, checkpoints=1) for i in range(MANY_TRIALS)]
    queue = []
    for number, task in enumerate(tasks, start=1):
        queue.append(training_job(TRIAL, "bench", task))
        if number % EVERY == 0:
            queue.append(_alone(queue[-1], note))
    with cluster() as ray:
        cores = int(ray.cluster_resources()["CPU"])
        jobs = _Waiting(queue, at_once=cores)
        ray_tune.tune(ray, jobs, meanwhile=lambda: None, work=_by_turns)
    first = cores  # the first trial of each actor pays for its start
    taken = jobs.ends[-1] - jobs.ends[first - 1]
    engine = _noted(note)
    plain = statistics.median(one.of_cpu for one in engine)
    rows.write(
        "sweep-200",
        model="vae",
        data="digits",
        figure=100 * plain * (MANY_TRIALS - first) / (cores * taken - sum(one.passed for one in engine)),
        unit="% of the cores' time",
        target=85.0,
        better="higher",
        baselines={"engine alone, s of CPU a trial": plain, "cores": cores, "wall time, s": taken},
        seeds=[0],
        spread=None,
        budget=f"{MANY_TRIALS} trials of {TRIAL_STEPS} steps",
        seconds=time.monotonic() - began,
        inputs=PLAY,
    )


@row("sweep-4000")
def sweep_4000() -> None:
    """Measure (time from the end of the first trial to the end of the last) / 3999, for trials that only report."""
    began = time.monotonic()
    with cluster() as ray:
        cores = int(ray.cluster_resources()["CPU"])
        jobs = _Waiting([Job(TRIAL, "bench", str(i), {}, lambda: True) for i in range(EMPTY_TRIALS)], at_once=cores)
        before, peak = _resident_mb(), []

        def look() -> None:
            if len(jobs.ends) > len(peak) * 500:
                peak.append((_resident_mb(), _disk_mb(paths.work("ray"))))

        ray_tune.tune(ray, jobs, meanwhile=look, work=_nothing)
    memory, disk = zip(*peak, strict=True)
    rows.write(
        "sweep-4000",
        model="none",
        data="none",
        figure=(jobs.ends[-1] - jobs.ends[0]) / (EMPTY_TRIALS - 1),
        unit="s a trial",
        target=0.1,
        baselines={
            "memory of the driver, MB more": max(memory) - before,
            "disk during the sweep, MB": max(disk),
            "disk after the sweep, MB": _disk_mb(paths.work("ray")),
        },
        seeds=[],
        spread=None,
        budget=f"{EMPTY_TRIALS} trials that report once, {cores} at once",
        seconds=time.monotonic() - began,
        inputs=PLAY,
    )


@row("fit-fixed-cost")
def fit_fixed_cost() -> None:
    """Measure the seconds of fit() minus the seconds of the training loop inside it, for the first fit() of a session.

    The session is connected to its cluster before.
    """
    began = time.monotonic()
    first, second = _fits([_task("fit-0", TRIAL_STEPS), _task("fit-1", TRIAL_STEPS)])
    rows.write(
        "fit-fixed-cost",
        model="vae",
        data="digits",
        figure=first["fit"] - first["loop"],
        unit="s",
        target=10.0,
        baselines={"the second time in the session": second["fit"] - second["loop"]},
        seeds=[0],
        spread=None,
        budget=f"one worker, {TRIAL_STEPS} steps",
        seconds=time.monotonic() - began,
        inputs=PLAY,
    )


@row("report-stall")
def report_stall() -> None:
    """Measure the time inside ray.train.report as a percentage of the time of the training loop."""
    began = time.monotonic()
    (found,) = _fits([_task("stall", LONG_STEPS, reports=50, checkpoints=50)])
    rows.write(
        "report-stall",
        model="vae",
        data="digits",
        figure=100 * found["reports"] / found["loop"],
        unit="%",
        target=1.0,
        baselines={"loop, s": found["loop"], "reports": found["count"]},
        seeds=[0],
        spread=None,
        budget=f"one worker, {LONG_STEPS} steps, 50 places to report",
        seconds=time.monotonic() - began,
        inputs=PLAY,
    )


def _task(name: str, steps: int, *, reports: int = 10, checkpoints: int = 5) -> Task:
    conf = compose("vae", "digits", "quick")
    conf["budget"] |= {"reports": reports, "checkpoints": checkpoints}
    folder = paths.work("bench", name)
    shutil.rmtree(folder, ignore_errors=True)
    return task_of(conf, paths.out("data", "digits"), seed=0, steps=steps, folder=folder, is_trial=True)


class _Seconds(NamedTuple):
    """How long something took: on the clock, and of one thread's CPU time."""

    passed: float
    of_cpu: float


def _engine_once(task: Task) -> _Seconds:
    """Do a trial's work without an orchestrator: build, train, validate ten times."""
    start, cpu = time.monotonic(), time.thread_time()
    dataset = open_folder(Path(task.data))
    training = build_training(task.conf, task.seed)
    warm_start(training.model, dataset, task.seed)
    check = ValidationMetrics(dataset, task.conf, "cpu")
    batches = Batches(dataset.rows("train"), task.conf["batch_size"], task.seed)
    for _ in fit(training, batches, Noise(task.seed), steps=task.steps, report_every=task.report_every):
        check(training)
    return _Seconds(time.monotonic() - start, time.thread_time() - cpu)


class _Beside(NamedTuple):
    """Seconds of each trial: what it takes beside the engine's work, and the engine's work alone."""

    overheads: list[float]
    engine: list[float]


def _overheads(checkpoints: int) -> _Beside:
    """Play trials and jobs of the engine alone by turns, and compare each trial with those beside it.

    checkpoints: how many a trial writes
    """
    note = _empty_note()
    jobs = []
    for number in range(TRIALS + 1):
        trial = training_job(TRIAL, "bench", _task(f"{checkpoints}-{number}", TRIAL_STEPS, checkpoints=checkpoints))
        jobs += [_alone(trial, note), trial]
    waiting = _Waiting(jobs[:-1], at_once=1)
    with cluster() as ray:
        ray_tune.tune(ray, waiting, meanwhile=lambda: None, work=_by_turns)
    engine = [one.passed for one in _noted(note)]
    taken = [end - before for before, end in pairwise(waiting.ends)][::2]
    beside = [(one + other) / 2 for one, other in pairwise(engine)]
    return _Beside([whole - alone for whole, alone in zip(taken, beside, strict=True)][1:], engine[1:])


def _empty_note() -> Path:
    """Return the path of the file, which is not there yet, to which jobs of the engine alone add their seconds."""
    note = paths.work("bench", "engine.txt")
    note.parent.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    return note


def _noted(note: Path) -> list[_Seconds]:
    """Return what the jobs of the engine alone have added to the file."""
    return [_Seconds(*map(float, line.split())) for line in note.read_text().splitlines()]


def _alone(trial: Job, note: Path) -> Job:
    """Return the job that does only the engine's work of a trial."""
    return replace(trial, configuration={**trial.configuration, ALONE: str(note)}, is_done=lambda: True)


def _by_turns(configuration: dict[str, Any]) -> None:
    """Do a trial as a sweep does, or the engine's work alone, whose seconds are then added to a file."""
    if ALONE not in configuration:
        ray_tune.do_job(configuration)
        return
    with Path(configuration[ALONE]).open("a") as file:
        seconds = _engine_once(Task(**configuration["task"]))
        file.write(f"{seconds.passed} {seconds.of_cpu}\n")
    _nothing(configuration)


def _standard_error_of_median(values: Sequence[float]) -> float:
    """Return it as for normal values, from the median distance to the median, which ignores outliers."""
    middle = statistics.median(values)
    spread = 1.4826 * statistics.median(abs(value - middle) for value in values)
    return 1.2533 * spread / len(values) ** 0.5


def _nothing(configuration: dict[str, Any]) -> None:
    """Report once, which is all that a trial without work does."""
    from ray import tune

    tune.report({"step": 1, "value": 0.0})


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def _disk_mb(folder: Path) -> float:
    found = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # removed meanwhile
            found += path.stat().st_size
    return found / 1e6


class _Waiting:
    """Jobs of which so many run at once, and the times of their ends."""

    def __init__(self, jobs: list[Job], at_once: int):
        self._waiting, self._at_once, self._runs, self.ends = deque(jobs), at_once, 0, list[float]()

    @property
    def is_over(self) -> bool:
        return not self._waiting and not self._runs

    def next_job(self) -> Job | None:
        if self._runs >= self._at_once or not self._waiting:
            return None
        self._runs += 1
        return self._waiting.popleft()

    def ended(self, job: Job, error: str | None = None) -> None:
        assert error is None, error
        self._runs -= 1
        self.ends.append(time.monotonic())


def _fits(tasks: list[Task]) -> list[dict[str, float]]:
    """{fit, loop, reports, count} of each training in one session; seconds."""
    found = []
    with cluster() as ray:
        for task in tasks:
            note = paths.work("bench", "timing.txt")
            start = time.monotonic()
            ray_train.fit_workers(ray, "bench", task, 1, worker=_timed, note=str(note))
            whole = time.monotonic() - start
            loop, reports, count = map(float, note.read_text().split())
            found.append({"fit": whole, "loop": loop, "reports": reports, "count": count})
    return found


def _timed(configuration: dict[str, Any]) -> None:
    """ray_train.train_and_report with a clock around its reports."""
    import ray.train

    report, waited = ray.train.report, []

    def clocked(*arguments: Any, **keywords: Any) -> None:
        start = time.monotonic()
        report(*arguments, **keywords)
        waited.append(time.monotonic() - start)

    ray.train.report = clocked
    start = time.monotonic()
    ray_train.train_and_report(configuration)
    Path(configuration["note"]).write_text(f"{time.monotonic() - start} {sum(waited)} {len(waited)}")


if __name__ == "__main__":
    rows.run(ROWS_OF, prog="python -m benchmarks.pipeline", description=str(__doc__))
