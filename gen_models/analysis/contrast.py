"""A network f that tells corrupted rows of a table from real ones, after Gutmann and Hyvarinen (2010).

f(x) is the log odds that x is corrupted. Training minimises E softplus(f(x)) + sum_j E softplus(-f(x_j)), where x is a
real row and x_1, x_2, x_3 are its corruptions:

    exchanged   a random fraction of the columns is replaced; each replaced column takes the value that it has in
                another row, drawn for this column alone
    spread      a draw of the normal distribution with the rows' mean and covariance, widened by a factor of 1 to 3
    disturbed   a random fraction of the columns gets normal noise of standard deviation .05 to 3

At the minimum f(x) = log(q(x)/p(x)) + constant, with p the density of real rows and q the mean of the densities of the
corruptions. Exchanged rows keep the distribution of every column, so they can be told only by relations among columns;
spread rows mostly lie far from real rows, and disturbed rows near them.

The rows are split into folds. For each fold a network is trained on the other folds, and scores this one, so that
training rows have scores like those of new rows. A new row gets the mean over networks. Every CHECKED steps the loss on
the fold is measured, and the network with the least such loss is kept: with few rows, the last one has learned them by
heart. The networks are too small to gain by a second thread, so torch trains them in one.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from gen_models.layers.arguments import require_whole
from gen_models.layers.mlp import mlp
from gen_models.noise import Noise
from gen_models.one_thread import one_thread

LEAST_VARIANCE = 0.02  # added to the rows' variance in every direction of the spread
WIDEST_LOG = 1.1  # log of the largest factor that widens the spread
NARROWEST_LOG, LOG_RANGE = -3.0, 4.1  # least log of the standard deviation of a disturbance, and the range of the log
RATE, DECAY, WARM_STEPS = 2e-3, 1e-2, 50
CHECKED, CHECK_ROWS = 25, 1000  # steps between two measurements, and rows of each; a smaller fold is repeated


class Contrast(nn.Module):
    """A mean of `folds` networks, one for each fold. They are given standardised rows, and take their asinh.

    dim     how many columns a row has
    hidden  widths of each network's hidden layers
    steps   minibatches that each network trains on
    batch   real rows of a minibatch
    """

    def __init__(
        self,
        dim: int,
        *,
        hidden: tuple[int, ...] = (128, 128, 128),
        folds: int = 10,
        steps: int = 350,
        batch: int = 128,
    ):
        super().__init__()
        require_whole("folds", folds, least=2)
        require_whole("steps", steps)
        self.networks = nn.ModuleList(mlp(dim, hidden, 1) for _ in range(folds))
        self.steps, self.batch = steps, batch

    def fit(self, y: Float[Tensor, "rows dim"], noise: Noise) -> Float[Tensor, " rows"]:
        """Train every network; return the score of each training row by the last network that did not see it."""
        with one_thread():
            return self._fit(y, noise)

    def _fit(self, y: Float[Tensor, "rows dim"], noise: Noise) -> Float[Tensor, " rows"]:
        folds = min(len(self.networks), len(y))  # of fewer rows than networks, some are held out by several
        fold_of = noise.permutation("contrast.folds", len(y)).to(y.device) % folds
        held_out = torch.empty(len(y), dtype=y.dtype, device=y.device)
        for k, network in enumerate(self.networks):
            is_held = fold_of == k % folds
            self._train(network, y[~is_held], y[is_held], noise, f"contrast.{k}")
            with torch.no_grad():
                held_out[is_held] = _odds(network, y[is_held])
        return held_out

    @torch.no_grad()
    def log_odds(self, y: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Return the mean of f(y) over the networks, larger for rows that look corrupted."""
        return torch.stack([_odds(network, y) for network in self.networks]).mean(dim=0)

    def _train(
        self,
        network: nn.Module,
        y: Float[Tensor, "rows dim"],
        held: Float[Tensor, "held dim"],
        noise: Noise,
        stream: str,
    ) -> None:
        """Train on the rows y, and keep the weights with the least loss on the rows `held`."""
        corruptions = Corruptions(y)
        some = held[torch.arange(max(CHECK_ROWS, len(held)), device=y.device) % len(held)][:CHECK_ROWS]
        spoiled = torch.cat(corruptions(some, noise.at(self.steps), stream))
        least, kept = math.inf, network.state_dict()
        optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
        cosine = torch.optim.lr_scheduler.LambdaLR(optimiser, self._share_of_rate)
        for step in range(self.steps):
            draws = noise.at(step)
            rows = (draws.uniform(f"{stream}.rows", (self.batch,), like=y) * len(y)).long()
            real = y[rows]
            fake = torch.cat(corruptions(real, draws, stream))
            loss = _loss(network, real, fake)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            cosine.step()
            if (step + 1) % CHECKED == 0 or step + 1 == self.steps:
                with torch.no_grad():
                    found = float(_loss(network, some, spoiled))
                if found < least:
                    least, kept = found, {name: of.clone() for name, of in network.state_dict().items()}
        network.load_state_dict(kept)

    def _share_of_rate(self, step: int) -> float:
        return min(1.0, step / WARM_STEPS) * 0.5 * (1 + float(torch.tensor(torch.pi * step / self.steps).cos()))


class Corruptions:
    """The three corruptions; the values of other rows, the mean and the covariance come from the rows y."""

    def __init__(self, y: Float[Tensor, "rows dim"]):
        self.y = y
        self.mean = y.mean(dim=0)
        centred = (y - self.mean).double()
        variances, directions = torch.linalg.eigh(centred.T @ centred / max(1, len(y) - 1))
        self.root = (directions * (variances.clamp_min(0) + LEAST_VARIANCE).sqrt()).T.to(y.dtype)

    def __call__(self, x: Float[Tensor, "batch dim"], noise: Noise, stream: str) -> list[Float[Tensor, "batch dim"]]:
        """Return three corruptions of the rows x, of the shape of x each: exchanged, spread and disturbed.

        stream  prefix of the names of the noise's streams
        """

        def uniform(name: str, columns: int) -> Tensor:
            return noise.uniform(f"{stream}.{name}", (len(x), columns), like=x)

        def normal(name: str) -> Tensor:
            return noise.normal(f"{stream}.{name}", x.shape, like=x)

        d = x.shape[1]
        others = self.y[(uniform("others", d) * len(self.y)).long(), torch.arange(d, device=x.device)]
        exchanged = torch.where(uniform("kept", d) < uniform("share", 1), x, others)
        spread = self.mean + normal("spread") @ self.root * (WIDEST_LOG * uniform("width", 1)).exp()
        level = (NARROWEST_LOG + LOG_RANGE * uniform("level", 1)).exp()
        disturbed = x + torch.where(uniform("still", d) < uniform("still.share", 1), 0.0, level * normal("disturbed"))
        return [exchanged, spread, disturbed]


def _loss(
    network: nn.Module, real: Float[Tensor, "batch dim"], fake: Float[Tensor, "corrupted dim"]
) -> Float[Tensor, ""]:
    return softplus(_odds(network, real)).mean() + softplus(-_odds(network, fake)).mean()


def _odds(network: nn.Module, y: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
    return network(torch.asinh(y)).squeeze(1)
