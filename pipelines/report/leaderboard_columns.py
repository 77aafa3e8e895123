"""The columns of the leaderboards: each metric's unit, direction, digits, meaning, and what to compare it with.

To give a new metric of evaluate a column, add it here. Without a column, the report shows it among a run's numbers.
"""

from dataclasses import dataclass

from pipelines.report.as_text import MINUS

HOPELESS_C2ST = 0.95  # samples that are told apart so often are not called the best
BASELINES = (  # methods without a network
    "histogram", "histogram of all rows", "PCA", "pixels", "pixels of all rows", "k-means", "best baseline",
)  # fmt: skip
Better = str | float  # "lower", "higher", or the value of a perfect model


@dataclass(frozen=True)
class Column:
    """A metric with its unit, its direction, its digits, and what it is compared with.

    better: "lower", "higher", or the value of a perfect model; about: its meaning, for readers
    decimals: at most this many are shown; None: three significant digits; scale: the number is shown times this
    error: the name of the metric that is its standard error (or spread), or ""
    interval: the names of the metrics that are the lower and the upper end of its 95% interval, or ""
    references: for each metric with which the number is compared, that metric's name and a title for it; a run is
    marked only if it is better than those that are BASELINES
    is_likelihood: whether the number may be an upper bound of -log p
    coarser: the name of an error that is not shown beside the number, but limits its digits and says what is a tie
    is_ranked: whether the best run is marked: not if two models' numbers cannot be compared, nor if only a part of
    their error is known
    hopeless: a value from which on no run is marked, although it may be the best; None for no such value
    is_by_pixels: whether test rows are binarised for models of binary pixels, which are then compared with each other
    """

    name: str
    title: str
    unit: str
    better: Better
    about: str
    decimals: int | None = 3
    scale: float = 1.0
    error: str = ""
    interval: tuple[str, str] = ("", "")
    references: tuple[tuple[str, str], ...] = ()
    is_likelihood: bool = False
    coarser: str = ""
    is_ranked: bool = True
    hopeless: float | None = None
    is_by_pixels: bool = False

    @property
    def digits_of(self) -> str:
        """The name of the error whose size limits how many digits are shown; "" if there is none."""
        return self.error or self.coarser

    @property
    def direction(self) -> str:
        """Which values are better, in words."""
        words = {"lower": "lower is better", "higher": "higher is better"}
        return words[self.better] if isinstance(self.better, str) else f"best at {self.better:g}"

    @property
    def arrow(self) -> str:
        """Which values are better, as a sign."""
        return {"lower": "↓", "higher": "↑"}[self.better] if isinstance(self.better, str) else f"→ {self.better:g}"


