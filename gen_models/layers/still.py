"""A context in which a network computes as in training while none of its buffers change.

In a game of two players (a GAN: a generator against a critic), a player uses it to run the other player's network.
Inside the context, batch norm normalises by the batch but does not update its running statistics, and spectral
normalisation divides by its estimate of the largest singular value but does not update the vectors of that estimate.
A step of one player therefore leaves the other player's network bit-identical, buffers included.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from gen_models.layers.batch_norm import BatchNorm
from gen_models.layers.spectral_norm import SpectralNorm


@contextmanager
def still(network: nn.Module) -> Iterator[None]:
    """Keep the buffers of `network` unchanged inside the context, also in training mode."""
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
