"""Lossless compression by a VAE: bits back with asymmetric numeral systems (Townsend, Bird and Barber, 2019).

The latents z are rounded to 2^b bins each (latent_channel.py). For each row x, on one stack of symbols (entropy.py):

    pop z ~ q(z|x)    removes -log q(z|x) bits: bits of earlier rows choose z
    push x ~ P(x|z)   adds -log P(x|z)
    push z ~ p(z)     adds -log p(z)

A row therefore costs, in expectation over z, -ELBO of the model with rounded latents. Decoding undoes the steps in
reverse; its last step returns the bits that chose z. The first row has no earlier bits to choose its z, so the stack
starts with some bits of noise. They stay in the file and do not grow with the number of rows.

The bits that choose a row's z lie on top of the stack, where the row before it pushed its own z. If q is wide, these
bits would choose the same z again, and the mean cost over rows would not be the expectation. Therefore a pseudo-random
shift from `noise` is added to each bin, modulo 2^b, before it is pushed. This costs nothing, as all bins are equally
likely under the prior, and the next row's z is chosen by fresh bits. (With 1000 images of binary digits and an
untrained VAE, the cost without the shift is 1.8% above the bound.)

Promised: every byte comes back on the same machine with the same libraries. Not promised: another machine or version
of torch, where networks round differently and decoding fails. A failure is detected, because the stack must end as
the initial noise.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt32
from torch import Tensor, nn

from gen_models.codecs.container import Compressed, Rows, as_floats, common_header, require_header
from gen_models.codecs.entropy import Stack
from gen_models.codecs.latent_channel import LatentChannel
from gen_models.errors import CheckpointError, DataError
from gen_models.evaluating import evaluating
from gen_models.noise import Noise
from gen_models.one_thread import one_thread

METHOD = "bits_back"
LATENT_BITS = 12  # for each latent: bins are then narrow compared with a posterior's standard deviation of 0.01
MOST_LATENT_BITS = 16
BITS_A_SYMBOL = 24  # the most that a pop may take: the entropy coder's precision


@dataclass(frozen=True)
class Rate:
    """The size of n compressed rows, in bits.

    rows      n
    net       bits on the stack after the last row, minus the initial bits
    initial   bits of noise with which the stack of a file starts
    ideal     sum over rows of log2 q(z|x) - log2 P(x|z) - log2 p(z) at the z that were used: what net would be if
              coding were free of overhead
    """

    rows: int
    net: int
    initial: int
    ideal: float


def compress(model: nn.Module, x: Rows, noise: Noise, *, latent_bits: int = LATENT_BITS) -> tuple[Compressed, Rate]:
    """Compress rows of grey levels, in the data's units, without loss; return the file's contents and their size.

    noise        the initial bits and the shifts; its seed is stored in the header
    latent_bits  b, where each latent is rounded to 2^b bins

    Raises DataError if the model is none that LatentChannel takes, if rows have another shape than the model's, if a
    number is none of its grey levels, or if latent_bits is not 1 to 16.
    """
    if not 1 <= latent_bits <= MOST_LATENT_BITS:
        raise DataError(f"latent_bits = {latent_bits} cannot be used: give 1 to {MOST_LATENT_BITS}")
    channel, x = LatentChannel(model, 2**latent_bits), as_floats(x, model)
    _require_levels(x, channel)
    first = _initial_words(channel.latents, noise)
    stack, ideal = Stack(first), 0.0
    initial = stack.bits()
    with evaluating(model), one_thread():
        for n, row in enumerate(x.flatten(1)):
            posterior = channel.posterior(row)
            bins = stack.pop(posterior)
            likelihood = channel.level_probabilities(bins)
            symbols = row.numpy().astype(np.int32)
            stack.push(symbols, likelihood)
            stack.push_even((bins + _shifts(noise.at(n), bins, latent_bits)) % 2**latent_bits, 2**latent_bits)
            ideal += _bits(posterior, bins) - _bits(likelihood, symbols) + latent_bits * len(bins)
    header = common_header(METHOD, model, len(x), channel.event_shape)
    header |= {"latent_bits": latent_bits, "seed": noise.seed, "dtype": str(x.dtype).removeprefix("torch.")}
    return Compressed(header, stack.words()), Rate(len(x), stack.bits() - initial, initial, ideal)


def require_offered(model: nn.Module) -> None:
    """Raise DataError if a model is none that LatentChannel takes."""
    LatentChannel(model, 2)


def decompress(model: nn.Module, compressed: Compressed) -> Float[Tensor, "batch *event"]:
    """Return the rows that `compress` compressed.

    Raises CheckpointError if another model compressed them, or if decoding failed, and DataError if another method did
    or if the header or the words cannot be used.
    """
    header = require_header(compressed, METHOD, model, {"latent_bits": int, "seed": int, "dtype": str})
    bits = header["latent_bits"]
    if not 1 <= bits <= MOST_LATENT_BITS or header["dtype"] not in ("float32", "float64"):
        raise DataError(f"header of the compressed rows: latent_bits {bits}, dtype {header['dtype'][:20]!r} cannot be")
    channel = LatentChannel(model, 2**bits)
    stack, noise = Stack(compressed.words), Noise(header["seed"])
    rows = np.empty((header["rows"], int(np.prod(channel.event_shape))), dtype=np.int32)
    with evaluating(model), one_thread():
        for n in reversed(range(len(rows))):
            shifted = stack.pop_even(channel.latents, 2**bits)
            bins = (shifted - _shifts(noise.at(n), shifted, bits)) % 2**bits
            rows[n] = stack.pop(channel.level_probabilities(bins))
            x = torch.from_numpy(rows[n]).to(getattr(torch, header["dtype"]))
            stack.push(bins, channel.posterior(x))
    if not np.array_equal(stack.words(), _initial_words(channel.latents, noise)):
        raise CheckpointError(
            f"the {len(rows)} rows did not decode: networks round differently here; "
            f"decompress on the machine, and with the libraries, that compressed them"
        )
    return torch.from_numpy(rows).to(getattr(torch, header["dtype"])).view(len(rows), *channel.event_shape)


def expected_bits(model: nn.Module, x: Rows, noise: Noise, *, draws: int = 16) -> Float[Tensor, " batch"]:
    """Return the expected cost of each row in bits, E_q[-log2 P(x|z)] + KL(q(z|x) || p(z))/ln 2.

    E_q is a mean over `draws` draws of z. The cost is below the -ELBO that the model reports for dequantised data,
    because P gives a grey level the whole mass of its cell, and the cells of the lowest and the highest level include
    the tails.
    """
    channel, x = LatentChannel(model, 2), as_floats(x, model)
    with evaluating(model):
        mu, std = channel.moments(x)
        kl = 0.5 * (std.square() + mu.square() - 1).sum(dim=1) - std.log().sum(dim=1)
        log_p = torch.zeros_like(kl)
        for draw in range(draws):
            z = mu + std * noise.at(draw).normal("posterior", mu.shape, like=mu)
            masses = channel.masses_at(z, x.flatten(1)).clamp_min(2.0**-BITS_A_SYMBOL)  # the coder's least probability
            log_p += masses.log().sum(dim=1) / draws
    return (kl - log_p) / math.log(2)


def _require_levels(x: Tensor, channel: LatentChannel) -> None:
    if tuple(x.shape[1:]) != channel.event_shape:
        raise DataError(f"rows of shape {tuple(x.shape[1:])}, this model takes {channel.event_shape}")
    is_level = (x >= 0) & (x < channel.levels) & (x == x.round())
    if not is_level.all():
        row, value = int((~is_level.flatten(1)).any(dim=1).nonzero()[0]), x[~is_level][0].item()
        raise DataError(f"row {row}: {value:g} is none of the levels 0 .. {channel.levels - 1}: round it, or rescale")


def _initial_words(latents: int, noise: Noise) -> UInt32[np.ndarray, " words"]:
    """Return enough noise for the first pop. The top bit of the last word is 1, as a stack does not end with zeros."""
    count = latents * BITS_A_SYMBOL // 32 + 2
    u = noise.uniform("bits back", (count, 2), like=torch.zeros((), dtype=torch.float64))
    halves = (u * 2**16).numpy().astype(np.uint32)
    words = halves[:, 0] << np.uint32(16) | halves[:, 1]
    words[-1] |= np.uint32(1 << 31)
    return words


def _shifts(noise: Noise, bins: Int[np.ndarray, " latents"], bits: int) -> Int[np.ndarray, " latents"]:
    """Return the shifts that are added to the bins of one row, for the reason in the module docstring."""
    u = noise.uniform("bits back/shift", (len(bins),), like=torch.zeros((), dtype=torch.float64))
    return (u * 2**bits).numpy().astype(np.int64)


def _bits(probabilities: Float[np.ndarray, "symbols size"], symbols: np.ndarray) -> float:
    """Return the sum of log2 p over the symbols, with p at least 2^-24, the least probability of the coder."""
    p = probabilities[np.arange(len(symbols)), symbols]
    return float(np.log2(np.maximum(p, 2.0**-BITS_A_SYMBOL)).sum())
