"""Makes the tables that answer the questions of the first page.

Each function answers one question for the runs on a data set. It leaves out runs for which the question makes no sense,
and returns [] if none is left.
"""

import math
from dataclasses import replace

from pipelines.evaluation.metrics.standard_errors import error_of
from pipelines.report.as_text import decimal
from pipelines.report.comparison_table import Comparison, Data, Entry, Pair, references, table
from pipelines.report.denoising_and_compression import ERRORS
from pipelines.report.key_numbers import histogram_of
from pipelines.report.leaderboard import clusters_of, has_levels, is_below, is_bound
from pipelines.report.leaderboard_columns import HOPELESS_C2ST
from pipelines.report.read import BASELINES, Row
from pipelines.report.unusual_rows import with_others
from pipelines.runtime.words import counted

BINARY = "Of binary pixels, each black or white."


def likelihood(data: Data) -> list[Comparison]:
    """Compare -log p of a test row, or the tighter bound on it. Models of binary pixels have a table of their own."""
    tables = []
    for name, caption in (("nats", ""), ("binary_nats", BINARY)):
        entries = []
        pairs = data.having(f"least_{name}")
        for run, numbers in pairs:
            value = numbers[f"least_{name}"]
            sign = "≤ " if is_bound(run, has_levels(data.found.data[data.name])) or f"{name}_iw50" in numbers else ""
            shown = name if value == numbers.get(name) else f"{name}_iw50"  # the tighter of the two, with its own error
            error = numbers.get(f"{shown}_error")
            entries.append(data.entry(run, value, sign + _with_error(value, error, 2), error=error or 0.0))
        beside = [
            ("nats_histogram", histogram_of(data.on_levels), "baseline"),
            ("truth_nats", "the true density", "limit"),
        ]
        if name == "binary_nats":
            beside = [("binary_nats_pixels", "independent pixels", "baseline")]
        tables += table(data, ("nats a row ↓",), entries, references(pairs, beside, 2), caption=caption)
    return tables


def realism(data: Data) -> list[Comparison]:
    """Compare how often a classifier tells samples from test rows correctly. The best is nearest to 0.5, guessing."""
    tables = []
    for caption, pairs in _by_pixels(data.having("c2st_accuracy")):
        entries = []
        for run, n in pairs:
            accuracy = n["c2st_accuracy"]
            error = n.get("c2st_accuracy_error")
            cell, is_beaten = _with_error(accuracy, error, 3), accuracy >= HOPELESS_C2ST
            entries.append(data.entry(run, _from_half(accuracy), cell, error=error or 0.0, is_beaten=is_beaten))
        limit = [replace(it, value=_from_half(it.value)) for it in _floor(pairs, "c2st_accuracy_floor")]
        tables += table(data, ("told apart → 0.5",), entries, limit, caption=caption)
    return tables


def variety(data: Data) -> list[Comparison]:
    """Compare the fraction of the data that samples cover and, if modes are known, how many of the modes they reach."""
    modal = [
        data.entry(
            run, -n["modes"] - n["coverage"], f"{n['modes']:.0f} of {n['modes_known']:.0f}", decimal(n["coverage"], 3)
        )  # of two that reach as many modes, the one that covers more is the better
        for run, n in data.having("modes", "modes_known", "coverage")
    ]
    if modal:
        return table(data, ("modes reached ↑", "data covered ↑"), modal)
    tables = []
    for caption, pairs in _by_pixels(data.having("coverage")):
        entries = [
            data.entry(run, -n["coverage"], decimal(n["coverage"], 3), error=n.get("coverage_error", 0.0))
            for run, n in pairs
        ]
        limit = [replace(it, value=-it.value) for it in _floor(pairs, "coverage_floor")]
        tables += table(data, ("data covered ↑",), entries, limit, caption=caption)
    return tables


def rebuilding(data: Data) -> list[Comparison]:
    """Compare the errors of reconstructions, each beside the error of PCA."""
    entries = [
        data.entry(
            run,
            n["mse"],
            decimal(n["mse"], None),
            decimal(n["mse_pca"], None) if "mse_pca" in n else "none",
            error=n.get("mse_error", 0.0),
            is_beaten=not is_below(n["mse"] - n.get("mse_pca", math.inf), n.get("mse_error", 0.0)),
        )
        for run, n in data.having("mse")
    ]
    return table(data, ("error ↓", "PCA's"), entries)


