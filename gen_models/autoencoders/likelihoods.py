"""The likelihood p(y|z) as a function of the decoder's output f(z): Gaussian for numbers, Bernoulli for binary pixels.

    gaussian     y|z ~ N(f, sigma^2 I): log p = -|y - f|^2/(2 sigma^2) - n/2 log(2 pi sigma^2)
    discretised  P(grey level|z) = Phi((b - f)/sigma) - Phi((a - f)/sigma), where [a, b) is the cell of the grey level
                 in [0, 1], and the cells of the lowest and the highest level extend to infinity (Salimans, Karpathy,
                 Chen and Kingma, 2017, who use logistic distributions)
    bernoulli    y|z ~ Bernoulli(sigmoid(f)): log p = sum_i y_i f_i - softplus(f_i), after the data's log-odds are
                 added to f

Sums run over the n dimensions of a row. Every constant is kept: dropping one would change what beta, the weight of a
VAE's KL term, means.
"""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.special import log_ndtr, ndtr

from gen_models.autoencoders.gaussian import gaussian_log_density
from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_choice, require_positive
from gen_models.layers.labels import PSEUDO_ROWS
from gen_models.noise import Noise
from gen_models.workers import sum_over_workers

VARIANCES = ("fixed", "learned", "optimal")
CELL_VARIANCES = ("fixed", "learned", "per_pixel")
FAR = 1e4  # in units of sigma: stands for infinity as the outer edge of the lowest and the highest cell
LEAST_RATIO = 1e-6  # least log ratio of a cell's two tails: a cell much narrower than sigma keeps a finite gradient
MIN_SIGMA = 1e-3  # a quarter of the width of one of 256 cells; without a floor an exact fit has an unbounded likelihood
MOMENTUM = 0.1  # weight of the new value in the running variance, as in batch norm


