"""Estimates a VAE's log p(x) by annealed importance sampling, which needs no encoder, beside bounds on the same rows.

nats_ais, nats_ais_error       minus the mean over rows of log p(x) by annealing (Neal, 2001; Wu et al., 2017), and its
                               standard error over the rows
nats_ais_elbo, nats_ais_iw50   minus the mean over the same rows of the ELBO, and of the importance-weighted bound with
                               K = 50 draws from the encoder's q(z|x)
nats_prior                     minus the mean over the same rows of log p(x) by importance sampling with 2000 draws from
                               the prior; it is close to the truth only if there are few latents
amortisation_gap               the ELBO of the best diagonal Gaussian q of each row, which Adam finds, minus the ELBO of
                               the encoder's q, in nats
approximation_gap              log p(x) by annealing minus the ELBO of that best q: what a diagonal Gaussian loses
                               against the true posterior, in nats (Cremer, Li and Duvenaud, 2018)
ais_rows, ais_accepted         how many rows were used; the fraction of moves that were accepted. If it is near 0, the
                               chains of annealing do not move
binary_nats_ais...             the names of the metrics nats_..., if the model is one of binary pixels

Each of the four estimates (nats_ais, nats_ais_elbo, nats_ais_iw50, nats_prior) is in expectation at least -log p, so
the lowest is nearest to it. If annealing is far below the bounds, the bounds are loose because of the encoder, not the
decoder. These metrics are measured for models with one layer of latents whose decoder is small enough.
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
FLOPS = 7e6  # for decoding one latent vector of each row, at most; annealing does it 8000 times: seconds on one core
BOUND_SAMPLES = 50
PRIOR_SAMPLES = 2000


def annealed(trained: Trained, noise: Noise) -> dict[str, float]:
    """Return the metrics that the module docstring describes; {} unless the model has exactly one layer of latents.

    As many test rows are used as can be decoded within FLOPS, at most ROWS. Returns {} as well if that would be fewer
    than LEAST_ROWS although the data have more test rows.
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
    """Return how many floating-point operations the decoder needs for one latent vector; at least 1.

    Only matrix products and convolutions count.
    """
    z = torch.zeros(1, model.latents[0]).to(model.data_scale.scale)
    with FlopCounterMode(display=False) as counted:
        model.decoder(z)
    return max(1, counted.get_total_flops())
