"""Measures how far samples of images are from test rows, divided by how far training rows are from test rows.

    figure = mean over sets of d^2(samples, test rows) / mean over sets of d^2(training rows, test rows)

d^2 is the Frechet distance (measures/frechet.py) of 32 hidden units of a small classifier of the training rows. A set
has as many rows as the test split, so that both means have the bias of that many rows; sets of training rows are
disjoint. The ratio is 1 for a sampler that is as good as data. Beside it are precision, recall, density and coverage
(measures/manifold.py), on the unit scale, of the same sets.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from statistics import fmean

import numpy as np
import torch
from sklearn.neural_network import MLPClassifier
from torch import Tensor

from benchmarks import plan, training
from gen_models.evaluating import draw, evaluating
from gen_models.measures.frechet import frechet_distance
from gen_models.measures.manifold import Manifold, manifold
from gen_models.noise import Noise
from pipelines.evaluation.trained_run import Trained

SETS = 4  # the training rows of digits are about this many times the test rows
FEATURES = 32  # hidden units; 300 rows are enough for their covariance
CLASSIFIER_ROWS = 5000
EPOCHS = 60
RATIO, DISTANCE, FLOOR = "ratio", "distance", "distance of training rows"


def fidelity(name: str, row: plan.Row) -> None:
    """Measure the ratio as the mean over trainings with several seeds; the spread is their range."""
    began, dataset = time.monotonic(), training.data(row.data)
    found, seconds, batch = [], 0.0, 0
    for seed in row.seeds:
        played = training.play(row.model, dataset, row.settings, steps=row.steps, seed=seed)
        found.append(faithful(played.trained, "test", seed))
        seconds, batch = max(seconds, played.seconds), played.batch_size
        print(f"{row.model} on {row.data}, seed {seed}: {found[-1][RATIO]:.3g} x floor", flush=True)
    ratios = [one.pop(RATIO) for one in found]
    plan.write(
        "games",
        name,
        row,
        fmean(ratios),
        "x floor",
        spread=max(ratios) - min(ratios),
        baselines={what: fmean(one[what] for one in found) for what in found[0]},
        budget=f"{row.steps} minibatches of {batch}, {seconds:.0f} s at most, {len(row.seeds)} times",
        seconds=time.monotonic() - began,
    )


def faithful(trained: Trained, split: str, seed: int) -> dict[str, float]:
    """Return {measure: its mean over the sets} for samples and for training rows, both against the rows of a split."""
    real, train = (trained.units(trained.normal(name)) for name in (split, "train"))
    n, noise = len(real), Noise(seed)
    with evaluating(trained.model):
        fakes = trained.units(draw(trained.model, SETS * n, noise)).split(n)
    order = noise.permutation("evaluate/train", len(train))
    trains = [train[some] for some in order.split(n) if len(some) == n][:SETS]
    features = features_of(trained, seed)
    distance, floor = (
        fmean(frechet_distance(features(rows), features(real)).item() for rows in sets) for sets in (fakes, trains)
    )
    return {
        RATIO: distance / floor,
        DISTANCE: distance,
        FLOOR: floor,
        **manifolds(real, fakes),
        **{f"{what} of training rows": value for what, value in manifolds(real, trains).items()},
    }


def manifolds(real: Tensor, sets: Sequence[Tensor]) -> dict[str, float]:
    """Return precision, recall, density and coverage as means over the sets."""
    found = [manifold(real, rows) for rows in sets]
    return {name: fmean(getattr(one, name) for one in found) for name in Manifold._fields}


def features_of(trained: Trained, seed: int) -> Callable[[Tensor], Tensor]:
    """Return a function from rows on the unit scale to the hidden units, in float64, of a fitted classifier."""
    rows = trained.units(trained.normal("train")).flatten(1).numpy()[:CLASSIFIER_ROWS]
    labels = np.asarray(trained.data.y("train"))[~trained.is_anomaly("train")][:CLASSIFIER_ROWS]
    classifier = MLPClassifier((FEATURES,), max_iter=EPOCHS, n_iter_no_change=EPOCHS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that more epochs would help, but their number is fixed
        classifier.fit(rows, labels)
    weight, bias = (torch.from_numpy(part[0]).double() for part in (classifier.coefs_, classifier.intercepts_))
    return lambda x: (x.flatten(1).double() @ weight + bias).clamp_min(0)
