"""The score `code_prior`: -log p(codes of x) under the model's own prior, in nats.

It needs a model with codes and a prior over them, such as a VQ-VAE (Marimont and Tarroni, 2021, "Anomaly detection
through latent space restoration using vector-quantized variational autoencoders"). It is ln 2 times the bits that the
codes of x cost. It misses anomalies that the codebook cannot represent, because they get the codes of a usual row; the
score `reconstruction` is large for them.
"""

import torch
from torch import Tensor

from gen_models.anomalies.score import Asked, Score
from gen_models.codecs.codes import Coded
from gen_models.evaluating import by_rows


def _code_prior(asked: Asked):
    def nats(x: Tensor) -> Tensor:
        grids = asked.model.codes(x)
        priors = [asked.model.prior_of(level, grids[:level]) for level in range(len(grids))]
        parts = [density.log_prob(grid, context) for grid, (density, context) in zip(grids, priors, strict=True)]
        return -torch.stack(parts).sum(dim=0)

    return by_rows(nats, asked.x)


CODE_PRIOR = Score("code_prior", lambda model: isinstance(model, Coded), _code_prior)
