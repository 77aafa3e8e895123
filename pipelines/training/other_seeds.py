"""Trains and evaluates a run again with other seeds, on the same prepared data and with the same setting.

The results are in work/, in folders named as those of the run itself, and nothing in out/ changes. MLflow gets a run
for each training, such as "vae-digits, seed 1"; no model is registered.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gen_models.errors import one_line
from pipelines.config.params import Params
from pipelines.evaluation.evaluation_plan import EvaluationPlan, evaluation_plan
from pipelines.training.in_play import Play
from pipelines.training.play import PlayError
from pipelines.training.training_plan import TrainingPlan, best_setting, training_plan


def evaluations(asked: Params, key: str, seeds: Sequence[int]) -> dict[int, Path]:
    """Return {seed: the folder of the evaluation} of a run; do the trainings and evaluations that are missing.

    asked: params.yaml; key: the name of a run that was trained. A seed with which the training diverges is left out.

    Raises ConfigError if the run was not trained, and PlayError, with a line for each job that failed.
    """
    run, setting = asked.run(key), best_setting(key, asked.run(key).setting)
    named = {_name(asked, key, seed): replace(asked, seed=seed) for seed in seeds}

    def training(name: str, setting: Mapping[str, Any]) -> TrainingPlan:
        plan = training_plan(named[name], key, setting)
        return replace(plan, key=name, lineage={**plan.lineage, "run": name})  # its name in MLflow

    def evaluation(name: str, trained: Path) -> EvaluationPlan:
        return evaluation_plan(named[name], key, trained)

    game = Play(
        [],
        dict.fromkeys(named, run.setting),
        settings={run.setting: setting},
        plan_training=training,
        plan_evaluation=evaluation,
    )
    if not game.is_over:
        from pipelines.training.ray_play import play_jobs  # imports Ray, torch and MLflow

        play_jobs(game, asked, [])
    if game.errors:
        raise PlayError("; ".join(game.errors))
    for name, reason in game.diverged.items():
        print(f"{name}: left out: {one_line(reason)}")
    plans = {named[name].seed: plan for name, plan in game.evaluations.items()}
    return {seed: plan.collected if plan.is_collected() else plan.folder for seed, plan in sorted(plans.items())}


def _name(asked: Params, key: str, seed: int) -> str:
    """Return what a training is called: with the seed of params.yaml it is the run itself."""
    return key if seed == asked.seed else f"{key}, seed {seed}"