class Likelihood(nn.Module, ABC):
    """The interface of a likelihood p(y|f), where f is the decoder's output."""

    @abstractmethod
    def log_prob(self, y: Float[Tensor, "*#batch dim"], f: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch"]:
        """Return log p(y|f) in nats."""

    @abstractmethod
    def mean(self, f: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Return E(y|f)."""

    def location(self, f: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Return a cheap stand-in for the mean, for reported errors; by default the mean itself."""
        return self.mean(f)

    @abstractmethod
    def draw(self, f: Float[Tensor, "batch dim"], noise: Noise) -> Float[Tensor, "batch dim"]:
        """Draw y ~ p(y|f), with random numbers of the stream "likelihood"."""

    def start(self, mean: Float[Tensor, " dim"], rows: int) -> None:
        """Initialise the likelihood from `mean`, the mean of y over `rows` rows; by default do nothing."""


class GaussianLikelihood(Likelihood):
    """A Gaussian whose sigma, in network units, is set by `variance`:

    fixed    the argument sigma
    learned  a parameter that starts at the argument sigma; a softplus keeps it above MIN_SIGMA
    optimal  in training, sigma^2 is the mean squared error per dimension over the batches of all workers, which
             maximises the likelihood at this f (Rybkin, Daniilidis and Levine, 2021). In evaluation, sigma^2 is the
             running mean of these errors, which starts at the square of the argument. The gradient treats sigma^2 as
             constant, because at the maximiser the derivative with respect to it is 0
    """

    def __init__(self, sigma: float, variance: str):
        super().__init__()
        require_positive("sigma", sigma)
        require_choice("variance", variance, VARIANCES)
        if variance != "fixed" and sigma <= MIN_SIGMA:
            raise ConfigError(f"sigma = {sigma} cannot be used: where it is {variance} it stays above {MIN_SIGMA}")
        self.sigma = sigma
        self.variance = variance
        floor = 2 * math.log(MIN_SIGMA)
        if variance == "learned":
            self.raw = nn.Parameter(torch.tensor(floor + math.log(math.expm1(2 * math.log(sigma) - floor))))
        if variance == "optimal":
            self.running = nn.Buffer(torch.tensor(float(sigma**2)))

    def log_var(self) -> Tensor | float:
        """Return log sigma^2; with variance = optimal, the log of the running mean."""
        if self.variance == "learned":
            floor = 2 * math.log(MIN_SIGMA)
            return floor + softplus(self.raw - floor)
        return self.running.log() if self.variance == "optimal" else 2 * math.log(self.sigma)

    def std(self) -> Tensor | float:
        """Return exp(log_var / 2); with variance = fixed, sigma itself."""
        log_var = self.log_var()
        return (0.5 * log_var).exp() if isinstance(log_var, Tensor) else self.sigma

    def log_prob(self, y, f):
        if self.variance == "optimal" and self.training:
            return gaussian_log_density(y, f, self._optimum(y, f).log())
        return gaussian_log_density(y, f, self.log_var())

    def mean(self, f):
        return f

    def draw(self, f, noise):
        return f + self.std() * noise.normal("likelihood", f.shape, like=f)

    @torch.no_grad()
    def _optimum(self, y: Tensor, f: Tensor) -> Float[Tensor, ""]:
        squares = (y - f).square()
        total = sum_over_workers(torch.stack([squares.sum(), squares.new_tensor(float(squares.numel()))]))
        variance = (total[0] / total[1]).clamp_min(MIN_SIGMA**2)
        self.running.lerp_(variance, MOMENTUM)
        return variance


class DiscretisedLikelihood(Likelihood):
    """The probability of a pixel's grey level is the mass of N(f, sigma^2) in the cell of that level.

    f is the decoder's output. A pixel y is the middle of its cell, in [0, 1].

    dim       how many pixels a row has
    levels    how many grey levels there are
    sigma     on the scale [0, 1]; if it is learned, its initial value
    variance  "fixed" (sigma stays as given), "learned" (one sigma for all pixels) or "per_pixel" (one each)
    """

    def __init__(self, dim: int, levels: int, *, sigma: float, variance: str):
        super().__init__()
        require_positive("sigma", sigma)
        require_choice("variance", variance, CELL_VARIANCES)
        self.levels = levels
        log_sigma = torch.full((dim if variance == "per_pixel" else 1,), math.log(sigma))
        self.log_sigma = nn.Buffer(log_sigma) if variance == "fixed" else nn.Parameter(log_sigma)

    def std(self) -> Float[Tensor, " sigmas"]:
        """Return sigma, at least MIN_SIGMA, of the shape (1,), or (dim,) if each pixel has its own."""
        return self.log_sigma.exp().clamp_min(MIN_SIGMA)

    def log_prob(self, y, f):
        half, sigma = 0.5 / self.levels, self.std()
        lower = torch.where(y < 2 * half, -FAR, (y - half - f) / sigma)
        upper = torch.where(y > 1 - 2 * half, FAR, (y + half - f) / sigma)
        is_right = lower + upper > 0  # above the middle use the upper tails: the smaller tail loses no digits
        below, above = torch.where(is_right, -upper, lower), torch.where(is_right, -lower, upper)
        log_above = log_ndtr(above)
        ratio = (log_ndtr(below) - log_above).clamp_max(-LEAST_RATIO)
        return (log_above + torch.log(-torch.expm1(ratio))).sum(dim=-1)

    def mean(self, f):
        """Return E(y|f) = (1/2 + sum_k P(grey level >= k)) / levels, over k = 1 .. levels - 1."""
        sigma, total = self.std(), torch.full_like(f, 0.5)
        for level in range(1, self.levels):
            total = total + ndtr((f - level / self.levels) / sigma)
        return total / self.levels

    def location(self, f):
        return f.clamp(0, 1)

    def draw(self, f, noise):
        return f + self.std() * noise.normal("likelihood", f.shape, like=f)


class BernoulliLikelihood(Likelihood):
    """A likelihood of n pixels y in {0, 1}.

    The logit of a pixel is f plus its log-odds in the data, which `start` sets, so training starts at the data's mean.
    """

    log_odds: Tensor

    def __init__(self, n: int):
        super().__init__()
        self.log_odds = nn.Buffer(torch.zeros(n))

    def start(self, mean, rows):
        self.log_odds.copy_(torch.logit((rows * mean + 0.5 * PSEUDO_ROWS) / (rows + PSEUDO_ROWS)))

    def log_prob(self, y, f):
        logits = f + self.log_odds
        return (y * logits - softplus(logits)).sum(dim=-1)

    def mean(self, f):
        return torch.sigmoid(f + self.log_odds)

    def draw(self, f, noise):
        return (noise.uniform("likelihood", f.shape, like=f) < self.mean(f)).to(f.dtype)
