"""Pictures of images: samples at several temperatures, interpolations between test images, and reconstructions."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.analysis.temperature import at_temperature
from gen_models.contracts import Sampler
from gen_models.noise import Noise
from pipelines import figures
from pipelines.evaluation.trained_run import Trained

TEMPERATURES = (0.5, 0.7, 0.85, 1.0)  # 0.7 is the temperature of Glow's figures
DRAWS = 12  # samples at each temperature
PAIRS = 8
STEPS = 11  # images in an interpolation, its two ends included
LEAST_SINE = 1e-3  # least sine of the angle between two latents for an arc: in float32, small angles are wrong by 3e-4


def temperatures(trained: Trained, noise: Noise, to: Path) -> None:
    """Draw a row of samples for each temperature.

    The samples of a column are drawn with the same noise, so their latents differ only in scale.
    """
    rows = {
        f"T = {temperature:g}": at_temperature(trained.model, temperature).sample(DRAWS, noise).numpy()
        for temperature in TEMPERATURES
    }
    title = f"{trained.run.key}: draws at temperatures T, one noise a column"
    figures.sheet(rows, to, levels=trained.data.levels, title=title)


def reconstructions(trained: Trained, x: Float[Tensor, "rows *event"], to: Path) -> None:
    """Draw the first test images x, and below each its reconstruction."""
    shown = x[:48]
    back = trained.model.reconstruct(shown)
    figures.reconstructions(shown.numpy(), back.numpy(), to, levels=trained.data.levels)


def interpolation(trained: Trained, x: Float[Tensor, "rows *event"], to: Path) -> None:
    """Draw a row for each of PAIRS pairs of the test images x: the first, STEPS - 2 images between, and the second."""
    pairs = min(PAIRS, len(x) // 2)
    ways = between(trained.model, x[:pairs], x[pairs : 2 * pairs], STEPS)
    figures.image_grid(ways.flatten(0, 1).numpy(), to, levels=trained.data.levels, columns=STEPS)


def between(
    model: Any, a: Float[Tensor, "pairs *event"], b: Float[Tensor, "pairs *event"], steps: int
) -> Float[Tensor, "pairs steps *event"]:
    """Return images between a and b: decode(z(t)) for `steps` values of t from 0 to 1.

    z(t) leads from encode(a) to encode(b), so the first and last images are the reconstructions of a and b.

    z(t) is an arc if the model draws its latents around the origin, else a line. A vector of D independent coordinates
    with mean 0 and variance 1 nearly always has a norm close to sqrt(D). Half way along a line between two such vectors
    the norm is sqrt(D/2), as for a sample at temperature 0.7, and strokes in images fade. An arc keeps the norm (White,
    2016, section 2). In an autoencoder, or in a flow whose base distribution is on (0, 1), latents do not lie around
    the origin, so an arc has no meaning.
    """
    z_a, z_b = model.encode(torch.cat([a, b])).chunk(2)
    way = arc if isinstance(model, Sampler) and bool((z_a < 0).any()) else line
    z = torch.stack([way(z_a, z_b, float(t)) for t in torch.linspace(0, 1, steps)], dim=1)
    return model.decode(z.flatten(0, 1)).unflatten(0, z.shape[:2])


def line(a: Float[Tensor, "pairs latent"], b: Float[Tensor, "pairs latent"], t: float) -> Float[Tensor, "pairs latent"]:
    """Return (1 - t) a + t b for t in [0, 1]: points on the lines from a to b."""
    return torch.lerp(a, b, t)


def arc(a: Float[Tensor, "pairs latent"], b: Float[Tensor, "pairs latent"], t: float) -> Float[Tensor, "pairs latent"]:
    """Return [sin((1 - t) theta) a + sin(t theta) b] / sin theta; theta is the angle between a and b (Shoemake, 1985).

    The result lies on the arcs from a to b, for t in [0, 1]. If a and b are nearly parallel or nearly opposite, the
    point on the line is returned instead: the arc between parallel vectors is the line, and between opposite vectors
    there are many arcs.
    """
    cosine = torch.cosine_similarity(a, b, dim=1)[:, None]
    theta = cosine.clamp(-1, 1).acos()  # rounding may give parallel vectors a cosine above 1
    weights = ((1 - t) * theta).sin() / theta.sin(), (t * theta).sin() / theta.sin()
    return torch.where(theta.sin() > LEAST_SINE, weights[0] * a + weights[1] * b, line(a, b, t))
