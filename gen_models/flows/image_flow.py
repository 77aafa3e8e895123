"""The base class of flows of images: how grey levels are mapped to the line on which the couplings work.

logit      y = logit(alpha + (1 - 2 alpha) (x + u)/q), the same for all pixels (Dinh, Sohl-Dickstein and Bengio, 2017),
           for a grey level x in 0 .. q - 1 and uniform noise u
histogram  each pixel is mapped by its own histogram's CDF and the normal quantile, so the flow starts as the density of
           independent pixels. After a logit the couplings have to learn which pixels are always background, which takes
           most of a short training
"""

from collections.abc import Callable, Sequence

from gen_models.bijections.bijection import Bijection, Compose
from gen_models.bijections.histogram import Histogram
from gen_models.bijections.logit import Logit
from gen_models.flows.flow import Flow
from gen_models.layers.arguments import require_choice
from gen_models.layers.data_scale import dimensions
from gen_models.layers.levels import Levels, grey_levels

TO_LINE: dict[str, Callable[[int, int], Bijection]] = {
    "logit": lambda pixels, levels: Logit(),
    "histogram": Histogram,
}


class ImageFlow(Flow):
    """A flow of images (batch, C, H, W): for data on grey levels the map `to_line`, then the bijection `images`."""

    def __init__(self, event_shape: Sequence[int], levels: Levels, images: Bijection, *, to_line: str):
        require_choice("to_line", to_line, TO_LINE)
        q = grey_levels(levels)
        first = [] if q is None else [TO_LINE[to_line](dimensions(event_shape), q)]
        super().__init__(event_shape, levels, Compose([*first, images]))
