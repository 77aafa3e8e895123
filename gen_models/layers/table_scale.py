"""The map between rows of a table and y in network units, where columns differ in kind; see levels.py.

A discrete number x whose neighbouring values are a step s away is dequantised: y = (x + s u - shift)/scale, with u
uniform on [0, 1). Its cell [x, x + s) has the volume s, so E_u log p(x + s u) <= log(P(x)/s), which is log P(x) for
s = 1. Shift and scale are the mean and standard deviation of the dequantised training rows, so a discrete column has a
positive scale even where it is constant.

Times in seconds or pressures in pascals have more digits than float32 holds. Rows are therefore shifted and scaled in
float64, and only y has the network's dtype.
"""

from collections.abc import Sequence
from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gen_models.layers.data_scale import MIN_STD, DataScale
from gen_models.layers.levels import Column, Levels, coordinates, is_table
from gen_models.noise import Noise

EXACT = ("shift", "exact_scale", "step", "over", "under", "least", "most")  # in float64, whatever the network's dtype
LONGEST = (2**20, 2**53)  # bounds on numerator and denominator of a step; beyond them float64 has no exact multiples


def scale_of(event_shape: Sequence[int], levels: Levels) -> DataScale:
    """Return the map for these data: a TableScale if `levels` lists the columns of a table, else a DataScale."""
    return TableScale(event_shape, levels) if is_table(levels) else DataScale(event_shape, levels)


