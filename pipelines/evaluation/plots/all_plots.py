"""The pictures that `evaluate` draws of a model, as far as its capabilities and the shape of a row allow them.

The columns are the name of a picture's file without .png, what it shows, and what the model must be or have.

    samples          samples, beside test rows if rows are not images                       Sampler
    temperatures     images drawn with the same noise at rising temperatures                TemperedSampler
    reconstructions  test images, and below each its reconstruction                         Reconstructor
    interpolation    images between two test images, in latent space                        Encoder, Decoder
    traversal        a test image while one latent at a time changes                        a bottleneck of numbers
    latent_map       images over two latents, at quantiles of the prior                     Gaussian latents, one layer
    latent_kl        how much each latent says about a row                                  Gaussian latents, one layer
    density          log p(x), or a bound on it, for rows of two numbers                    Density or Bound
    flow             density, map and latents before and after training, one number a row   a bijection
    latent_flow      test rows of two numbers, and the latents to which the flow maps them  a bijection
    latent           test rows in latent space, by class                                    Encoder

pipelines/report/gallery.py has the captions of these pictures in the report.
"""

import math
from pathlib import Path

import numpy as np

from gen_models.contracts import Bound, Decoder, Density, Encoder, Reconstructor, Sampler, TemperedSampler
from gen_models.evaluating import draw
from gen_models.noise import Noise
from pipelines import figures
from pipelines.evaluation.metrics.active_latents import is_watched
from pipelines.evaluation.plots import image_plots, latent_plots, line_plots, plane_plots
from pipelines.evaluation.trained_run import Trained


def pictures(trained: Trained, noise: Noise, folder: Path) -> None:
    """Draw each picture of the table above that applies, and write it to NAME.png in `folder`."""
    model, data, x = trained.model, trained.data, trained.normal("test")
    is_image = figures.is_image(data.event_shape)
    if isinstance(model, Sampler):
        count = 100 if is_image else 2000
        figures.draws(draw(model, count, noise).numpy(), x[:count].numpy(), folder / "samples.png", levels=data.levels)
    if isinstance(model, TemperedSampler) and is_image:
        image_plots.temperatures(trained, noise, folder / "temperatures.png")
    if isinstance(model, Reconstructor) and is_image:
        image_plots.reconstructions(trained, x, folder / "reconstructions.png")
    if isinstance(model, Encoder) and isinstance(model, Decoder) and is_image:
        image_plots.interpolation(trained, x, folder / "interpolation.png")
    if latent_plots.has_walks(model) and is_image:
        latent_plots.traversal(trained, noise, folder / "traversal.png")
    if is_watched(model) and is_image and model.latents[0] > 1:
        latent_plots.latent_map(trained, noise, folder / "latent_map.png")
    if is_watched(model):
        latent_plots.latent_kl(trained, noise, folder / "latent_kl.png")
    if isinstance(model, (Density, Bound)) and data.event_shape == (2,):
        plane_plots.density(trained, noise, folder / "density.png")
    if is_bijection(trained) and data.event_shape == (1,):
        line_plots.flow(trained, noise, folder / "flow.png")
    labels = np.asarray(data.y("test"))[~trained.is_anomaly("test")]
    if is_bijection(trained) and data.event_shape == (2,):
        plane_plots.flow(trained, x[:2000], labels[:2000], folder / "latent_flow.png")
    if isinstance(model, Encoder) and len(np.unique(labels)) > 1:
        plane_plots.latents(trained, x[:2000], labels[:2000], folder / "latent.png")


def is_bijection(trained: Trained) -> bool:
    """Return whether the model is a bijection between continuous data and latents.

    A model counts as a bijection if it has a density, an encoder, a decoder, and as many latents as a row has numbers.
    """
    model, data = trained.model, trained.data
    if data.levels is not None or not all(isinstance(model, kind) for kind in (Density, Encoder, Decoder)):
        return False
    return model.encode(data.rows("test", 1)).shape[1] == math.prod(data.event_shape)
