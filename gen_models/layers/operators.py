"""Linear maps that are defined by a weight: each map and its adjoint, applied to several vectors at once.

A convolution is a linear map of images, and its operator norm is the norm of this map for the image size that it sees.
Spectral normalisation first used another norm, the norm of the kernel reshaped to a matrix with a row for each output
channel (Miyato et al., 2018). For kernels of side s the operator norm is at most s times as large, and may also be
smaller.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, linear


@runtime_checkable
class Operator(Protocol):
    """The interface of a linear map A that depends on a weight.

    A call returns A v for k vectors v, `adjoint` returns A^T u for k vectors u, and `in_shape` is the shape of one v.
    """

    @property
    def in_shape(self) -> tuple[int, ...]: ...

    def __call__(self, weight: Tensor, v: Float[Tensor, "k *inputs"]) -> Float[Tensor, "k *outputs"]: ...

    def adjoint(self, weight: Tensor, u: Float[Tensor, "k *outputs"]) -> Float[Tensor, "k *inputs"]: ...


@dataclass(frozen=True)
class Matrix:
    """The map v -> W v, where the weight W has the shape (rows, columns)."""

    columns: int

    @property
    def in_shape(self) -> tuple[int, ...]:
        return (self.columns,)

    def __call__(self, weight: Tensor, v: Float[Tensor, "k columns"]) -> Float[Tensor, "k rows"]:
        return linear(v, weight)

    def adjoint(self, weight: Tensor, u: Float[Tensor, "k rows"]) -> Float[Tensor, "k columns"]:
        return linear(u, weight.mT)


@dataclass(frozen=True)
class Convolution:
    """The map conv2d of images of shape `image` (channels, height, width), padded with zeros, without bias."""

    image: tuple[int, int, int]
    stride: int = 1
    padding: int = 0

    @property
    def in_shape(self) -> tuple[int, ...]:
        return self.image

    def __call__(
        self, weight: Float[Tensor, "outputs inputs kh kw"], v: Float[Tensor, "k inputs height width"]
    ) -> Float[Tensor, "k outputs height_out width_out"]:
        return conv2d(v, weight, stride=self.stride, padding=self.padding)

    def adjoint(
        self, weight: Float[Tensor, "outputs inputs kh kw"], u: Float[Tensor, "k outputs height_out width_out"]
    ) -> Float[Tensor, "k inputs height width"]:
        left = [  # rows and columns that the stride never reached
            side - ((out - 1) * self.stride - 2 * self.padding + kernel)
            for side, out, kernel in zip(self.image[1:], u.shape[2:], weight.shape[2:], strict=True)
        ]
        return conv_transpose2d(u, weight, stride=self.stride, padding=self.padding, output_padding=left)


def materialised(operator: Operator, weight: Tensor) -> Float[Tensor, "rows columns"]:
    """Return the matrix of the operator, with a column for each number of an input. Call it for small operators."""
    n = torch.Size(operator.in_shape).numel()
    identity = torch.eye(n, dtype=weight.dtype, device=weight.device).unflatten(1, operator.in_shape)
    return operator(weight, identity).flatten(1).mT
