"""Pictures of a flow of the line, before and after training: the density of x, the map x -> z, the latents of data.

Before training is the model as its training found it: built from the checkpoint's own spec with the training's seed,
started on the training's rows.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from gen_models.build import build_model
from gen_models.contracts import WarmStart
from gen_models.evaluating import by_rows, evaluating
from gen_models.noise import Noise
from pipelines import figures
from pipelines.data.sources import LOG_DENSITIES
from pipelines.evaluation.trained_run import Trained
from pipelines.runtime import paths
from pipelines.training import trainer

GRID = 800  # points along the line
MARGIN = 0.1  # of the range of the data, on both sides


def flow(trained: Trained, noise: Noise, to: Path) -> None:
    """Two rows of panels, before and after training; the true density where it is known."""
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
    """The model before step 1 of the training with this seed."""
    spec = yaml.safe_load((paths.out("train", trained.run.key, "checkpoint") / "model.yaml").read_text())
    model = build_model(spec, seed)
    if isinstance(model, WarmStart):
        with torch.no_grad():
            model.warm_start(trainer.some(trained.data, "train", trainer.WARM_ROWS), Noise(seed))
    return model


def seen(model: Any, grid: Tensor, x: Tensor) -> figures.LineFlow:
    """The flow along a grid, and the latents of rows.

    The density of z is that of x through the map, p(z) = p(x) / |dz/dx|: of any bijection, whatever its base.
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
