"""A check of which latents z_j a VAE uses, to be made before looking at the model's samples.

    active     Var_x(E[z_j|x]) > 0.01                          (Burda, Grosse and Salakhutdinov, 2016, section 5)
    collapsed  KL(q(z_j|x) || p(z_j)) < 0.01 nats for 99% of the rows   (Lucas et al., 2019, definition 1)

A latent that has collapsed to the prior carries no information about x, and the decoder has learned to ignore it. If a
model has more latents than the data need, given sigma (the decoder's standard deviation) and beta (the weight of the KL
term), some of them collapse. If all collapse, the model gives every row the same density.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gen_models.analysis.inference import observed
from gen_models.autoencoders.gaussian import kl_by_dimension
from gen_models.autoencoders.latent_variable import LatentVariableModel
from gen_models.noise import Noise

ACTIVE = 0.01  # relative to a prior variance of 1
QUIET_NATS = 0.01
QUIET_SHARE = 0.99
ROWS_AT_ONCE = 1024


class Watched(NamedTuple):
    """Three statistics of each latent over the rows that `watch` was given.

    kl_nats      the mean over rows of KL(q(z_j|x) || p(z_j)); its sum over latents is the rate of the VAE
    activity     the variance over rows of E[z_j|x]
    quiet_share  the fraction of rows for which the KL of the latent is below QUIET_NATS
    """

    kl_nats: Float[Tensor, " latent"]
    activity: Float[Tensor, " latent"]
    quiet_share: Float[Tensor, " latent"]

    def is_active(self) -> Bool[Tensor, " latent"]:
        """Return which latents are active: those with activity above ACTIVE."""
        return self.activity > ACTIVE

    def is_collapsed(self) -> Bool[Tensor, " latent"]:
        """Return which latents have collapsed to the prior: those that are quiet in QUIET_SHARE of the rows or more."""
        return self.quiet_share >= QUIET_SHARE

    def sentence(self) -> str:
        """Return one line for a person: how many latents are active, and which have collapsed."""
        count, active = len(self.activity), int(self.is_active().sum())
        collapsed = self.is_collapsed().nonzero().flatten().tolist()
        said = f"{active} of {count} latents are active, {self.kl_nats.sum().item():.2f} nats a row"
        if not collapsed:
            return said
        if len(collapsed) == count:
            return f"{said}; the posterior has collapsed in all of them: lower beta or sigma, or warm beta up"
        which = ", ".join(map(str, collapsed))
        return f"{said}; collapsed to the prior, counted from 0: latent{'s' * (len(collapsed) != 1)} {which}"


@torch.no_grad()
def watch(model: LatentVariableModel, x: Float[Tensor, "batch *event"], noise: Noise) -> Watched:
    """Return the statistics of each latent over the rows x, for a model with one layer of latents.

    The model is not switched to evaluation mode: it runs in the mode that it is in.
    """
    chunks = x.split(ROWS_AT_ONCE)
    moments = [model.posterior(observed(model, rows, noise.at(k))) for k, rows in enumerate(chunks)]
    mu, log_var = (torch.cat(parts) for parts in zip(*moments, strict=True))
    kl = kl_by_dimension(mu, log_var)
    quiet = (kl < QUIET_NATS).to(kl.dtype)
    return Watched(kl.mean(dim=0), mu.var(dim=0, correction=0), quiet.mean(dim=0))
