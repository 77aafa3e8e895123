"""k-means on an autoencoder's latents against the classes of test rows, labels unseen.

As the stage `cluster` has it: centres of training rows, k = the number of classes, the best of ten starts. The figure
is the accuracy under the best matching, its mean over seeds of training and, for each, over seeds of k-means; spread is
the range over trainings.
"""

import time
from statistics import fmean

import numpy as np

from benchmarks import plan, training
from pipelines.cluster import MEASURES, flat_data, k_means, latents
from pipelines.trained import Trained


def clusters(name: str, row: plan.Row) -> None:
    """ACC of latents, beside NMI and ARI, and the three of k-means on pixels."""
    began, dataset = time.monotonic(), training.data(row.data)
    found, seconds, batch = [], 0.0, 0
    pixels: dict[str, float] = {}
    for seed in row.seeds:
        played = training.play(row.model, dataset, row.settings, steps=row.steps, seed=seed)
        found.append(agreement(played.trained, *latents(played.trained)))
        seconds, batch = max(seconds, played.seconds), played.batch_size
        print(f"{row.model} on {row.data}, seed {seed}: accuracy {found[-1]['acc']:.3f}", flush=True)
        pixels = pixels or agreement(played.trained, *flat_data(played.trained))
    accuracies = [one["acc"] for one in found]
    plan.write(
        "latent",
        name,
        row,
        fmean(accuracies),
        "accuracy",
        better="higher",
        spread=max(accuracies) - min(accuracies),
        baselines={
            **{measure.upper(): fmean(one[measure] for one in found) for measure in ("nmi", "ari")},
            **{f"k-means on pixels, {measure.upper()}": value for measure, value in pixels.items()},
            **row.options["published"],
        },
        budget=f"{row.steps} minibatches of {batch}, {seconds:.0f} s at most, {len(row.seeds)} times",
        seconds=time.monotonic() - began,
    )


def agreement(trained: Trained, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """{measure: its mean over seeds of k-means}."""
    truth = np.asarray(trained.data.y("test"))
    fits = k_means(trained, train, seed=0)
    return {name: fmean(measure(truth, fit.predict(test)) for fit in fits) for name, measure in MEASURES.items()}
