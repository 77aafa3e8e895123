"""Measures which latents or codes a model uses.

A VAE has layers of Gaussian latents z with encoder q(z|x) and prior p(z). A VQ-VAE has one or two grids of codes (here
a code is an index into a codebook of K code vectors): with two, the coarse grid is the level "top", the fine one
"bottom".

latents, active_latents, collapsed_latents
              for one layer of Gaussian latents: how many there are; how many have Var E[z_j|x] > 0.01; how many have a
              KL below 0.01 nats for 99% of the rows (gen_models.analysis.latent_usage)
rate_nats     mean over test rows of KL(q(z|x) || p(z)); for several layers, it is estimated by draws of z from q, as
              the mean of log q(z|x) - log p(z)
codes         K, the size of a codebook
perplexity    exp of the entropy of the codes of all test rows: K if all codes are used equally often, 1 if only one
              code is used; for two codebooks perplexity_top and perplexity_bottom
worth_top, worth_bottom
              for two codebooks: the squared error of reconstructions if each row takes the codes of one level from the
              next row, divided by the error with its own codes; it is 1 if the level has no effect on the
              reconstruction, even if many of its codes are in use

latents.json has a sentence that sums this up and, for one layer of Gaussian latents, the numbers of each latent.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.analysis.latent_usage import Watched, watch
from gen_models.autoencoders.latent_variable import LatentVariableModel, log_q
from gen_models.layers.quantiser import Quantiser, perplexity
from gen_models.noise import Noise
from pipelines.evaluation.trained_run import Trained

RATE_SAMPLES = 16  # draws of all layers for each row
RATE_ROWS = 256  # rows at once
LEAST_RATE = 0.1  # nats for each row, in all layers together; below it, the posterior has collapsed
LEAST_PERPLEXITY = 1.5  # below it, nearly all positions of the grids have the same code
LEAST_SHARE = 0.1  # a codebook whose perplexity is a smaller fraction of its size has collapsed
LEAST_WORTH = 1.01  # below it, a level has no effect
LEVELS = {1: ("",), 2: ("top", "bottom")}  # {number of codebooks: their names, the coarsest first}


@dataclass(frozen=True)
class Latents:
    """How a model uses its latents.

    numbers       the metrics that the module docstring describes, for metrics.json
    sentence      a summary for readers
    is_collapsed  whether the latents or the codes are hardly used; for two codebooks, whether the codes of at least one
                  level are hardly used or have no effect on the reconstruction
    each          for one layer of Gaussian latents {name of a statistic: a number for each latent}, else {}
    """

    numbers: dict[str, float]
    sentence: str
    is_collapsed: bool
    each: dict[str, list[float]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the content of latents.json."""
        return {"sentence": self.sentence, "is_collapsed": self.is_collapsed, **self.each}


def latents(trained: Trained, noise: Noise) -> Latents | None:
    """Measure the latents on test rows; return None for a model that has neither Gaussian latents nor codes."""
    model = trained.model
    if is_watched(model):
        return _of_one_layer(watched(trained, noise))
    if isinstance(model, LatentVariableModel):
        return _of_layers(trained, noise)
    return _of_codes(trained) if codebooks(model) else None


def is_watched(model: object) -> bool:
    """Return whether the model has one layer of Gaussian latents with the prior N(0, I), so each latent has its KL."""
    return isinstance(model, LatentVariableModel) and len(model.latents) == 1


def watched(trained: Trained, noise: Noise) -> Watched:
    """Return three statistics of each latent, over test rows, that say whether the latent is active or collapsed.

    The model must have one layer of Gaussian latents.
    """
    return watch(trained.model, trained.normal("test"), noise)


def codebooks(model: object) -> list[Quantiser]:
    """Return the codebooks of a model, the codebook of the coarsest grid first; [] if it has none."""
    modules = model.modules() if isinstance(model, torch.nn.Module) else ()
    return [module for module in modules if isinstance(module, Quantiser)]


