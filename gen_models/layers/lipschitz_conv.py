"""A convolutional critic that is 1-Lipschitz because each of its layers is; it has DCGAN's shape without batch norm.

Batch norm would make the rows of a batch depend on each other and divide by their spread. Neither a Lipschitz bound nor
a gradient penalty on single rows would then have a meaning (Gulrajani et al., 2017, section 4). Unlike DCGAN's
discriminator, this critic does not rescale its input, so distances between images are in network units.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from gen_models.layers.arguments import require_choice
from gen_models.layers.convolution_norm import ConvolutionBall
from gen_models.layers.dcgan import halved_sizes, halving, layer_widths, require_odd
from gen_models.layers.lipschitz import KEPT_BY, MaxMin
from gen_models.layers.operator_norm import UnitBall
from gen_models.layers.operators import Convolution, Matrix
from gen_models.layers.spectral_norm import normalise


class LipschitzConv(nn.Module):
    """A network (batch, C, H, W) -> (batch,) for event_shape = [C, H, W].

    It halves the image repeatedly and ends with a linear layer without bias.

    channels  of the first convolution's output; each further convolution has twice as many
    kernel    side of the convolutions' kernels, an odd number
    kept_by   as in LipschitzMLP; the norm of a convolution is its operator norm for the size of image that it receives
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        channels: int,
        kernel: int = 3,
        activation: Callable[[], nn.Module] = MaxMin,
        kept_by: str = "projection",
    ):
        super().__init__()
        require_choice("kept_by", kept_by, KEPT_BY)
        require_odd(kernel)
        sizes = halved_sizes(event_shape)
        widths = [event_shape[0], *layer_widths(channels, len(sizes) - 1)]
        convs = [halving(n, m, kernel) for n, m in pairwise(widths)]
        last = nn.Linear(widths[-1] * sizes[-1][0] * sizes[-1][1], 1, bias=False)
        self.layers = cast(Sequence[nn.Conv2d | nn.Linear], nn.ModuleList([*convs, last]))
        self.activation = activation()
        self.operators = [Convolution((n, *size), 2, kernel // 2) for n, size in zip(widths, sizes[:-1], strict=False)]
        balls = [*(ConvolutionBall(operator) for operator in self.operators), UnitBall(last.in_features)]
        self.balls = cast(Sequence[UnitBall], nn.ModuleList(balls if kept_by == "projection" else []))
        self.project()
        if kept_by == "normalisation":
            for conv, operator in zip(convs, self.operators, strict=True):
                normalise(conv, operator)
            normalise(last, Matrix(last.in_features))

    def forward(self, y: Float[Tensor, "batch channels height width"]) -> Float[Tensor, " batch"]:
        *convs, last = self.layers
        for conv in convs:
            y = self.activation(conv(y))
        return last(y.flatten(1)).squeeze(1)

    def project(self) -> None:
        """Restore sigma_max <= 1 for every layer, in place; call it after each ascent step of the critic.

        Unless kept_by is "projection" it does nothing.
        """
        for layer, ball in zip(self.layers, self.balls, strict=False):  # there are no balls without projection
            ball.project(layer.weight)
