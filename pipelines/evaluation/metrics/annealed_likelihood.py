"""log p by annealed importance sampling, beside the bounds on the same test rows: a check that asks no encoder.

nats_ais, nats_ais_error       -mean of log p(x) by annealing (Neal, 2001; Wu et al., 2017), and its standard error over
                               the rows
nats_ais_elbo, nats_ais_iw50   -mean of the ELBO and of the bound with K = 50, of the same rows and the same y
ais_rows, ais_accepted         how many rows; the share of moves that were accepted: near 0, the chains stand still
binary_nats_ais...             the same of a model of binary pixels

All three are -log p or more in expectation, so the lowest is nearest to it. Where annealing is far below the bounds,
they are loose by the encoder's doing, not the decoder's. Of models of one layer whose decoder is small enough.
"""

import math

import torch
from torch.utils.flop_counter import FlopCounterMode

from gen_models.analysis.ais import annealed_evidence
from gen_models.analysis.inference import elbo_of, encoder_q
from gen_models.autoencoders.latent_variable import LatentVariableModel
from gen_models.layers.binarisation import Binarisation
from gen_models.noise import Noise
from pipelines.evaluation.metrics.latent_usage import is_watched
from pipelines.evaluation.trained_run import Trained

ROWS = 64
LEAST_ROWS = 16  # fewer say little of a mean
SETTING = {"temperatures": 400, "chains": 4, "leapfrogs": 2}
FLOPS = 7e6  # of decoding one latent for each row, which annealing does some 8000 times: seconds on one core
BOUND_SAMPLES = 50


def annealed(trained: Trained, noise: Noise) -> dict[str, float]:
    """The numbers of a model of one layer; none where fewer than LEAST_ROWS rows fit into FLOPS."""
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
    if isinstance(model.data_scale, Binarisation):
        numbers = {f"binary_{name}": value for name, value in numbers.items()}
    return {**numbers, "ais_rows": rows, "ais_accepted": found.accepted.mean().item()}


def decoding_flops(model: LatentVariableModel) -> int:
    """Floating-point operations of the decoder for one latent vector: those of its products and convolutions."""
    z = torch.zeros(1, model.latents[0]).to(model.data_scale.scale)
    with FlopCounterMode(display=False) as counted:
        model.decoder(z)
    return max(1, counted.get_total_flops())
