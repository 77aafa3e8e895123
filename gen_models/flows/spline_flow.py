"""The neural spline flow on vectors, RQ-NSF (C) (Durkan et al., 2019): couplings by rational-quadratic splines.

Images are flattened here. Couplings alternate between halves, and the halves are permuted from pair to pair (see
`partitions`). This replaces the random permutations of the paper; the paper's LU-decomposed linear maps are left out.
"""

from collections.abc import Sequence

from gen_models.bijections.bijection import Bijection, Compose, Flatten
from gen_models.bijections.logit import Logit
from gen_models.bijections.partition import partitions
from gen_models.bijections.spline_coupling import SplineCoupling
from gen_models.flows.flow import Flow
from gen_models.layers.arguments import require_choice, require_positive, require_whole, require_widths
from gen_models.layers.data_scale import dimensions
from gen_models.layers.levels import Levels, grey_levels
from gen_models.layers.mlp import ACTIVATIONS


class SplineFlow(Flow):
    """A logit for data on grey levels, then `couplings` spline couplings.

    hidden      the widths of each coupling's network
    bins        number of bins of each spline
    bound       splines act on [-bound, bound], in standard deviations of continuous data or in logits of grey levels;
                beyond it the map is the identity
    activation  of the networks: silu, relu or tanh
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        couplings: int,
        hidden: Sequence[int],
        bins: int = 16,
        bound: float = 4.0,
        activation: str = "silu",
    ):
        require_whole("couplings", couplings)
        require_widths("hidden", hidden)
        require_choice("activation", activation, ACTIVATIONS)
        require_whole("bins", bins, least=2)
        require_positive("bound", bound)
        parts: list[Bijection] = [Flatten(event_shape), *([] if grey_levels(levels) is None else [Logit()])]
        for partition in partitions(dimensions(event_shape), couplings):
            parts.append(SplineCoupling(partition, hidden, bins=bins, bound=bound, activation=ACTIVATIONS[activation]))
        super().__init__(event_shape, levels, Compose(parts))
