"""The projection of a convolution's kernel onto sigma_max <= 1, where sigma_max is that of the operator.

The kernel is divided by max(1, sigma_max). Clipping single singular values, as operator_norm.py does for matrices,
would give a map that is no convolution. The singular values of a convolution lie dense near the largest, where the
power method converges slowly. Therefore sigma_max comes from block Krylov iterations (Musco and Musco, 2015): it is the
largest value on the span of V, A'A V, ..., (A'A)^DEPTH V. The error falls with the square of the depth, where the power
method's falls with the depth. A block near the BLOCK leading vectors is kept from step to step. The estimate is a lower
bound, so iterations continue until one raises it by less than the share GROWTH.
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
    """A projection that keeps one kernel inside sigma_max <= 1, with a block near the leading vectors as state."""

    v: Tensor

    def __init__(self, operator: Convolution):
        super().__init__()
        self.operator = operator
        generator = torch.Generator().manual_seed(0)  # the directions where the iterations start do not matter
        self.v = nn.Buffer(torch.randn(BLOCK, *operator.in_shape, generator=generator))

    @torch.no_grad()
    def project(self, weight: Float[Tensor, "outputs inputs kh kw"]) -> None:
        """Set W <- W / max(1, sigma_max), in place."""
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
    """Return (sigma_max on the Krylov space of the block v, v moved towards the leading vectors).

    This sigma_max never exceeds the operator's own. v is moved by projecting it onto the span of the leading vectors;
    the singular vectors themselves have no sign, and where values tie no direction.
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
    """Return an orthonormal basis of a space that contains the rows, with as many vectors but at most one per input."""
    return torch.linalg.qr(v.flatten(1).mT).Q.mT.reshape(-1, *v.shape[1:])
