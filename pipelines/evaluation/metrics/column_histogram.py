"""The likelihood of a model without a network, in which the columns of a table are independent: a floor for densities.

- A column of numbers has a histogram of equal bins, whose width is chosen by the likelihood of validation rows. If its
  numbers are multiples of a step (such as 0.01 for a price), a bin holds a whole number of steps, and a value of
  probability P(x) has the density P(x)/step, as it has in the models. So it is with numbers that nobody said to be on a
  grid, if all training rows are; and no bin of them is narrower than the least distance between two of the rows.
  Otherwise a bin around a rounded number, such as 5.1, could be as narrow as it likes, and its density as large.
- A flag (0 or 1) or a category has, for each of its values, the fraction of the training rows with that value.

So that no row has probability 0, each column counts one training row more than there are. In a column of numbers this
row is spread over the line by a Cauchy distribution, in a flag or category evenly over the values.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.layers.levels import Coordinates

HALVINGS = 10  # how often the range of a continuous column is halved for the narrowest bins, which are then 1024
NEAR = 1e-3  # of a step: a number so near to a multiple is one; float32 and differences of decimals miss it by less
MOST_BINS = 2**20  # of a column of whole numbers, such as seconds of several years
LEAST_RANGE = 1e-6  # the range of a column that is constant in the training rows


def independent_columns_log_prob(
    train: Float[Tensor, "train dim"],
    validation: Float[Tensor, "validation dim"],
    test: Float[Tensor, "test dim"],
    columns: Coordinates,
) -> Float[Tensor, " test"]:
    """Return the log density of each test row, in nats, in the data's units.

    columns: which numbers of a row are flags, categories or on a grid
    """
    train, validation, test = train.double(), validation.double(), test.double()
    total = torch.zeros(len(test), dtype=torch.float64)
    for first, end in columns.groups:
        total += _of_values(train[:, first:end].argmax(dim=1), test[:, first:end].argmax(dim=1), end - first)
    for flag in columns.flags:
        total += _of_values(train[:, flag].long(), test[:, flag].long(), 2)
    for number in columns.numbers:
        total += _of_numbers(train[:, number], validation[:, number], test[:, number], columns.steps[number])
    return total


def _of_values(train: Tensor, test: Tensor, values: int) -> Tensor:
    counts = torch.bincount(train, minlength=values).double() + 1 / values
    return (counts / counts.sum()).log()[test]


def _of_numbers(train: Tensor, validation: Tensor, test: Tensor, step: float) -> Tensor:
    """Return the log density of a column's test values, with the bin width under which validation rows are likeliest.

    step: the distance between neighbouring values of the column; 0 if it is continuous
    """
    least, span = step, (train.max() - train.min()).item()
    if not step:
        least, is_grid = _gap(train)
        step = least if is_grid and span < least * 2**HALVINGS else 0.0
    low, span = train.min().item(), max(span + step, LEAST_RANGE)
    halvings = math.ceil(math.log2(span / step)) if step else HALVINGS
    widths = [step * 2**k if step else span / 2**k for k in range(halvings + 1)]
    widths = [width for width in widths if width >= least and span < width * MOST_BINS] or [span]
    best = max(widths, key=lambda width: _log_density(train, validation, low, span, width, step).mean().item())
    return _log_density(train, test, low, span, best, step)


def _gap(train: Tensor) -> tuple[float, bool]:
    """Return the least distance between two values, 0 if all are equal, and whether all are multiples of it apart."""
    values = train.unique()
    if len(values) < 2:
        return 0.0, False
    gap = values.diff().min()
    places = (values - values[0]) / gap
    return gap.item(), bool(((places - places.round()).abs() < NEAR).all())


def _log_density(train: Tensor, x: Tensor, low: float, span: float, width: float, step: float) -> Tensor:
    bins = max(1, math.ceil(span / width - 1e-9))

    def bin_of(rows: Tensor) -> Tensor:
        return ((rows + step / 2 - low) / width).floor()

    counts = torch.bincount(bin_of(train).long().clamp(0, bins - 1), minlength=bins).double()
    place = bin_of(x)
    is_inside = (x >= low) & (x <= low + span - step)
    inside = torch.where(is_inside, counts[place.long().clamp(0, bins - 1)] / width, 0.0)
    from_middle = (x - low - span / 2) / span
    spread = 1 / (math.pi * span * (1 + from_middle.square()))
    return ((inside + spread) / (len(train) + 1)).log()
