"""The columns of a leaderboard: each metric's unit, direction, digits, what it means and what to read it beside.

A new metric of evaluate becomes a column by a row here; until then the report shows it among a run's numbers.
"""

from dataclasses import dataclass

MINUS = "\N{MINUS SIGN}"
Better = str | float  # "lower", "higher", or the value of a perfect model


@dataclass(frozen=True)
class Column:
    """A metric: its unit, direction, digits, and what it is read beside.

    error: the metric that is its standard error (or spread); interval: two that are its 95% interval
    reference: (metric, what it is called) of what the number is to be compared with
    scale: shown times this; decimals: at most these, None for three significant digits
    coarser: the error of another column that limits the digits, where it has none of its own
    headline: how the report tells who is best; columns without it are not told
    is_ranked: whether the numbers of two models compare at all
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
    reference: tuple[str, str] = ("", "")
    is_likelihood: bool = False
    headline: str = ""
    coarser: str = ""
    is_ranked: bool = True

    @property
    def digits_of(self) -> str:
        """The metric whose size limits the digits."""
        return self.error or self.coarser

    @property
    def direction(self) -> str:
        """The direction in words."""
        words = {"lower": "lower is better", "higher": "higher is better"}
        return words[self.better] if isinstance(self.better, str) else f"best at {self.better:g}"

    @property
    def arrow(self) -> str:
        """The same as a sign."""
        return {"lower": "↓", "higher": "↑"}[self.better] if isinstance(self.better, str) else f"→ {self.better:g}"


IMPORTANCE = "the importance-weighted bound with K = 50 draws (Burda et al., 2016): tighter than the ELBO"
COLUMNS = (
    Column(
        "bits_per_dim", "bits/dim", "bits per dimension", "lower",
        "What storing one dimension costs with the model as the code. Beside it a histogram for each pixel by itself: "
        "a model above that knows less than the pixels' own counts.",
        reference=("bits_per_dim_histogram", "histogram"), is_likelihood=True, headline="fewest bits per dimension",
    ),
    Column(
        "bits_per_dim_iw50", "bits/dim, K = 50", "bits per dimension", "lower", f"The same by {IMPORTANCE}.",
        reference=("bits_per_dim_histogram", "histogram"), is_likelihood=True,
    ),
    Column(
        "nats", f"{MINUS}log p", "nats per row", "lower",
        "Negative log-likelihood of a test row, ± its standard error; of a VAE the negative ELBO at beta = 1. Beside "
        "it the true density, where it is known.",
        4, error="nats_error", reference=("truth_nats", "truth"), is_likelihood=True,
    ),
    Column(
        "nats_iw50", f"{MINUS}log p, K = 50", "nats per row", "lower", f"The same by {IMPORTANCE}.", 4,
        is_likelihood=True, coarser="nats_error",
    ),
    Column(
        "nats_ais", f"{MINUS}log p, annealed", "nats per row", "lower",
        "By annealed importance sampling (Wu et al., 2017) of at most 64 test rows, ± the standard error over them: it "
        "asks no encoder. Beside it the K = 50 bound of the same rows; where that is far above, it is loose.",
        4, error="nats_ais_error", reference=("nats_ais_iw50", "K = 50"), is_likelihood=True,
    ),
    Column(
        "binary_nats", f"{MINUS}log p of ink", "nats per row", "lower",
        "The negative ELBO of pixels drawn by their grey, y ~ Bernoulli(x / (levels - 1)), ± its standard error: for "
        "models of binary pixels, not to be compared with densities of the levels. Beside it independent pixels.",
        4, error="binary_nats_error", reference=("binary_nats_pixels", "pixels"), is_likelihood=True,
    ),
    Column(
        "binary_nats_iw50", f"{MINUS}log p of ink, K = 50", "nats per row", "lower", f"The same by {IMPORTANCE}.", 4,
        is_likelihood=True, coarser="binary_nats_error",
    ),
    Column(
        "binary_nats_ais", f"{MINUS}log p of ink, annealed", "nats per row", "lower",
        "The same of pixels drawn by their grey, by annealed importance sampling of at most 64 test rows.",
        4, error="binary_nats_ais_error", reference=("binary_nats_ais_iw50", "K = 50"), is_likelihood=True,
    ),
    Column(
        "gap_nats", "gap to the truth", "nats per row", "lower",
        f"{MINUS}log p of the model less that of the true density on the same rows: an estimate of KL(truth, model).",
        4, is_likelihood=True, headline="nearest to the true density",
    ),
    Column(
        "mse", "MSE", "squared error per dimension", "lower",
        "How far a test row comes back from its latent vector, on the unit scale. Beside it PCA with as many "
        "components as the model has latents: a linear model for the same bottleneck.",
        None, reference=("mse_pca", "PCA"), headline="smallest reconstruction error",
    ),
    Column(
        "c2st_accuracy", "C2ST", "accuracy", 0.5,
        "How often a random forest tells samples from test rows it has not seen (Lopez-Paz and Oquab, 2017): 0.5 if it "
        "cannot, 1 if always. The floor is the same for training rows in place of samples; it may fall below 0.5, as "
        "the splits are balanced by class.",
        error="c2st_accuracy_error", reference=("c2st_accuracy_floor", "floor"),
        headline="samples hardest to tell from data",
    ),
    Column(
        "mmd2", "1000 MMD²", "no unit", "lower",
        "Squared maximum mean discrepancy of samples to test rows (Gretton et al., 2012), unbiased, so it may be "
        "negative. The floor is that of training rows; values as near to 0 as it is cannot be told apart.",
        2, scale=1000.0, reference=("mmd2_floor", "floor"),
    ),
    Column(
        "memorisation", "memorisation", "ratio of distances", 1.0,
        "Median distance of samples to the nearest training row over that of test rows. Far below 1 the model repeats "
        "what it was shown; far above 1 its samples lie off the data.",
        2,
    ),
    Column(
        "precision", "precision", "share of samples", "higher",
        "Samples within the ball of a test row, which reaches to its fifth nearest test row (Kynkaanniemi et al., "
        "2019): do samples look like data? Beside this and the next three what training rows reach.",
        reference=("precision_floor", "train"),
    ),
    Column(
        "recall", "recall", "share of rows", "higher",
        "Test rows within the ball of a sample: are all of the data among the samples? Stray samples have large balls "
        "and make it too large.",
        reference=("recall_floor", "train"),
    ),
    Column(
        "density", "density", "no unit", "higher",
        "How many test rows' balls hold a sample, over 5 (Naeem et al., 2020): precision that minds stray rows less. "
        "Near 1 for perfect samples; above it they crowd where data are dense.",
        2, reference=("density_floor", "train"),
    ),
    Column(
        "coverage", "coverage", "share of rows", "higher",
        "Test rows whose ball holds a sample: recall that minds stray samples less.",
        reference=("coverage_floor", "train"), headline="samples that cover the data best",
    ),
    Column(
        "frechet", "Fréchet", "squared feature distance", "lower",
        "The Fréchet distance between samples and test rows (Heusel et al., 2017), of "
        "the features of a small classifier of these training rows: not the published FID, and no data sets compare. "
        "The floor is that of training rows, with as many of each.",
        None, reference=("frechet_floor", "floor"),
    ),
    Column(
        "modes", "modes", "of the known ones", "higher",
        "Modes of a known mixture that hold 20 of 2,500 samples within 3 standard deviations.",
        0, reference=("modes_known", "of"),
    ),
    Column(
        "high_quality", "high quality", "share of samples", "higher",
        "Samples within 3 standard deviations of a mode (Lin et al., 2018). Beside it the same of training rows.",
        reference=("high_quality_floor", "train"),
    ),
    Column(
        "critic_accuracy", "critic's accuracy", "share of rows", 0.5,
        "How many test rows and samples the model's own critic puts on the right side: 0.5 where it can only guess. "
        "Each model has a critic of its own, so no two models compare.",
        is_ranked=False,
    ),
    Column(
        "critic_wasserstein", "critic's W", "networks' units", "lower",
        "E T(test rows) less E T(samples) of the model's own critic T: at most the Wasserstein distance where T is "
        "1-Lipschitz, and less where T is weak, so no two models compare. The floor has training rows in place of "
        "samples: away from 0, the critic knows its training rows by heart.",
        reference=("critic_wasserstein_floor", "floor"), is_ranked=False,
    ),
    Column(
        "auroc", "AUROC", "probability", "higher",
        "The chance that a row of the class held out scores higher than a normal one, with its 95% interval: of the "
        "best of the model's scores. That choice looked at the test labels, so it flatters; the section on "
        "anomalies has every score.",
        interval=("auroc_low", "auroc_high"), reference=("auroc_pca", "PCA"), headline="best anomaly score",
    ),
    Column(
        "acc", "cluster ACC", "share of rows", "higher",
        "Test rows in the right cluster, k-means on the latents, clusters matched to classes; mean ± standard "
        "deviation over seeds of k-means. Beside it k-means on the data themselves.",
        error="acc_sd", reference=("acc_kmeans", "k-means"), headline="best clusters",
    ),
    Column(
        "nmi", "NMI", "0 to 1", "higher", "Normalised mutual information of clusters and classes.",
        error="nmi_sd", reference=("nmi_kmeans", "k-means"),
    ),
    Column(
        "ari", "ARI", "up to 1", "higher", "Adjusted Rand index of clusters and classes; 0 is chance.",
        error="ari_sd", reference=("ari_kmeans", "k-means"),
    ),
)  # fmt: skip
