"""Says how far each run has come, for the page live/index.html, which fills while runs are trained.

The runs are those of a play: the work for some sweeps and runs, of which in_play.py keeps the order.
"""

from collections.abc import Sequence

from pipelines.config.params import Run
from pipelines.report.live import RunState
from pipelines.training.in_play import Play


def states(game: Play, runs: Sequence[Run]) -> list[RunState]:
    """Return the state of each run, in the order of `runs`. game: the play"""
    return [_state(game, run) for run in runs]


def _state(game: Play, run: Run) -> RunState:
    training = game.trained_in.get(run.key)
    plan = game.evaluations.get(run.key)
    if plan is not None:
        folder = next((folder for folder in (plan.folder, plan.collected) if folder.is_dir()), None)
        is_done = plan.is_played() or plan.is_collected()
        word = "evaluated" if is_done else "waits for its evaluation"
        if str(plan.folder) in game.running:
            word = "being evaluated"
        return RunState(run.key, run.model, run.data, word, is_done, training, folder if is_done else None)
    if run.key in game.trainings:
        task = game.trainings[run.key].task
        history = game.trainings[run.key].log.history()
        share = (history[-1]["step"] if history else 0) / task.steps
        word = f"training {share:.0%}" if task.folder in game.running else "waits for its training"
        return RunState(run.key, run.model, run.data, word, run.key in game.failed, training)
    sweep = game.sweeps.get(run.setting)
    word = "waiting"
    if sweep is not None and sweep.has_begun:
        known = len(sweep.course.trials)
        done = known - len(sweep.open)
        word = f"searching, {done} of {known} trials" if done else "waits for its search"
    return RunState(run.key, run.model, run.data, "failed" if run.key in game.failed else word, run.key in game.failed)