def anomalies(data: Data) -> list[Comparison]:
    """Compare the AUROC of each run and baseline, by its default anomaly score.

    A run whose score ranks rows as something simpler does is not marked as the best.
    """
    entries, beside = [], []
    for row in data.found.scores_on(data.name):
        if not row["is_default"]:
            continue
        who, cells = row["run"], (decimal(row["auroc"], 3), f"{decimal(row['low'], 2)} to {decimal(row['high'], 2)}")
        if who in data.found.runs:
            lamp = data.found.lamp(who)
            note = f"{row['score']}, {lamp}" if lamp else row["score"]
            run, error = data.found.runs[who], error_of(row["low"], row["high"])
            entries.append(data.entry(run, -row["auroc"], *cells, error=error, is_beaten=bool(lamp), note=note))
        else:
            beside.append(Entry(str(BASELINES.get(who, who)), cells, -row["auroc"], "baseline"))
    return table(data, ("AUROC ↑", "95% interval"), entries, beside)


def unusual(data: Data) -> list[Comparison]:
    """List what is known of each run's default anomaly score on data without known anomalies; mark none as the best."""
    told = [(run, row) for run in data.runs if (row := data.found.default_score(run.line.key))]
    if not told or data.found.scores_on(data.name):
        return []
    others = with_others(data.found, data.name)
    heads = (*(("agreement with others",) if others else ()), "calibration rows")
    entries = []
    for run, row in told:
        agreed = (decimal(others[run.line.key], 2) if run.line.key in others else "",) if others else ()
        note = f"{row['score']}, {row['lamp'] or 'its own ranking'}"
        entries.append(data.entry(run, 0.0, *agreed, f"{row['calibration_rows']:,}", note=note))
    return [Comparison(data.name, heads, sorted(entries, key=lambda entry: entry.has_failed))]


def clusters(data: Data) -> list[Comparison]:
    """Compare the clusters of latents with the clusters of the data themselves."""
    entries = []
    for run, n in data.having("acc", "acc_error", "nmi"):
        cells = (_with_error(n["acc"], n["acc_error"], 3), decimal(n["nmi"], 3))
        k = (clusters_of(data.found, data.name, run.line.key) or {}).get("k")
        is_told = k is not None and k != len(data.found.data[data.name]["classes"])
        note = counted(k or 0, "cluster") if is_told else ""
        entries.append(data.entry(run, -n["acc"], *cells, error=n["acc_error"], note=note))
    first = next((n for _, n in data.having("acc_kmeans", "nmi_kmeans")), None)
    beside = []
    if first:
        share, error = first["acc_kmeans"], first["acc_kmeans_error"]
        cells = (_with_error(share, error, 3), decimal(first["nmi_kmeans"], 3))
        beside.append(Entry("k-means on the data", cells, -share, "baseline", error=error))
    return table(data, ("right cluster ↑", "NMI ↑"), entries, beside)


def denoising(data: Data) -> list[Comparison]:
    """Compare the errors of denoised rows at the noise level of the training: a table for each corruption and level."""
    rows = [row for row in data.found.denoising.rows if row["data"] == data.name and row["factor"] == 1.0]
    tables = []
    for kind in sorted({(row["corruption"], row["level"]) for row in rows}):
        entries = [
            data.entry(
                data.found.runs[row["run"]],
                row["denoised"],
                decimal(row["denoised"], 4),
                decimal(row["wiener"], 4),
                decimal(row["noisy"], 4),
                is_beaten=row["gain"] <= ERRORS * row["gain_error"],  # or not clearly apart
            )
            for row in rows
            if (row["corruption"], row["level"]) == kind
        ]
        caption = "Corruption: {}, {:.3g}.".format(*kind)
        tables += table(data, ("denoised ↓", "linear filter's", "noisy"), entries, caption=caption)
    return tables


def compression(data: Data) -> list[Comparison]:
    """Compare the bytes of a compressed row, in one table for coding without loss and another for coding with loss."""
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
    histogram = next((n["nats_histogram"] for _, n in data.having("nats_histogram")), None)
    if histogram is not None and data.on_levels:
        size = histogram / (8 * math.log(2))
        beside.append(Entry("a histogram of each pixel, coded ideally", (decimal(size, 1),), size, "baseline"))
    tables = table(data, ("bytes a row ↓",), entries, beside, caption="Nothing is lost.")
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
    return tables + table(data, ("bytes a row", "error ↓", "PCA's"), lossy, caption=caption)


def _by_pixels(pairs: list[Pair]) -> list[tuple[str, list[Pair]]]:
    """Return (caption, runs) for the models of binary pixels and for the others, since their test rows differ."""
    binary = [pair for pair in pairs if "binary_nats" in pair[1]]
    return [("", [pair for pair in pairs if pair not in binary]), (BINARY, binary)]


def _floor(pairs: list[Pair], name: str) -> list[Entry]:
    return references(pairs, [(name, "training rows", "limit")], 3)


def _from_half(accuracy: float) -> float:
    return abs(accuracy - 0.5)


def _with_error(value: float, error: float | None, decimals: int) -> str:
    return decimal(value, decimals) + (f" ± {decimal(error, decimals)}" if error else "")
