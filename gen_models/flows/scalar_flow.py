"""One-dimensional flows: z = f(x) ~ a base on the line or on (0, 1), f monotone. D coordinates have D such flows.

Here x is the standardised data, or the logit of dequantised grey levels.

The base and the map are chosen independently. The map g takes the line onto itself and comes with a kernel, a Gaussian
or logistic distribution with CDF K (see bijections/scalar.py). The base determines where z lies:

    on the line    (normal, logistic)   z = g(x)
    on (0, 1)      (uniform, beta)      z = K(g(x))

If g is made from a mixture with CDF F and density F', then K(g(x)) = F(x). Under the uniform base the flow therefore
fits the mixture's density, log p(x) = log F'(x); under Beta(5, 5) with the density b, log p(x) = log b(F(x)) + log
F'(x); under the normal base z is the probit (map = gaussians) or the logit (map = logistics) of F(x). The spline has a
Gaussian kernel and starts as the identity: at first z = x for a base on the line, and z = K(x) for a base on (0, 1).

Universality: U = F(X) is uniform, so F_Z^-1(F(X)) can have any chosen distribution with CDF F_Z. `UniversalFlow` is
that composition: X -> U by a mixture's CDF and U -> Z by the base's inverse CDF; log p(x) = log F'(x) for every base.
"""

from collections.abc import Callable, Sequence
from typing import cast

from gen_models.bijections.bijection import Bijection, Compose, Flatten
from gen_models.bijections.logit import Logit
from gen_models.bijections.scalar import MixtureCDF, ScalarSpline, Squash, Transport
from gen_models.flows.base import Base, Logistic, Normal, OnTheLine, UnitBase, base_of
from gen_models.flows.flow import Flow
from gen_models.layers.arguments import require_choice, require_whole
from gen_models.layers.data_scale import dimensions
from gen_models.layers.levels import Levels, grey_levels

BOUND = 5.0  # of splines, in standard deviations of the data; beyond it few rows lie, and the map is the identity

MAPS: dict[str, tuple[Callable[[int, int], Bijection], type[Base]]] = {
    "gaussians": (lambda D, components: MixtureCDF(D, components, Normal()), Normal),
    "logistics": (lambda D, components: MixtureCDF(D, components, Logistic()), Logistic),
    "spline": (lambda D, bins: ScalarSpline(D, bins, bound=BOUND), Normal),
}


class _LineFlow(Flow):
    """A logit for data on grey levels, then maps of the line, then K onto (0, 1) if the base lies there.

    Likelihoods and draws are computed on the line, where z in (0, 1) is represented by K^-1(z): nothing rounds to 0 or
    1. `encode` returns z itself, which cannot be nearer to 0 or 1 than its type allows; so rows beyond are decoded to
    the last row that can be told apart.
    """

    def __init__(
        self, event_shape: Sequence[int], levels: Levels, maps: Sequence[Bijection], *, kernel: Base, base: Base
    ):
        line = Compose([Flatten(event_shape), *([] if grey_levels(levels) is None else [Logit()]), *maps])
        squash = [Squash(kernel)] if isinstance(base, UnitBase) else []
        super().__init__(event_shape, levels, Compose([line, *squash]), base=base)
        self.line_base = on_the_line(base, kernel)

    @property
    def line(self) -> Compose:
        """The part of the flow from rows to the line, before K."""
        return cast(Compose, cast(Compose, self.bijection).parts[0])

    def log_density(self, y):
        """Return log p(y) of each row in nats, (batch,): log p_W(w) + log |det dw/dy| with w = self.line(y).

        y: rows in network units: standardised, or dequantised grey levels in [0, 1]

        p_W is the density of the base on the line: the base itself, or that of K^-1(z) for a base on (0, 1).
        """
        w, log_det = self.line(y)
        return self.line_base.log_density(w) + log_det

    def draw(self, n, noise, *, temperature=1.0):
        """Return n rows in network units: `line` inverted at draws from the base on the line, at a temperature."""
        return self.line.inverse(self.line_base.from_normal(self.normal_draw(n, noise, temperature)))[0]


class ScalarFlow(_LineFlow):
    """A one-dimensional flow for each coordinate, with a trainable map.

    map         gaussians, logistics or spline
    base        normal, uniform, beta or logistic
    components  how many components each coordinate's mixture has, or bins its spline
    """

    def __init__(self, event_shape: Sequence[int], levels: Levels, *, map: str, base: str, components: int):
        require_choice("map", map, MAPS)
        require_whole("components", components, least=2 if map == "spline" else 1)
        make, kernel = MAPS[map]
        g = make(dimensions(event_shape), components)
        super().__init__(event_shape, levels, [g], kernel=kernel(), base=base_of(base))


class UniversalFlow(_LineFlow):
    """X -> U by the CDF of a mixture of Gaussians, then U -> Z by the base's inverse CDF.

    u is stored as log u and log(1 - u), so that it does not round to 0 or 1.

    base        normal, uniform, beta or logistic
    components  how many components each coordinate's mixture has
    """

    def __init__(self, event_shape: Sequence[int], levels: Levels, *, base: str, components: int):
        kernel, chosen = Normal(), base_of(base)
        maps = [
            MixtureCDF(dimensions(event_shape), components, kernel),
            Transport(kernel, on_the_line(chosen, kernel)),
        ]
        super().__init__(event_shape, levels, maps, kernel=kernel, base=chosen)


def on_the_line(base: Base, kernel: Base) -> Base:
    """Return the base if it is on the line; for a base on (0, 1), the distribution of K^-1(z) with z drawn from it."""
    return OnTheLine(base, kernel) if isinstance(base, UnitBase) else base
