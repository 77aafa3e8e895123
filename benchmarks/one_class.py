"""Which rows are not of the class that an autoencoder was trained on: the area under the ROC curve, class by class.

The training rows of one class are all that it sees, with neither other rows nor labels; all test rows are scored by
options.score of gen_models/scores.py. The figure is the mean over classes and seeds, spread its range over seeds.
Beside it the other scores, and the error of PCA on the same rows; "above PCA" is the mean over classes of the
difference of areas, with the 95% interval of Student's t for paired differences.
"""

import time
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy.stats import sem, t
from torch import Tensor

from benchmarks import plan, training
from gen_models.build import build_model, build_optimisers
from gen_models.codecs import principal
from gen_models.engine import Training, fit
from gen_models.loader import Batches
from gen_models.measures import auroc
from gen_models.noise import Noise
from gen_models.scores import scorers
from pipelines import config
from pipelines.store import Dataset


def one_class(name: str, row: plan.Row) -> None:
    """The mean area of row.options["score"]."""
    began, dataset = time.monotonic(), training.data(row.data)
    labels = {split: torch.from_numpy(np.array(dataset.y(split))) for split in ("train", "test")}
    train, test = dataset.rows("train"), dataset.rows("test")
    classes = sorted(set(labels["train"].tolist()))
    seconds, areas, linear = 0.0, {}, {}
    for one in classes:
        rows, is_other = train[labels["train"] == one], (labels["test"] != one).numpy()
        linear[one] = auroc(pca_error(rows, test, row.options["components"], dataset), is_other)
        for seed in row.seeds:
            started = time.monotonic()
            model = trained_on(rows, row, seed)
            seconds = max(seconds, time.monotonic() - started)
            for score, of in scorers(model, rows, levels=dataset.levels).items():
                areas[score, one, seed] = auroc(of(test).numpy(), is_other)
            said = f"{areas[row.options['score'], one, seed]:.4f}, PCA {linear[one]:.4f}"
            print(f"{row.model} on class {one} of {row.data}, seed {seed}: {said}", flush=True)
    by_seed = [fmean(areas[row.options["score"], one, seed] for one in classes) for seed in row.seeds]
    above = [fmean(areas[row.options["score"], one, seed] for seed in row.seeds) - linear[one] for one in classes]
    low, high = t.interval(0.95, len(above) - 1, np.mean(above), sem(above))
    plan.write(
        "latent",
        name,
        row,
        fmean(by_seed),
        f"mean area, score {row.options['score']}",
        better="higher",
        spread=max(by_seed) - min(by_seed),
        baselines={
            **{score: fmean(areas[key] for key in areas if key[0] == score) for score, *_ in areas},
            f"PCA, r = {row.options['components']}": fmean(linear.values()),
            "above PCA, 95% from": float(low),
            "above PCA, 95% to": float(high),
            **row.options["published"],
        },
        budget=f"{row.steps} minibatches of {row.settings['batch_size']} a class, {seconds:.0f} s at most",
        seconds=time.monotonic() - began,
    )


def trained_on(rows: Tensor, row: plan.Row, seed: int) -> Any:
    """The row's model after its steps on these rows alone."""
    conf = config.override(config.compose(row.model, row.data, "quick"), row.settings)
    torch.set_num_threads(conf["threads"])
    model: Any = build_model(conf["model"], seed)
    model.warm_start(rows, Noise(seed))
    run = Training(model, build_optimisers(conf["optim"], model))
    batches = Batches(rows, conf["batch_size"], seed)
    for _ in fit(run, batches, Noise(seed), steps=row.steps, report_every=row.steps, schedule=conf["schedule"]):
        pass
    return model


def pca_error(rows: Tensor, test: Tensor, components: int, dataset: Dataset) -> np.ndarray:
    """Of each test row, the squared error of the components of these rows."""
    assert dataset.levels is not None
    pca = principal.fit(rows, torch.full(dataset.event_shape, dataset.levels - 1.0)).first(components)
    return (pca.decode(pca.encode(test)) - test).flatten(1).double().square().sum(dim=1).numpy()