IMPORTANCE = "the importance-weighted bound with K = 50 draws (Burda et al., 2016): tighter than the ELBO"
COLUMNS = (
    Column(
        "bits_per_dim", "bits/dim", "bits per dimension", "lower",
        "How many bits a code based on the model needs for one dimension. Compare it with a histogram for each pixel: "
        "a density above that knows less than how often each pixel has each grey level; a VAE's bound may be loose.",
        error="bits_per_dim_error", references=(("bits_per_dim_histogram", "histogram"),), is_likelihood=True,
    ),
    Column(
        "bits_per_dim_iw50", "bits/dim, K = 50", "bits per dimension", "lower", f"The same by {IMPORTANCE}.",
        references=(("bits_per_dim_histogram", "histogram"),), is_likelihood=True, coarser="bits_per_dim_iw50_error",
    ),
    Column(
        "nats", f"{MINUS}log p", "nats per row", "lower",
        "Negative log-likelihood of a test row, ± its standard error; for a VAE, the negative ELBO at beta = 1. "
        "Compare it with that of the true density, if it is known, and with a histogram of each pixel or column: a "
        "density above that knows less than how often each has each value; a VAE's bound may be loose.",
        4, error="nats_error", references=(("truth_nats", "truth"), ("nats_histogram", "histogram")),
        is_likelihood=True,
    ),
    Column(
        "nats_iw50", f"{MINUS}log p, K = 50", "nats per row", "lower", f"The same by {IMPORTANCE}.", 4,
        references=(("truth_nats", "truth"), ("nats_histogram", "histogram")), is_likelihood=True,
        coarser="nats_error",
    ),
    Column(
        "nats_ais", f"{MINUS}log p, annealed", "nats per row", "lower",
        "Negative log-likelihood by annealed importance sampling (Wu et al., 2017) for at most 64 test rows, ± its "
        "standard error. It does not use the encoder. If the K = 50 bound of the same rows is far above it, that bound "
        "is loose.",
        4, error="nats_ais_error",
        references=(("nats_ais_iw50", "K = 50"), ("nats_histogram", "histogram of all rows")),
        is_likelihood=True,
    ),
    Column(
        "binary_nats", f"{MINUS}log p of ink", "nats per row", "lower",
        "For models of binary pixels: the negative ELBO of pixels y ~ Bernoulli(x / (levels - 1)), ± its standard "
        "error. It cannot be compared with a density of grey levels. Compare it with independent pixels.",
        4, error="binary_nats_error", references=(("binary_nats_pixels", "pixels"),), is_likelihood=True,
    ),
    Column(
        "binary_nats_iw50", f"{MINUS}log p of ink, K = 50", "nats per row", "lower", f"The same by {IMPORTANCE}.", 4,
        references=(("binary_nats_pixels", "pixels"),), is_likelihood=True, coarser="binary_nats_error",
    ),
    Column(
        "binary_nats_ais", f"{MINUS}log p of ink, annealed", "nats per row", "lower",
        "The same by annealed importance sampling, for at most 64 test rows.",
        4, error="binary_nats_ais_error",
        references=(("binary_nats_ais_iw50", "K = 50"), ("binary_nats_pixels", "pixels of all rows")),
        is_likelihood=True,
    ),
    Column(
        "gap_nats", "gap to the truth", "nats per row", "lower",
        f"{MINUS}log p of the model minus that of the true density, on the same rows: it estimates KL(truth, model).",
        4, is_likelihood=True,
    ),
    Column(
        "mse", "MSE", "squared error per dimension", "lower",
        "Mean squared error of reconstructed test rows; grey levels are on a scale from 0 to 1, other numbers in "
        "standard deviations. Compare it with PCA, a linear model, with as many components as the model has latents.",
        None, references=(("mse_pca", "PCA"),), coarser="mse_error",
    ),
    Column(
        "c2st_accuracy", "C2ST", "accuracy", 0.5,
        "How often a random forest tells samples from test rows correctly, on rows that it was not fitted to "
        "(Lopez-Paz and Oquab, 2017): 0.5 if it only guesses, 1 if always. The floor has training rows in place of "
        f"samples; it may be below 0.5, because the splits are balanced by class. From {HOPELESS_C2ST:g} on no run is "
        "marked: such samples are nearly always told apart.",
        error="c2st_accuracy_error", references=(("c2st_accuracy_floor", "floor"),), hopeless=HOPELESS_C2ST,
        is_by_pixels=True,
    ),
    Column(
        "mmd2", "1000 MMD²", "no unit", 0.0,
        "Squared maximum mean discrepancy between samples and test rows (Gretton et al., 2012). The estimate is "
        "unbiased, so it may be negative. The floor has training rows in place of samples; values as near to 0 as the "
        "floor do not differ clearly from 0.",
        2, scale=1000.0, references=(("mmd2_floor", "floor"),), is_by_pixels=True,
    ),
    Column(
        "memorisation", "memorisation", "ratio of distances", 1.0,
        "Median distance of samples to the nearest training row, divided by that of test rows. Far below 1, the model "
        "repeats its training rows; far above 1, its samples are unlike the data.",
        2, is_by_pixels=True,
    ),
    Column(
        "precision", "precision", "share of samples", "higher",
        "Do samples look like data? The share of samples inside a ball around a test row, which reaches to its fifth "
        "nearest test row (Kynkaanniemi et al., 2019). Compare it with training rows in place of samples; the same "
        "holds for the next three columns.",
        coarser="precision_error", references=(("precision_floor", "train"),), is_by_pixels=True,
    ),
    Column(
        "recall", "recall", "share of rows", "higher",
        "Do samples cover all of the data? The share of test rows inside a ball around a sample. Outliers among the "
        "samples have large balls, which make it too large.",
        coarser="recall_error", references=(("recall_floor", "train"),), is_by_pixels=True,
    ),
    Column(
        "density", "density", "no unit", 1.0,
        "In how many test rows' balls a sample is, divided by 5 (Naeem et al., 2020): like precision, but less "
        "sensitive to outliers. Near 1 for perfect samples; above 1, samples crowd where the data are dense.",
        2, references=(("density_floor", "train"),), is_by_pixels=True,
    ),
    Column(
        "coverage", "coverage", "share of rows", "higher",
        "The share of test rows whose ball contains a sample: like recall, but less sensitive to outliers.",
        coarser="coverage_error", references=(("coverage_floor", "train"),), is_by_pixels=True,
    ),
    Column(
        "frechet", "Fréchet", "squared feature distance", "lower",
        "The Fréchet distance between samples and test rows (Heusel et al., 2017), on features of a small classifier "
        "that is fitted to these training rows. It is not the published FID, and cannot be compared between data sets. "
        "The floor has equally many training rows in place of samples.",
        None, references=(("frechet_floor", "floor"),), is_by_pixels=True,
    ),
    Column(
        "modes", "modes", "of the known ones", "higher",
        "How many modes of a known mixture have at least 20 of 2,500 samples within 3 standard deviations.",
        0, references=(("modes_known", "of"),),
    ),
    Column(
        "high_quality", "high quality", "share of samples", "higher",
        "The share of samples within 3 standard deviations of a mode (Lin et al., 2018). Compare it with that of "
        "training rows.",
        coarser="high_quality_error", references=(("high_quality_floor", "train"),),
    ),
    Column(
        "critic_accuracy", "critic's accuracy", "share of rows", 0.5,
        "How many test rows and samples the model's own critic classifies correctly: 0.5 if it only guesses. Each "
        "model has its own critic, so the numbers of two models cannot be compared.",
        is_ranked=False,
    ),
    Column(
        "critic_wasserstein", "critic's W", "networks' units", "lower",
        f"E T(test rows) {MINUS} E T(samples) for the model's own critic T: at most the Wasserstein distance if T is "
        "1-Lipschitz, and less if T is weak. Each model has its own critic, so two models cannot be compared. The "
        "floor has training rows in place of samples: if it is far from 0, the critic has memorised its training rows.",
        references=(("critic_wasserstein_floor", "floor"),), is_ranked=False,
    ),
    Column(
        "auroc", "AUROC", "probability", "higher",
        "The probability that a row of the held-out class scores higher than a normal row, with its 95% interval, for "
        "the model's default score: its own likelihood where it has one, so that no test label chooses the score. "
        "Compare it with the best of PCA, nearest neighbours and an isolation forest. The section on anomalies has "
        "every score.",
        interval=("auroc_low", "auroc_high"), references=(("auroc_simple", "best baseline"),),
    ),
    Column(
        "acc", "cluster ACC", "share of rows", "higher",
        "The share of test rows in the right cluster, when k-means clusters the latents and each cluster is matched to "
        "a class; mean over seeds of k-means ± the standard error over these seeds and over test rows. Compare it with "
        "k-means on the data themselves.",
        error="acc_error", references=(("acc_kmeans", "k-means"),),
    ),
    Column(
        "nmi", "NMI", "0 to 1", "higher",
        "Normalised mutual information of clusters and classes, ± its spread over seeds. Its error over test rows is "
        "not known, so no run is marked as the best.",
        error="nmi_sd", references=(("nmi_kmeans", "k-means"),), is_ranked=False,
    ),
    Column(
        "ari", "ARI", "up to 1", "higher",
        "Adjusted Rand index of clusters and classes, ± its spread over seeds; 0 is chance. Its error over test rows "
        "is not known, so no run is marked as the best.",
        error="ari_sd", references=(("ari_kmeans", "k-means"),), is_ranked=False,
    ),
)  # fmt: skip
