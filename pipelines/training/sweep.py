"""sweep KEY: Ray Tune over a model's search space; the best setting, a table of trials and a picture.

Each trial runs the engine inside a Tune function whose actor is reused, which costs hundredths of a second
a trial. What a trial did is in its own ledger, and so is what is left to do: a sweep that was killed
begins again with the trials that are not finished, each at its last checkpoint. Tune's own state files
are written in place and can be torn, so nothing is restored from them.

Schedulers: `none` runs every trial to its end; `halving` (synchronous successive halving; Jamieson and
Talwalkar, 2016) decides each rung from the ledgers when all its trials are there, so it is reproducible;
`asha` decides as results arrive, so it is not.
"""

import json
from math import ceil
from pathlib import Path
from typing import Any

from gen_models.errors import GenModelsError
from pipelines import config, figures, lineage, tracking
from pipelines.data.store import open_data
from pipelines.runtime import paths
from pipelines.runtime.progress import Progress
from pipelines.runtime.stage import argument, produce, run
from pipelines.training.ray_cluster import ClusterError, cluster, cpus, in_thread, ray_folder
from pipelines.training.run_log import Ledger
from pipelines.training.search import settings
from pipelines.training.trainer import WORST, Task, build_training, play_to_the_end, task_of

TRIAL_RESTARTS = 1  # of a trial whose process died; it resumes from its ledger


class SweepError(GenModelsError):
    """A sweep none of whose trials can be used."""


def main(argv: list[str]) -> None:
    key = argument(argv, "sweep", "SWEEP", __doc__)
    params = config.params()
    line = params.sweep(key)
    conf = config.compose(line.model, line.data, params.budget)
    with produce(paths.out("sweep", key)) as folder:
        facts = lineage_of(conf, line.family, line.data, params.seed)
        trials = plan(conf, line.data, params.seed, paths.work("sweep", f"{key}-{facts['key'][:12]}"))
        announce(key, conf, len(trials))
        play_trials(key, conf, trials)
        rows = [row(index, override, task, conf) for index, (override, task) in enumerate(trials)]
        best = choose(rows, key)
        write(folder, conf, facts, rows, best)
        tracking.record_sweep(key, facts, rows)
    print(
        f"sweep {key}: best {conf['metric']} {best['value']:.4g} of {len(rows)} trials with "
        + (", ".join(f"{key} {value}" for key, value in best["override"].items()) or "the conf as it is")
    )


def lineage_of(conf: dict[str, Any], family: str, data: str, seed: int) -> dict[str, Any]:
    """What decides a sweep's result, and its hash."""
    facts = {
        "conf_sha256": lineage.sha256_json(conf),
        "data_sha256": open_data(data).sha256,
        "code_sha256": lineage.code_sha256(family),
        "seed": seed,
    }
    return {**facts, "key": lineage.key(stage="sweep", **facts), "git_commit": lineage.git_commit(), "data": data}


def plan(conf: dict[str, Any], data: str, seed: int, folder: Path) -> list[tuple[dict[str, Any], Task]]:
    """(override, task) of each trial; all trials share the seed, so that they differ by their setting alone."""
    planned = []
    for index, override in enumerate(settings(conf, seed)):
        chosen = config.override(conf, override)
        task = task_of(
            chosen,
            paths.out("data", data),
            seed=seed,
            steps=conf["budget"]["trial_steps"],
            folder=folder / f"trial_{index:04d}-{lineage.sha256_json(chosen)[:8]}",
            is_trial=True,
        )
        planned.append((override, task))
    return planned


