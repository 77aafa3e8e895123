"""Explains the most important metrics in plain words, and chooses at most five of them for a model.

A reader who opens a model wants to know first how good it is at what it offers. The table MEANINGS lists metrics in the
order of importance. They form groups, and the metrics of a group answer the same question. A model's evaluation holds
only the metrics that its capabilities allow. The first five groups in which it has a metric are taken, and of each
group the first metric that it has.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.evaluation.metrics.standard_errors import NORMAL_95, error_of

FEW = 0.5  # of the training rows' precision: samples with less look unlike the data
MOST = 5
LEAST_ROWS, MUCH = 100, 0.8  # rows, standard errors: of fewer rows, one that is no outlier may add as much to the mean
CLEARLY = 0.01  # of the value of a simple method: a model that is worse by less is not said to be


@dataclass(frozen=True)
class Meaning:
    """A metric of an evaluation, explained in plain words.

    name        its key in metrics.json, or among those of `of_parts`
    group       the question that it answers; of each group, the first metric that a model has is shown
    title       its name for readers
    better      "lower", "higher", or the value that a perfect model has
    words       what it means
    baseline    the name of a second metric, with which the first is compared; "" for none
    beside      what the value of `baseline` belongs to, such as "the best linear filter"
    is_ceiling  whether the value of `baseline` is the best that can be reached, not what a simple method reaches
    """

    name: str
    group: str
    title: str
    better: str
    words: str
    baseline: str = ""
    beside: str = ""
    is_ceiling: bool = False

    def verdict(self, value: float, baseline: float, reach: float = 0.0) -> str:
        """Return how a value compares with the baseline's value: "better than", "worse than" or "as".

        "as" is for values that differ by at most `reach`, and for metrics of which neither lower nor higher is better.
        """
        if self.better not in ("lower", "higher") or abs(value - baseline) <= reach:
            return "as"
        return "better than" if (value < baseline) == (self.better == "lower") else "worse than"


TRAINING_ROWS = "training rows in place of samples"
MEANINGS = (
    Meaning(
        "gap_nats", "likelihood", "nats above the truth", "lower",
        "How far the model's density is from the true one, which is known for these data; 0 is perfect.",
    ),
    Meaning(
        "bits_per_dim", "likelihood", "bits per dimension", "lower",
        "Bits that a code based on the model needs for one pixel or column of a test row.",
        "bits_per_dim_histogram", "a histogram of each pixel alone",
    ),
    Meaning(
        "binary_nats", "likelihood", "nats of binary pixels", "lower",
        "How surprised the model is by a test row whose pixels were made black or white (at most, in nats).",
        "binary_nats_pixels", "independent pixels",
    ),
    Meaning(
        "nats", "likelihood", "nats per row", "lower",
        "How surprised the model is by a test row: minus the log of its density, or a bound on it.",
        "nats_histogram", "a histogram of each column alone",
    ),
    Meaning(
        "denoised", "denoising", "error after denoising", "lower",
        "Squared error per pixel that is left after the model has cleaned test rows with the noise it was trained on.",
        "denoised_linear", "the best linear filter",
    ),
    Meaning(
        "mse", "reconstruction", "reconstruction error", "lower",
        "Squared error per pixel (from 0 to 1) or column (in standard deviations) of rebuilt test rows.",
        "mse_pca", "PCA with as many numbers",
    ),
    Meaning(
        "modes", "modes", "modes reached", "higher", "Peaks of the data that the samples reach.",
        "modes_known", "peaks that the data have", is_ceiling=True,
    ),
    Meaning(
        "auroc", "anomalies", "anomaly detection (AUROC)", "higher",
        "How often a row of a held-out class scores higher than a normal one, by the model's default score, "
        "which no test label chose.",
        "auroc_chance", "guessing",
    ),
    Meaning(
        "active_latents", "latents", "latents in use", "higher",
        "Numbers of the latent vector that carry something about the row; the others are ignored by the decoder.",
        "latents", "latents in all", is_ceiling=True,
    ),
    Meaning(
        "perplexity", "latents", "codes in use", "higher", "Codes that the test rows use, weighted by how often.",
        "codes", "codes in all", is_ceiling=True,
    ),
    Meaning(
        "c2st_accuracy", "realism", "samples told from data", "0.5",
        "How often a random forest tells samples from test rows: 0.5 if it can only guess, 1 if it always can.",
        "c2st_accuracy_floor", TRAINING_ROWS, is_ceiling=True,
    ),
    Meaning(
        "coverage", "variety", "coverage", "higher", "Share of the test rows that have a sample near them.",
        "coverage_floor", TRAINING_ROWS, is_ceiling=True,
    ),
    Meaning(
        "precision", "precision", "precision", "higher", "Share of the samples that look like some test row.",
        "precision_floor", TRAINING_ROWS, is_ceiling=True,
    ),
    Meaning(
        "memorisation", "memorisation", "memorisation", "1",
        "Distance of samples to the nearest training row, over that of test rows: far below 1, samples repeat training "
        "rows; far above 1, they are unlike the data.",
    ),
    Meaning(
        "acc", "clusters", "cluster accuracy", "higher",
        "Share of the test rows whose cluster, found by k-means in the latents, is that of their class.",
    ),
)  # fmt: skip


def of_parts(
    anomalies: Sequence[Mapping[str, Any]],
    denoising: Sequence[Mapping[str, Any]],
    clusters: Sequence[Mapping[str, Any]],
) -> dict[str, float]:
    """Return the numbers that matter of three parts of an evaluation, whose records result_files.py tells of."""
    found: dict[str, float] = {}
    for row in anomalies:
        if row["is_default"]:
            error = error_of(row["low"], row["high"])
            found |= {"auroc": row["auroc"], "auroc_chance": 0.5, "auroc_error": error}
    for row in denoising:
        if row["factor"] == 1.0:
            found |= {
                "denoised": row["denoised"],
                "denoised_linear": row["wiener"],
                "denoised_error": row["gain_error"],
            }
    for row in clusters:
        if row["space"] == "latent" and "acc_mean" in row:
            found["acc"] = row["acc_mean"]
    return found


def that_matter(numbers: Mapping[str, float]) -> list[Meaning]:
    """Return the explanations of the most important metrics of a model, at most five, the most important first.

    numbers: {metric: value} of the model; a value that is not finite counts as missing
    """
    chosen: dict[str, Meaning] = {}
    for meaning in MEANINGS:
        if math.isfinite(numbers.get(meaning.name, math.nan)):
            chosen.setdefault(meaning.group, meaning)
    return list(chosen.values())[:MOST]


def in_short(numbers: Mapping[str, float]) -> str:
    """Return the numbers that matter in one line, each with its baseline; "" if there are none."""
    told = []
    for meaning in that_matter(numbers):
        baseline = numbers.get(meaning.baseline, math.nan)
        beside = f" ({meaning.beside}: {baseline:.4g})" if math.isfinite(baseline) else ""
        told.append(f"{meaning.title} {numbers[meaning.name]:.4g}{beside}")
    return ", ".join(told)


def below_baselines(numbers: Mapping[str, float]) -> list[str]:
    """Return a sentence for each metric that is worse than that of a simple method, beyond its error and CLEARLY.

    numbers: {metric: value} of the model, with standard errors as NAME_error; one that is not there counts as 0, and
    with one that is not finite nothing is said. Of each group of metrics, the first that has a simple method is looked
    at. If one row makes most of the error, and the mean without it is worse all the same, that is said, too.
    """
    found, looked_at = [], set()
    if "denoised" in numbers:  # a denoiser is not there to rebuild clean rows
        looked_at.add("reconstruction")
    for meaning in MEANINGS:
        value, baseline = (numbers.get(name, math.nan) for name in (meaning.name, meaning.baseline))
        reach = max(NORMAL_95 * numbers.get(f"{meaning.name}_error", 0.0), CLEARLY * abs(baseline))
        if meaning.is_ceiling or meaning.group in looked_at or not math.isfinite(value + baseline + reach):
            continue
        looked_at.add(meaning.group)
        without = numbers.get(f"{meaning.name}_without_worst", math.nan)
        is_odd = value - without > MUCH * numbers.get(f"{meaning.name}_error", 0.0)
        told = f"{meaning.name} {value:.4g}" + (f" ({without:.4g} without its most surprising row)" if is_odd else "")
        is_worse = meaning.verdict(value, baseline, reach) == "worse than"
        if is_odd and not is_worse:
            error = _error_without(value, without, numbers.get(f"{meaning.name}_error", 0.0), numbers.get("rows", 0))
            reach = max(NORMAL_95 * error, CLEARLY * abs(baseline))
            is_worse = meaning.verdict(without, baseline, reach) == "worse than"
        if is_worse:
            is_bound = f"{meaning.name}_iw50" in numbers
            fix = "try another model" + "; discretised_vae has a tighter bound" * (is_bound and "bits" in meaning.name)
            bound = ", a bound," if is_bound else ""
            found.append(f"{told}{bound} is worse than {baseline:.4g}, that of {meaning.beside}: {fix}")
    return found


def _error_without(mean: float, without: float, error: float, rows: float) -> float:
    """Return the standard error of the mean without one row; inf for fewer than three rows.

    mean, error: of all rows; without: the mean without that row, from which the row's own value follows
    """
    if rows < 3:
        return math.inf
    squares = (rows - 1) * rows * error**2 - (rows - 1) * rows * (mean - without) ** 2
    return math.sqrt(max(squares, 0.0) / ((rows - 2) * (rows - 1)))


def not_finite(numbers: Mapping[str, float]) -> list[str]:
    """Return a sentence that names the metrics that are not finite, if any; standard errors are passed over."""
    broken = sorted(name for name, value in numbers.items() if not (math.isfinite(value) or name.endswith("_error")))
    return [f"not a finite number on test rows: {', '.join(broken)}"] if broken else []


def rests_on_one_row(numbers: Mapping[str, float]) -> list[str]:
    """Return a sentence if one test row makes much of a mean over test rows; else an empty list.

    It does if it adds more than MUCH standard errors: one that lies t sqrt(n) standard deviations of the other n rows
    away adds t / sqrt(1 + t^2) of them.
    """
    found = []
    for name in ("nats", "binary_nats"):
        value, without, error = (numbers.get(name + end, math.nan) for end in ("", "_without_worst", "_error"))
        if numbers.get("rows", 0) >= LEAST_ROWS and value - without > MUCH * error:
            found.append(
                f"{name} {value:.4g} is {without:.4g} without the most surprising of {numbers['rows']:,.0f} test rows; "
                f"its standard error, {error:.2g}, is mostly of that row"
            )
    return found


def unlike_the_data(numbers: Mapping[str, float]) -> list[str]:
    """Return a sentence if too few samples look like the data, by the precision and its floor; else an empty list."""
    precision, floor = (numbers.get(name, math.nan) for name in ("precision", "precision_floor"))
    if not precision < FEW * floor:
        return []
    return [
        f"precision {precision:.2g} is far below {floor:.2g}, that of training rows: too few of its samples look like "
        "the data, so do not use it to make new rows"
    ]
