"""The projection of a convolution's kernel onto sigma_max <= 1, sigma_max that of the operator.

The kernel is divided by max(1, sigma_max): clipping single singular values, as operator_norm.py does for matrices,
would leave the kernels. The singular values of a convolution lie dense near the largest, where the power method
creeps. So sigma_max is taken from block Krylov iterations (Musco and Musco, 2015): the largest value on the span of
V, A'A V, ..., (A'A)^DEPTH V, whose error falls with the square of the depth where the power method's falls with it.
A block near the BLOCK leading vectors is kept from step to step. The estimate is a lower bound, so iterations go on
until one adds less than GROWTH.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from gen_models.layers.operators import Convolution, Operator

BLOCK = 4
DEPTH = 3
GROWTH = 1e-5  # a tenth of what a projected sigma_max may stay above 1
ROUNDS = 20


class ConvolutionBall(nn.Module):
    """Keeps one kernel inside sigma_max <= 1, and a block near the leading vectors across steps."""

    v: Tensor

    def __init__(self, operator: Convolution):
        super().__init__()
        self.operator = operator
        generator = torch.Generator().manual_seed(0)  # whichever directions the iterations start from
        self.v = nn.Buffer(torch.randn(BLOCK, *operator.in_shape, generator=generator))

    @torch.no_grad()
    def project(self, weight: Float[Tensor, "outputs inputs kh kw"]) -> None:
        """W <- W / max(1, sigma_max), in place."""
        if not weight.isfinite().all():
            return  # the loss of such a weight is not finite either, and it stops the training
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
    """(sigma_max on the Krylov space of the block v, never above the operator's own; v moved to the leading vectors).

    Moved by projection onto their span: singular vectors themselves have no sign, and where values tie no direction.
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
    """An orthonormal basis of a space that holds the rows: as many as there are, at most one for each input."""
    return torch.linalg.qr(v.flatten(1).mT).Q.mT.reshape(-1, *v.shape[1:])
