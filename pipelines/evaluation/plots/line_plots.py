"""Pictures of a flow of one-dimensional data, before and after training: density of x, map x -> z, latents of data.

The model before training is made as the training made it: it is built from the spec in the checkpoint with the seed of
the training, and then initialised from the same training rows (its warm start).
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from gen_models.build import build_model
from gen_models.evaluating import by_rows, evaluating
from gen_models.noise import Noise
from pipelines import figures
from pipelines.data.densities import LOG_DENSITIES
from pipelines.evaluation.trained_run import Trained
from pipelines.training.initial_model import warm_start

GRID = 800  # points along the line
MARGIN = 0.1  # the fraction of the data's range that is added on either side


def flow(trained: Trained, noise: Noise, to: Path) -> None:
    """Draw a row of panels for the flow before training and one for the flow after, with the true density if known."""
    x = trained.normal("test")
    low, high = float(x.min()), float(x.max())
    margin = MARGIN * (high - low)
    grid = torch.linspace(low - margin, high + margin, GRID)[:, None]
    truth = LOG_DENSITIES.get(trained.data.manifest["source"])
    figures.line_flows(
        {
            "before training": seen(untrained(trained, noise.seed), grid, x),
            "after training": seen(trained.model, grid, x),
        },
        x[:, 0].numpy(),
        to,
        truth=None if truth is None else np.exp(truth(grid.double().numpy())),
        title=f"{trained.run.key}: what training did to the flow",
    )


def untrained(trained: Trained, seed: int) -> Any:
    """Return the model as it was before step 1 of the training with this seed."""
    spec = yaml.safe_load((trained.folder / "checkpoint" / "model.yaml").read_text())
    model = build_model(spec, seed)
    warm_start(model, trained.data, seed)
    return model


def seen(model: Any, grid: Tensor, x: Tensor) -> figures.LineFlow:
    """Return what a picture shows of a flow: p(x), z and p(z) at the points of a grid, and the latents z of the rows x.

    p(z) is computed from the model's density of x as p(x) / |dz/dx|, so this works for any base distribution.

    grid: (points, 1) values of x; x: (rows, 1)
    """
    with evaluating(model):
        log_p = by_rows(model.log_prob, grid)
        latents = by_rows(model.encode, x)
        with torch.enable_grad():
            at = grid.clone().requires_grad_()
            z = model.encode(at)
            (slope,) = torch.autograd.grad(z.sum(), at)
    columns = (grid[:, 0], log_p.exp(), z.detach()[:, 0], (log_p - slope[:, 0].abs().log()).exp(), latents[:, 0])
    return figures.LineFlow(*(column.numpy() for column in columns))
