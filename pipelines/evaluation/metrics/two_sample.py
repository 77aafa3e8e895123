"""Measures how far samples are from data.

mmd2, mmd2_floor         unbiased MMD^2 between samples and test rows, and between training rows and test rows
c2st_accuracy[_error]    accuracy of a classifier that tells samples from test rows, and its standard error (Lopez-Paz
                         and Oquab, 2017); 0.5 for a perfect sampler
c2st_accuracy_floor      the same for training rows in place of samples
sample_distance, test_distance, memorisation   median distance of samples and of test rows to the nearest training row,
                         and their ratio; far below 1, the sampler repeats its training rows
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import Tensor

from gen_models.contracts import Sampler
from gen_models.evaluating import as_sampled, draw
from gen_models.measures.samples import bandwidths, mmd2, nearest_distances
from gen_models.noise import Noise
from pipelines.evaluation.trained_run import Trained

TWO_SAMPLE_ROWS = 1000  # rows on each side; the standard error of an accuracy is then 0.011
FOREST = {"n_estimators": 200, "min_samples_leaf": 3, "n_jobs": 1}
FOLDS = 5


class Sides(NamedTuple):
    """Three sets of equal size, of samples, training rows and test rows, and all training rows; on the unit scale.

    The rows of data are in the space of the samples: with a model of binary pixels, they are binarised.
    """

    fake: Tensor
    train: Tensor
    test: Tensor
    all_train: Tensor


def samples(trained: Trained, noise: Noise, drawn: Sides | None = None) -> dict[str, float]:
    """Compare samples with test rows, and, as a floor that no sampler should beat, training rows with test rows.

    drawn: the rows to compare, if the caller has them already. Returns {} for a model that is not a Sampler.
    """
    model = trained.model
    if not isinstance(model, Sampler):
        return {}
    fake, some_train, some_test, train = drawn or sides(trained, noise)
    n = len(fake)
    widths = bandwidths(train)
    accuracy, floor = (two_sample_accuracy(rows, some_test, noise.seed) for rows in (fake, some_train))
    near, far = (nearest_distances(rows, train).median().item() for rows in (fake, some_test))
    return {
        "mmd2": mmd2(fake, some_test, widths).item(),
        "mmd2_floor": mmd2(some_train, some_test, widths).item(),
        "c2st_accuracy": accuracy,
        "c2st_accuracy_error": math.sqrt(accuracy * (1 - accuracy) / (2 * n)),
        "c2st_accuracy_floor": floor,
        "sample_distance": near,
        "test_distance": far,
        "memorisation": near / far if far > 0 else math.inf,
    }


def sides(trained: Trained, noise: Noise) -> Sides:
    """Draw samples and choose rows, TWO_SAMPLE_ROWS of each, or fewer if a split has fewer.

    All metrics that compare samples with data use the same ones.
    """
    train, test = (
        trained.units(as_sampled(trained.model, trained.normal(split), noise.at(step)))
        for step, split in enumerate(("train", "test"))
    )
    n = min(TWO_SAMPLE_ROWS, len(train), len(test))
    some_train, some_test = (
        rows[noise.permutation(f"evaluate/{name}", len(rows))[:n]] for name, rows in (("train", train), ("test", test))
    )
    return Sides(trained.units(draw(trained.model, n, noise).to(test)), some_train, some_test, train)


def two_sample_accuracy(a: Tensor, b: Tensor, seed: int) -> float:
    """Return the cross-validated accuracy of a random forest that tells rows of a from rows of b."""
    rows = torch.cat([a, b]).flatten(1).numpy()
    labels = np.repeat([0, 1], [len(a), len(b)])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    guesses = cross_val_predict(RandomForestClassifier(**FOREST, random_state=seed), rows, labels, cv=folds)
    return float(np.mean(guesses == labels))
