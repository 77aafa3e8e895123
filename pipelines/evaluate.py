"""evaluate KEY: what a run's model is worth on the test split, by its capabilities; numbers and pictures.

    rows, dims, data_sha256, checkpoint_sha256   what the numbers are of
    nats, nats_error         -mean log p(x) (Density) or -mean ELBO(x) at beta = 1 (Bound), and its standard error
    nats_iw50                -mean of the importance-weighted bound with K = 50 (Burda et al., 2016); at most nats
    bits_per_dim[_iw50]      the same a dimension, of data on grey levels
    bits_per_dim_histogram   a histogram for each pixel by itself: what a model must beat
    truth_nats, gap_nats     of data whose density is known: -mean log p*(x) on the same rows, and nats above it
    mse, mse_pca             squared error a dimension on the unit scale, of the model and of PCA with its bottleneck
    mmd2, mmd2_floor         unbiased MMD^2 of samples to test rows, of training rows to test rows
    c2st_accuracy[_error]    how well a classifier tells samples from test rows, with its standard error (Lopez-Paz and
                             Oquab, 2017); 0.5 is a perfect sampler; c2st_accuracy_floor: training from test rows
    sample_distance, test_distance, memorisation   median distance to the nearest training row, of samples and of test
                             rows, and their ratio: far below 1, the sampler repeats what it was shown

The pictures are those of pipelines/portraits. Rows of a class that was held out as anomaly are left out. All noise
comes from the seed of params.yaml: a second run writes the same bytes.
"""

import json
import math

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import Tensor

from gen_models import checkpoint
from gen_models.contracts import Bound, Density, Encoder, Reconstructor, Sampler
from gen_models.measures import (
    bandwidths_around,
    bits_per_dim,
    by_rows,
    draw,
    elbo,
    evaluating,
    median_bandwidth,
    mmd2,
    nearest_distances,
)
from gen_models.noise import Noise
from pipelines import config, paths, portraits
from pipelines.sources import LOG_DENSITIES
from pipelines.stage import argument, produce, run
from pipelines.trained import Trained, open_trained

IMPORTANCE_SAMPLES = 50
TWO_SAMPLE_ROWS = 1000  # of each side: an accuracy is then known to 0.011
FOREST = {"n_estimators": 200, "min_samples_leaf": 3, "n_jobs": 1}
FOLDS = 5
ROWS_AT_ONCE = 4096


def main(argv: list[str]) -> None:
    key = argument(argv, "evaluate", "RUN", __doc__)
    params = config.params()
    line = params.run(key)
    with produce(paths.out("evaluate", line.key)) as folder:
        trained = open_trained(line)
        noise = Noise(params.seed)
        with evaluating(trained.model):
            numbers = {
                **origin(trained),
                **likelihood(trained, noise),
                **reconstruction(trained),
                **samples(trained, noise),
            }
            (folder / "metrics.json").write_text(json.dumps(numbers, indent=1) + "\n")
            portraits.pictures(trained, noise, folder)
    print(
        f"{line.key}: "
        + ", ".join(f"{name} {value:.4g}" for name, value in numbers.items() if isinstance(value, float))
    )


def origin(trained: Trained) -> dict[str, int | str]:
    """Which rows, which data, which weights the numbers are of."""
    x = trained.normal("test")
    return {
        "rows": len(x),
        "dims": math.prod(trained.data.event_shape),
        "data_sha256": trained.data.sha256,
        "checkpoint_sha256": checkpoint.digest(paths.out("train", trained.run.key, "checkpoint")),
    }


