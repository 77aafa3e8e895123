"""Estimates log p by annealed importance sampling, which does not use the encoder, beside the bounds on the same rows.

nats_ais, nats_ais_error       -mean of log p(x) by annealing (Neal, 2001; Wu et al., 2017), and its standard error over
                               the rows
nats_ais_elbo, nats_ais_iw50   -mean of the ELBO and of the bound with K = 50, for the same rows
nats_prior                     the same by importance sampling with 2000 draws of the prior, which finds p in few
                               dimensions only
amortisation_gap, approximation_gap
                               nats that the encoder's q loses against the best diagonal q of each row, found by Adam,
                               and that this one loses against the posterior (Cremer, Li and Duvenaud, 2018)
ais_rows, ais_accepted         how many rows were used; the share of moves that were accepted. If it is near 0, the
                               chains do not move
binary_nats_ais...             the same for a model of binary pixels

In expectation, all three are at least -log p, so the lowest is nearest to it. If annealing is far below the bounds, the
bounds are loose because of the encoder, not the decoder. Measured for models with one layer of latents whose decoder is
small enough.
"""

import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from gen_models.analysis.ais import annealed_evidence
from gen_models.analysis.inference import elbo_of, encoder_q, evidence, gaps, prior_q
from gen_models.autoencoders.latent_variable import LatentVariableModel
from gen_models.layers.binarisation import Binarisation
from gen_models.noise import Noise
from pipelines.evaluation.metrics.active_latents import is_watched
from pipelines.evaluation.trained_run import Trained

ROWS = 64
LEAST_ROWS = 16  # a mean over fewer rows says little
SETTING = {"temperatures": 400, "chains": 4, "leapfrogs": 2}
FLOPS = 7e6  # the most for decoding one latent of each row, which annealing does some 8000 times: seconds on one core
BOUND_SAMPLES = 50
PRIOR_SAMPLES = 2000


def annealed(trained: Trained, noise: Noise) -> dict[str, float]:
    """Return the metrics of a model with one layer of latents; {} for other models, or if decoding needs too long.

    As many rows are used as fit into FLOPS, at most ROWS. If fewer than LEAST_ROWS fit, nothing is measured.
    """
    model, x = trained.model, trained.normal("test")
    if not is_watched(model):
        return {}
    rows = min(ROWS, len(x), int(FLOPS // decoding_flops(model)))
    if rows < min(LEAST_ROWS, len(x)):
        return {}
    x = x[noise.permutation("evaluate/ais", len(x))[:rows]]
    found = annealed_evidence(model, x, noise, **SETTING)
    bound = elbo_of(model, x, encoder_q(model, x, noise), noise)
    numbers = {
        "nats_ais": -found.log_p.double().mean().item(),
        "nats_ais_error": found.log_p.double().std(correction=min(1, rows - 1)).item() / math.sqrt(rows),
        "nats_ais_elbo": -bound.double().mean().item(),
        f"nats_ais_iw{BOUND_SAMPLES}": -model.elbo(x, noise, BOUND_SAMPLES).double().mean().item(),
    }
    by_prior = evidence(model, x, prior_q(model, x), noise, samples=PRIOR_SAMPLES).log_p
    numbers["nats_prior"] = -by_prior.double().mean().item()
    if isinstance(model.data_scale, Binarisation):
        numbers = {f"binary_{name}": value for name, value in numbers.items()}
    parts = gaps(model, x, found.log_p, noise)
    numbers |= {f"{name}_gap": value.double().mean().item() for name, value in parts._asdict().items()}
    return {**numbers, "ais_rows": rows, "ais_accepted": found.accepted.mean().item()}


def decoding_flops(model: LatentVariableModel) -> int:
    """Return the floating-point operations of the decoder's products and convolutions for one latent vector."""
    z = torch.zeros(1, model.latents[0]).to(model.data_scale.scale)
    with FlopCounterMode(display=False) as counted:
        model.decoder(z)
    return max(1, counted.get_total_flops())