def rate_by_draws(
    model: LatentVariableModel, x: Float[Tensor, "batch *event"], noise: Noise, samples: int = RATE_SAMPLES
) -> Float[Tensor, " batch"]:
    """Return, for each row x, the mean over draws z ~ q(z|y) of log q(z|y) - log p(z), in nats.

    y is the row scaled as the networks take it, and z holds the latents of all layers.

    x: in the data's units; samples: how many draws each row gets
    """
    y = model.data_scale(x, noise).flatten(1)
    z, moments = model.infer(y, model.draws(y, noise, samples))
    log_prior = model.log_joint(y, z) - model.log_likelihood(y, z[0])
    return (log_q(z, moments) - log_prior).mean(dim=1)


def _of_one_layer(found: Watched) -> Latents:
    numbers = {
        "latents": len(found.kl_nats),
        "active_latents": int(found.is_active().sum()),
        "collapsed_latents": int(found.is_collapsed().sum()),
        "rate_nats": found.kl_nats.sum().item(),
    }
    each = {name: value.tolist() for name, value in found._asdict().items()}
    is_collapsed = bool(found.is_collapsed().all()) or not found.is_active().any()
    return Latents(numbers, found.sentence(), is_collapsed, each)


def _of_layers(trained: Trained, noise: Noise) -> Latents:
    chunks = trained.normal("test").split(RATE_ROWS)
    rate = torch.cat([rate_by_draws(trained.model, rows, noise.at(k)) for k, rows in enumerate(chunks)]).mean().item()
    layers = " and ".join(map(str, trained.model.latents))
    is_collapsed = rate < LEAST_RATE
    sentence = f"layers of {layers} latents, {rate:.2f} nats a row"
    sentence += "; the posterior has collapsed" if is_collapsed else ""
    return Latents({"rate_nats": rate}, f"{sentence}; which are active is told of one layer only", is_collapsed)


def _of_codes(trained: Trained) -> Latents:
    model, books = trained.model, codebooks(trained.model)
    numbers: dict[str, float] = {}
    used, collapsed, silent = [], [], []
    parts = zip(*(model.codes(rows) for rows in trained.normal("test").split(RATE_ROWS)), strict=True)
    for level, book, grids in zip(LEVELS[len(books)], books, parts, strict=True):
        size = len(book.codes)
        in_use = perplexity(torch.bincount(torch.cat(grids).flatten(), minlength=size).double()).item()
        numbers |= {f"perplexity_{level}".rstrip("_"): in_use, "codes": size}
        used.append(f"{level} {in_use:.1f} of {size}".lstrip())
        if in_use < max(LEAST_PERPLEXITY, LEAST_SHARE * size):
            collapsed.append(level or "the codebook")
    for level, worth in zip(LEVELS[2], worths(trained), strict=True) if len(books) == 2 else ():
        numbers[f"worth_{level}"] = worth
        if worth < LEAST_WORTH and level not in collapsed:
            silent.append(level)
    sentence = f"codes in use by test rows (perplexity): {', '.join(used)}"
    if collapsed:
        sentence += f"; collapsed: {' and '.join(collapsed)}"
    if silent:
        sentence += f"; without effect on the picture: {' and '.join(silent)}"
    return Latents(numbers, sentence, bool(collapsed or silent))


def worths(trained: Trained) -> list[float]:
    """Return the worth of each level of codes: how much larger the error is if rows exchange their codes.

    The worth is a ratio of squared errors of the reconstructed test rows. In the numerator each row takes the codes of
    this level from the next row, and in the denominator it keeps all its own codes.
    """
    own, exchanged = 0.0, [0.0 for _ in codebooks(trained.model)]
    for rows in trained.normal("test").split(RATE_ROWS):
        grids = trained.model.codes(rows)
        own += _squares(trained, grids, rows)
        for level, grid in enumerate(grids):
            others = (*grids[:level], grid.roll(1, dims=0), *grids[level + 1 :])
            exchanged[level] += _squares(trained, others, rows)
    return [found / own if own else math.inf for found in exchanged]


def _squares(trained: Trained, grids: tuple[Tensor, ...], rows: Tensor) -> float:
    return (trained.model.decode_codes(grids) - rows).square().sum().item()