def likelihood(trained: Trained, noise: Noise) -> dict[str, float]:
    """Negative log-likelihood, or its bounds, beside what is known of the data."""
    model, x = trained.model, trained.normal("test")
    found: dict[str, float] = {}
    if isinstance(model, Density):
        log_p = by_rows(model.log_prob, x).double()
    elif isinstance(model, Bound):
        log_p = elbo(model, x, noise).double()
        weighted = elbo(model, x, noise, samples=IMPORTANCE_SAMPLES, draws=1).double()
        found[f"nats_iw{IMPORTANCE_SAMPLES}"] = -weighted.mean().item()
    else:
        return {}
    found = {"nats": -log_p.mean().item(), "nats_error": log_p.std().item() / math.sqrt(len(x)), **found}
    if trained.data.levels is not None:
        dims = math.prod(trained.data.event_shape)
        for name in [name for name in found if name in ("nats", f"nats_iw{IMPORTANCE_SAMPLES}")]:
            found[name.replace("nats", "bits_per_dim")] = bits_per_dim(-found[name], dims)
        found["bits_per_dim_histogram"] = bits_per_dim(histogram_log_prob(trained), dims)
    if trained.data.manifest["source"] in LOG_DENSITIES:
        truth = LOG_DENSITIES[trained.data.manifest["source"]](x.double().numpy())
        found["truth_nats"] = -float(np.mean(truth))
        found["gap_nats"] = found["nats"] - found["truth_nats"]
    return found


def histogram_log_prob(trained: Trained) -> float:
    """The mean log-likelihood of test rows in nats, every pixel a histogram by itself, each level counted once more."""
    levels = trained.data.levels or 1
    train, test = (trained.normal(split).flatten(1).long() for split in ("train", "test"))
    counts = torch.ones(train.shape[1] * levels)
    cells = levels * torch.arange(train.shape[1])
    for rows in train.split(ROWS_AT_ONCE):  # a one-hot row has as many numbers as the model of it
        counts += torch.bincount((rows + cells).flatten(), minlength=len(counts))
    counts = counts.reshape(train.shape[1], levels)
    log_p = (counts / counts.sum(dim=1, keepdim=True)).log().double()
    return log_p.gather(1, test.T).sum(dim=0).mean().item()


def reconstruction(trained: Trained) -> dict[str, float]:
    """Squared error a dimension, beside the linear model with a bottleneck of the same size."""
    model, x = trained.model, trained.normal("test")
    if not isinstance(model, Reconstructor):
        return {}
    found = {"mse": (trained.units(by_rows(model.reconstruct, x)) - trained.units(x)).square().mean().item()}
    train, test = (trained.units(trained.normal(split)).flatten(1).numpy() for split in ("train", "test"))
    latent = model.encode(x[:1]).shape[1] if isinstance(model, Encoder) else None
    if latent is not None and latent <= min(train.shape):
        pca = PCA(latent, svd_solver="full").fit(train)
        found["mse_pca"] = float(np.square(pca.inverse_transform(pca.transform(test)) - test).mean())
    return found


def samples(trained: Trained, noise: Noise) -> dict[str, float]:
    """Samples against test rows, and training rows against test rows: what no sampler can be better than."""
    model = trained.model
    if not isinstance(model, Sampler):
        return {}
    train, test = trained.units(trained.normal("train")), trained.units(trained.normal("test"))
    n = min(TWO_SAMPLE_ROWS, len(train), len(test))
    some_train, some_test = (
        rows[noise.permutation(f"evaluate/{name}", len(rows))[:n]] for name, rows in (("train", train), ("test", test))
    )
    fake = trained.units(draw(model, n, noise).to(test))
    widths = bandwidths_around(median_bandwidth(train))
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


def two_sample_accuracy(a: Tensor, b: Tensor, seed: int) -> float:
    """The accuracy of a random forest that tells rows of a from rows of b, on rows that it was not fitted on."""
    rows = torch.cat([a, b]).flatten(1).numpy()
    labels = np.repeat([0, 1], [len(a), len(b)])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    guesses = cross_val_predict(RandomForestClassifier(**FOREST, random_state=seed), rows, labels, cv=folds)
    return float(np.mean(guesses == labels))


if __name__ == "__main__":
    run(main)
