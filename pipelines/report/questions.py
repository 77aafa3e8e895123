"""The questions of the first page, which compare the runs on each data set.

A question is answered for the runs for which it makes sense: no table has a run without a number.
"""

from collections.abc import Callable
from dataclasses import dataclass

from pipelines.report import question_tables
from pipelines.report.comparison_table import Comparison, Data
from pipelines.report.leaderboard_columns import HOPELESS_C2ST
from pipelines.report.read import Results


@dataclass(frozen=True)
class Question:
    """A question of the first page.

    name: the question's anchor on the page; title: its text; about: what the numbers mean
    tables: a function that takes the runs on a data set and returns the tables that answer the question
    """

    name: str
    title: str
    about: str
    tables: Callable[[Data], list[Comparison]]
    more: tuple[str, str] = ("", "")


QUESTIONS = (
    Question(
        "likely",
        "How likely are the test rows?",
        "The model's surprise at a test row, minus log p in nats: lower is better. ≤ marks an upper bound: of a VAE "
        "the tighter of its two, and of a density of grey levels, counts or prices, to which noise is added. A density "
        "above the histogram knows less than how often each pixel or column has each of its values. A VAE's bound "
        "above it need not: a Gaussian decoder pays for the noise that is added to grey levels, and a discretised one "
        "does not.",
        question_tables.likelihood,
    ),
    Question(
        "real",
        "How real are the samples?",
        "A random forest tries to tell samples from test rows. Its accuracy is 0.5 if they are indistinguishable, and "
        f"1 if it is always right; from {HOPELESS_C2ST:g} on no model is marked. Samples of a VAE with a Gaussian "
        "decoder carry its noise, of size sigma in each number, which a forest sees at once; its means, as in "
        "reconstructions, do not.",
        question_tables.realism,
    ),
    Question(
        "varied",
        "How varied are the samples?",
        "The share of test rows that have a sample near them, and of data with known modes how many of them the "
        "samples reach. A generator that makes only some of the data well has collapsed.",
        question_tables.variety,
    ),
    Question(
        "rebuilt",
        "How well are rows rebuilt?",
        "The mean squared error of test rows after encoding and decoding, beside that of PCA with as many components "
        "as the model has latents; a grid of codes has no such PCA. Grey levels are on a scale from 0 to 1, other "
        "numbers in standard deviations of the training rows.",
        question_tables.rebuilding,
    ),
    Question(
        "anomalies",
        "Are anomalies found?",
        "The models were trained without the anomalies. AUROC is the probability that an anomaly scores higher than a "
        "normal row: 1 is perfect, 0.5 is chance. Each model is shown by its default score, its likelihood where it "
        "has one: no test label chose it, and its other scores stand with all numbers. If a score ranks rows as the "
        "distance to the mean, principal components or the untrained network does, the training has added nothing.",
        question_tables.anomalies,
    ),
    Question(
        "unusual",
        "Which rows are unusual?",
        "No anomaly is known among the test rows, so no AUROC can say which model is right. A score has its own "
        "ranking unless it orders rows as the distance to the mean, principal components or the untrained network "
        "does. Agreement is the mean rank correlation with the scores of the other models. With n calibration rows, "
        "the smallest p-value of a row is 1/(n + 1).",
        question_tables.unusual,
        ("details.html#unusual", "The most unusual rows of each run, with reasons"),
    ),
    Question(
        "clusters",
        "Do clusters match the classes?",
        "k-means clusters the latents without labels; a mixture clusters by its components. The numbers are the share "
        "of rows in the cluster of their class, and the normalised mutual information of clusters and classes. The "
        "share is low where there are more clusters than classes, since only one cluster counts for a class.",
        question_tables.clusters,
    ),
    Question(
        "denoised",
        "Is noise removed?",
        "The mean squared error of noisy test rows after denoising, beside the best linear filter and doing nothing. "
        "Its scale is that of rebuilt rows.",
        question_tables.denoising,
    ),
    Question(
        "compressed",
        "How small do rows become?",
        "The size of the file that holds all test rows, without the model and without what the command compress notes "
        "of the input's form. A file without loss may be smaller than the model's nats promise, because these are an "
        "upper bound. With loss, models are in the order of their error divided by that of PCA in as many bytes.",
        question_tables.compression,
    ),
)


def asked(found: Results) -> list[tuple[Question, list[Comparison]]]:
    """Return the questions that can be answered for at least one run, each with its tables on all data sets."""
    data = [Data(found, name) for name in found.data if found.runs_on(name)]
    pairs = [(question, [table for one in data for table in question.tables(one)]) for question in QUESTIONS]
    return [(question, tables) for question, tables in pairs if tables]
