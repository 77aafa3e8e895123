"""Measures whether samples look like data, and whether they cover all of the data.

NAME_floor is the metric NAME with training rows in place of samples.

precision, recall, density, coverage[_floor: the mean over FLOOR_DRAWS draws of training rows]
                         how well samples and test rows cover each other, by balls around rows that reach to the fifth
                         nearest neighbour in the row's own set (gen_models/measures/manifold.py); on the unit scale:
                         x/(q - 1) for q grey levels, else x standardised by the training rows
frechet[_floor]          for images: the Frechet distance between features of samples and of test rows. The features are
                         the hidden units of a small classifier that is fitted to the training rows or, if there are no
                         classes, the principal components of the training rows. Data sets have different features, so
                         the distance means something only beside its floor
feature_accuracy         accuracy of that classifier on test rows; below 0.5, its features say little
modes, modes_known       for data drawn from a known mixture of round Gaussians of equal width: how many of its modes
                         the samples reach, and how many it has (gen_models/measures/modes.py)
high_quality[_floor]     for the same data: the fraction of samples within 3 standard deviations of a mode
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
FLOOR_DRAWS = 5  # one draw of some hundred rows is off by more than a good model's samples
FEATURES = 32  # hidden units of the classifier, or principal components; 300 rows are enough for their covariance
CLASSIFIER_ROWS = 5000  # training rows for the classifier; on 28 x 28 pixels its fit takes 1 s
EPOCHS = 60
Features = Callable[[Tensor], Tensor]


def fidelity(trained: Trained, noise: Noise, drawn: Sides | None = None) -> dict[str, float]:
    """Return the metrics of a Sampler that apply to its data; {} for other models.

    drawn: the samples, training rows and test rows that `sides` returned; None: `sides` is called here
    """
    if not isinstance(trained.model, Sampler):
        return {}
    drawn = drawn or sides(trained, noise)
    return {**_manifold(drawn, noise), **_frechet(trained, drawn, noise.seed), **_modes(trained, noise)}


def _manifold(drawn: Sides, noise: Noise) -> dict[str, float]:
    fake, _, test, train = drawn
    if len(test) <= NEIGHBOURS:
        return {}
    found = manifold(test, fake, neighbours=NEIGHBOURS)._asdict()
    draws = FLOOR_DRAWS if len(train) > len(test) else 1
    orders = [noise.at(draw).permutation("evaluate/floor", len(train))[: len(test)] for draw in range(draws)]
    floors = [manifold(test, train[rows], neighbours=NEIGHBOURS)._asdict() for rows in orders]
    return {**found, **{f"{name}_floor": float(np.mean([floor[name] for floor in floors])) for name in found}}


def _frechet(trained: Trained, drawn: Sides, seed: int) -> dict[str, float]:
    if not figures.is_image(trained.data.event_shape) or len(drawn.test) < 2:
        return {}
    fake, train, test, all_train = drawn
    features, accuracy = features_of(trained, all_train, seed)
    found = {
        "frechet": frechet_distance(features(fake), features(test)).item(),
        "frechet_floor": frechet_distance(features(train), features(test)).item(),
    }
    return found if accuracy is None else {**found, "feature_accuracy": accuracy}


def features_of(trained: Trained, train: Tensor, seed: int) -> tuple[Features, float | None]:
    """Return (a function from rows on the unit scale to float64 features, the classifier's accuracy on test rows).

    train: all normal training rows in the order of the data, on the unit scale; for a model of binary pixels they are
    binarised, as its samples are

    The classifier is a perceptron with one hidden layer of rectifiers, fitted for a fixed number of epochs. Without
    classes, the features are principal components, and the accuracy is None.
    """
    rows = train.flatten(1).numpy()[:CLASSIFIER_ROWS]
    labels = np.asarray(trained.data.y("train"))[~trained.is_anomaly("train")][:CLASSIFIER_ROWS]
    if len(np.unique(labels)) < 2:
        pca = PCA(min(FEATURES, *rows.shape), svd_solver="full").fit(rows)
        return lambda x: torch.from_numpy(pca.transform(x.flatten(1).numpy())).double(), None
    classifier = MLPClassifier((FEATURES,), max_iter=EPOCHS, n_iter_no_change=EPOCHS, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that more epochs would help, but their number is fixed
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
    """Return the standard deviation of a mixture's components if it is the same for all and in all directions.

    Returns None if components or directions differ.
    """
    std = float(mixture.factors[0, 0, 0])
    return std if (mixture.factors == std * np.eye(mixture.means.shape[1])).all() else None
