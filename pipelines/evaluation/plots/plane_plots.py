"""Pictures in the plane: the density of rows of two numbers on a grid, and rows and latents as points."""

from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from gen_models.contracts import Density
from gen_models.evaluating import by_rows, elbo
from gen_models.noise import Noise
from pipelines import figures
from pipelines.evaluation.trained_run import Trained

GRID = 120  # points on each side of the picture of a density
GRID_SAMPLES = 10  # importance samples for each point: a picture needs fewer than a metric


def density(trained: Trained, noise: Noise, to: Path) -> None:
    """Draw log p(x) on a grid over the range of the data; for a model that has only a bound, draw the bound instead.

    The bound is the importance-weighted bound with GRID_SAMPLES samples.
    """
    model, x = trained.model, trained.normal("test")
    low, high = x.amin(dim=0), x.amax(dim=0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    x0, x1 = (torch.linspace(float(low[k]), float(high[k]), GRID) for k in (0, 1))
    grid = torch.stack(torch.meshgrid(x0, x1, indexing="xy"), dim=-1).reshape(-1, 2)
    if isinstance(model, Density):
        values, title = by_rows(model.log_prob, grid), "log density"
    else:
        values = elbo(model, grid, noise.shared(), samples=GRID_SAMPLES, draws=1)
        title = f"importance-weighted bound, K = {GRID_SAMPLES}"
    extent = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    figures.density(
        values.reshape(GRID, GRID).numpy(), extent, x[:500].numpy(), to, title=f"{trained.run.key}: {title}"
    )


def flow(trained: Trained, x: Tensor, labels: np.ndarray, to: Path) -> None:
    """Draw test rows x of two numbers, and the latents to which the flow maps them, in the same colours.

    The colours show the classes or, if there are fewer than two, the angle of x around the mean.
    """
    names = np.asarray(trained.data.manifest["classes"])[labels] if len(np.unique(labels)) > 1 else None
    z = by_rows(trained.model.encode, x)
    title = f"{trained.run.key}: from data to latents"
    figures.flow_of_the_plane(x.numpy(), z.numpy(), to, labels=names, title=title)


def latents(trained: Trained, x: Tensor, labels: np.ndarray, to: Path) -> None:
    """Draw the latents of test rows x, coloured by class; draw nothing if the model has one latent.

    If there are more than two latents, the axes are the first two principal components of the latents.
    """
    z = by_rows(trained.model.encode, x).flatten(1).numpy()
    names = np.asarray(trained.data.manifest["classes"])[labels]
    axes = ("z1", "z2")
    if z.shape[1] != 2:
        if z.shape[1] < 2:
            return
        z, axes = (
            PCA(2, svd_solver="full").fit_transform(z),
            ("first principal component", "second principal component"),
        )
    figures.classes(z, names, to, x_label=axes[0], y_label=axes[1], title=f"{trained.run.key}: latents of test rows")
