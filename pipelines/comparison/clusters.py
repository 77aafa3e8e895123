"""cluster: k-means on the latents of every encoder whose data are labelled, beside k-means on the data themselves.

    acc, nmi, ari   of test rows, clusters against classes, labels unseen; mean and standard deviation over seeds

Centres are fitted on training rows, k is the number of classes there, n_init is 10 as k-means depends on its start.
Latents are taken as they are, not standardised: a VAE's unused latents have almost no variance, and dividing by it
would give their noise the weight of a latent that says something. Data are on the unit scale.

An autoencoder without a prior is the same model in any basis of its latents, D(A^-1 A E(x)), while k-means is not the
same in any: its latents are clustered as they are and whitened, a row each. Which is better depends on the data.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from torch import Tensor

from gen_models.contracts import Encoder, Sampler
from gen_models.evaluating import by_rows, evaluating
from gen_models.measures.partitions import adjusted_rand, cluster_accuracy, normalised_mutual_information
from pipelines import config, figures
from pipelines.evaluation.trained_run import Trained, open_trained
from pipelines.runtime import paths
from pipelines.runtime.stage import no_argument, produce, run

SEEDS = 5
STARTS = 10
TRAIN_ROWS = 20_000  # k-means gains nothing from more
WHITENED = "whitened"  # the space of a row; the others are "latent" and "data"
LEAST_SHARE = 1e-6  # of the largest variance: a direction with less is rounding, and is left out
MEASURES = {"acc": cluster_accuracy, "nmi": normalised_mutual_information, "ari": adjusted_rand}


def main(argv: list[str]) -> None:
    no_argument(argv, "cluster", __doc__)
    params = config.params()
    with produce(paths.out("cluster")) as folder:
        rows: list[dict[str, Any]] = []
        for line in params.runs.values():
            trained = open_trained(line)
            if not isinstance(trained.model, Encoder):
                print(f"{line.key}: no latents to cluster: {line.model} has no encoder")
                continue
            if classes_of(trained) < 2:
                continue
            codes = latents(trained)
            rows.append(cluster(trained, line.key, "latent", codes, params.seed, folder))
            if not isinstance(trained.model, Sampler):
                rows.append(cluster(trained, line.key, WHITENED, whitened(*codes), params.seed, folder))
            if not any(row["data"] == line.data and row["space"] == "data" for row in rows):
                rows.append(cluster(trained, "k-means", "data", flat_data(trained), params.seed, folder))
        (folder / "scores.json").write_text(json.dumps(rows, indent=1) + "\n")
    for row in rows:
        space = ", whitened" * (row["space"] == WHITENED)
        print(
            f"{row['run']}{space} on {row['data']}: "
            + ", ".join(f"{name} {row[name + '_mean']:.3f}" for name in MEASURES)
        )


def classes_of(trained: Trained) -> int:
    """The number of classes among training rows."""
    return len(np.unique(np.asarray(trained.data.y("train"))))


def k_means(trained: Trained, vectors: np.ndarray, seed: int) -> list[KMeans]:
    """Fits of SEEDS seeds, each the best of STARTS starts, with as many clusters as classes."""
    k = classes_of(trained)
    return [KMeans(k, n_init=STARTS, random_state=seed + offset).fit(vectors) for offset in range(SEEDS)]


def cluster(
    trained: Trained, who: str, space: str, vectors: tuple[np.ndarray, np.ndarray], seed: int, folder: Path
) -> dict[str, Any]:
    """One row of the table: k-means over SEEDS seeds on (training, test) vectors; a sheet of images of the first."""
    train, test = vectors
    truth = np.asarray(trained.data.y("test"))[~trained.is_anomaly("test")]
    fits = k_means(trained, train, seed)
    guesses = [fit.predict(test) for fit in fits]
    row = {
        "run": who,
        "data": trained.run.data,
        "space": space,
        "k": classes_of(trained),
        "rows": len(test),
        "seeds": SEEDS,
    }
    for name, measure in MEASURES.items():
        values = [measure(truth, guess) for guess in guesses]
        row |= {f"{name}_mean": float(np.mean(values)), f"{name}_sd": float(np.std(values, ddof=1))}
    if figures.is_image(trained.data.event_shape):
        draw_sheet(trained, who, fits[0].transform(test), row, folder)
    return row


def latents(trained: Trained) -> tuple[np.ndarray, np.ndarray]:
    """(training, test) latents."""

    def encode(x: Tensor) -> np.ndarray:
        with evaluating(trained.model):
            return by_rows(trained.model.encode, x).flatten(1).double().numpy()

    return encode(trained.normal("train")[:TRAIN_ROWS]), encode(trained.normal("test"))


def whitened(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(training, test) vectors along the principal axes of training ones, where these have covariance 1."""
    mean = train.mean(axis=0)
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov(train.T)))
    kept = variances > LEAST_SHARE * variances.max()
    change = axes[:, kept] / np.sqrt(variances[kept])
    return (train - mean) @ change, (test - mean) @ change


def flat_data(trained: Trained) -> tuple[np.ndarray, np.ndarray]:
    """(training, test) rows on the unit scale."""
    train, test = trained.normal("train")[:TRAIN_ROWS], trained.normal("test")
    return trained.units(train).flatten(1).double().numpy(), trained.units(test).flatten(1).double().numpy()


def draw_sheet(trained: Trained, who: str, distances: np.ndarray, row: dict[str, Any], folder: Path) -> None:
    """clusters-RUN.png: a row a cluster, the test images nearest its centre first."""
    images, nearest = trained.normal("test").numpy(), distances.argmin(axis=1)
    rows = {}
    for k in range(distances.shape[1]):
        members = np.flatnonzero(nearest == k)
        rows[f"{k + 1}: {len(members)} rows"] = images[members[np.argsort(distances[members, k], kind="stable")]]
    space = row["space"]
    suffix = {"latent": "", WHITENED: f"-{WHITENED}", "data": f"-{row['data']}"}[space]
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", who + suffix)
    called = f"{who}, {WHITENED}," if space == WHITENED else who
    title = f"{called} on {row['data']}: accuracy {row['acc_mean']:.2f}, nearest the centre first"
    figures.sheet(rows, folder / f"clusters-{name}.png", levels=trained.data.levels, title=title)


if __name__ == "__main__":
    run(main)
