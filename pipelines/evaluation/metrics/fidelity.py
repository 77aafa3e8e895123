"""Whether samples look like data, and whether all of the data are among them.

precision, recall, density, coverage[_floor]   balls around nearest neighbours (measures/manifold.py), on the unit
                         scale: of samples against test rows, and of training rows against test rows
frechet[_floor]          of images: the Frechet distance between samples and test rows, of features of an own small
                         classifier of the training rows, or of their principal components where there are no classes;
                         another data set has another scale, which is what the floor is for
feature_accuracy         that classifier's, on test rows: below a half its features say little
modes, modes_known       modes of a known mixture that samples reach (measures/modes.py)
high_quality[_floor]     share of samples, of training rows, within 3 standard deviations of a mode
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.neural_network import MLPClassifier
from torch import Tensor

from gen_models.contracts import Sampler
from gen_models.evaluating import draw
from gen_models.measures.frechet import frechet_distance
from gen_models.measures.manifold import manifold
from gen_models.measures.modes import SAMPLES, modes
from gen_models.noise import Noise
from pipelines import figures
from pipelines.data.sources.gaussians import MIXTURES, Mixture
from pipelines.evaluation.metrics.two_sample import Sides, sides
from pipelines.evaluation.trained_run import Trained

NEIGHBOURS = 5
FEATURES = 32  # of the classifier's hidden layer, or components: a covariance of them is known from 300 rows
CLASSIFIER_ROWS = 5000  # of the training rows; on 28 x 28 pixels a fit then takes 1 s
EPOCHS = 60
Features = Callable[[Tensor], Tensor]


def fidelity(trained: Trained, noise: Noise, drawn: Sides | None = None) -> dict[str, float]:
    """The numbers of a Sampler that apply to its data; `drawn` are its sides, where they are there already."""
    if not isinstance(trained.model, Sampler):
        return {}
    drawn = drawn or sides(trained, noise)
    return {**_manifold(drawn), **_frechet(trained, drawn, noise.seed), **_modes(trained, noise)}


def _manifold(drawn: Sides) -> dict[str, float]:
    fake, train, test = drawn
    if len(test) <= NEIGHBOURS:
        return {}
    found, floor = (manifold(test, rows, neighbours=NEIGHBOURS)._asdict() for rows in (fake, train))
    return {**found, **{f"{name}_floor": value for name, value in floor.items()}}


def _frechet(trained: Trained, drawn: Sides, seed: int) -> dict[str, float]:
    if not figures.is_image(trained.data.event_shape) or len(drawn.test) < 2:
        return {}
    fake, train, test = drawn
    features, accuracy = features_of(trained, seed)
    found = {
        "frechet": frechet_distance(features(fake), features(test)).item(),
        "frechet_floor": frechet_distance(features(train), features(test)).item(),
    }
    return found if accuracy is None else {**found, "feature_accuracy": accuracy}


def features_of(trained: Trained, seed: int) -> tuple[Features, float | None]:
    """(rows on the unit scale -> features in float64, the classifier's accuracy on test rows or None without classes).

    The classifier is a perceptron of one hidden layer of rectifiers, fitted for a fixed number of epochs.
    """
    rows = trained.units(trained.normal("train")).flatten(1).numpy()[:CLASSIFIER_ROWS]
    labels = np.asarray(trained.data.y("train"))[~trained.is_anomaly("train")][:CLASSIFIER_ROWS]
    if len(np.unique(labels)) < 2:
        pca = PCA(min(FEATURES, *rows.shape), svd_solver="full").fit(rows)
        return lambda x: torch.from_numpy(pca.transform(x.flatten(1).numpy())).double(), None
    classifier = MLPClassifier((FEATURES,), max_iter=EPOCHS, n_iter_no_change=EPOCHS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that more epochs would help: their number is fixed
        classifier.fit(rows, labels)
    weight, bias = (torch.from_numpy(part[0]).double() for part in (classifier.coefs_, classifier.intercepts_))
    test = trained.units(trained.normal("test")).flatten(1).numpy()
    truth = np.asarray(trained.data.y("test"))[~trained.is_anomaly("test")]
    return (
        lambda x: (x.flatten(1).double() @ weight + bias).clamp_min(0),
        float(np.mean(classifier.predict(test) == truth)),
    )


def _modes(trained: Trained, noise: Noise) -> dict[str, float]:
    mixture = MIXTURES.get(trained.data.manifest["source"])
    std = None if mixture is None else common_std(mixture)
    if mixture is None or std is None:
        return {}
    centres = torch.from_numpy(mixture.means)
    fake = draw(trained.model, SAMPLES, noise)
    found = modes(fake, centres, std)
    floor = modes(trained.normal("train")[:SAMPLES], centres, std)
    return {
        "modes": float(found.reached),
        "modes_known": float(len(centres)),
        "high_quality": found.high_quality,
        "high_quality_floor": floor.high_quality,
    }


def common_std(mixture: Mixture) -> float | None:
    """The one standard deviation of all components in all directions; None of any other mixture."""
    std = float(mixture.factors[0, 0, 0])
    return std if (mixture.factors == std * np.eye(mixture.means.shape[1])).all() else None
