"""The numbers that matter most for a model, at most three, each with a few words on its meaning and direction.

A card shows the first of MEASURES that its run has. So the anomaly score comes first for a model that was trained for
anomalies, the likelihood for one with a density, and the tests of samples for one that only samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.report.as_text import decimal

COUNT = 3


@dataclass(frozen=True)
class Measure:
    """A kind of number for cards.

    name: the metric; unit: what the number counts; meaning: its meaning and direction, in a few words
    beside: the metric with which it is compared, and a text in which {} stands for that metric's number
    decimals: None shows three significant digits
    """

    name: str
    unit: str
    meaning: str
    beside: tuple[str, str] = ("", "")
    decimals: int | None = 3


@dataclass(frozen=True)
class KeyNumber:
    """A number of a card as text, with its unit and its meaning; is_bound: whether it is only an upper bound."""

    text: str
    unit: str
    meaning: str
    is_bound: bool = False


MEASURES = (
    Measure(
        "auroc", "AUROC", "ranks anomalies above normal rows: 1 always, 0.5 by chance",
        ("auroc_simple", "the best baseline {}"),
    ),
    Measure(
        "least_nats", "nats a row", "surprise at test rows, lower is better",
        ("truth_nats", "the true density {}"), None,
    ),
    Measure(
        "least_binary_nats", "nats a row", "surprise at the ink of test rows, lower is better",
        ("binary_nats_pixels", "independent pixels {}"), None,
    ),
    Measure("modes", "modes", "clumps of data that samples reach, more is better", ("modes_known", "the data {}"), 0),
    Measure("denoised", "error", "left after denoising, lower is better", ("wiener", "a linear filter {}"), None),
    Measure("mse", "error", "of rebuilt test rows, lower is better", ("mse_pca", "PCA {}"), None),
    Measure(
        "c2st_accuracy", "told apart", "share of samples and data that a classifier tells apart: 0.5 is "
        "indistinguishable from data, 1 always",
    ),
    Measure(
        "coverage", "covered", "share of the data with a sample near, higher is better",
        ("coverage_floor", "training rows {}"),
    ),
    Measure(
        "precision", "look real", "share of samples with data near, higher is better",
        ("precision_floor", "training rows {}"),
    ),
    Measure("acc", "of rows", "in the right cluster, higher is better", ("acc_kmeans", "k-means on the data {}")),
    Measure("bytes_a_row", "bytes a row", "of the compressed rows, lower is better", ("bytes_error", "error {}"), None),
)  # fmt: skip


def key_numbers(numbers: Mapping[str, float], *, is_bound: bool) -> list[KeyNumber]:
    """Return the numbers of a card, at most COUNT.

    numbers: the finite numbers of a run; is_bound: whether its -log p is only known to be at most the number
    """
    numbers = derived(numbers)
    found = []
    for measure in MEASURES:
        if measure.name not in numbers:
            continue
        meaning = measure.meaning
        other, words = measure.beside
        if measure.name == "least_nats" and other not in numbers:
            other, words = "nats_histogram", f"{histogram_of('bits_per_dim' in numbers)} {{}}"
        if other in numbers:
            meaning += f" ({words.format(decimal(numbers[other], measure.decimals))})"
        bound = is_bound and measure.name.startswith("least_")
        found.append(KeyNumber(decimal(numbers[measure.name], measure.decimals), measure.unit, meaning, bound))
    return found[:COUNT]


def derived(numbers: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers with least_nats and least_binary_nats: the lower of the bounds on -log p that the run has."""
    found = dict(numbers)
    for name in ("nats", "binary_nats"):
        bounds = [numbers[key] for key in (name, f"{name}_iw50") if key in numbers]
        if bounds:
            found[f"least_{name}"] = min(bounds)
    return found


def histogram_of(on_levels: bool) -> str:
    """Return the name of the density that a model should beat: a histogram of each pixel or column by itself.

    on_levels: whether the data are whole grey levels
    """
    return "a histogram of each pixel" if on_levels else "a histogram of each column"
