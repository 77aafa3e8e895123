"""Pictures of images: what a temperature does to draws, what lies between two test images, what comes back of one."""

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

TEMPERATURES = (0.5, 0.7, 0.85, 1.0)  # 0.7 is the one of Glow's figures
DRAWS = 12  # of each temperature
PAIRS = 8
STEPS = 11  # of a way, its ends among them
LEAST_SINE = 1e-3  # of the angle between two latents: float32 knows an angle near 0 to 3e-4


def temperatures(trained: Trained, noise: Noise, to: Path) -> None:
    """A row of draws for each temperature, a column for each latent: z, then the same z further from the middle."""
    rows = {
        f"T = {temperature:g}": at_temperature(trained.model, temperature).sample(DRAWS, noise).numpy()
        for temperature in TEMPERATURES
    }
    title = f"{trained.run.key}: draws at temperatures T, one noise a column"
    figures.sheet(rows, to, levels=trained.data.levels, title=title)


def reconstructions(trained: Trained, x: Float[Tensor, "rows *event"], to: Path) -> None:
    """Test images, and below each what came back."""
    shown = x[:48]
    back = trained.model.reconstruct(shown)
    figures.reconstructions(shown.numpy(), back.numpy(), to, levels=trained.data.levels)


def interpolation(trained: Trained, x: Float[Tensor, "rows *event"], to: Path) -> None:
    """A row for each pair of test images, and what lies between them."""
    pairs = min(PAIRS, len(x) // 2)
    ways = between(trained.model, x[:pairs], x[pairs : 2 * pairs], STEPS)
    figures.image_grid(ways.flatten(0, 1).numpy(), to, levels=trained.data.levels, columns=STEPS)


def between(
    model: Any, a: Float[Tensor, "pairs *event"], b: Float[Tensor, "pairs *event"], steps: int
) -> Float[Tensor, "pairs steps *event"]:
    """decode(z(t)), t = 0 .. 1, on a way from encode(a) to encode(b): the ends are decode(encode(x)).

    The way is an arc if the model draws its latents around the origin, else a line. Of D independent coordinates of
    mean 0 nearly all the mass has a norm about sqrt(D); half way along the line between two draws it is sqrt(D/2), as
    of a draw at temperature 0.7, and there strokes fade. The arc keeps the norm (White, 2016, section 2). Where there
    is no such origin, in an autoencoder or under a base on (0, 1), an arc means nothing.
    """
    z_a, z_b = model.encode(torch.cat([a, b])).chunk(2)
    way = arc if isinstance(model, Sampler) and bool((z_a < 0).any()) else line
    z = torch.stack([way(z_a, z_b, float(t)) for t in torch.linspace(0, 1, steps)], dim=1)
    return model.decode(z.flatten(0, 1)).unflatten(0, z.shape[:2])


def line(a: Float[Tensor, "pairs latent"], b: Float[Tensor, "pairs latent"], t: float) -> Float[Tensor, "pairs latent"]:
    """(1 - t) a + t b."""
    return torch.lerp(a, b, t)


def arc(a: Float[Tensor, "pairs latent"], b: Float[Tensor, "pairs latent"], t: float) -> Float[Tensor, "pairs latent"]:
    """[sin((1 - t) theta) a + sin(t theta) b] / sin theta, theta the angle between a and b (Shoemake, 1985).

    The line where a and b are parallel: there the arc is the line, or, where they are opposite, any of many.
    """
    cosine = torch.cosine_similarity(a, b, dim=1)[:, None]
    theta = cosine.clamp(-1, 1).acos()  # of parallel vectors the cosine may round to above 1
    weights = ((1 - t) * theta).sin() / theta.sin(), (t * theta).sin() / theta.sin()
    return torch.where(theta.sin() > LEAST_SINE, weights[0] * a + weights[1] * b, line(a, b, t))
