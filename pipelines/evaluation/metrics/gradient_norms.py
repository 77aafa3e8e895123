"""Measures whether the two players of an adversarial model, generator and critic, still learn at the end of training.

gradient_norm_PLAYER   the norm of the gradient of the player's loss by its own parameters, on the first training rows,
                       in evaluation mode and with fixed noise

If the generator's norm is far below the critic's, the generator no longer learns: the critic recognises all samples,
and its output is flat around them. Norms depend on a network's parametrisation, so they cannot be compared between
models.
"""

import torch
from torch import Tensor

from gen_models.adversarial.game import Game
from gen_models.contracts import Objective, objectives_of
from gen_models.noise import Noise
from pipelines.evaluation.trained_run import Trained

GRADIENT_ROWS = 500


def gradient_norms(trained: Trained, noise: Noise) -> dict[str, float]:
    """Return {"gradient_norm_PLAYER": norm} for both players; {} for a model that is not adversarial."""
    if not isinstance(trained.model, Game):
        return {}
    x = trained.normal("train")[:GRADIENT_ROWS]
    return {f"gradient_norm_{one.name}": _norm(one, x, noise) for one in objectives_of(trained.model)}


def _norm(objective: Objective, x: Tensor, noise: Noise) -> float:
    """Return the norm of one player's gradient on the rows x.

    A loaded checkpoint's parameters do not require gradients, so they are made to during this call.
    """
    parameters = list(objective.module.parameters())
    were = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            gradients = torch.autograd.grad(objective.loss(x, noise).value, parameters, allow_unused=True)
    finally:
        for parameter, was in zip(parameters, were, strict=True):
            parameter.requires_grad_(was)
    squares = [gradient.double().square().sum() for gradient in gradients if gradient is not None]
    return torch.stack(squares).sum().sqrt().item()
