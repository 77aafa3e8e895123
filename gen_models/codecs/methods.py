"""The methods of compression by their names, and which of them a model offers.

codes       stores the codes of a VQ-VAE; decompression gives the reconstruction
bits_back   stores rows without loss, by a VAE of data on grey levels
latents     stores latents rounded to a uniform grid, by any model with an encoder and a decoder
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from gen_models.codecs import bits_back, codes, latents
from gen_models.codecs.container import Compressed
from gen_models.contracts import Decoder, Encoder, Reconstructor
from gen_models.errors import DataError

DECOMPRESS: dict[str, Callable[[Any, Compressed], Tensor]] = {
    bits_back.METHOD: bits_back.decompress,
    codes.METHOD: codes.decompress,
    latents.METHOD: latents.decompress,
}
REQUIRE: dict[str, Callable[[Any], None]] = {
    bits_back.METHOD: bits_back.require_offered,
    codes.METHOD: codes.require_offered,
    latents.METHOD: latents.require_offered,
}
LOSSLESS = bits_back.METHOD


def methods_of(model: object) -> tuple[str, ...]:
    """Return the names of the methods that a model offers, the best for it first; () if it cannot compress."""
    if isinstance(model, codes.Coded):
        return (codes.METHOD,)
    if not (isinstance(model, Encoder) and isinstance(model, Decoder) and isinstance(model, Reconstructor)):
        return ()
    try:
        REQUIRE[LOSSLESS](model)
    except DataError:
        return (latents.METHOD,)
    return (bits_back.METHOD, latents.METHOD)
