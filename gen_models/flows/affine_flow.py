"""The affine flow: z = A^-1 (x - b) ~ N(0, I), so that x ~ N(b, A A^T), the Gaussian with any mean and covariance.

Its maximum likelihood has a closed form, the mean and covariance of the sample: what training has to find, and the
likelihood that every other flow should beat.
"""

from collections.abc import Sequence

from gen_models.bijections.affine import AffineMap
from gen_models.bijections.bijection import Compose, Flatten
from gen_models.flows.flow import Flow
from gen_models.layers.data_scale import dimensions


class AffineFlow(Flow):
    """One affine map. Data on levels stay on [0, 1] here: a logit would make the density of x no Gaussian."""

    def __init__(self, event_shape: Sequence[int], levels: int | None):
        parts = [Flatten(event_shape), AffineMap(dimensions(event_shape))]
        super().__init__(event_shape, levels, Compose(parts))
