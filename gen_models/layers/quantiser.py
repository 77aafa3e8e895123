"""The codebook of a VQ-VAE: each vector is replaced by its nearest code (van den Oord, Vinyals and Kavukcuoglu, 2017).

The codebook has K codes e_1 .. e_K, which are vectors of d numbers. With sg for "stop gradient", a vector z gets

    index k(z) = argmin_k |z - e_k|,  straight(z) = z + sg(e_k(z) - z)
    codebook loss |sg(z) - e_k(z)|^2,  commitment loss |z - sg(e_k(z))|^2

straight(z) has the value of the nearest code and passes its gradient to z. Both losses use z itself. They are means
over the batch, the positions and the d numbers, so that a weight on a loss means the same for every size of batch.

Codes follow the vectors nearest to them, either by the gradient of the codebook loss (decay = None) or by moving
averages (the paper, appendix A.1). Let n_k of the M vectors in a batch lie nearest to code k, with sum s_k; then

    N_k <- decay N_k + (1 - decay) (K/M) n_k,   N_k e_k <- decay N_k e_k + (1 - decay) (K/M) s_k

N_k is called the share of code k. It starts at 1, and because of the factor K/M it stays at 1 if all codes are used
equally often. The resulting e_k equals the paper's. The sum N_k e_k is not stored but computed from N_k and e_k, so
that it cannot disagree with them. With decay = 0 the update is a step of k-means.

A code whose share falls below `revive_below` is dead: it is moved to a vector of the batch, and its share is set to 1.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_whole
from gen_models.noise import Noise
from gen_models.workers import sum_over_workers

USAGE_DECAY = 0.99  # decay of the shares where codes follow a gradient
START_VECTORS = 16_384  # vectors used by k-means at the start; more do not change its means
START_STEPS = 10
VECTORS_AT_ONCE = 16_384  # vectors whose distances to all codes are in memory at once


class Quantised(NamedTuple):
    """The result of one pass through a codebook, with e the nearest code of each z.

    straight    e at each position; its gradient goes to z
    indices     the index k(z) of e at each position
    codebook    mean |sg(z) - e|^2: moves the codes, if they follow a gradient
    commitment  mean |z - sg(e)|^2: moves the encoder
    """

    straight: Float[Tensor, "batch dim *positions"]
    indices: Int[Tensor, "batch *positions"]
    codebook: Float[Tensor, ""]
    commitment: Float[Tensor, ""]


class _Batch(NamedTuple):
    """Statistics of one training pass over all workers: (K/M) n_k, (K/M) s_k, and a replacement for each code.

    The replacement is a vector of the batch, and is used only if the code is dead.
    """

    counts: Float[Tensor, " codes"]
    sums: Float[Tensor, "codes dim"]
    candidates: Float[Tensor, "codes dim"]


class Quantiser(nn.Module):
    """A codebook of K = `size` codes of d = `dim` numbers.

    A forward pass in training mode stores the batch's statistics, and `update` uses them once.

    decay         of the moving averages; None: codes follow a gradient
    revive_below  share below which a code is moved to a vector of the batch; 0: never
    stream        prefix of the names of the noise streams
    """

    codes: Tensor
    shares: Tensor

    def __init__(
        self,
        size: int,
        dim: int,
        *,
        decay: float | None = 0.99,
        revive_below: float = 0.05,
        stream: str = "codebook",
    ):
        super().__init__()
        require_whole("codes", size, least=2)
        require_whole("dim", dim)
        if decay is not None and not is_share(decay):
            raise ConfigError(
                f"decay = {decay!r} cannot be used: give a number from 0 to below 1, or null for gradients"
            )
        if not is_share(revive_below):
            raise ConfigError(f"revive_below = {revive_below!r} cannot be used: give a share from 0 (never) to below 1")
        start = torch.randn(size, dim)
        self.codes = nn.Parameter(start) if decay is None else nn.Buffer(start)
        self.shares = nn.Buffer(torch.ones(size))
        self.decay = decay
        self.revive_below = revive_below
        self.stream = stream
        self._batch: _Batch | None = None

    def forward(self, z: Float[Tensor, "batch dim *positions"], noise: Noise) -> Quantised:
        """Return the nearest codes and the losses; in training mode, also store the statistics that `update` needs."""
        vectors = _vectors(z)
        indices = self.nearest(vectors)
        chosen = F.embedding(indices, self.codes)
        if self.training:
            self._batch = self._statistics(vectors.detach(), indices, noise)
        return Quantised(
            straight=_grid(vectors + (chosen - vectors).detach(), z),
            indices=indices.view(len(z), *z.shape[2:]),
            codebook=(vectors.detach() - chosen).square().mean(),
            commitment=(vectors - chosen.detach()).square().mean(),
        )

    def indices(self, z: Float[Tensor, "batch dim *positions"]) -> Int[Tensor, "batch *positions"]:
        """Return the index k(z) of the nearest code at each position."""
        return self.nearest(_vectors(z)).view(len(z), *z.shape[2:])

    def lookup(self, indices: Int[Tensor, "batch *positions"]) -> Float[Tensor, "batch dim *positions"]:
        """Return the code e_k for each index k."""
        return F.embedding(indices, self.codes).movedim(-1, 1)

    @torch.no_grad()
    def nearest(self, vectors: Float[Tensor, "vectors dim"]) -> Int[Tensor, " vectors"]:
        """Return the index of the nearest code of each vector; of equally near codes, the lowest index.

        It is computed as argmin_k |e_k|^2 - 2 z.e_k, in float32 or better.
        """
        dtype = torch.promote_types(vectors.dtype, torch.float32)
        codes = self.codes.to(dtype)
        squares = codes.square().sum(dim=1)
        chunks = vectors.to(dtype).split(VECTORS_AT_ONCE)
        return torch.cat([torch.addmm(squares, chunk, codes.T, alpha=-2).argmin(dim=1) for chunk in chunks])

    @torch.no_grad()
    def update(self) -> None:
        """Update the shares (and the codes, if they follow moving averages), then move dead codes.

        Call this after each step of the optimiser. It uses the statistics of the last training pass; if there was none
        since the last call, it does nothing.
        """
        if self._batch is None:
            return
        batch, self._batch = self._batch, None
        self._average(batch, USAGE_DECAY if self.decay is None else self.decay)
        self._revive(batch, self.revive_below)

    @torch.no_grad()
    def start(self, z: Float[Tensor, "batch dim *positions"], noise: Noise) -> None:
        """Set the codes by k-means on the vectors of z.

        Codes start at K random vectors. At each of 10 steps of Lloyd (1982) a code moves to the mean of the vectors
        nearest to it, or to a random vector if there are none. All workers must pass the same z; they end with the same
        codes.
        """
        vectors = _vectors(z)
        if not len(vectors):
            return
        order = noise.permutation(f"{self.stream}/start", len(vectors)).to(z.device)
        vectors = vectors[order[:START_VECTORS]]
        self.codes.copy_(vectors[torch.arange(len(self.codes), device=z.device) % len(vectors)])
        for step in range(START_STEPS):
            alone = replace(noise, rank=0, world=1, step=step)
            batch = self._statistics(vectors, self.nearest(vectors), alone, is_summed=False)
            self._average(batch, decay=0.0)
            self._revive(batch, torch.finfo(self.shares.dtype).tiny)
        self.shares.fill_(1.0)

    def perplexity(self) -> Float[Tensor, ""]:
        """Return exp of the entropy of the shares: K if all codes are used equally often, 1 if only one is used.

        The shares are averages over the last training batches.
        """
        return perplexity(self.shares)

    def _average(self, batch: _Batch, decay: float) -> None:
        shares = decay * self.shares + (1 - decay) * batch.counts
        if self.decay is not None or decay == 0:
            sums = decay * self.shares[:, None] * self.codes + (1 - decay) * batch.sums
            is_used = shares > torch.finfo(shares.dtype).tiny  # a code without vectors does not move
            self.codes.copy_(torch.where(is_used[:, None], sums / shares[:, None], self.codes))
        self.shares.copy_(shares)

    def _revive(self, batch: _Batch, below: float) -> None:
        is_dead = self.shares < below
        self.codes.copy_(torch.where(is_dead[:, None], batch.candidates, self.codes))
        self.shares.masked_fill_(is_dead, 1.0)

    @torch.no_grad()
    def _statistics(
        self,
        vectors: Float[Tensor, "vectors dim"],
        indices: Int[Tensor, " vectors"],
        noise: Noise,
        is_summed: bool = True,
    ) -> _Batch:
        """Return the statistics of the global batch, of which `vectors` are this worker's part.

        If is_summed, all three statistics are summed over the workers in one message.
        """
        size, local = len(self.codes), len(vectors)
        total = local * noise.world
        owners = F.one_hot(indices, size).to(vectors.dtype)  # a product sums in a fixed order on every device
        order = noise.permutation(f"{self.stream}/revive", total).to(vectors.device)
        drawn = order[torch.arange(size, device=vectors.device) % total] - noise.rank * local
        is_mine = (drawn >= 0) & (drawn < local)
        candidates = vectors[drawn.clamp(0, local - 1)] * is_mine[:, None]
        mine = torch.cat([owners.sum(dim=0)[:, None], owners.T @ vectors, candidates], dim=1)
        found = sum_over_workers(mine) if is_summed else mine
        counts, sums, candidates = found.split([1, vectors.shape[1], vectors.shape[1]], dim=1)
        return _Batch(counts[:, 0] * size / total, sums * size / total, candidates)


def is_share(value: object) -> bool:
    """Return whether value is a number from 0 to below 1."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def perplexity(weights: Float[Tensor, " codes"]) -> Float[Tensor, ""]:
    """Return exp H(p) = exp(-sum_k p_k log p_k), where p is proportional to the weights."""
    p = weights / weights.sum()
    return (-torch.xlogy(p, p).sum()).exp()


def _vectors(z: Float[Tensor, "batch dim *positions"]) -> Float[Tensor, "vectors dim"]:
    return z.movedim(1, -1).reshape(-1, z.shape[1])


def _grid(vectors: Float[Tensor, "vectors dim"], like: Float[Tensor, "batch dim *positions"]) -> Tensor:
    return vectors.view(len(like), *like.shape[2:], like.shape[1]).movedim(-1, 1)
