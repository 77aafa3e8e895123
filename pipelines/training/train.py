"""train RUN: trains a run with its sweep's best setting and the whole budget, with Ray Train, to out/train/RUN.

    gen-models train vae-digits

    checkpoint/     the best model, which gen_models can load without the pipeline
    history.jsonl   the metrics of each report
    samples/        samples at each report, drawn with the same noise
    lineage.json    hashes of what decides the result

A training that `gen-models play` has finished is only collected. A training that was killed resumes from the last
checkpoint of its run log. It ends with the same bits as a training that was not killed.
"""

import shutil
from pathlib import Path

from gen_models import checkpoint_folder
from gen_models.errors import CheckpointError, DivergedError, GenModelsError
from pipelines.config.params import params
from pipelines.lineage.audit import run_stage
from pipelines.runtime import paths
from pipelines.runtime.stage import argument, produce
from pipelines.training.training_plan import TrainingPlan, best_setting, training_plan


class DamagedError(GenModelsError):
    """The checkpoint of a finished training is damaged."""


def main(argv: list[str]) -> None:
    key = argument(argv, "train", "RUN", __doc__)
    asked = params()
    setting = best_setting(key, asked.run(key).setting)
    with produce(paths.out("train", key)) as folder:
        plan = training_plan(asked, key, setting)
        if not plan.is_played():
            from pipelines.training.ray_play import play_training  # imports Ray, torch and MLflow

            play_training(plan, asked.storage)
        if reason := plan.log.diverged():
            raise DivergedError(f"train {key}: {reason}; the best model before that is {plan.log.best}")
        hand_over(plan, folder)
    remove(plan.log.folder)


def hand_over(plan: TrainingPlan, folder: Path) -> None:
    """Copy the best checkpoint, the history and the samples into the stage's output, and write the lineage there.

    If the checkpoint is damaged, the run log is removed and DamagedError is raised.
    """
    log = plan.log
    try:
        checkpoint_folder.verify(log.best)
    except CheckpointError as error:
        remove(log.folder)
        raise DamagedError(f"{error}; its training was removed, run the same command to begin it again") from None
    shutil.copytree(log.best, folder / "checkpoint")
    shutil.copy(log.history_path, folder / "history.jsonl")
    if (log.folder / "samples").is_dir():
        shutil.copytree(log.folder / "samples", folder / "samples")
    shutil.copy(plan.seal() / "lineage.json", folder / "lineage.json")


def remove(folder: Path) -> None:
    """Rename the folder of a run log, then remove it.

    If the process is killed in the middle, nothing is left that looks like a finished training.
    """
    doomed = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.rename(doomed)
    shutil.rmtree(doomed)


if __name__ == "__main__":
    run_stage("train", main)
