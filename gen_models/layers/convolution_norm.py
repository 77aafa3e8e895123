"""The projection of a convolution's kernel onto sigma_max <= 1, the operator norm of the convolution as a linear map A.

The kernel is divided by max(1, sigma_max). Clipping single singular values, as operator_norm.py does for matrices,
would give a map that is no convolution. The singular values of a convolution lie dense near the largest, where the
power method converges slowly. Therefore sigma_max comes from block Krylov iterations (Musco and Musco, 2015): for a
block V of BLOCK vectors, it is the largest singular value of A on the span of V, A'A V, ..., (A'A)^DEPTH V. The error
falls with the square of the depth, where the power method's falls with the depth. V is kept from one training step to
the next, and moves towards the BLOCK leading singular vectors. The estimate is a lower bound, so iterations continue
until one raises it by a fraction of at most GROWTH.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from gen_models.layers.operators import Convolution, Operator

BLOCK = 4
DEPTH = 3
GROWTH = 1e-5  # a tenth of how far a projected sigma_max may stay above 1
ROUNDS = 20


class ConvolutionBall(nn.Module):
    """A projection of one kernel onto sigma_max <= 1; `v` holds the block of vectors from which iterations start."""

    v: Tensor

    def __init__(self, operator: Convolution):
        super().__init__()
        self.operator = operator
        generator = torch.Generator().manual_seed(0)  # the directions where the iterations start do not matter
        self.v = nn.Buffer(torch.randn(BLOCK, *operator.in_shape, generator=generator))

    @torch.no_grad()
    def project(self, weight: Float[Tensor, "outputs inputs kh kw"]) -> None:
        """Set W <- W / max(1, sigma_max), in place; a kernel that is not finite is left as it is."""
        if not weight.isfinite().all():
            return  # the loss is then not finite either, and that stops the training
        sigma = weight.new_zeros(())
        for _ in range(ROUNDS):
            before = sigma
            sigma, vectors = largest(self.operator, weight, self.v)
            self.v.copy_(vectors)
            if sigma <= (1 + GROWTH) * before:
                break
        weight.div_(sigma.clamp_min(1))


def largest(
    operator: Operator, weight: Tensor, v: Float[Tensor, "block *inputs"]
) -> tuple[Float[Tensor, ""], Float[Tensor, "block *inputs"]]:
    """Return (sigma_max on the Krylov space of the block v, the block v moved towards the leading singular vectors).

    This sigma_max never exceeds the operator's own. v is projected onto the span of the leading singular vectors. It is
    not replaced by them, because their signs are arbitrary, and so are their directions where singular values tie.
    """
    blocks = [orthonormal(v)]
    for _ in range(DEPTH):
        blocks.append(orthonormal(operator.adjoint(weight, operator(weight, blocks[-1]))))
    basis = orthonormal(torch.cat(blocks))
    images = operator(weight, basis).flatten(1)
    squares, combinations = torch.linalg.eigh(images @ images.mT)
    leading = combinations[:, -len(v) :].mT @ basis.flatten(1)
    followed = v.flatten(1) @ leading.mT @ leading
    return squares[-1].clamp_min(0).sqrt(), normalize(followed, dim=1).view_as(v)


def orthonormal(v: Float[Tensor, "k *inputs"]) -> Float[Tensor, "rows *inputs"]:
    """Return an orthonormal basis of a space that contains the k vectors v.

    It has min(k, n) vectors, where n is how many numbers each vector has.
    """
    return torch.linalg.qr(v.flatten(1).mT).Q.mT.reshape(-1, *v.shape[1:])
