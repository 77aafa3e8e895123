"""The course of a sweep: which trials it trains, in which rounds, and up to which step in each round.

A searcher chooses the settings of the trials. A scheduler decides which trials continue after a round. If the budget
has several seeds, the best trials, the finalists, are trained with other seeds in a last round; a grid trains all its
settings with all seeds at once. A course keeps no state: it is walked from its beginning each time, decides everything
from the run logs of the trials, and only reads the run logs of rounds that have ended.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from gen_models.files import replacing
from pipelines.training import schedulers
from pipelines.training.run_log import RunLog
from pipelines.training.task import WORST, Task
from pipelines.training.trials import Place, Trial, best_of

Rounds = Iterator[tuple[list[Task], int]]
MOST_RESTARTS = 3


class Course:
    """The trials of a sweep, in the order of trials.json.

    The attribute `trials` has the trials of the rounds that `rounds` has yielded so far.

    conf: the composed configuration of the sweep; place: where the trials are trained, and what decides all of them
    seed: the seed of the searcher and of the trials; further seeds are the numbers after it
    drawn: the file in which the settings are kept once they are drawn, since the libraries that draw them take a second
    to import
    """

    def __init__(self, conf: Mapping[str, Any], place: Place, seed: int, drawn: Path):
        self.conf, self.place, self.seed, self.drawn = conf, place, seed, drawn
        self.trials: list[Trial] = []

    def rounds(self) -> Rounds:
        """Yield (tasks, step) for each round.

        The caller trains each task up to the step before it asks for the next round.
        """
        sweep, budget = self.conf["sweep"], self.conf["budget"]
        if sweep["scheduler"] == "pbt":
            yield from self._population()
            return
        if sweep["searcher"] == "tpe":
            yield from self._learning()
        elif sweep["searcher"] == "grid" and sweep["scheduler"] == "none":
            self._begin(self.settings())
            firsts = list(enumerate(self.trials))
            self._repeat(firsts)
            yield from self._restored([trial.task for trial in self.trials], self.place.stops[-1])
            return
        else:
            self._begin(self.settings())
            for tasks, until in schedulers.rounds(self.conf, [trial.task for trial in self.trials]):
                yield from self._restored(tasks, until)
        if budget["seeds"] > 1:
            firsts = self._finalists()
            self._repeat(firsts)
            more = [trial.task for trial in self.trials if trial.of is not None]
            yield from self._restored([*(first.task for _, first in firsts), *more], self.place.stops[-1])

    def settings(self) -> list[dict[str, Any]]:
        """Return the settings of the trials, for a searcher that does not learn from results.

        They are drawn once, and read from the file `drawn` afterwards.
        """
        if (kept := self._kept()) is None:
            from pipelines.training.search import settings  # imports scipy.stats

            kept = settings(self.conf, self.seed)
            self._keep(kept)
        return kept

    def sizes(self) -> list[int]:
        """Return how many trials each round will train, as far as this can be known before any round."""
        sweep, budget = self.conf["sweep"], self.conf["budget"]
        first = budget["trials"] if sweep["searcher"] == "tpe" else len(self.settings())
        if sweep["scheduler"] == "pbt":
            return schedulers.sizes(self.conf, first)
        if sweep["searcher"] == "grid" and sweep["scheduler"] == "none":
            return [first * budget["seeds"]]
        finalists = min(sweep["finalists"], first) * (budget["seeds"] - 1)
        return [*schedulers.sizes(self.conf, first), *([finalists] if finalists else [])]

    def _begin(self, settings: Sequence[dict[str, Any]]) -> None:
        self.trials += [Trial(one, self.place.task(self.conf, one, self.seed)) for one in settings]

    def _repeat(self, firsts: Sequence[tuple[int, Trial]]) -> None:
        """Add, for each further seed, a trial of each setting. firsts: (index, trial) of the settings' first trials"""
        for seed in range(self.seed + 1, self.seed + self.conf["budget"]["seeds"]):
            for index, first in firsts:
                self.trials.append(Trial(first.setting, self.place.task(self.conf, first.setting, seed), of=index))

    def _finalists(self) -> list[tuple[int, Trial]]:
        """Return (index, trial) of the best trials so far, the best first, without trials that asha has stopped."""
        values = [best_of(trial.task, self.conf["metric"], trial.granted)[0] for trial in self.trials]
        usable = [
            index
            for index, trial in enumerate(self.trials)
            if values[index] < WORST and not RunLog(Path(trial.task.folder)).is_stopped()
        ]
        best = sorted(usable, key=lambda index: (values[index], index))[: self.conf["sweep"]["finalists"]]
        return [(index, self.trials[index]) for index in best]

    def _restored(self, tasks: Sequence[Task], until: int) -> Rounds:
        """Yield (tasks, step) for one round.

        If checkpoints of tasks that must continue were removed, first yield rounds in which these tasks are trained
        again.
        """
        lost = [task for task in tasks if 0 < RunLog(Path(task.folder)).ended_step() < until]
        for task in lost:
            RunLog(Path(task.folder)).remove()
        for stop in self.place.stops if lost else ():
            if stop < until:
                yield lost, stop
        granted = {task.folder for task in tasks}
        for trial in self.trials:
            if trial.task.folder in granted:
                trial.granted = until
        yield list(tasks), until

    def _learning(self) -> Rounds:
        """Yield the rounds of a searcher that learns from results.

        The searcher suggests the settings of a round from the results of the rounds before.
        """
        batches, steps = self._kept() or [], self.place.stops[-1]
        for number in count():
            if number == len(batches):
                from pipelines.training.tpe import suggest  # imports Optuna and scipy.stats

                told = [(one.setting, best_of(one.task, self.conf["metric"], steps)[0]) for one in self.trials]
                batches.append(suggest(self.conf, self.seed, told))
                self._keep(batches)
            if not batches[number]:
                return
            known = len(self.trials)
            self._begin(batches[number])
            yield from self._restored([trial.task for trial in self.trials[known:]], steps)

    def _population(self) -> Rounds:
        from pipelines.training import pbt

        for _ in range(MOST_RESTARTS):
            self.trials.clear()
            self._begin(self.settings())
            try:
                yield from pbt.rounds(self.conf, self.trials, self.place.stops, self.place.mark)
                return
            except pbt.LostError:
                continue

    def _kept(self) -> list[Any] | None:
        return json.loads(self.drawn.read_text()) if self.drawn.is_file() else None

    def _keep(self, settings: Sequence[Any]) -> None:
        self.drawn.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.drawn) as file:
            file.write(json.dumps(settings).encode())
