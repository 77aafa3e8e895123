"""The affine flow z = A^-1 (x - b) ~ N(0, I), so that x ~ N(b, A A^T), which can be any Gaussian.

Its maximum likelihood is known in closed form: b and A A^T are then the mean and covariance of the sample. Training has
to reach it, and every other flow should exceed it.
"""

from collections.abc import Sequence

from gen_models.bijections.affine import AffineMap
from gen_models.bijections.bijection import Compose, Flatten
from gen_models.flows.flow import Flow
from gen_models.layers.data_scale import dimensions
from gen_models.layers.levels import Levels


class AffineFlow(Flow):
    """A flow of one affine map.

    Dequantised grey levels stay on [0, 1]: after a logit the density of x would not be Gaussian.
    """

    def __init__(self, event_shape: Sequence[int], levels: Levels):
        parts = [Flatten(event_shape), AffineMap(dimensions(event_shape))]
        super().__init__(event_shape, levels, Compose(parts))
