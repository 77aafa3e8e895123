"""The small tables of the first page: the runs on a data set, and baselines, by one or two numbers.

Rows are sorted from best to worst, baselines among them, so that a run below a baseline is seen to be. Only the best
run is marked, and only if it did not fail and is better than every baseline.
"""

import math
from dataclasses import dataclass, replace

from pipelines.report.as_text import decimal
from pipelines.report.key_numbers import derived
from pipelines.report.leaderboard import is_bound, numbers_of
from pipelines.report.read import BASELINES, Results, Row, RunResult


@dataclass(frozen=True)
class Entry:
    """A row of a table.

    cells: the texts of its numbers; value: the number by which rows are sorted
    kind: "run", "baseline" (a method without a network, to be beaten) or "limit" (what a perfect model would reach)
    is_beaten: whether a baseline of its own, in one of its cells, is better; has_failed: whether it is never the best
    """

    name: str
    cells: tuple[str, ...]
    value: float
    kind: str = "run"
    key: str = ""
    is_beaten: bool = False
    has_failed: bool = False
    is_best: bool = False

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


class Data:
    """The runs on a data set, with their numbers, for the questions."""

    def __init__(self, found: Results, name: str):
        self.found, self.name = found, name
        self.runs = found.runs_on(name)
        self.numbers = {run.line.key: derived(numbers_of(found, run.line.key)) for run in self.runs}
        self.on_levels = found.data[name]["levels"] is not None
        self.models = [run.line.model for run in self.runs]

    def title(self, run: RunResult) -> str:
        """The name of a run in a table of this data set: its model, unless two runs have the same."""
        return run.line.model if self.models.count(run.line.model) == 1 else run.line.key

    def entry(self, run: RunResult, value: float, *cells: str, is_beaten: bool = False) -> Entry:
        key, has_failed = run.line.key, bool(run.failures)
        return Entry(self.title(run), cells, value, key=key, is_beaten=is_beaten, has_failed=has_failed)

    def having(self, *names: str) -> list[tuple[RunResult, dict[str, float]]]:
        """Return the runs that have all these numbers, with them."""
        pairs = [(run, self.numbers[run.line.key]) for run in self.runs]
        return [(run, numbers) for run, numbers in pairs if all(name in numbers for name in names)]


def likelihood(data: Data) -> list[Comparison]:
    """Compare -log p of a test row, or the tighter bound on it, and apart from it that of binary pixels."""
    tables = []
    for name, caption in (("nats", ""), ("binary_nats", "Binary pixels: the likelihood of the ink alone.")):
        entries = []
        for run, numbers in data.having(f"least_{name}"):
            value = numbers[f"least_{name}"]
            sign = "≤ " if is_bound(run, data.on_levels) or f"{name}_iw50" in numbers else ""
            entries.append(data.entry(run, value, sign + _with_error(value, numbers.get(f"{name}_error"), 2)))
        beside = [
            ("histogram_nats", "a histogram of each pixel", "baseline"),
            ("truth_nats", "the true density", "limit"),
        ]
        if name == "binary_nats":
            beside = [("binary_nats_pixels", "independent pixels", "baseline")]
        tables += _table(data, ("nats a row ↓",), entries, _beside(data, f"least_{name}", beside, 2), caption=caption)
    return tables


def realism(data: Data) -> list[Comparison]:
    """Compare how far a classifier is from guessing which rows are samples."""
    entries = [
        data.entry(
            run, _from_half(n["c2st_accuracy"]), _with_error(n["c2st_accuracy"], n.get("c2st_accuracy_error"), 3)
        )
        for run, n in data.having("c2st_accuracy")
    ]
    beside = [
        Entry(it.name, it.cells, _from_half(it.value), it.kind)
        for it in _beside(data, "c2st_accuracy", [("c2st_accuracy_floor", "training rows", "limit")], 3)
    ]
    return _table(data, ("told apart → 0.5",), entries, beside)


def variety(data: Data) -> list[Comparison]:
    """Compare the known modes that samples reach, and the share of the data that they cover."""
    modal = [
        data.entry(
            run, -n["modes"] - n["coverage"], f"{n['modes']:.0f} of {n['modes_known']:.0f}", decimal(n["coverage"], 3)
        )  # of two that reach as many modes, the one that covers more is the better
        for run, n in data.having("modes", "modes_known", "coverage")
    ]
    if modal:
        return _table(data, ("modes reached ↑", "data covered ↑"), modal)
    plain = [data.entry(run, -n["coverage"], decimal(n["coverage"], 3)) for run, n in data.having("coverage")]
    limit = [
        Entry(it.name, it.cells, -it.value, it.kind)
        for it in _beside(data, "coverage", [("coverage_floor", "training rows", "limit")], 3)
    ]
    return _table(data, ("data covered ↑",), plain, limit)


def rebuilding(data: Data) -> list[Comparison]:
    """Compare the errors of reconstructions, each beside that of PCA."""
    entries = [
        data.entry(
            run,
            n["mse"],
            decimal(n["mse"], None),
            decimal(n["mse_pca"], None) if "mse_pca" in n else "none",
            is_beaten=n["mse"] >= n.get("mse_pca", math.inf),
        )
        for run, n in data.having("mse")
    ]
    return _table(data, ("error ↓", "PCA's"), entries)


