"""A game whose best critic can be found: a free output for each cell of a grid, between two known densities."""

import torch
from torch import nn

from gen_models.adversarial.game import Game, Losses
from gen_models.noise import Noise

CELLS = 12
NOISE = Noise(seed=3)


class Table(nn.Module):
    """A free logit for each cell of a grid: a critic that can be any function of the cell."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(CELLS, dtype=torch.float64))

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        return self.logits[y[:, 0].long()]


class These(nn.Module):
    """A generator of given rows, whatever z is."""

    def __init__(self, rows: torch.Tensor):
        super().__init__()
        self.rows = nn.Parameter(rows)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.rows


def cells(mean: float, std: float, rows: int = 400) -> torch.Tensor:
    """Rows of a grid in the proportions of N(mean, std^2), every cell among them."""
    density = torch.exp(-(((torch.arange(CELLS, dtype=torch.float64) - mean) / std) ** 2) / 2)
    counts = (rows * density / density.sum()).round().clamp_min(1)
    counts[counts.argmax()] += rows - counts.sum()
    return torch.arange(CELLS, dtype=torch.float64).repeat_interleave(counts.long())[:, None]


def shares(rows: torch.Tensor) -> torch.Tensor:
    return torch.bincount(rows[:, 0].long(), minlength=CELLS).double() / len(rows)


def best_critic(losses: Losses, real: torch.Tensor, fake: torch.Tensor) -> Game:
    """The game of a tabular critic, played to the end by the critic alone."""
    game = Game([1], None, latent=1, generator=These(fake), critic=Table(), losses=losses, y_shape=[1]).double()
    optimiser = torch.optim.LBFGS(
        game.critic.parameters(),
        max_iter=100,
        tolerance_grad=1e-9,
        tolerance_change=1e-14,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimiser.zero_grad()
        loss = game.critic_loss(real, NOISE).value
        loss.backward(inputs=list(game.critic.parameters()))
        return loss

    optimiser.step(closure)
    return game
