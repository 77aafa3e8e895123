"""NICE (Dinh, Krueger and Bengio, 2015): additive couplings that move even and odd coordinates in turn, then a scaling.

log p(x) = sum_d (log p_Z(f_d(x)) + s_d) (equation 3 with the diagonal S of section 3.3), where exp(s_d) is the scaling
of coordinate d. In the paper, dequantised grey levels stay on [0, 1]. Additive couplings cannot stretch, so pixels that
are nearly always background cost many nats. If instead each pixel is first mapped to the line by its own histogram
(to_line = "histogram", bijections/histogram.py), the flow starts at the density of independent pixels.
"""

from collections.abc import Sequence

from gen_models.bijections.additive_coupling import AdditiveCoupling
from gen_models.bijections.bijection import Bijection, Compose, Flatten
from gen_models.bijections.diagonal import Diagonal
from gen_models.bijections.histogram import Histogram
from gen_models.bijections.partition import partitions
from gen_models.flows.base import base_of
from gen_models.flows.flow import Flow
from gen_models.layers.arguments import require_choice, require_whole, require_widths
from gen_models.layers.data_scale import dimensions
from gen_models.layers.levels import Levels, grey_levels

TO_LINE = ("none", "histogram")
BASES = ("logistic", "normal")  # p_Z has the whole line as support; a bounded base would not contain f(x)


class NICE(Flow):
    """A flow of `couplings` additive couplings, then the diagonal scaling.

    hidden   the widths of each coupling's network
    base     p_Z of each coordinate: logistic or normal
    to_line  how grey levels are mapped before the first coupling: none (they stay on [0, 1], as in the paper) or
             histogram
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        couplings: int,
        hidden: Sequence[int],
        base: str = "logistic",
        to_line: str = "none",
    ):
        require_whole("couplings", couplings)
        require_widths("hidden", hidden)
        require_choice("base", base, BASES)
        require_choice("to_line", to_line, TO_LINE)
        D = dimensions(event_shape)
        even_and_odd = partitions(D, 2)
        q = grey_levels(levels)
        parts: list[Bijection] = [Histogram(D, q)] if to_line == "histogram" and q is not None else []
        parts.append(Flatten(event_shape))
        parts += [AdditiveCoupling(even_and_odd[i % 2], hidden) for i in range(couplings)]
        super().__init__(event_shape, levels, Compose([*parts, Diagonal(D)]), base=base_of(base))
