"""Measures how well clusters of an autoencoder's latents, found by k-means without labels, agree with the classes.

The clusters are those of the stage `evaluate` (pipelines/evaluation/latent_clusters.py): centres fitted to training
rows, k = the number of classes, the best of ten starts. The figure is the accuracy of test rows when each cluster is
matched to a class, with the latents as they are or whitened, as options.space says; it is the mean over trainings with
several seeds and, for each training, over seeds of k-means. The spread is the range over trainings. Beside it is the
accuracy of a mixture of as many Gaussians with full covariances, fitted by EM, whose likelihood is the same in every
basis of the latents.
"""

import time
from statistics import fmean

import numpy as np
import torch

from benchmarks import plan, training
from gen_models.mixtures.gaussian_mixture import GaussianMixture
from gen_models.noise import Noise
from pipelines.evaluation.latent_clusters import MEASURES, SEEDS, WHITENED, flat_data, k_means, latents, whitened
from pipelines.evaluation.trained_run import Trained

AS = {"latent": "as they are", WHITENED: "whitened"}


def clusters(name: str, row: plan.Row) -> None:
    """Measure the accuracy of clusters of latents, beside NMI and ARI, and beside all three for k-means on pixels."""
    began, dataset = time.monotonic(), training.data(row.data)
    spaces: list[dict[str, dict[str, float]]] = []
    mixtures, seconds, batch = [], 0.0, 0
    pixels: dict[str, float] = {}
    for seed in row.seeds:
        played = training.play(row.model, dataset, row.settings, steps=row.steps, seed=seed)
        codes = latents(played.trained)
        spaces.append(
            {"latent": agreement(played.trained, *codes), WHITENED: agreement(played.trained, *whitened(*codes))}
        )
        mixtures.append(of_mixtures(played.trained, *codes))
        seconds, batch = max(seconds, played.seconds), played.batch_size
        print(f"{row.model} on {row.data}, seed {seed}: {spaces[-1]}", flush=True)
        pixels = pixels or agreement(played.trained, *flat_data(played.trained))
    ours = row.options["space"]
    (other,) = {"latent", WHITENED} - {ours}
    accuracies = [one[ours]["acc"] for one in spaces]
    plan.write(
        "latent",
        name,
        row,
        fmean(accuracies),
        f"accuracy, latents {AS[ours]}",
        better="higher",
        spread=max(accuracies) - min(accuracies),
        baselines={
            **{measure.upper(): fmean(one[ours][measure] for one in spaces) for measure in ("nmi", "ari")},
            f"latents {AS[other]}, ACC": fmean(one[other]["acc"] for one in spaces),
            "Gaussian mixture of latents, ACC": fmean(mixtures),
            **{f"k-means on pixels, {measure.upper()}": value for measure, value in pixels.items()},
            **row.options["published"],
        },
        budget=f"{row.steps} minibatches of {batch}, {seconds:.0f} s at most, {len(row.seeds)} times",
        seconds=time.monotonic() - began,
    )


def agreement(trained: Trained, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Return {measure: its mean over seeds of k-means} for the test rows.

    train, test: the vectors of training rows, to which the centres are fitted, and of test rows, (rows, dim) each
    """
    truth = np.asarray(trained.data.y("test"))
    fits = k_means(trained, train, seed=0)
    return {name: fmean(measure(truth, fit.predict(test)) for fit in fits) for name, measure in MEASURES.items()}


def of_mixtures(trained: Trained, train: np.ndarray, test: np.ndarray) -> float:
    """Return the mean accuracy over seeds of a Gaussian mixture; each row is put into its most likely component.

    train, test: as for `agreement`
    """
    truth, x, y = np.asarray(trained.data.y("test")), torch.from_numpy(train).float(), torch.from_numpy(test).float()
    found = []
    for seed in range(SEEDS):
        mixture = GaussianMixture(x.shape[1:], None, components=len(np.unique(truth)))
        mixture.warm_start(x, Noise(seed))
        found.append(MEASURES["acc"](truth, mixture.encode(y).argmax(dim=1).numpy()))
    return fmean(found)
