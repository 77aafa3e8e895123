"""A table that compares the runs on a data set, and methods without a network, by one or two numbers.

Rows are sorted from best to worst, with the baselines among the runs, so that a reader sees which runs are worse than a
baseline. The best run is marked, with those that their errors cannot tell from it; but none that failed, and none that
is not better than every baseline.
"""

from dataclasses import dataclass, replace

from pipelines.report.as_text import decimal
from pipelines.report.key_numbers import derived
from pipelines.report.leaderboard import is_below, is_tied, numbers_of
from pipelines.report.read import Results, RunResult

Pair = tuple[RunResult, dict[str, float]]  # a run and its numbers


@dataclass(frozen=True)
class Entry:
    """A row of a table.

    cells: the texts of its numbers; value: the number by which rows are sorted, the lowest first
    kind: "run", "baseline" (a method without a network, to be beaten) or "limit" (what a perfect model would reach)
    key: the key of a run, "" for other kinds; note: a few words below the name
    is_beaten: whether the run is not better than its own baseline, such as PCA with as many components
    has_failed: whether the run diverged or collapsed; it is then never marked as the best
    error: the standard error of the value, 0 if it is not known
    """

    name: str
    cells: tuple[str, ...]
    value: float
    kind: str = "run"
    key: str = ""
    is_beaten: bool = False
    has_failed: bool = False
    is_best: bool = False
    note: str = ""
    error: float = 0.0

    @property
    def shown(self) -> str:
        """The first number as text, without its error."""
        return self.cells[0].removeprefix("≤ ").partition(" ±")[0]


@dataclass(frozen=True)
class Comparison:
    """A table on a data set; heads: the titles of its columns of numbers, with their directions."""

    data: str
    heads: tuple[str, ...]
    rows: list[Entry]
    caption: str = ""


def rows_seen(run: RunResult) -> str:
    """Return how many minibatches of how many rows a run's training saw, in words."""
    return f"{run.lineage['steps']:,} minibatches of {run.lineage['params'].get('batch_size', '?')}"


class Data:
    """The runs on a data set with their numbers, for the tables that answer a question.

    on_levels: whether the data are whole grey levels; models: the model of each run
    seen: {run: how many rows its training saw, in words}, if they differ; else {}
    """

    def __init__(self, found: Results, name: str):
        self.found, self.name = found, name
        self.runs = found.runs_on(name)
        self.numbers = {run.line.key: derived(numbers_of(found, run.line.key)) for run in self.runs}
        self.on_levels = found.data[name]["levels"] is not None
        self.models = [run.line.model for run in self.runs]
        seen = {run.line.key: rows_seen(run) for run in self.runs}
        self.seen = seen if len(set(seen.values())) > 1 else {}

    def title(self, run: RunResult) -> str:
        """Return the name of a run in a table of this data set: its model, or its key if several runs have it."""
        return run.line.model if self.models.count(run.line.model) == 1 else run.line.key

    def entry(
        self, run: RunResult, value: float, *cells: str, error: float = 0.0, is_beaten: bool = False, note: str = ""
    ) -> Entry:
        key, has_failed = run.line.key, bool(run.failures)
        note = "; ".join(filter(None, [note, self.seen.get(key, "")]))
        return Entry(
            self.title(run), cells, value, key=key, is_beaten=is_beaten, has_failed=has_failed, note=note, error=error
        )

    def having(self, *names: str) -> list[Pair]:
        """Return (run, its numbers) for each run that has all the numbers called `names`."""
        pairs = [(run, self.numbers[run.line.key]) for run in self.runs]
        return [(run, numbers) for run, numbers in pairs if all(name in numbers for name in names)]


def table(
    data: Data, heads: tuple[str, ...], entries: list[Entry], beside: list[Entry] | None = None, *, caption: str = ""
) -> list[Comparison]:
    """Return a list with one table, sorted by value, failed runs last; or an empty list if `entries` is empty.

    heads: the titles of the columns; entries: the runs; beside: baselines and limits
    """
    if not entries:
        return []
    rows = sorted([*entries, *(beside or [])], key=lambda row: (row.has_failed, row.value))
    best = _best(rows)
    return [Comparison(data.name, heads, [replace(row, is_best=row in best) for row in rows], caption)]


def _best(rows: list[Entry]) -> list[Entry]:
    """Return the run with the lowest value and those that cannot be told from it; [] for fewer than two sound runs.

    A run that failed is not sound. A run is left out if it does not beat its own baseline, if another baseline is as
    good or better or cannot be told from it, or if a baseline has the same number to the digits shown.
    """
    sound = [row for row in rows if row.kind == "run" and not row.has_failed]
    if len(sound) < 2:
        return []
    first = min(sound, key=lambda row: row.value)
    best = [row for row in sound if is_tied(row.value - first.value, row.error, first.error) and not row.is_beaten]
    baselines = [row for row in rows if row.kind == "baseline"]
    return [
        row
        for row in best
        if all(row.shown != it.shown and is_below(row.value - it.value, row.error, it.error) for it in baselines)
    ]


def references(pairs: list[Pair], names: list[tuple[str, str, str]], decimals: int) -> list[Entry]:
    """Return an entry for each baseline or limit, with its number from the first run that has it.

    names: (metric, title of the entry, its kind) of each baseline or limit
    """
    found = []
    for name, words, kind in names:
        value = next((numbers[name] for _, numbers in pairs if name in numbers), None)
        if value is not None:
            found.append(Entry(words, (decimal(value, decimals),), value, kind))
    return found