class TableScale(DataScale):
    """The map y = (x + s u - shift)/scale of a table's rows, with s = 0 for continuous columns.

    The attribute `levels` is None: there are no grey levels. `scale` is a copy of `exact_scale` in the network's dtype.
    `quantise` and `drawn` return rows that the table could hold: a discrete column has multiples of its step, between
    the least and the largest value that `fit` saw. `quantise` moves a number beyond an end of this range to the end.
    Draws would pile up there, so `drawn` reflects them at the end (Schuster, 1985, for kernel densities). If such rows
    were drawn again, components near an end would become too rare. Both move flags to the nearer of 0 and 1.
    """

    exact_scale: Tensor
    step: Tensor
    over: Tensor
    under: Tensor
    least: Tensor
    most: Tensor
    is_discrete: Tensor

    def __init__(self, event_shape: Sequence[int], columns: Sequence[Column]):
        super().__init__(event_shape, None)
        self.columns = coordinates(columns, event_shape)
        step = torch.tensor(self.columns.steps, dtype=torch.float64)
        fractions = torch.tensor([_fraction(s) for s in self.columns.steps], dtype=torch.float64)
        is_flag = torch.zeros(self.event_shape, dtype=torch.bool)
        is_flag[list(self.columns.flags)] = True
        self.shift = nn.Buffer(torch.zeros_like(step))
        self.exact_scale = nn.Buffer(torch.ones_like(step))
        self.least = nn.Buffer(torch.where(is_flag, 0.0, torch.full_like(step, -torch.inf)))  # in steps
        self.most = nn.Buffer(torch.where(is_flag, 1.0, torch.full_like(step, torch.inf)))
        self.is_flag = nn.Buffer(is_flag, persistent=False)
        self.is_discrete = nn.Buffer(step > 0, persistent=False)
        self.step = nn.Buffer(step, persistent=False)
        self.over = nn.Buffer(fractions[:, 0].clone(), persistent=False)  # a step is over/under
        self.under = nn.Buffer(fractions[:, 1].clone(), persistent=False)

    @property
    def is_dequantised(self) -> bool:
        """Whether `forward` adds random u: whether any column is discrete."""
        return any(self.columns.steps)

    def fit(self, x: Float[Tensor, "batch dim"]) -> None:
        """Set shift and scale to the mean and standard deviation of the dequantised rows of x.

        Also set the least and the largest value of each discrete column; for flags these are always 0 and 1.
        """
        x = x.double()
        low, high = x.amin(dim=0), x.amax(dim=0)
        std = (x.var(dim=0, correction=0) + self.step.square() / 12).sqrt()
        is_constant = ((low == high) & ~self.is_discrete) | (std == 0)
        self.shift.copy_(x.mean(dim=0) + self.step / 2)
        self.exact_scale.copy_(torch.where(is_constant, MIN_STD, std))
        self.scale.copy_(self.exact_scale)
        self.least.copy_(torch.where(self.is_flag, self.least, self._in_steps(low).round()))
        self.most.copy_(torch.where(self.is_flag, self.most, self._in_steps(high).round()))

    def log_det(self) -> Float[Tensor, ""]:
        return -self.exact_scale.log().sum().to(self.scale.dtype)

    def forward(self, x: Float[Tensor, "batch dim"], noise: Noise) -> Float[Tensor, "batch dim"]:
        """Return y for a likelihood; for discrete columns, u is drawn from the stream "dequantise" of the noise."""
        x = x.double()
        if self.is_dequantised:
            x = x + self.step * noise.uniform("dequantise", x.shape, like=x)
        return self._scaled(x)

    def centre(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Return y without noise; discrete columns use u = 1/2, the middle of a cell."""
        return self._scaled(x.double() + self.step / 2)

    def uncentre(self, y: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Return y, such as a decoder's mean, in the data's units and float64: the inverse of `centre`.

        The result for a discrete column may lie between its values.
        """
        return self._unscaled(y) - self.step / 2

    def quantise(self, y: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Return the rows in whose cells y falls, in float64.

        Of the numbers of a category, the largest becomes 1 and the others become 0.
        """
        x = self._unscaled(y)
        return self._row(x, self._in_steps(x).floor().clamp(self.least, self.most))

    def drawn(self, y: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        x = self._unscaled(y)
        return self._row(x, self._reflected(self._in_steps(x).floor()))

    def _row(self, x: Float[Tensor, "batch dim"], steps: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Return rows x with these numbers of steps in discrete columns, and with one 1 for each category."""
        row = torch.where(self.is_discrete, steps * self.over / self.under, x)
        for first, end in self.columns.groups:
            row[:, first:end] = one_hot(x[:, first:end].argmax(dim=1), end - first)
        return row

    def blank(self) -> Float[Tensor, " dim"]:
        return self.shift - self.step / 2

    def _reflected(self, steps: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """Return numbers of steps between `least` and `most`; the mirrors are the outer borders of these two cells."""
        count = self.most - self.least + 1
        place = torch.remainder(steps - self.least, 2 * count)  # the range, then its mirror image, repeat for ever
        reflected = self.least + torch.minimum(place, 2 * count - 1 - place)
        is_moved = self.is_flag | ~count.isfinite() | ~steps.isfinite()
        return torch.where(is_moved, steps.clamp(self.least, self.most), reflected)

    def _scaled(self, x: Tensor) -> Tensor:
        return ((x - self.shift) / self.exact_scale).to(self.scale.dtype)

    def _unscaled(self, y: Tensor) -> Tensor:
        return y.double() * self.exact_scale + self.shift

    def _in_steps(self, x: Tensor) -> Tensor:
        return x * self.under / self.over

    def _apply(self, fn, recurse=True):
        """Apply `fn` to all buffers, then undo a change of dtype for those in EXACT, which stay float64.

        `float()` and `double()` are meant for the network.
        """
        exact = {name: getattr(self, name) for name in EXACT}
        super()._apply(fn, recurse)
        for name, buffer in exact.items():
            setattr(self, name, buffer.to(self.scale.device))
        return self


class MixedScale(TableScale):
    """A TableScale that leaves flags and categories as 0 and 1, for a likelihood that gives them probabilities."""

    def __init__(self, event_shape: Sequence[int], columns: Sequence[Column]):
        super().__init__(event_shape, columns)
        self.step[self.columns.labels] = 0.0

    @property
    def is_dequantised(self) -> bool:
        return bool(self.step.any())

    def fit(self, x: Float[Tensor, "batch dim"]) -> None:
        super().fit(x)
        labels = self.columns.labels
        self.shift[labels] = 0.0
        self.exact_scale[labels] = self.scale[labels] = 1.0


def _fraction(step: float) -> tuple[float, float]:
    """Return a step as (numerator, denominator); (step, 1) if these would be too long for LONGEST.

    With them a value of 7 steps of 1/100 is the number 0.07 that was read from a file, which 7 * 0.01 is not.
    """
    whole = Fraction(repr(step)) if step else Fraction(1)
    is_short = whole.numerator < LONGEST[0] and whole.denominator < LONGEST[1]
    return (whole.numerator, whole.denominator) if is_short else (step, 1)
