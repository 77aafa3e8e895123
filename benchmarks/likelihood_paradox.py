"""Measures how well anomaly scores of a model of clothes tell digits from clothes, although digits are likelier.

Nalisnick et al. (2019, "Do deep generative models know what they don't know?") found that the likelihood of a model of
Fashion-MNIST is larger for MNIST, whose images are simpler. The figure is the area under the ROC curve of the score
options.score, as the mean over seeds. Beside it are the areas of all scores of the model, each with the mean over seeds
of its 95% interval over test rows. The model is not trained on MNIST, and no row of MNIST chose the score or a setting.
The target was set after a shorter training, whose area on 300 of these test rows was known.
"""

import time
from statistics import fmean

import numpy as np
import torch

from benchmarks import plan, training
from benchmarks.one_class import trained_on
from gen_models.anomalies.score import Setting
from gen_models.anomalies.scores import fit_scores
from gen_models.measures.ranking import auroc, auroc_interval

ROWS = 1_000  # test rows of each data set
REFERENCE_ROWS = 2_000  # training rows to which the scores are fitted


def paradox(name: str, row: plan.Row) -> None:
    """Measure the area under the ROC curve of options.score, for test rows of row.others against those of row.data."""
    began, dataset = time.monotonic(), training.data(row.data)
    (other,) = (training.data(name) for name in row.others)
    train = dataset.rows("train")
    x, y = dataset.rows("test", ROWS), other.rows("test", ROWS)
    is_other = np.repeat([False, True], [len(x), len(y)])
    areas: dict[str, list[tuple[float, float, float]]] = {}
    seconds = 0.0
    for seed in row.seeds:
        started = time.monotonic()
        model = trained_on(train, row, seed)
        seconds = max(seconds, time.monotonic() - started)
        fitted = fit_scores(model, train[:REFERENCE_ROWS], Setting(dataset.levels))
        for score, values in fitted.all(torch.cat([x, y])).items():
            found = values.double().numpy()
            area = (auroc(found, is_other), *auroc_interval(found, is_other))
            areas.setdefault(score, []).append(area)
            print(f"{row.model} on {row.data}, seed {seed}: {score} {area[0]:.4f}", flush=True)
    of_score = [area for area, _, _ in areas[row.options["score"]]]
    plan.write(
        "latent",
        name,
        row,
        fmean(of_score),
        f"area, {other.name} against {dataset.name}, score {row.options['score']}",
        better="higher",
        spread=max(of_score) - min(of_score),
        baselines={
            f"{score}: {what}": fmean(values)
            for score, found in areas.items()
            for what, values in zip(("area", "from", "to"), zip(*found, strict=True), strict=True)
        },
        budget=f"{row.steps} minibatches of {row.settings['batch_size']}, {seconds:.0f} s at most",
        seconds=time.monotonic() - began,
    )
