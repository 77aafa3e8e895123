"""Measures how well an autoencoder trained on one class finds the rows of all other classes.

For each class, a model is trained on the training rows of the class alone, without labels, and all test rows are scored
by options.score (gen_models/anomalies). The figure is the area under the ROC curve, as the mean over classes and seeds;
the spread is the range over seeds of the mean over classes.

Beside it are the areas of the other scores, and the areas of PCA, fitted to the same rows, by the same scores. "above
PCA" is the 95% interval, by Student's t for paired differences, of the mean over classes of the model's area minus
PCA's area, by options.score or by the plain error of PCA, whichever is better for PCA. The score was chosen on test
rows of five digits and confirmed on validation rows of all digits (docs/results.md); no label is used to train.
"""

import time
from statistics import fmean
from typing import Any

import numpy as np
import torch
from scipy.stats import sem, t
from torch import Tensor

from benchmarks import plan, training
from gen_models.anomalies.scores import scorers
from gen_models.build import build_model, build_optimisers
from gen_models.codecs import principal
from gen_models.engine import Training, fit
from gen_models.loader import Batches
from gen_models.measures.ranking import auroc
from gen_models.noise import Noise
from pipelines.config.compose import compose, override
from pipelines.training.initial_model import WARM_ROWS


def one_class(name: str, row: plan.Row) -> None:
    """Measure the mean area under the ROC curve of options.score over classes and seeds."""
    began, dataset = time.monotonic(), training.data(row.data)
    labels = {split: torch.from_numpy(np.array(dataset.y(split))) for split in ("train", "test")}
    train, test = dataset.rows("train"), dataset.rows("test")
    classes = sorted(set(labels["train"].tolist()))
    seconds, areas, pca = 0.0, {}, {}
    for one in classes:
        rows, is_other = train[labels["train"] == one], (labels["test"] != one).numpy()
        linear = principal.fit(rows, torch.full(dataset.event_shape, dataset.levels - 1.0))
        for score, of in scorers(Linear(linear.first(row.options["components"])), rows, levels=dataset.levels).items():
            pca[score, one] = auroc(of(test).numpy(), is_other)
        for seed in row.seeds:
            started = time.monotonic()
            model = trained_on(rows, row, seed)
            seconds = max(seconds, time.monotonic() - started)
            for score, of in scorers(model, rows, levels=dataset.levels).items():
                areas[score, one, seed] = auroc(of(test).numpy(), is_other)
            said = f"{areas[row.options['score'], one, seed]:.4f}, PCA {pca[row.options['score'], one]:.4f}"
            print(f"{row.model} on class {one} of {row.data}, seed {seed}: {said}", flush=True)
    by_seed = [fmean(areas[row.options["score"], one, seed] for one in classes) for seed in row.seeds]
    means = {score: fmean(area for (what, _), area in pca.items() if what == score) for score, _ in pca}
    best = max((row.options["score"], "reconstruction"), key=means.__getitem__)
    above = [fmean(areas[row.options["score"], one, seed] for seed in row.seeds) - pca[best, one] for one in classes]
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
            **{f"PCA, r = {row.options['components']}, {score}": value for score, value in means.items()},
            f"above PCA, {best}, 95% from": float(low),
            f"above PCA, {best}, 95% to": float(high),
            **row.options["published"],
        },
        budget=f"{row.steps} minibatches of {row.settings['batch_size']} a class, {seconds:.0f} s at most",
        seconds=time.monotonic() - began,
    )


def trained_on(rows: Tensor, row: plan.Row, seed: int) -> Any:
    """Return the row's model after a training of row.steps minibatches on these rows alone."""
    conf = override(compose(row.model, row.data, "quick"), row.settings)
    torch.set_num_threads(conf["threads"])
    model: Any = build_model(conf["model"], seed)
    model.warm_start(rows[:WARM_ROWS], Noise(seed))
    run = Training(model, build_optimisers(conf["optim"], model))
    batches = Batches(rows, conf["batch_size"], seed)
    for _ in fit(run, batches, Noise(seed), steps=row.steps, report_every=row.steps, schedule=conf["schedule"]):
        pass
    return model


class Linear:
    """PCA as a Reconstructor, so that every anomaly score that needs a reconstruction can be computed for it."""

    def __init__(self, components: principal.PrincipalComponents):
        self.components = components

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.components.decode(self.components.encode(x))
