"""The gated PixelCNN (van den Oord et al., 2016): an autoregressive density of grids of codes.

A grid k of h by w codes has a whole number k_ij, a code, at row i and column j. In raster order

    log p(k) = sum_ij log p(k_ij | codes before ij, context),   each factor a categorical distribution

The probabilities of all grids sum to 1 by construction. A vertical stack of layers reads the rows above a position, a
horizontal stack reads the codes to its left in the same row and what the vertical stack passes on. One pass of both
computes the likelihoods of all positions. Sampling needs, for each row of the grid, one pass of the vertical stack and,
for each position of the row, one pass of the horizontal stack on that row alone.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from gen_models.layers.arguments import require_whole
from gen_models.layers.masked_conv import GatedLayer
from gen_models.noise import Noise


class PixelCNN(nn.Module):
    """A density of grids whose entries, the codes, are whole numbers from 0 to `codes` - 1.

    channels, layers  width and depth of both stacks
    reach             how many positions each layer's kernel reaches to a side, see VerticalConv
    context           channels of a conditioning grid, which is as high and wide as the grid of codes; 0: none
    """

    def __init__(self, codes: int, *, channels: int, layers: int, reach: int = 1, context: int = 0):
        super().__init__()
        require_whole("prior_channels", channels)
        require_whole("prior_layers", layers)
        self.embedding = nn.Embedding(codes, channels)
        self.layers = nn.ModuleList(
            GatedLayer(channels, reach=reach, is_first=layer == 0, context=context) for layer in range(layers)
        )
        self.head = nn.Sequential(nn.SiLU(), nn.Conv2d(channels, channels, 1), nn.SiLU(), nn.Conv2d(channels, codes, 1))

    def log_prob(
        self, codes: Int[Tensor, "batch h w"], context: Float[Tensor, "batch seen h w"] | None = None
    ) -> Float[Tensor, " batch"]:
        """Return log p(codes | context) of each grid, in nats."""
        logits = self.logits(self.embed(codes), context)
        return -F.cross_entropy(logits, codes, reduction="none").flatten(1).sum(dim=1)

    def embed(self, codes: Int[Tensor, "batch h w"]) -> Float[Tensor, "batch channels h w"]:
        """Return the embedding of each code."""
        return self.embedding(codes).movedim(-1, 1)

    def logits(
        self, embedded: Float[Tensor, "batch channels h w"], context: Float[Tensor, "batch seen h w"] | None = None
    ) -> Float[Tensor, "batch codes h w"]:
        """Return the logits of each position's code, computed from the embedded codes before it."""
        return self._right(embedded, self._down(embedded, context))

    @torch.no_grad()
    def sample(
        self,
        shape: Sequence[int],
        noise: Noise,
        stream: str,
        context: Float[Tensor, "batch seen h w"] | None = None,
    ) -> Int[Tensor, "batch h w"]:
        """Draw n grids of the given shape (n, h, w), code after code, each by the Gumbel-max trick.

        stream  prefix of the names of the noise's streams
        """
        codes = torch.zeros(tuple(shape), dtype=torch.long, device=self.embedding.weight.device)
        tiny = torch.finfo(self.embedding.weight.dtype).tiny
        for i in range(codes.shape[1]):
            told = self.told(codes, i, context)
            for j in range(codes.shape[2]):
                logits = self.row_logits(codes, i, told)[:, :, j]
                u = noise.uniform(f"{stream}/{i}/{j}", logits.shape, like=logits).clamp_min(tiny)
                codes[:, i, j] = (logits - torch.log(-torch.log(u))).argmax(dim=1)
        return codes

    def told(self, codes: Int[Tensor, "batch h w"], row: int, context: Tensor | None) -> list[Tensor]:
        """Return what each layer of the vertical stack passes to the horizontal stack at one row of the grids.

        row  index of the row; only the rows of `codes` above it are read
        """
        above = None if context is None else context[:, :, : row + 1]
        return [told[:, :, row:] for told in self._down(self.embed(codes[:, : row + 1]), above)]

    def row_logits(
        self, codes: Int[Tensor, "batch h w"], row: int, told: list[Tensor]
    ) -> Float[Tensor, "batch codes w"]:
        """Return the logits of the codes along one row; those at column j depend on the row's codes before j only.

        row   index of the row
        told  what `told` returned for this row
        """
        return self._right(self.embed(codes[:, row : row + 1]), told)[:, :, 0]

    def _gated(self) -> Iterator[GatedLayer]:
        for layer in self.layers:
            assert isinstance(layer, GatedLayer)
            yield layer

    def _down(self, embedded: Tensor, context: Tensor | None) -> list[Tensor]:
        v, told = embedded, []
        for layer in self._gated():
            v, said = layer.down(v, context)
            told.append(said)
        return told

    def _right(self, embedded: Tensor, told: list[Tensor]) -> Tensor:
        h = embedded
        for layer, said in zip(self._gated(), told, strict=True):
            h = layer.right(h, said)
        return self.head(h)
