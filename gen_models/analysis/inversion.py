"""The inversion of a generator: the latent vector whose sample lies nearest to a given row.

    z(y) = argmin_z |G(z) - y|^2,   by gradient descent from several starts z ~ N(0, I)

G is the generator of a GAN and y a row in network units. A generator has no encoder; this search serves as one. The
distance that remains says how far a row lies from everything that the generator can make (Schlegl et al., 2017, without
their second term). All rows share the starts and each row has its own search, so a row's result does not depend on its
neighbours.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.adversarial.game import Game
from gen_models.evaluating import evaluating
from gen_models.layers.arguments import require_positive, require_whole
from gen_models.noise import Noise
from gen_models.schedules import SCHEDULES

BETAS = (0.9, 0.99)


class Inversion(NamedTuple):
    """The result for each row: the best latent vector z, and its distance |G(z) - y| in network units."""

    z: Float[Tensor, "batch latent"]
    distance: Float[Tensor, " batch"]


def invert(
    model: Game, x: Float[Tensor, "batch *event"], noise: Noise, *, starts: int = 4, steps: int = 300, rate: float = 0.1
) -> Inversion:
    """Search for the latent vector whose sample is nearest to each row; of `starts` searches for a row return the best.

    A search takes `steps` steps of Adam with a rate that falls from `rate` by a cosine. The model runs in evaluation
    mode.
    """
    require_whole("starts", starts)
    require_whole("steps", steps)
    require_positive("rate", rate)
    with evaluating(model):
        y = model.data_scale.centre(x).flatten(1).repeat_interleave(starts, dim=0)
        z = noise.shared().normal("inversion.z", (1, starts * model.latent), like=y)
        z = z.view(starts, model.latent).repeat(len(x), 1).requires_grad_()
        optimiser = torch.optim.Adam([z], lr=rate, betas=BETAS, foreach=False)
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = rate * SCHEDULES["cosine"](step / steps)
            with torch.enable_grad():
                (z.grad,) = torch.autograd.grad(_squares(model, z, y).sum(), z)
            optimiser.step()
        distances = _squares(model, z, y).sqrt().view(len(x), starts)
    best = distances.argmin(dim=1)
    rows = torch.arange(len(x), device=x.device)
    return Inversion(z.detach().view(len(x), starts, model.latent)[rows, best], distances[rows, best])


def _squares(model: Game, z: Tensor, y: Tensor) -> Tensor:
    return (model.generator(z).flatten(1) - y).square().sum(dim=1)
