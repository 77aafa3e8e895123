"""Real NVP on vectors (Dinh, Sohl-Dickstein and Bengio, 2017): affine couplings with alternating partitions.

Images are flattened here. The checkerboards, channels and scales of the paper need bijections of images; see
image_realnvp.py.
"""

from collections.abc import Sequence

from gen_models.bijections.batch_norm import FlowBatchNorm
from gen_models.bijections.bijection import Bijection, Compose, Flatten
from gen_models.bijections.coupling import AffineCoupling
from gen_models.bijections.logit import Logit
from gen_models.bijections.partition import partitions
from gen_models.flows.flow import Flow
from gen_models.layers.arguments import require_choice, require_whole, require_widths
from gen_models.layers.data_scale import dimensions
from gen_models.layers.levels import Levels, grey_levels
from gen_models.layers.mlp import ACTIVATIONS


class RealNVP(Flow):
    """A logit for data on grey levels, then `couplings` affine couplings.

    hidden      the widths of the network with which each coupling computes its log scale and shift
    batch_norm  whether batch norm follows each coupling
    activation  of the hidden layers. With silu or tanh, which are smooth, the density is smooth. relu has corners, and
                learns the edges of a density sooner
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        couplings: int,
        hidden: Sequence[int],
        batch_norm: bool = True,
        activation: str = "silu",
    ):
        require_whole("couplings", couplings)
        require_widths("hidden", hidden)
        require_choice("activation", activation, ACTIVATIONS)
        D = dimensions(event_shape)
        parts: list[Bijection] = [Flatten(event_shape), *([] if grey_levels(levels) is None else [Logit()])]
        for partition in partitions(D, couplings):
            parts.append(AffineCoupling(partition, hidden, activation=ACTIVATIONS[activation]))
            if batch_norm:
                parts.append(FlowBatchNorm(D))
        super().__init__(event_shape, levels, Compose(parts))