def anomalies(data: Data) -> list[Comparison]:
    """Compare the best anomaly score of each run and baseline."""
    best: dict[str, Row] = {}
    for row in sorted(data.found.scores_on(data.name), key=lambda row: row["auroc"]):
        best[row["run"]] = row
    entries, beside = [], []
    for who, row in best.items():
        cells = (decimal(row["auroc"], 3), f"{decimal(row['low'], 2)} to {decimal(row['high'], 2)}")
        if who in data.found.runs:
            entries.append(data.entry(data.found.runs[who], -row["auroc"], *cells))
        else:
            beside.append(Entry(BASELINES.get(who, who), cells, -row["auroc"], "baseline"))
    return _table(data, ("AUROC ↑", "95% interval"), entries, beside)


def clusters(data: Data) -> list[Comparison]:
    """Compare the clusters of latents with those of the data themselves."""
    entries = [
        data.entry(run, -n["acc"], _with_error(n["acc"], n["acc_sd"], 3), decimal(n["nmi"], 3))
        for run, n in data.having("acc", "acc_sd", "nmi")
    ]
    first = next((n for _, n in data.having("acc_kmeans", "nmi_kmeans")), None)
    beside = []
    if first:
        cells = (decimal(first["acc_kmeans"], 3), decimal(first["nmi_kmeans"], 3))
        beside.append(Entry("k-means on the data", cells, -first["acc_kmeans"], "baseline"))
    return _table(data, ("right cluster ↑", "NMI ↑"), entries, beside)


def denoising(data: Data) -> list[Comparison]:
    """Compare the errors of denoised rows at the level of the training, each beside the linear filter's."""
    entries = [
        data.entry(
            run,
            row["denoised"],
            decimal(row["denoised"], 4),
            decimal(row["wiener"], 4),
            decimal(row["noisy"], 4),
            is_beaten=row["denoised"] >= row["wiener"],
        )
        for row in data.found.denoising.rows
        if row["data"] == data.name and row["factor"] == 1.0
        for run in [data.found.runs[row["run"]]]
    ]
    return _table(data, ("denoised ↓", "linear filter's", "noisy"), entries)


def compression(data: Data) -> list[Comparison]:
    """Compare the bytes of a row, first where nothing is lost."""
    rows = [row for row in data.found.compression.rows if row["data"] == data.name]
    exact = [row for row in rows if row["mse"] == 0]
    entries = [
        data.entry(run, row["bytes_a_row"], decimal(row["bytes_a_row"], 1))
        for row in exact
        if (run := data.found.runs.get(row["run"]))
    ]
    beside = [
        Entry(row["run"].upper(), (decimal(row["bytes_a_row"], 1),), row["bytes_a_row"], "baseline")
        for row in exact
        if row["run"] not in data.found.runs
    ]
    tables = _table(data, ("bytes a row ↓",), entries, beside, caption="Nothing is lost.")
    nearest: dict[str, Row] = {}
    for row in rows:
        if row["run"] in data.found.runs and row["mse"] > 0 and row["mse_pca"]:
            kept = nearest.setdefault(row["run"], row)
            if row["mse"] / row["mse_pca"] < kept["mse"] / kept["mse_pca"]:
                nearest[row["run"]] = row
    lossy = [
        data.entry(
            data.found.runs[key], row["mse"] / row["mse_pca"], decimal(row["bytes_a_row"], 1), decimal(row["mse"], 4),
            decimal(row["mse_pca"], 4), is_beaten=row["mse"] >= row["mse_pca"],
        )
        for key, row in nearest.items()
    ]  # fmt: skip
    caption = "Something is lost; each run at the setting where it does best against PCA in as many bytes."
    return tables + _table(data, ("bytes a row", "error ↓", "PCA's"), lossy, caption=caption)


def _table(
    data: Data, heads: tuple[str, ...], entries: list[Entry], beside: list[Entry] | None = None, *, caption: str = ""
) -> list[Comparison]:
    """Return a list with the table, sorted by value; or an empty one without runs."""
    if not entries:
        return []
    rows = sorted([*entries, *(beside or [])], key=lambda row: (row.has_failed, row.value))
    best = _best(rows)
    return [Comparison(data.name, heads, [replace(row, is_best=row in best) for row in rows], caption)]


def _best(rows: list[Entry]) -> list[Entry]:
    """Return the best runs: those that did not fail, if they are better than every baseline by the digits shown."""
    sound = [row for row in rows if row.kind == "run" and not row.has_failed]
    if len(sound) < 2:
        return []
    best = [row for row in sound if row.value == min(row.value for row in sound) and not row.is_beaten]
    baselines = [row for row in rows if row.kind == "baseline"]
    return [row for row in best if all(row.value < it.value and row.shown != it.shown for it in baselines)]


def _beside(data: Data, needs: str, names: list[tuple[str, str, str]], decimals: int) -> list[Entry]:
    """Return baselines and limits from the numbers of the first run that has them: (metric, its words, its kind)."""
    found = []
    for name, words, kind in names:
        value = next((numbers[name] for _, numbers in data.having(needs, name)), None)
        if value is not None:
            found.append(Entry(words, (decimal(value, decimals),), value, kind))
    return found


def _from_half(accuracy: float) -> float:
    return abs(accuracy - 0.5)


def _with_error(value: float, error: float | None, decimals: int) -> str:
    return decimal(value, decimals) + (f" ± {decimal(error, decimals)}" if error else "")
