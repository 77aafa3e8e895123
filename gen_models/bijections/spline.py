"""Monotone rational-quadratic splines of the line (Gregory and Delbourgo, 1982; Durkan et al., 2019, section 3.1).

A spline has K bins between knots (x_k, y_k), k = 0 .. K, which run from (-B, -B) to (B, B), with slope d_k at each
knot. Beyond [-B, B] it is the identity. Therefore d_0 = d_K = 1, and the map and its slope are continuous everywhere.
In bin k, of width w and height h, with s = h/w, t = (x - x_k)/w and v = (y - y_k)/h:

    y = y_k + h t (s t + d_k (1 - t)) / q,    q = s (t^2 + (1 - t)^2) + (d_k + d_{k+1}) t (1 - t)           (equation 4)
    dy/dx = s^2 (d_{k+1} t^2 + 2 s t (1 - t) + d_k (1 - t)^2) / q^2                                         (equation 5)

The inverse is a root of a quadratic (equations 6-8), whose discriminant is a sum of squares,

    r^2 = u^2 + 4 s^2 v (1 - v),    u = d_k (1 - v) - d_{k+1} v,    t = 2 s v / (2 s v + u + r).

In this form every sum that is inverted or whose logarithm is taken has only terms >= 0: nothing cancels, and
rounding cannot make the root imaginary. The usual b^2 - 4ac allows both.

The parameters are unnormalised and of any size; all 0 gives the identity:

    w = 2B (M/K + (1 - M) softmax(widths)),  h = 2B (M/K + (1 - M) softmax(heights)),  d = m + softplus(slopes + c)
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad, softplus

MIN_SHARE = 1e-2  # M: the least width or height of a bin, relative to K equal bins (paper, K = 10: 1e-3 of 2B)
MIN_SLOPE = 1e-3  # m, the least slope at a knot, as in the paper
SLOPE_OF_ONE = math.log(math.expm1(1 - MIN_SLOPE))  # c: m + softplus(c) = 1


def rational_quadratic(
    x: Float[Tensor, "*#shape"],
    widths: Float[Tensor, "*#shape bins"],
    heights: Float[Tensor, "*#shape bins"],
    slopes: Float[Tensor, "*#shape inner_knots"],
    *,
    bound: float,
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Return (y, log dy/dx) for each number in x, where y is a spline of x on [-bound, bound].

    widths, heights, slopes  unnormalised parameters, see the module docstring. The last axis holds those of one spline:
                             K widths, K heights, and K - 1 slopes at the inner knots. The other axes broadcast with x,
                             so one spline may serve all rows
    """
    is_inside = x.abs() <= bound
    inside = torch.where(is_inside, x, 0.0)
    x_knots, y_knots = _knots(widths, bound), _knots(heights, bound)
    at = _bin_of(inside, x_knots, x_knots, y_knots, slopes)
    t = (inside - at.x) / at.w
    s = at.h / at.w
    y = at.y + at.h * t * (s * t + at.d * (1 - t)) / _q(t, s, at)
    return torch.where(is_inside, y, x), torch.where(is_inside, _log_slope(t, s, at), 0.0)


def rational_quadratic_inverse(
    y: Float[Tensor, "*#shape"],
    widths: Float[Tensor, "*#shape bins"],
    heights: Float[Tensor, "*#shape bins"],
    slopes: Float[Tensor, "*#shape inner_knots"],
    *,
    bound: float,
) -> tuple[Float[Tensor, "*shape"], Float[Tensor, "*shape"]]:
    """Return (x, log dx/dy): the inverse of `rational_quadratic` with the same parameters."""
    is_inside = y.abs() <= bound
    inside = torch.where(is_inside, y, 0.0)
    x_knots, y_knots = _knots(widths, bound), _knots(heights, bound)
    at = _bin_of(inside, y_knots, x_knots, y_knots, slopes)
    v = (inside - at.y) / at.h
    s = at.h / at.w
    u = at.d * (1 - v) - at.d_next * v
    sum_of_sizes = u.abs() + (u.square() + 4 * s.square() * v * (1 - v)).sqrt()
    from_below = 2 * s * v / (2 * s * v + sum_of_sizes)
    from_above = sum_of_sizes / (sum_of_sizes + 2 * s * (1 - v))  # the same root, after multiplying by (r - u)/(r - u)
    t = torch.where(u >= 0, from_below, from_above)
    return torch.where(is_inside, at.x + at.w * t, y), torch.where(is_inside, -_log_slope(t, s, at), 0.0)


class _Bin(NamedTuple):
    """The bin of each value: its left knot (x, y), its width and height, and the slopes at its two ends."""

    x: Tensor
    w: Tensor
    y: Tensor
    h: Tensor
    d: Tensor
    d_next: Tensor


def _bin_of(values: Tensor, knots: Tensor, x_knots: Tensor, y_knots: Tensor, slopes: Tensor) -> _Bin:
    """Return the bin in which each value lies, where `knots` are x_knots for values of x and y_knots for values of y.

    Widths and heights are differences of the rounded knots, so t and v lie within [0, 1] exactly.
    """
    d = pad(MIN_SLOPE + softplus(slopes + SLOPE_OF_ONE), (1, 1), value=1.0)
    columns = [x_knots[..., :-1], x_knots.diff(), y_knots[..., :-1], y_knots.diff(), d[..., :-1], d[..., 1:]]
    table = torch.stack(columns, dim=-2)
    index = (values[..., None] >= knots[..., 1:-1]).sum(dim=-1)[..., None, None]
    shape = torch.broadcast_shapes(index.shape[:-2], table.shape[:-2])
    found = table.expand(*shape, -1, -1).gather(-1, index.expand(*shape, len(columns), 1))
    return _Bin(*found.squeeze(-1).unbind(-1))


def _knots(unnormalised: Tensor, bound: float) -> Tensor:
    """Return the positions of the K + 1 knots, from -bound to bound; (..., K) -> (..., K + 1)."""
    shares = MIN_SHARE / unnormalised.shape[-1] + (1 - MIN_SHARE) * unnormalised.softmax(dim=-1)
    inner = bound * (2 * shares[..., :-1].cumsum(dim=-1) - 1)
    return pad(pad(inner, (1, 0), value=-bound), (0, 1), value=bound)


def _q(t: Tensor, s: Tensor, at: _Bin) -> Tensor:
    return s * (t.square() + (1 - t).square()) + (at.d + at.d_next) * t * (1 - t)


def _log_slope(t: Tensor, s: Tensor, at: _Bin) -> Tensor:
    """Return log dy/dx (equation 5)."""
    numerator = at.d_next * t.square() + 2 * s * t * (1 - t) + at.d * (1 - t).square()
    return 2 * s.log() + numerator.log() - 2 * _q(t, s, at).log()
