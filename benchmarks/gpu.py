"""What a GPU gains: `python -m benchmarks.gpu [ROW ...]`, on a machine with CUDA, in some five minutes.

gpu-vae, gpu-realnvp, gpu-wgan  the engine's steps a second on the GPU over those on one thread of the CPU, with the
                                largest of BATCHES; beside it the steps a second with each batch, in bfloat16 and with
                                compiled networks, and how far their terms lie from float32's
gpu-sweep                       the time of TRIALS trials that share the GPU by fractions, over the time of the same
                                trials one after the other

bfloat16 (torch.autocast) and compiled networks are measured here and are no choices of a conf: a key for them would
change the hash of every training.
"""

import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from benchmarks import rows
from benchmarks.engine import DATA, rows_of
from benchmarks.inputs import Inputs
from gen_models.build import build_model, build_optimisers
from gen_models.engine import Report, Training, fit
from gen_models.loader import Batches
from gen_models.noise import Noise
from pipelines.config.cluster_conf import cluster_conf
from pipelines.config.compose import compose
from pipelines.runtime import paths
from pipelines.training.in_play import TRIAL, Job, training_job
from pipelines.training.ray_cluster import cluster
from pipelines.training.ray_resources import nodes_of, planned
from pipelines.training.ray_tune import tune
from pipelines.training.task import task_of

BATCHES = (64, 1024, 4096)
SECONDS = 2.0  # of a measurement, roughly
FIRST_STEPS = 20  # in which memory is reserved and networks are compiled
NEAR_STEPS = 10  # after which terms are compared; later, rounding has moved a game elsewhere
TOLERANCES = {"bfloat16": 5e-3, "compiled": 1e-3}  # of a term, over the largest of its kind: 8 bits of mantissa; order
TRIALS, TRIAL_STEPS = 8, 500
ROWS_OF: dict[str, Callable[[], None]] = {}


def speed_row(model: str) -> None:
    """Write the row gpu-MODEL."""
    began = time.monotonic()
    torch.set_num_threads(1)
    found = {}
    for batch in BATCHES:
        found[f"float32, {batch} rows"] = steps_a_second(model, batch, "cuda")
        found[f"bfloat16, {batch} rows"] = steps_a_second(model, batch, "cuda", is_bfloat16=True)
        found[f"compiled, {batch} rows"] = steps_a_second(model, batch, "cuda", is_compiled=True)
    on_cpu = steps_a_second(model, BATCHES[-1], "cpu")
    for name, deviation in deviations(model, "cuda").items():
        if deviation > TOLERANCES[name]:
            sys.exit(f"gpu-{model}: {name}: terms are {deviation:.2g} from float32's, more than {TOLERANCES[name]:g}")
        found[f"{name}, largest difference of a term"] = deviation
    rows.write(
        f"gpu-{model}",
        model=model,
        data=DATA[model],
        figure=found[f"float32, {BATCHES[-1]} rows"] / on_cpu,
        unit="x the CPU's steps a second",
        target=1.0,
        better="higher",
        baselines={**found, f"one thread of the CPU, {BATCHES[-1]} rows": on_cpu},
        seeds=[0],
        spread=None,
        budget=f"{SECONDS:g} s for each number, on {torch.cuda.get_device_name()}",
        seconds=time.monotonic() - began,
        inputs=Inputs(["benchmarks.gpu"], [model], []),
    )


for _model in DATA:
    ROWS_OF[f"gpu-{_model}"] = lambda model=_model: speed_row(model)


def sweep_row() -> None:
    """Write the row gpu-sweep. Data must be prepared."""
    began = time.monotonic()
    apart, fraction = _seconds_of_trials(1, "apart"), cluster_conf("local").trial.gpus
    shared = _seconds_of_trials(None, "shared")
    rows.write(
        "gpu-sweep",
        model="vae",
        data="digits",
        figure=shared / apart,
        unit="x the time one after the other",
        target=1.0,
        baselines={"one after the other, s": apart, f"sharing the GPU by {fraction:g}, s": shared},
        seeds=[0],
        spread=None,
        budget=f"{TRIALS} trials of {TRIAL_STEPS} steps on {torch.cuda.get_device_name()}",
        seconds=time.monotonic() - began,
        inputs=Inputs(["benchmarks.gpu"], ["vae"], ["digits"], measures_carriers=True),
    )


ROWS_OF["gpu-sweep"] = sweep_row


