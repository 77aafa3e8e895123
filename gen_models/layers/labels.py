"""Flags and categories of a table's rows as random variables, given logits f for each number of a row.

flags       0 or 1: y ~ Bernoulli(sigmoid f)
categories  one of k categories is k numbers, of which one is 1 and the others are 0. The i-th of them is 1 with
            probability softmax(f)_i
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from gen_models.layers.levels import Coordinates

PSEUDO_ROWS = 1.0  # rows added to the data's frequencies: a value that no row has keeps a finite log-probability


def with_prior(mean: Tensor, rows: float, prior: Tensor) -> Tensor:
    """Return the mean over `rows` rows, whose mean is `mean`, and PSEUDO_ROWS more rows, whose mean is `prior`."""
    return (rows * mean + PSEUDO_ROWS * prior) / (rows + PSEUDO_ROWS)


class Labels(nn.Module):
    """The distribution of the flags and categories of a row; functions of logits that are as wide as the row.

    columns  the kind of each number of a row; the logits of other numbers have no effect
    """

    flags: Tensor

    def __init__(self, columns: Coordinates):
        super().__init__()
        self.groups = columns.groups
        self.flags = nn.Buffer(torch.tensor(columns.flags, dtype=torch.int64), persistent=False)

    def even(self, like: Tensor) -> Tensor:
        """Return a row with 1/2 for each flag and 1/k for each of k categories; the shape and dtype are those given."""
        even = torch.full_like(like, 0.5)
        for first, end in self.groups:
            even[first:end] = 1 / (end - first)
        return even

    def log_probs(self, y: Tensor, logits: Tensor) -> Iterator[Tensor]:
        """Yield log P of all flags of rows y, then of each category, in nats; y and logits are broadcast."""
        flags = logits[..., self.flags]
        yield (y[..., self.flags] * flags - softplus(flags)).sum(dim=-1)
        for first, end in self.groups:
            yield (y[..., first:end] * torch.log_softmax(logits[..., first:end], dim=-1)).sum(dim=-1)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the probabilities of flags and categories; other numbers stay as they are."""
        y = logits.clone()
        y[..., self.flags] = torch.sigmoid(logits[..., self.flags])
        for first, end in self.groups:
            y[..., first:end] = torch.softmax(logits[..., first:end], dim=-1)
        return y

    def logits(self, p: Tensor) -> Tensor:
        """Return the logits of labels with probabilities p; those of numbers that are no labels mean nothing."""
        logits = p.log()
        logits[..., self.flags] = torch.logit(p[..., self.flags])
        return logits

    def draw(self, probabilities: Tensor, u: Tensor) -> Tensor:
        """Return rows whose labels are drawn with these probabilities; other numbers stay as they are.

        u  (rows, numbers of a row), uniform on [0, 1); of a category only the first is used
        """
        y = probabilities.clone()
        y[:, self.flags] = (u[:, self.flags] < y[:, self.flags]).to(y.dtype)
        for first, end in self.groups:
            is_passed = y[:, first:end].cumsum(dim=1) <= u[:, first : first + 1]
            y[:, first:end] = one_hot(is_passed.sum(dim=1).clamp(max=end - first - 1), end - first).to(y.dtype)
        return y
