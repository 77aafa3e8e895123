"""One-dimensional flows: z = f(x) ~ a base on the line or on (0, 1), f monotone. D coordinates have D such flows.

Base and map are chosen independently. A map is a monotone map g of the line onto itself, with a kernel K (see
bijections/scalar.py); the base determines where z lies:

    on the line    (normal, logistic)   z = g(x)
    on (0, 1)      (uniform, beta)      z = K(g(x))

With a mixture's g, K(g(x)) = F(x) is the mixture's CDF itself. Under the uniform base the flow fits the mixture's
density, log p(x) = log f(x); under Beta(5, 5), log p(x) = log Beta(F(x)) + log f(x); under the normal base z is the
probit (gaussians) or the logit (logistics) of F(x). The spline has a Gaussian kernel and starts as the identity: z is
then the standardised data on the line, or their probabilities under one Gaussian on (0, 1).

Universality: U = F(X) is uniform, so F_Z^-1(F(X)) can have any chosen distribution Z. `UniversalFlow` is that
composition: X -> U by a mixture's CDF and U -> Z by the base's inverse CDF; log p(x) = log f(x) for every base.
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

    Likelihoods and draws are computed on the line, where a z of (0, 1) is K^-1(z): nothing rounds to 0 or 1.
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
        """The part of the flow that ends on the line."""
        return cast(Compose, cast(Compose, self.bijection).parts[0])

    def log_density(self, y):
        """Return log p(y) of each row in nats, (batch,): log p_W(w) + log |det dw/dy| with w = self.line(y).

        w is on the real line, and so is W, the base moved there: nothing rounds to 0 or 1.
        """
        w, log_det = self.line(y)
        return self.line_base.log_density(w) + log_det

    def draw(self, n, noise, *, temperature=1.0):
        """Return g^-1(w), with w drawn from the base on the line at a temperature."""
        return self.line.inverse(self.line_base.from_normal(self.normal_draw(n, noise, temperature)))[0]


class ScalarFlow(_LineFlow):
    """A one-dimensional flow for each coordinate, with a trainable map.

    map         gaussians, logistics or spline
    base        normal, uniform, beta or logistic
    components  of the mixture, or bins of the spline, for each coordinate
    """

    def __init__(self, event_shape: Sequence[int], levels: Levels, *, map: str, base: str, components: int):
        require_choice("map", map, MAPS)
        require_whole("components", components, least=2 if map == "spline" else 1)
        make, kernel = MAPS[map]
        g = make(dimensions(event_shape), components)
        super().__init__(event_shape, levels, [g], kernel=kernel(), base=base_of(base))


class UniversalFlow(_LineFlow):
    """X -> U by the CDF of a mixture of Gaussians, then U -> Z by the base's inverse CDF; u is stored in logarithms."""

    def __init__(self, event_shape: Sequence[int], levels: Levels, *, base: str, components: int):
        kernel, chosen = Normal(), base_of(base)
        maps = [
            MixtureCDF(dimensions(event_shape), components, kernel),
            Transport(kernel, on_the_line(chosen, kernel)),
        ]
        super().__init__(event_shape, levels, maps, kernel=kernel, base=chosen)


def on_the_line(base: Base, kernel: Base) -> Base:
    """Return the base itself, or, for a base on (0, 1), the distribution of K^-1(z)."""
    return OnTheLine(base, kernel) if isinstance(base, UnitBase) else base
