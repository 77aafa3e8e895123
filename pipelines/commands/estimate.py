"""estimate: prints how long the steps of params.yaml's sweeps and trainings will take, from steps timed now.

    gen-models estimate               of all lines
    gen-models estimate vae-digits    of these lines alone

Each line of params.yaml is timed on one thread of this machine for about a second, with the settings of its conf. The
rows are random; they take as long as rows of the data. A sweep's trials run side by side, one on each core. The
estimate counts no reports, no evaluation and no starts of processes. It assumes that no GPU is used, and that a
scheduler ends no trial early.
"""

import os
import time
from typing import Any

import torch
from torch import Tensor

from gen_models.engine import fit
from gen_models.loader import Batches
from gen_models.noise import Noise
from pipelines.config.compose import compose_line, override
from pipelines.config.params import Params, Run, params
from pipelines.runtime.stage import parse, run_keys
from pipelines.training.initial_model import build_training
from pipelines.training.search import settings

STEPS = 5  # between two looks at the clock; the first STEPS are not counted
SECONDS = 1.0


def main(argv: list[str]) -> None:
    named = parse(argv, "estimate", __doc__, run_keys).runs
    graph, cores = params(), os.cpu_count() or 1
    lines = [graph.run(key) for key in dict.fromkeys(named)] or list(graph.runs.values())
    torch.set_num_threads(1)
    total = 0.0
    for line in lines:
        conf = conf_of(line, graph)
        budget, trials = conf["budget"], trials_of(conf, graph.seed) if line.key in graph.sweeps else 0
        cost = seconds_per_step(conf, graph.seed)
        seconds = cost * (budget["steps"] + trials * budget["trial_steps"] / min(cores, max(trials, 1)))
        total += seconds
        swept = f"{trials} trials x {budget['trial_steps']} and " if trials else ""
        print(f"{line.key}: {swept}{budget['steps']} steps, {1000 * cost:.3g} ms each: {duration(seconds)}", flush=True)
    print(
        f"about {duration(total)} for the steps of budget {graph.budget} on {cores} cores, by the steps timed here; "
        "reports, evaluation and the starts of processes come on top"
    )


def conf_of(line: Run, graph: Params) -> dict[str, Any]:
    """Return the configuration of a line; one that reuses a sweep's setting also has what that sweep's line sets."""
    conf = compose_line(line, graph.budget)
    if line.setting == line.key:
        return conf
    return override(conf, {**graph.run(line.setting).fixed, **line.fixed})


def trials_of(conf: dict[str, Any], seed: int) -> int:
    """Return how many trials a sweep trains at most, counting the repeats of its finalists with other seeds.

    conf: a composed configuration
    """
    sweep, budget = conf["sweep"], conf["budget"]
    firsts = budget["trials"] if sweep["searcher"] == "tpe" else len(settings(conf, seed))
    if sweep["scheduler"] == "pbt":
        return firsts
    repeated = firsts if sweep["searcher"] == "grid" else min(sweep["finalists"], firsts)
    return firsts + repeated * (budget["seeds"] - 1)


def seconds_per_step(conf: dict[str, Any], seed: int) -> float:
    """Return the CPU seconds of one training step of a composed configuration, as the mean over about SECONDS."""
    batches, taken, spent = Batches(rows_of(conf), conf["batch_size"], seed), 0, 0.0
    for _ in fit(
        build_training(conf, seed),
        batches,
        Noise(seed),
        steps=1_000_000,
        report_every=STEPS,
        order=conf["order"],
        clip_norm=conf["clip_norm"],
    ):
        now = time.process_time()
        if taken == 0:
            began = now
        taken, spent = taken + STEPS, now - began
        if spent > SECONDS:
            break
    return spent / (taken - STEPS)


def duration(seconds: float) -> str:
    """Return a time as text, in the unit that suits it: "40 s", "12 minutes", "3.5 hours"."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def rows_of(conf: dict[str, Any]) -> Tensor:
    """Return random rows, enough for four batches, with the data's shape.

    conf: a composed configuration. Images have whole grey levels 0 .. levels - 1, rows of a table zeros and ones, which
    columns of every kind take, and other data normal numbers.
    """
    shape, levels = (conf["batch_size"] * 4, *conf["data"]["event_shape"]), conf["data"]["levels"]
    generator = torch.Generator().manual_seed(0)
    if isinstance(levels, list):
        return torch.randint(0, 2, shape, generator=generator).double()
    if levels is None:
        return torch.randn(shape, generator=generator)
    return torch.randint(0, levels, shape, generator=generator, dtype=torch.uint8)
