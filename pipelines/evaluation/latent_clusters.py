"""Clusters of a run's latents, found by k-means without labels, and compared with the classes.

    acc_mean, acc_sd   accuracy of the test rows' clusters against their classes: mean and standard deviation over
                       seeds of k-means
    nmi_..., ari_...   the same for the normalised mutual information and for the adjusted Rand index

The result of one clustering is a record: a dictionary with these keys and others that say what was clustered. The
centres are fitted to training rows, and k is the number of classes among them. The best of 10 starts is taken, since
k-means depends on its start. Latents are not standardised: a VAE's unused latents have almost no variance, and to
divide by it would give their noise the same weight as a latent that holds information.

An autoencoder with encoder E, decoder D and no prior stays the same model if an invertible matrix A changes the basis
of its latents, D(A^-1 A E(x)), but the clusters of k-means change. Therefore such latents are clustered twice, as they
are and whitened (uncorrelated, each with variance 1). Which is better depends on the data.

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
LARGEST = 1e100  # k-means squares numbers
TRAIN_ROWS = 20_000  # more rows do not improve k-means
WHITENED = "whitened"  # a value of a record's "space"; the others are "latent" and "data"
LEAST_SHARE = 1e-6  # a direction with less than this fraction of the largest variance is rounding error: left out
MEASURES = {"acc": cluster_accuracy, "nmi": normalised_mutual_information, "ari": adjusted_rand}

Vectors = tuple[np.ndarray, np.ndarray]  # (vectors of training rows, vectors of test rows), (rows, dim) each


def latent_clusters(trained: Trained, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Cluster the latents of a run; return a record, and a second one for whitened latents if the model has no prior.

    For images, draws a sheet of each clustering into `folder`. Returns an empty list if the training rows have fewer
    than two classes or if the model has no encoder.
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
    """Take the mixture component of largest p(k|x) as the cluster of each test row; return the record.

    responsibilities: p(k|x) of test rows, (rows, components)

    k-means is of no use here: most responsibilities are close to a corner of the simplex, and all corners are equally
    far apart.
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
    """Fit k-means once for each of SEEDS seeds, as the best of STARTS starts, with as many clusters as classes.

    vectors: the vectors of training rows, (rows, dim)
    """
    return [KMeans(rows.classes, n_init=STARTS, random_state=seed + offset).fit(vectors) for offset in range(SEEDS)]


def cluster(rows: RowsOf, who: str, space: str, vectors: Vectors, seed: int, folder: Path) -> dict[str, Any]:
    """Cluster vectors by k-means with SEEDS seeds, and return the record; for images, draw the first seed's clusters.

    who: the name of the run or baseline; space: what the vectors are, "latent", "whitened" or "data"
    vectors: (the vectors of training rows, to which the centres are fitted, the vectors of test rows, whose clusters
    are compared with the classes)
    """
    train, test = (np.clip(np.nan_to_num(of), -LARGEST, LARGEST) for of in vectors)  # of a row far off the data
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
    """Return the latents of at most TRAIN_ROWS training rows and of all test rows, as one vector for each row."""

    def encode(x: Tensor) -> np.ndarray:
        with evaluating(trained.model):
            return by_rows(trained.model.encode, x).flatten(1).double().numpy()

    return encode(trained.normal("train")[:TRAIN_ROWS]), encode(trained.normal("test"))


def whitened(train: np.ndarray, test: np.ndarray) -> Vectors:
    """Return both sets of vectors in the coordinates in which the training vectors have the identity as covariance.

    The coordinates are the principal components of the training vectors, each divided by its standard deviation;
    components with almost no variance are left out.
    """
    mean = train.mean(axis=0)
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov(train.T)))
    kept = variances > LEAST_SHARE * variances.max()
    change = axes[:, kept] / np.sqrt(variances[kept])
    return (train - mean) @ change, (test - mean) @ change


def flat_data(rows: RowsOf) -> Vectors:
    """Return training and test rows on the unit scale (RowsOf.units), each row as a vector."""
    train, test = rows.normal("train")[:TRAIN_ROWS], rows.normal("test")
    return rows.units(train).flatten(1).double().numpy(), rows.units(test).flatten(1).double().numpy()


def draw_sheet(rows: RowsOf, distances: np.ndarray, row: dict[str, Any], folder: Path) -> None:
    """Draw a line of test images for each cluster, those nearest its centre first, to the file `sheet_name(row)`.

    distances: of each test row to each centre, (rows, clusters); row: the record of this clustering
    """
    images, nearest = rows.normal("test").numpy(), distances.argmin(axis=1)
    lines = {}
    for k in range(distances.shape[1]):
        members = np.flatnonzero(nearest == k)
        lines[f"{k + 1}: {len(members)} rows"] = images[members[np.argsort(distances[members, k], kind="stable")]]
    called = f"{row['run']}, {WHITENED}," if row["space"] == WHITENED else row["run"]
    title = f"{called} on {row['data']}: accuracy {row['acc_mean']:.2f}, nearest the centre first"
    figures.sheet(lines, folder / sheet_name(row), levels=rows.data.levels, title=title)


def sheet_name(row: dict[str, Any]) -> str:
    """Return the file name of the sheet of the clustering that a record describes.

    It is clusters-RUN.png, clusters-RUN-whitened.png or, for the rows themselves, clusters-k-means-DATA.png.
    """
    suffix = {"latent": "", WHITENED: f"-{WHITENED}", "data": f"-{row['data']}"}[row["space"]]
    return f"clusters-{re.sub(r'[^A-Za-z0-9_.-]', '_', row['run'] + suffix)}.png"
