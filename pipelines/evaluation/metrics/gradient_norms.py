"""Whether the players of a game still pull: the norm of each one's gradient where training ended.

gradient_norm_PLAYER   |d loss / d own parameters|, of the first training rows, in evaluation mode, at fixed noise

A generator whose norm is far below its critic's learns nothing more: the critic tells all samples apart, and is flat
where they lie. Norms depend on how a network is written down, so those of two models do not compare.
"""

import torch
from torch import Tensor

from gen_models.adversarial.game import Game
from gen_models.contracts import Objective, objectives_of
from gen_models.noise import Noise
from pipelines.evaluation.trained_run import Trained

GRADIENT_ROWS = 500


def gradient_norms(trained: Trained, noise: Noise) -> dict[str, float]:
    """Of each player of a game, nothing of other models."""
    if not isinstance(trained.model, Game):
        return {}
    x = trained.normal("train")[:GRADIENT_ROWS]
    return {f"gradient_norm_{one.name}": _norm(one, x, noise) for one in objectives_of(trained.model)}


def _norm(objective: Objective, x: Tensor, noise: Noise) -> float:
    """Parameters that stand still, as those of a checkpoint do, are let go for the while."""
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