def steps_a_second(model: str, batch: int, device: str, **how: bool) -> float:
    """Return the engine's steps a second with batches of `batch` rows. how: is_bfloat16, is_compiled as in `reports`"""
    few, many = FIRST_STEPS, 50
    for _ in range(2):  # first to find how many steps take SECONDS
        with reports(model, batch, device, many, **how) as turns:
            next(turns)  # ends with a number read from the device, so that nothing is left to do
            began = time.perf_counter()
            next(turns)
            rate = many / (time.perf_counter() - began)
        many = max(few, int(rate * SECONDS))
    return rate


def deviations(model: str, device: str, *, is_compiled: bool = True) -> dict[str, float]:
    """Return {"bfloat16", "compiled": the largest difference of a loss term from its float32 value}.

    The differences are divided by the largest absolute float32 term. is_compiled: whether "compiled" is measured
    """
    hows = {"bfloat16": {"is_bfloat16": True}, **({"compiled": {"is_compiled": True}} if is_compiled else {})}
    exact, found = _terms(model, device), {}
    for name, how in hows.items():
        near = _terms(model, device, **how)
        largest = max(abs(value) for value in exact.values())
        found[name] = max(abs(near[term] - value) for term, value in exact.items()) / largest
    return found


@contextmanager
def reports(
    model: str, batch: int, device: str, every: int, *, is_bfloat16: bool = False, is_compiled: bool = False
) -> Iterator[Iterator[Report]]:
    """Yield an iterator over the engine's reports of a training on a device, one report for every `every` steps."""
    conf = compose(model, DATA[model], "quick")
    x = rows_of(conf).to(device)
    x = x.repeat(-(-batch // len(x)), *[1] * (x.dim() - 1))
    network = build_model(conf["model"], 0).to(device)
    with torch.no_grad():
        network.warm_start(x[:4096], Noise(0))
    if is_compiled:
        for module in network.modules():
            if isinstance(module, nn.Sequential):
                module.compile()
    training = Training(network, build_optimisers(conf["optim"], network))
    asked = {"order": conf["order"], "clip_norm": conf["clip_norm"]}
    kind = torch.device(device).type
    # Without its cache, which would keep the weights of the first step for all steps
    with torch.autocast(kind, torch.bfloat16, enabled=is_bfloat16, cache_enabled=False):
        yield fit(training, Batches(x, batch, 0), Noise(0), steps=10**9, report_every=every, **asked)


def _terms(model: str, device: str, **how: bool) -> dict[str, float]:
    with reports(model, BATCHES[0], device, NEAR_STEPS, **how) as turns:
        return next(turns).terms


def _seconds_of_trials(most: int | None, name: str) -> float:
    conf = compose("vae", "digits", "quick")
    folder = paths.work("bench", f"gpu-{name}")
    shutil.rmtree(folder, ignore_errors=True)
    tasks = [
        task_of(conf, paths.out("data", "digits"), seed=index, steps=TRIAL_STEPS, folder=folder / str(index),
                is_trial=True)
        for index in range(TRIALS)
    ]  # fmt: skip
    jobs = InOrder([training_job(TRIAL, "bench", task) for task in tasks])
    shares = cluster_conf("local").model_copy(update={"most_jobs": most, "gpu": "always"})
    with cluster() as ray:
        began = time.monotonic()
        tune(ray, jobs, meanwhile=lambda: None, resources=planned(nodes_of(ray), shares, "conf/cluster/local.yaml", 1))
        return time.monotonic() - began


class InOrder:
    """A source of jobs that may all start at once (see `pipelines.training.ray_tune.Jobs`). No job may fail."""

    def __init__(self, jobs: list[Job]):
        self._waiting, self._running = deque(jobs), 0

    @property
    def is_over(self) -> bool:
        return not self._waiting and not self._running

    def next_job(self) -> Job | None:
        if not self._waiting:
            return None
        self._running += 1
        return self._waiting.popleft()

    def ended(self, job: Job, error: str | None = None) -> None:
        assert error is None, error
        self._running -= 1


if __name__ == "__main__":
    if not torch.cuda.is_available():
        sys.exit("benchmarks.gpu: PyTorch can use no GPU here; `python3 install.py cuda` installs the build that does")
    os.environ.pop("RAY_ADDRESS", None)  # a cluster elsewhere is another machine
    rows.run(ROWS_OF, prog="python -m benchmarks.gpu", description=str(__doc__))
