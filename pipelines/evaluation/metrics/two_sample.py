"""Measures how far samples are from data.

All metrics are measured on the unit scale: x/(q - 1) for q grey levels, else x standardised by the training rows.

mmd2, mmd2_floor         unbiased MMD^2 (squared maximum mean discrepancy) between samples and test rows, and between
                         training rows and test rows
c2st_accuracy[_error]    accuracy of a classifier that tells samples from test rows, and its standard error (Lopez-Paz
                         and Oquab, 2017); 0.5 for a perfect sampler
c2st_accuracy_floor      the same accuracy with training rows in place of samples
sample_distance          the median over samples of the distance to the nearest training row
test_distance            the median over test rows of the distance to the nearest training row
memorisation             sample_distance/test_distance; if it is far below 1, the sampler repeats its training rows
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

LARGEST = 1e30  # the forest takes numbers that 32 bits can hold
TWO_SAMPLE_ROWS = 1000  # rows in each of the sets that are compared; an accuracy then has a standard error of 0.011
FOREST = {"n_estimators": 200, "min_samples_leaf": 3, "n_jobs": 1}
FOLDS = 5


class Sides(NamedTuple):
    """The sets of rows that are compared, all on the unit scale.

    fake, train, test   samples, training rows and test rows, equally many of each
    all_train           all training rows

    For a model of binary pixels the rows of data are binarised, as the samples are binary.
    """

    fake: Tensor
    train: Tensor
    test: Tensor
    all_train: Tensor


def samples(trained: Trained, noise: Noise, drawn: Sides | None = None) -> dict[str, float]:
    """Return the metrics that the module docstring describes; {} for a model that is not a Sampler.

    The floors compare training rows with test rows, and no sampler should beat them.

    drawn: the sets of rows that `sides` returned; None: `sides` is called here
    """
    model = trained.model
    if not isinstance(model, Sampler):
        return {}
    fake, some_train, some_test, train = drawn or sides(trained, noise)
    n = len(fake)
    if n < FOLDS:  # too few test or training rows to compare samples with
        return {}
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
        **({"memorisation": near / far} if far > 0 else {}),  # 0: most test rows equal training rows
    }


def sides(trained: Trained, noise: Noise) -> Sides:
    """Draw samples, and choose training rows and test rows at random; return them as the sets to compare.

    Each set but all_train has TWO_SAMPLE_ROWS rows, or as many as the smaller split has if that is fewer. All metrics
    that compare samples with data use the same sets.
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
    """Return the cross-validated accuracy of a random forest that is trained to tell rows of a from rows of b."""
    rows = torch.cat([a, b]).flatten(1).clamp(-LARGEST, LARGEST).numpy()
    labels = np.repeat([0, 1], [len(a), len(b)])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    guesses = cross_val_predict(RandomForestClassifier(**FOREST, random_state=seed), rows, labels, cv=folds)
    return float(np.mean(guesses == labels))