def play_trials(key: str, conf: dict[str, Any], trials: list[tuple[dict[str, Any], Task]]) -> None:
    """Bring every trial's ledger to the step that the scheduler grants it."""
    sweep, steps = conf["sweep"], conf["budget"]["trial_steps"]
    tasks = [task for _, task in trials]
    if sweep["scheduler"] != "halving":
        _play(key, conf, tasks, steps)
        return
    rungs = [max(1, ceil(steps / sweep["eta"] ** k)) for k in reversed(range(sweep["rungs"]))]
    for rung in rungs:
        _play(f"{key}, rung of {rung} steps", conf, tasks, rung)
        kept = max(1, len(tasks) // sweep["eta"])
        tasks = sorted(tasks, key=lambda task: (best_of(task, conf, until=rung)[0], task.folder))[:kept]


def _play(key: str, conf: dict[str, Any], tasks: list[Task], until: int) -> None:
    """Each task to step `until`, or to where the scheduler or a loss that is not finite stops it."""
    unfinished = [task for task in tasks if not Ledger(Path(task.folder)).is_finished(until)]
    if not unfinished:
        return
    for task in unfinished:
        build_training(task.conf, task.seed)  # a setting that cannot be built is said before a cluster starts
    with cluster() as ray:
        if cpus(ray) < 1:
            raise ClusterError(f"sweep {key}: the cluster has no free CPU; a trial needs one")
        progress = Progress(f"sweep {key}", len(tasks), "trial")
        tune_trials(ray, conf, unfinished, until, progress, done=len(tasks) - len(unfinished), at_once=cpus(ray))
        progress.close()
    for ledger in (Ledger(Path(task.folder)) for task in unfinished):
        if not ledger.is_finished(until):
            if conf["sweep"]["scheduler"] != "asha" or not ledger.history():
                raise SweepError(f"sweep {key}: {ledger.folder} is not finished; run the same command to continue")
            ledger.stop()


def tune_trials(
    ray: Any, conf: dict[str, Any], tasks: list[Task], until: int, progress: Progress, *, done: int, at_once: int
) -> None:
    """Ray Tune's part: each task to step `until`, `at_once` of them at a time, in actors that are reused."""
    from ray import tune

    class Watch(tune.Callback):
        """A line of progress at each trial's end."""

        def __init__(self) -> None:
            self.done, self.best = done, float("inf")

        def on_trial_result(self, iteration, trials, trial, result, **info) -> None:
            self.best = min(self.best, result["value"])

        def on_trial_complete(self, iteration, trials, trial, **info) -> None:
            self.done += 1
            progress.show(self.done, f"best {conf['metric']} {self.best:.4g}")

    scheduler = None
    if conf["sweep"]["scheduler"] == "asha":
        grace = max(1, until // conf["sweep"]["eta"] ** (conf["sweep"]["rungs"] - 1))
        scheduler = tune.schedulers.ASHAScheduler(
            time_attr="step",
            metric="value",
            mode="min",
            max_t=until,
            grace_period=grace,
            reduction_factor=conf["sweep"]["eta"],
        )
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
    """What a Tune actor runs: the task, from its ledger's last checkpoint; each record is reported."""
    from ray import tune

    task = Task(**configuration["task"])
    for record in play_to_the_end(task):
        tune.report({"step": record.step, "value": record.value})


def best_of(task: Task, conf: dict[str, Any], until: int | None = None) -> tuple[float, int]:
    """(the lowest value of the metric, its step) in a trial's history; (WORST, 0) of a diverged trial."""
    history = Ledger(Path(task.folder)).history()
    if not history or "diverged" in history[-1]:
        return WORST, 0
    name = f"validation.{conf['metric']}"
    return min((line["metrics"][name], line["step"]) for line in history if until is None or line["step"] <= until)


def row(index: int, override: dict[str, Any], task: Task, conf: dict[str, Any]) -> dict[str, Any]:
    """One line of the table of trials, with its history for the tracker."""
    history = Ledger(Path(task.folder)).history()
    value, step = best_of(task, conf)
    at_best: dict[str, float] = next(
        (line["metrics"] for line in history if line["step"] == step and line["metrics"]), {}
    )
    return {
        "trial": index,
        "override": override,
        "value": None if value == WORST else value,
        "best_step": step,
        "steps": history[-1]["step"],
        "diverged": history[-1].get("diverged"),
        "metrics": at_best,
        "history": history,
    }


def choose(rows: list[dict[str, Any]], key: str) -> dict[str, Any]:
    usable = [row for row in rows if row["value"] is not None]
    if not usable:
        raise SweepError(f"sweep {key}: every trial diverged; lower the learning rates in its conf's sweep.space")
    return min(usable, key=lambda row: (row["value"], row["trial"]))


def announce(key: str, conf: dict[str, Any], trials: int) -> None:
    """What the sweep will cost, said before it starts."""
    steps = conf["budget"]["trial_steps"]
    space = ", ".join(conf["sweep"]["space"]) or "nothing"
    print(
        f"sweep {key}: {trials} trials x {steps} minibatches of {conf['batch_size']} = {trials * steps} steps, "
        f"over {space}; by {conf['metric']} on validation data, scheduler {conf['sweep']['scheduler']}",
        flush=True,
    )


def write(
    folder: Path, conf: dict[str, Any], facts: dict[str, Any], rows: list[dict[str, Any]], best: dict[str, Any]
) -> None:
    chosen = {
        "metric": conf["metric"],
        "value": best["value"],
        "trial": best["trial"],
        "trials": len(rows),
        "override": best["override"],
    }
    (folder / "best.json").write_text(json.dumps(chosen, indent=1))
    (folder / "lineage.json").write_text(json.dumps(facts, indent=1, sort_keys=True))
    (folder / "trials.json").write_text(json.dumps(rows, indent=1))
    figures.trials(rows, conf["metric"], best["trial"], folder / "sweep.png", front=conf["sweep"].get("front"))


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


if __name__ == "__main__":
    run(main)
