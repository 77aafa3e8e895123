"""A network that another player looks through: it computes as in training, and nothing of it moves.

Batch norm normalises by the batch but keeps its running statistics, spectral normalisation divides by the sigma of
the vectors that it has. A step of one player then leaves the other bit-identical, its buffers included.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from gen_models.layers.batch_norm import BatchNorm
from gen_models.layers.spectral_norm import SpectralNorm


@contextmanager
def still(network: nn.Module) -> Iterator[None]:
    """Within it the buffers of `network` stay as they are, in training mode too."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    spectral = [module for module in network.modules() if isinstance(module, SpectralNorm)]
    momenta, steps = [norm.momentum for norm in norms], [module.steps for module in spectral]
    try:
        for norm in norms:
            norm.momentum = 0.0  # m <- m + 0 (m_hat - m)
        for module in spectral:
            module.steps = 0
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, count in zip(spectral, steps, strict=True):
            module.steps = count
