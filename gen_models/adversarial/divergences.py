"""f-divergences and their convex conjugates (Nowozin, Cseke and Tomioka, 2016, table 2).

    D_f(p||q) = E_q f(p/q),  f convex, f(1) = 0, f(u) = inf for u < 0
    f*(t) = sup_u {t u - f(u)},   D_f = sup_T {E_p T - E_q f*(T)}, attained by T = f'(p/q)

Each divergence comes with its output activation rho, which maps a network's output r onto the t where f* is finite;
elsewhere f* is inf. It also comes with f*(rho(r)) as one function, which the loss uses: computing rho first and then f*
could overflow or cancel.

Constant factors differ between papers. Here the Jensen-Shannon entry is 2 JS, so that its bound minus log 4 is the loss
of the original GAN (gan_losses.py), and total variation is half the L1 distance.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softplus

LOG_4 = math.log(4)
Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Divergence:
    """The functions of one divergence, each from tensors to tensors, and two numbers.

    f                 the convex function f
    slope             its derivative f'
    conjugate         its convex conjugate f*
    rho               the output activation rho
    conjugate_of_rho  f*(rho(.))
    at_one            f'(1), or the middle of the subgradients at 1. T(y) > f'(1) says that p(y) > q(y)
    direction         1 if rho increases, -1 if it decreases
    """

    f: Function
    slope: Function
    conjugate: Function
    rho: Function
    conjugate_of_rho: Function
    at_one: float
    direction: int = 1


def inside(condition: Tensor, value: Tensor) -> Tensor:
    """Return `value` where the condition holds, and inf elsewhere."""
    return torch.where(condition, value, torch.inf)


def _conjugate_js(t: Tensor) -> Tensor:
    """Return -log(1 - exp t) - log 4 for t < 0, and inf elsewhere."""
    return inside(t < 0, -torch.log(-torch.expm1(t)) - LOG_4)


def _conjugate_pearson(t: Tensor) -> Tensor:
    """Return t^2/4 + t where the maximiser u = 1 + t/2 is at least 0; below that u = 0 attains the maximum, -1."""
    return torch.where(t >= -2, t.square() / 4 + t, -1.0)


DIVERGENCES = {
    "kl": Divergence(  # KL(p||q)
        f=lambda u: inside(u >= 0, torch.xlogy(u, u)),
        slope=lambda u: u.log() + 1,
        conjugate=lambda t: (t - 1).exp(),
        rho=lambda r: r,
        conjugate_of_rho=lambda r: (r - 1).exp(),
        at_one=1.0,
    ),
    "reverse_kl": Divergence(  # KL(q||p)
        f=lambda u: inside(u > 0, -u.log()),
        slope=lambda u: -1 / u,
        conjugate=lambda t: inside(t < 0, -1 - (-t).log()),
        rho=lambda r: -r.exp(),
        conjugate_of_rho=lambda r: -1 - r,
        at_one=-1.0,
        direction=-1,
    ),
    "squared_hellinger": Divergence(  # integral (sqrt p - sqrt q)^2
        f=lambda u: inside(u >= 0, (u.sqrt() - 1).square()),
        slope=lambda u: 1 - u.rsqrt(),
        conjugate=lambda t: inside(t < 1, t / (1 - t)),
        rho=lambda r: -torch.expm1(-r),
        conjugate_of_rho=torch.expm1,
        at_one=0.0,
    ),
    "js": Divergence(  # 2 JS(p, q)
        f=lambda u: inside(u >= 0, torch.xlogy(u, u) - (u + 1) * torch.log1p(u) + LOG_4),
        slope=lambda u: -torch.log1p(1 / u),
        conjugate=_conjugate_js,
        rho=logsigmoid,
        conjugate_of_rho=lambda r: softplus(r) - LOG_4,
        at_one=-math.log(2),
    ),
    "pearson": Divergence(  # integral (p - q)^2/q; not in docs/chapter.md
        f=lambda u: inside(u >= 0, (u - 1).square()),
        slope=lambda u: 2 * (u - 1),
        conjugate=_conjugate_pearson,
        rho=lambda r: r,
        conjugate_of_rho=_conjugate_pearson,
        at_one=0.0,
    ),
    "total_variation": Divergence(  # 1/2 integral |p - q|; not in docs/chapter.md
        f=lambda u: inside(u >= 0, (u - 1).abs() / 2),
        slope=lambda u: (u - 1).sign() / 2,
        conjugate=lambda t: inside(t <= 0.5, t.clamp_min(-0.5)),
        rho=lambda r: torch.tanh(r) / 2,
        conjugate_of_rho=lambda r: torch.tanh(r) / 2,
        at_one=0.0,
    ),
}
