"""Monotone maps of the line with trainable parameters; each coordinate has its own map.

    mixture   g(x) = K^-1( sum_k pi_k K((x - mu_k)/s_k) ), K the CDF of a symmetric kernel: Gaussian or logistic
    spline    a rational-quadratic spline on [-B, B], the identity beyond (Durkan et al., 2019)

Both map the line onto itself. The CDF F(x) = sum_k pi_k K((x - mu_k)/s_k) of a mixture, with weights pi_k, means mu_k
and scales s_k, has the unit interval as its range and saturates there. Therefore g(x) = K^-1(F(x)), where K^-1 is the
quantile function of the kernel. With one component, g is the affine map (x - mu)/s; with several, g is linear far out.
No probability is rounded to 0 or 1, because F(x) = K(g(x)) is computed as the pair log F(x) and log(1 - F(x)). With F_Z
the CDF of another distribution (law) on the line, two other maps are compositions with g:

    u = F(x)             Squash o g,   Squash(w) = K(w)
    z = F_Z^-1(F(x))     Transport o g, from the kernel's law to the law of z
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.bijections.bijection import Bijection
from gen_models.bijections.spline import rational_quadratic, rational_quadratic_inverse
from gen_models.layers.arguments import require_positive, require_whole

MAX_LOG_SCALE = 7.0  # without a floor on its scale, a component on a repeated value would shrink for ever
SOLVER_STEPS = 64  # enough for bisection to reach the last bit from the widest bracket; Newton's method needs far fewer
START_SCALES = (1e-2, 1e1)  # least and largest scale of a component at the start, in units of x


@runtime_checkable
class Law(Protocol):
    """The interface of a continuous distribution on the line, applied to each coordinate.

    A probability u is passed and returned as the pair (log u, log(1 - u)).
    """

    def log_pdf(self, z: Tensor) -> Tensor: ...

    def log_cdf(self, z: Tensor) -> tuple[Tensor, Tensor]: ...

    def quantile(self, log_u: Tensor, log_rest: Tensor) -> Tensor: ...


class MixtureCDF(Bijection):
    """The map g = K^-1(F), F(x) = sum_k pi_k K((x - mu_k)/s_k), of vectors (batch, D), with a mixture for each
    coordinate. K is the CDF of `kernel`.

    With the densities f = F' and k = K', log dg/dx = log f(x) - log k(g(x)). Scales are bounded: log s = c tanh(raw/c),
    where raw is trained and c = MAX_LOG_SCALE.
    """

    def __init__(self, dimensions: int, components: int, kernel: Law):
        super().__init__()
        require_whole("components", components)
        self.kernel = kernel
        self.logits = nn.Parameter(torch.zeros(dimensions, components))
        self.means = nn.Parameter(torch.linspace(-2, 2, components + 2)[1:-1].repeat(dimensions, 1))
        self.raw_log_scales = nn.Parameter(torch.zeros(dimensions, components))

    def forward(self, x):
        y, log_slope = self._value(x)
        return y, log_slope.sum(dim=1)

    def inverse(self, y):
        """Return (x, log |det dx/dy|), where Newton's method inside a bracket solves g(x) = y.

        One more Newton step, taken with gradients, makes x differentiable.
        """
        near = self._solve(y.detach())
        value, log_slope = self._value(near)
        x = near - (value - y) * (-log_slope.detach()).exp()
        return x, -self._value(x)[1].sum(dim=1)

    @torch.no_grad()
    def start(self, x):
        """Set each coordinate's mixture so that each of its K components covers the same number of rows; return g(x).

        All weights are equal. Component k = 0 .. K - 1 lies between the quantiles k/K and (k + 1)/K; its mean is the
        quantile midway between them, and its scale half the distance between them, within START_SCALES.
        """
        K = self.means.shape[1]
        q = _quantiles(x, 2 * K).T
        scales = (q[:, 2::2] - q[:, :-2:2]).div(2).clamp(*START_SCALES)
        self.logits.zero_()
        self.means.copy_(q[:, 1::2])
        self.raw_log_scales.copy_(MAX_LOG_SCALE * torch.atanh(scales.log() / MAX_LOG_SCALE))
        return self(x)[0]

    def log_pdf(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Return log f(x) for each coordinate, where f is the mixture's density."""
        log_scales = self._log_scales()
        standard = (x[..., None] - self.means) * (-log_scales).exp()
        log_weights = self.logits.log_softmax(dim=1)
        return torch.logsumexp(log_weights - log_scales + self.kernel.log_pdf(standard), dim=-1)

    def log_cdf(self, x: Float[Tensor, "batch dim"]) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch dim"]]:
        """Return (log F(x), log(1 - F(x))) for each coordinate."""
        standard = (x[..., None] - self.means) * (-self._log_scales()).exp()
        log_weights = self.logits.log_softmax(dim=1)
        log_lower, log_upper = self.kernel.log_cdf(standard)
        return torch.logsumexp(log_weights + log_lower, dim=-1), torch.logsumexp(log_weights + log_upper, dim=-1)

    def _value(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return (g(x), log dg/dx) for each coordinate."""
        y = self.kernel.quantile(*self.log_cdf(x))
        return y, self.log_pdf(x) - self.kernel.log_pdf(y)

    def _log_scales(self) -> Tensor:
        return MAX_LOG_SCALE * torch.tanh(self.raw_log_scales / MAX_LOG_SCALE)

    @torch.no_grad()
    def _solve(self, y: Tensor) -> Tensor:
        """Return the x with g(x) = y, up to rounding.

        With component k alone the solution would be mu_k + s_k y. x lies between the smallest and the largest of these,
        which are the first bracket. A Newton step that leaves the bracket, or is not at most half as long as the step
        before it, is replaced by a bisection.
        """
        ends = self.means + self._log_scales().exp() * y[..., None]
        low, high = ends.amin(dim=-1), ends.amax(dim=-1)
        x, step = (low + high) / 2, high - low
        for _ in range(SOLVER_STEPS):
            value, log_slope = self._value(x)
            low, high = torch.where(value < y, x, low), torch.where(value > y, x, high)
            newton = (y - value) * (-log_slope).exp()
            is_good = (2 * newton.abs() <= step.abs()) & (low <= x + newton) & (x + newton <= high)
            step = torch.where(is_good, newton, (low + high) / 2 - x)
            x = x + step
        return x


class ScalarSpline(Bijection):
    """A rational-quadratic spline on [-bound, bound] for each coordinate of vectors (batch, D).

    It starts as the identity.
    """

    def __init__(self, dimensions: int, bins: int, *, bound: float):
        super().__init__()
        require_whole("bins", bins, least=2)
        require_positive("bound", bound)
        self.bound = bound
        self.widths = nn.Parameter(torch.zeros(dimensions, bins))
        self.heights = nn.Parameter(torch.zeros(dimensions, bins))
        self.slopes = nn.Parameter(torch.zeros(dimensions, bins - 1))

    def forward(self, x):
        y, log_slope = rational_quadratic(x, self.widths, self.heights, self.slopes, bound=self.bound)
        return y, log_slope.sum(dim=1)

    def inverse(self, y):
        x, log_slope = rational_quadratic_inverse(y, self.widths, self.heights, self.slopes, bound=self.bound)
        return x, log_slope.sum(dim=1)


class Transport(Bijection):
    """The map y = F_target^-1(F_source(x)), which has no parameters: y ~ target if x ~ source.

    F is the CDF and p the density of a law; log dy/dx = log p_source(x) - log p_target(y).
    """

    def __init__(self, source: Law, target: Law):
        super().__init__()
        self.source = source
        self.target = target

    def forward(self, x):
        return _transported(x, self.source, self.target)

    def inverse(self, y):
        return _transported(y, self.target, self.source)


class Squash(Bijection):
    """The map u = K(w) of the line onto (0, 1), where K is the CDF of a kernel and k its density. It has no parameters.

    log du/dw = log k(w). Far out u would round to 0 or 1, whose inverses are infinite, and is the number next to it:
    compute likelihoods from w, not from u.
    """

    def __init__(self, kernel: Law):
        super().__init__()
        self.kernel = kernel

    def forward(self, x):
        ends = torch.finfo(x.dtype)
        u = self.kernel.log_cdf(x)[0].exp().clamp(ends.tiny, 1 - ends.eps / 2)
        return u, self.kernel.log_pdf(x).sum(dim=1)

    def inverse(self, y):
        x = self.kernel.quantile(y.log(), torch.log1p(-y))
        return x, -self.kernel.log_pdf(x).sum(dim=1)


def _quantiles(x: Float[Tensor, "batch dim"], parts: int) -> Float[Tensor, "levels dim"]:
    """Return the quantiles 0, 1/parts, .., 1 of each column; torch.quantile refuses more than 16 million numbers."""
    place = torch.linspace(0, len(x) - 1, parts + 1, dtype=x.dtype, device=x.device)
    below = place.floor().long()
    ordered = x.sort(dim=0).values
    return torch.lerp(ordered[below], ordered[(below + 1).clamp(max=len(x) - 1)], (place - below)[:, None])


def _transported(x: Tensor, source: Law, target: Law) -> tuple[Tensor, Tensor]:
    y = target.quantile(*source.log_cdf(x))
    return y, (source.log_pdf(x) - target.log_pdf(y)).sum(dim=1)
