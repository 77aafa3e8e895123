"""Base distributions of flows: the distribution of each coordinate of z = f(x).

All are drawn by the quantile transform of one normal draw, z = F^-1(Phi(T n)) with n ~ N(0, 1), where F is the CDF of
the base, Phi that of N(0, 1), and T a temperature. T < 1 therefore shrinks every base towards its median in the same
way; for the normal base it is the temperature of Kingma and Dhariwal (2018).

A probability u is stored as the pair (log u, log(1 - u)): near 1 the number u has lost the digits of 1 - u, and far
out both underflow. Quantiles are computed from the smaller of the two. All bases are symmetric, so the quantile of the
lower tail gives that of the upper tail too.
"""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from scipy.special import betaincinv
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus
from torch.special import log_ndtr, ndtri

from gen_models.layers.arguments import require_choice

LOG_LEAST = -600.0  # probabilities below exp(this) are handled by their logarithms only
NEWTON_STEPS = 3  # the start has at least 3 correct digits; each step doubles them


class Base(ABC):
    """A distribution of one number; the D coordinates of z are independent draws from it."""

    @abstractmethod
    def log_pdf(self, z: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return log p(z) of each coordinate, in nats."""

    @abstractmethod
    def log_cdf(self, z: Float[Tensor, "*shape"]) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
        """Return (log F(z), log(1 - F(z))) of each coordinate, where F is the CDF."""

    @abstractmethod
    def quantile(self, log_u: Float[Tensor, "*shape"], log_rest: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return F^-1(u), from log u and log(1 - u)."""

    def log_density(self, z: Float[Tensor, "batch latent"]) -> Float[Tensor, " batch"]:
        """Return sum_d log p(z_d), in nats."""
        return self.log_pdf(z).sum(dim=1)

    def from_normal(self, n: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch latent"]:
        """Return F^-1(Phi(n)), which is distributed as the base if n ~ N(0, I)."""
        return self.quantile(log_ndtr(n), log_ndtr(-n))


class Normal(Base):
    """The standard normal, N(0, 1)."""

    def log_pdf(self, z):
        """Return -z^2/2 - log(2 pi)/2."""
        return -0.5 * (z.square() + math.log(2 * math.pi))

    def log_cdf(self, z):
        return log_ndtr(z), log_ndtr(-z)

    def quantile(self, log_u, log_rest):
        is_lower = log_u < log_rest
        z = _lower_normal_quantile(torch.where(is_lower, log_u, log_rest))
        return torch.where(is_lower, z, -z)

    def from_normal(self, n):
        return n


class Logistic(Base):
    """The standard logistic, F(z) = 1/(1 + exp(-z)): the prior of NICE (Dinh, Krueger and Bengio, 2015, equation 9)."""

    def log_pdf(self, z):
        """Return -softplus(z) - softplus(-z)."""
        return -(softplus(z) + softplus(-z))

    def log_cdf(self, z):
        return logsigmoid(z), logsigmoid(-z)

    def quantile(self, log_u, log_rest):
        """Return the logit of u."""
        return log_u - log_rest


class UnitBase(Base):
    """A distribution on (0, 1), defined in terms of log z and log(1 - z), so that `OnTheLine` need not round z to 1.

    `log_pdf` is minus infinity outside (0, 1).
    """

    @abstractmethod
    def log_pdf_at(self, log_z: Tensor, log_rest: Tensor) -> Tensor:
        """Return log p(z), from log z and log(1 - z)."""

    @abstractmethod
    def log_cdf_at(self, log_z: Tensor, log_rest: Tensor) -> tuple[Tensor, Tensor]:
        """Return (log F(z), log(1 - F(z))), from log z and log(1 - z)."""

    @abstractmethod
    def quantile_at(self, log_u: Tensor, log_rest: Tensor) -> tuple[Tensor, Tensor]:
        """Return (log z, log(1 - z)) of z = F^-1(u), from log u and log(1 - u)."""

    def log_pdf(self, z):
        is_inside = (z > 0) & (z < 1)
        inside = torch.where(is_inside, z, 0.5)
        return torch.where(is_inside, self.log_pdf_at(inside.log(), torch.log1p(-inside)), -math.inf)

    def log_cdf(self, z):
        return self.log_cdf_at(z.log(), torch.log1p(-z))

    def quantile(self, log_u, log_rest):
        return self.quantile_at(log_u, log_rest)[0].exp()


class Uniform(UnitBase):
    """The uniform distribution on (0, 1)."""

    def log_pdf_at(self, log_z, log_rest):
        return torch.zeros_like(log_z)

    def log_cdf_at(self, log_z, log_rest):
        return log_z, log_rest

    def quantile_at(self, log_u, log_rest):
        return log_u, log_rest


class Beta(UnitBase):
    """Beta(5, 5): p(z) = 630 z^4 (1 - z)^4.

    F(z) = sum_{j=5}^9 C(9, j) z^j (1 - z)^(9 - j) is the probability that the median of 9 uniform draws is below z. It
    is a sum of positive terms, so its logarithm is accurate in both tails.
    """

    def log_pdf_at(self, log_z, log_rest):
        return 4 * (log_z + log_rest) + math.log(630)

    def log_cdf_at(self, log_z, log_rest):
        return _log_lower_beta(log_z, log_rest), _log_lower_beta(log_rest, log_z)

    def quantile_at(self, log_u, log_rest):
        is_lower = log_u < log_rest
        near = _lower_beta_quantile(torch.where(is_lower, log_u, log_rest))
        far = torch.log1p(-near.exp())
        return torch.where(is_lower, near, far), torch.where(is_lower, far, near)


class OnTheLine(Base):
    """The distribution of w = K^-1(z), where z is drawn from a base on (0, 1) and K is the CDF of a kernel on the line.

    log p(w) = log p_Z(K(w)) + log k(w), where p_Z is the density of the base and k that of the kernel. K(w) is never
    computed itself, only its logarithms, so log p(w) is finite wherever w is; log p_Z of a z rounded to 1 would not be.
    """

    def __init__(self, base: UnitBase, kernel: Base):
        self.base = base
        self.kernel = kernel

    def log_pdf(self, z):
        return self.base.log_pdf_at(*self.kernel.log_cdf(z)) + self.kernel.log_pdf(z)

    def log_cdf(self, z):
        return self.base.log_cdf_at(*self.kernel.log_cdf(z))

    def quantile(self, log_u, log_rest):
        return self.kernel.quantile(*self.base.quantile_at(log_u, log_rest))


BASES: dict[str, type[Base]] = {"normal": Normal, "logistic": Logistic, "uniform": Uniform, "beta": Beta}


def base_of(name: str) -> Base:
    """Return the base of this name; raises ConfigError, with the nearest known name, for an unknown one."""
    require_choice("base", name, BASES)
    return BASES[name]()


def _lower_normal_quantile(log_u: Tensor) -> Tensor:
    """Return Phi^-1(u) <= 0 for u <= 1/2, by Newton's method on log Phi(z) = log u, which is concave in z.

    Far out Newton's method starts from the solution of log u = -z^2/2 - log(2 pi)/2 - log(-z), approximately. The
    gradient is dz/d log u = Phi(z)/phi(z).
    """
    with torch.no_grad():
        target = log_u.double()
        square = -2 * target - math.log(2 * math.pi)
        z = torch.where(target > LOG_LEAST, ndtri(target.exp()), -(square - square.log()).sqrt())
        for _ in range(NEWTON_STEPS):
            step = (log_ndtr(z) - target) * _mills(z)
            z = torch.where(target.isfinite(), z - step, z)
        slope = _mills(z)
    return _Known.apply(log_u, z.to(log_u.dtype), slope.to(log_u.dtype))


def _mills(z: Tensor) -> Tensor:
    """Return Phi(z)/phi(z), in a form that does not overflow for z <= 0."""
    return (log_ndtr(z) + 0.5 * (z.square() + math.log(2 * math.pi))).exp()


def _log_lower_beta(log_z: Tensor, log_rest: Tensor) -> Tensor:
    """Return log F(z) of Beta(5, 5), from log z and log(1 - z)."""
    terms = [math.log(math.comb(9, j)) + j * log_z + (9 - j) * log_rest for j in range(5, 10)]
    return torch.logsumexp(torch.stack(terms), dim=0)


def _lower_beta_quantile(log_u: Tensor) -> Tensor:
    """Return log z of z = F^-1(u) of Beta(5, 5), for u <= 1/2.

    Far out u = C(9, 5) z^5. d log z/d log u = u/(z p(z)).
    """
    with torch.no_grad():
        target = log_u.double()
        z = torch.from_numpy(betaincinv(5, 5, target.exp().cpu().numpy())).to(target.device)
        log_z = torch.where(target > LOG_LEAST, z.log(), (target - math.log(126)) / 5)
        slope = (target - log_z - 4 * (log_z + torch.log1p(-log_z.exp())) - math.log(630)).exp()
    return _Known.apply(log_u, log_z.to(log_u.dtype), slope.to(log_u.dtype))


class _Known(torch.autograd.Function):
    """A value that was computed without a graph, with its known derivative as gradient."""

    @staticmethod
    def forward(ctx, argument: Tensor, value: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return value.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return gradient * ctx.saved_tensors[0], None, None
