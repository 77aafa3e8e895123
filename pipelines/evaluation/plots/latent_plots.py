"""Pictures of latents: decoded images while one or two latents change, and how many nats each latent tells about a row.

In a VAE with one layer of latents each latent z_j has the prior N(0, 1), so it is changed from -3 to 3. An autoencoder
has no prior, and the lower of two layers of latents has none that is fixed (it depends on the layer above). In these
models a latent is changed over the range that it has on training rows.

The KL of latent j is KL(q(z_j|x) || p(z_j)) in nats, averaged over test rows; the sum over all latents is the rate.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import ndtri
from torch import Tensor

from gen_models.analysis.latent_usage import Watched
from gen_models.contracts import Decoder, Encoder, Reconstructor
from gen_models.evaluating import by_rows
from gen_models.noise import Noise
from pipelines import figures
from pipelines.evaluation.metrics.active_latents import codebooks, is_watched, watched
from pipelines.evaluation.trained_run import Trained

MOST_LATENTS = 10  # how many latents a traversal shows, one in each row of images
WALK = np.linspace(-3, 3, 11)  # from end to end, it holds all but 0.3% of a standard normal
RANGE = (0.01, 0.99)  # between these quantiles of its values on training rows, a latent without a prior is changed
TRAINING_ROWS = 2000  # rows from which these quantiles are taken
SIDE = 15  # images on each side of the map
MASS = (np.arange(SIDE) + 0.5) / SIDE  # probabilities, evenly spaced; the map has a latent at these quantiles


class Walk(NamedTuple):
    """The images that a decoder makes while one latent changes.

    latent  the index of that latent
    values  the values that the latent takes, one at each step
    images  the image that is decoded at each step, in the data's units
    change  the variance of the images over the steps, averaged over pixels
    own     the index of the step whose value is nearest to the value that the encoder gives to the test image
    """

    latent: int
    values: Float[Tensor, " steps"]
    images: Float[Tensor, "steps *event"]
    change: float
    own: int


def has_walks(model: object) -> bool:
    """Return whether the model has a bottleneck of continuous latents, so that one latent by itself may have a meaning.

    A bijection (a flow) does not count: it has a latent for each pixel and is not a Reconstructor. A VQ-VAE does not
    either: its codes are not numbers that can be changed gradually.
    """
    offers = all(isinstance(model, kind) for kind in (Encoder, Decoder, Reconstructor))
    return offers and not codebooks(model)


def traversal(trained: Trained, noise: Noise, to: Path) -> None:
    """Draw the first test image while one latent at a time changes and the others keep their values.

    There is a row of images for each of at most MOST_LATENTS latents. In a VAE with one layer of latents, those with
    the largest KL come first, in any other model those that change the image most.
    """
    model = trained.model
    z = model.encode(trained.normal("test")[:1])
    if is_watched(model):
        kl = watched(trained, noise).kl_nats
        values = torch.from_numpy(WALK).to(z)
        walks = [walk(model, z, latent, values) for latent in by_kl(kl)[:MOST_LATENTS]]
        rows = {f"latent {it.latent}: {kl[it.latent]:.2f} nats": it.images.numpy() for it in walks}
        columns = [_number(value) for value in WALK]
        x_label = "value of the latent, in standard deviations of the prior"
    else:
        codes = by_rows(model.encode, trained.data.rows("train", TRAINING_ROWS))
        low, high = torch.quantile(codes, torch.tensor(RANGE).to(codes), dim=0)
        steps = torch.linspace(0, 1, len(WALK)).to(z)
        walks = [walk(model, z, k, torch.lerp(low[k], high[k], steps)) for k in range(z.shape[1])]
        walks = sorted(walks, key=lambda it: -it.change)[:MOST_LATENTS]
        ends = [[_number(it.values[end].item()) for end in (0, -1)] for it in walks]
        rows = {f"latent {it.latent}: {a} to {b}": it.images.numpy() for it, (a, b) in zip(walks, ends, strict=True)}
        columns = [f"{step:.0%}" for step in steps.tolist()]
        x_label = "way through the range of training codes"
    title = f"{trained.run.key}: a test image (framed), one latent changed at a time"
    own = [it.own for it in walks]
    figures.traversal(rows, columns, own, to, levels=trained.data.levels, title=title, x_label=x_label)


def walk(model: Any, z: Float[Tensor, "1 latent"], latent: int, values: Float[Tensor, " steps"]) -> Walk:
    """Decode z once for each of `values`, with latent number `latent` (an index from 0) set to that value.

    z: the latents that the encoder gives to the test image
    """
    path = z.repeat(len(values), 1)
    path[:, latent] = values
    images = model.decode(path)
    own = int((values - z[0, latent]).abs().argmin())
    return Walk(latent, values, images, images.var(dim=0, correction=0).mean().item(), own)


def by_kl(kl_nats: Float[Tensor, " latent"]) -> list[int]:
    """Return the indices of the latents, the largest KL first; latents with the same KL keep their order."""
    return kl_nats.argsort(descending=True, stable=True).tolist()


def latent_map(trained: Trained, noise: Noise, to: Path) -> None:
    """Draw a map of decoded images over two latents, at quantiles of the prior (Kingma and Welling, 2014, figure 4).

    If there are more than two latents, the two with the largest KL vary, and the others keep the values that the
    encoder gives to the mean of the test images.
    """
    model, x = trained.model, trained.normal("test")
    kl = watched(trained, noise).kl_nats
    first, second = sorted(by_kl(kl)[:2])
    z = grid(model.encode(x.mean(dim=0, keepdim=True)), first, second)
    names = [_number(value) for value in ndtri(MASS)]
    others = "" if len(kl) == 2 else ", the others at the mean image"
    figures.latent_map(
        by_rows(model.decode, z).numpy(), names, names[::-1], to, levels=trained.data.levels,
        title=f"{trained.run.key}: over latents {first} and {second}{others}",
        x_label=f"latent {first}", y_label=f"latent {second}",
    )  # fmt: skip


def grid(centre: Float[Tensor, "1 latent"], first: int, second: int) -> Float[Tensor, "points latent"]:
    """Return the latent vectors of a map of SIDE x SIDE images, row by row from the top.

    The latent with the index `first` rises to the right and the one with the index `second` upwards, in steps of equal
    prior probability; all other latents are those of `centre`.
    """
    values = torch.from_numpy(ndtri(MASS)).to(centre)
    z = centre.repeat(SIDE * SIDE, 1)
    z[:, first] = values.repeat(SIDE)
    z[:, second] = values.flip(0).repeat_interleave(SIDE)
    return z


def latent_kl(trained: Trained, noise: Noise, to: Path) -> None:
    """Draw a bar for the KL of each latent, the largest first."""
    found = watched(trained, noise)
    order = by_kl(found.kl_nats)
    uses = uses_of(found)
    figures.latent_kl(
        [str(k) for k in order], found.kl_nats[order].numpy(), [uses[k] for k in order], to,
        title=f"{trained.run.key}: {found.kl_nats.sum().item():.1f} nats a row, by latent",
    )  # fmt: skip


def uses_of(found: Watched) -> list[str]:
    """Return the use of each latent: "active", "not active" or "collapsed to the prior".

    They are the keys of USES in pipelines/figures/latent_charts.py. found: what `watched` returned
    """
    pairs = zip(found.is_collapsed().tolist(), found.is_active().tolist(), strict=True)
    return ["collapsed to the prior" if gone else "active" if active else "not active" for gone, active in pairs]


def _number(value: float) -> str:
    """Return a number with one decimal and a typographic minus sign."""
    return f"{value:.1f}".replace("-", "\N{MINUS SIGN}")
