"""Clusters of a run's latents, found by k-means without labels, and compared with the classes.

    acc, nmi, ari   accuracy, normalised mutual information and adjusted Rand index of the test rows' clusters against
                    their classes: mean and standard deviation over seeds of k-means

The centres are fitted to training rows, and k is the number of classes among them. n_init is 10, since k-means depends
on its start. Latents are not standardised: a VAE's unused latents have almost no variance, and to divide by it would
give their noise the same weight as a latent that holds information.

An autoencoder without a prior is the same model in any basis of its latents, D(A^-1 A E(x)), but k-means depends on the
basis. Therefore its latents are clustered twice, as they are and whitened. Which is better depends on the data.

A mixture has its own clusters: a row belongs to the component k with the largest p(k|x), and no k-means is run.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from gen_models.anomalies.latent_scores import are_probabilities
from gen_models.contracts import Encoder, Sampler
from gen_models.evaluating import by_rows, evaluating
from gen_models.measures.partitions import adjusted_rand, cluster_accuracy, normalised_mutual_information
from pipelines import figures
from pipelines.evaluation.prepared_rows import RowsOf
from pipelines.evaluation.trained_run import Trained

SEEDS = 5
STARTS = 10
TRAIN_ROWS = 20_000  # more rows do not improve k-means
WHITENED = "whitened"  # a value of a row's "space"; the others are "latent" and "data"
LEAST_SHARE = 1e-6  # a direction with less than this share of the largest variance is rounding error, and is left out
MEASURES = {"acc": cluster_accuracy, "nmi": normalised_mutual_information, "ari": adjusted_rand}

Vectors = tuple[np.ndarray, np.ndarray]  # (those of training rows, those of test rows)


def latent_clusters(trained: Trained, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Return a row for the latents as they are, and one for whitened latents if the model has no prior.

    Returns an empty list if the data have fewer than two classes, or the model no encoder.
    """
    if trained.classes < 2:
        return []
    if not isinstance(trained.model, Encoder):
        print(f"{trained.run.key}: no latents to cluster: {trained.run.model} has no encoder")
        return []
    codes = latents(trained)
    if are_probabilities(torch.from_numpy(codes[0])):
        return [by_component(trained, codes[1], folder)]
    rows = [cluster(trained, trained.run.key, "latent", codes, seed, folder)]
    if not isinstance(trained.model, Sampler):
        rows.append(cluster(trained, trained.run.key, WHITENED, whitened(*codes), seed, folder))
    return rows


def by_component(trained: Trained, responsibilities: np.ndarray, folder: Path) -> dict[str, Any]:
    """Return one row of the table, with the component of largest p(k|x) as the cluster of a test row.

    Responsibilities lie at the corners of a simplex, all equally far apart, where k-means finds nothing.
    """
    guess = responsibilities.argmax(axis=1)
    row = {
        "run": trained.run.key,
        "data": trained.data.name,
        "space": "latent",
        "k": responsibilities.shape[1],
        "rows": len(guess),
        "seeds": 1,
    }
    for name, measure in MEASURES.items():
        row |= {f"{name}_mean": float(measure(trained.labels("test"), guess)), f"{name}_sd": 0.0}
    if figures.is_image(trained.data.event_shape):
        draw_sheet(trained, -responsibilities, row, folder)
    return row


def k_means(rows: RowsOf, vectors: np.ndarray, seed: int) -> list[KMeans]:
    """Fit k-means with SEEDS seeds, each the best of STARTS starts, with as many clusters as there are classes."""
    return [KMeans(rows.classes, n_init=STARTS, random_state=seed + offset).fit(vectors) for offset in range(SEEDS)]


def cluster(rows: RowsOf, who: str, space: str, vectors: Vectors, seed: int, folder: Path) -> dict[str, Any]:
    """Cluster vectors with SEEDS seeds, and return one row of the table; draw the first seed's clusters of images.

    who: the run or baseline; space: "latent", "whitened" or "data"
    """
    train, test = vectors
    truth = rows.labels("test")
    fits = k_means(rows, train, seed)
    guesses = [fit.predict(test) for fit in fits]
    row = {
        "run": who,
        "data": rows.data.name,
        "space": space,
        "k": rows.classes,
        "rows": len(test),
        "seeds": SEEDS,
    }
    for name, measure in MEASURES.items():
        values = [measure(truth, guess) for guess in guesses]
        row |= {f"{name}_mean": float(np.mean(values)), f"{name}_sd": float(np.std(values, ddof=1))}
    if figures.is_image(rows.data.event_shape):
        draw_sheet(rows, fits[0].transform(test), row, folder)
    return row


def latents(trained: Trained) -> Vectors:
    """Return the latents of training and test rows."""

    def encode(x: Tensor) -> np.ndarray:
        with evaluating(trained.model):
            return by_rows(trained.model.encode, x).flatten(1).double().numpy()

    return encode(trained.normal("train")[:TRAIN_ROWS]), encode(trained.normal("test"))


def whitened(train: np.ndarray, test: np.ndarray) -> Vectors:
    """Project both on the principal axes of the training vectors, scaled so that their covariance is the identity."""
    mean = train.mean(axis=0)
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov(train.T)))
    kept = variances > LEAST_SHARE * variances.max()
    change = axes[:, kept] / np.sqrt(variances[kept])
    return (train - mean) @ change, (test - mean) @ change


def flat_data(rows: RowsOf) -> Vectors:
    """Return training and test rows on the unit scale, each row as a vector."""
    train, test = rows.normal("train")[:TRAIN_ROWS], rows.normal("test")
    return rows.units(train).flatten(1).double().numpy(), rows.units(test).flatten(1).double().numpy()


def draw_sheet(rows: RowsOf, distances: np.ndarray, row: dict[str, Any], folder: Path) -> None:
    """Draw the sheet `sheet_name(row)`: a line for each cluster, with the test images nearest its centre first."""
    images, nearest = rows.normal("test").numpy(), distances.argmin(axis=1)
    lines = {}
    for k in range(distances.shape[1]):
        members = np.flatnonzero(nearest == k)
        lines[f"{k + 1}: {len(members)} rows"] = images[members[np.argsort(distances[members, k], kind="stable")]]
    called = f"{row['run']}, {WHITENED}," if row["space"] == WHITENED else row["run"]
    title = f"{called} on {row['data']}: accuracy {row['acc_mean']:.2f}, nearest the centre first"
    figures.sheet(lines, folder / sheet_name(row), levels=rows.data.levels, title=title)


def sheet_name(row: dict[str, Any]) -> str:
    """Return the sheet's file name: clusters-RUN.png, clusters-RUN-whitened.png or clusters-k-means-DATA.png."""
    suffix = {"latent": "", WHITENED: f"-{WHITENED}", "data": f"-{row['data']}"}[row["space"]]
    return f"clusters-{re.sub(r'[^A-Za-z0-9_.-]', '_', row['run'] + suffix)}.png"
