"""Real NVP on vectors (Dinh, Sohl-Dickstein and Bengio, 2017): affine couplings with alternating partitions.

Images are flattened here; the checkerboard, the channels and the scales of the paper need bijections of
images.
"""

from collections.abc import Sequence

from gen_models.bijections.batch_norm import FlowBatchNorm
from gen_models.bijections.bijection import Bijection, Compose, Flatten
from gen_models.bijections.coupling import AffineCoupling
from gen_models.bijections.logit import Logit
from gen_models.bijections.partition import partitions
from gen_models.flows.flow import Flow
from gen_models.layers.arguments import require_whole, require_widths
from gen_models.layers.data_scale import dimensions


class RealNVP(Flow):
    """[logit on levels] then `couplings` affine couplings, each followed by batch norm if asked for.

    hidden  the widths of each coupling's network (s, t)
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        *,
        couplings: int,
        hidden: Sequence[int],
        batch_norm: bool = True,
    ):
        require_whole("couplings", couplings)
        require_widths("hidden", hidden)
        D = dimensions(event_shape)
        parts: list[Bijection] = [Flatten(event_shape), *([] if levels is None else [Logit()])]
        for partition in partitions(D, couplings):
            parts.append(AffineCoupling(partition, hidden))
            if batch_norm:
                parts.append(FlowBatchNorm(D))
        super().__init__(event_shape, levels, Compose(parts))
