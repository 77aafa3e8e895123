"""The likelihood p(y|z) of a table whose columns differ in kind, as a function of the decoder's output f(z).

    numbers     continuous, or dequantised from a grid: y ~ N(f, sigma^2), with one sigma for all, in network units
    flags       y ~ Bernoulli(sigmoid f)
    categories  one of k categories is k numbers of y, of which one is 1 and the others are 0. The i-th of them is 1
                with probability softmax(f)_i

To the f of a flag the log-odds of the data are added first, to the f of a category the log frequencies of the data.
log p is the sum over columns, in nats. Flags and categories have probabilities, which do not depend on a unit. Numbers
have a density in network units, so the caller adds the log-determinant of their scaling to get the data's units.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from gen_models.autoencoders.likelihoods import PSEUDO_ROWS, GaussianLikelihood, Likelihood
from gen_models.layers.levels import Coordinates


class MixedLikelihood(Likelihood):
    """A likelihood of rows y of a table in which flags and categories are 0 and 1, not scaled.

    columns          the kind of each number of a row
    sigma, variance  of the numbers, see GaussianLikelihood; in a table without numbers sigma stays as given
    """

    shift: Tensor
    numbers: Tensor
    flags: Tensor

    def __init__(self, columns: Coordinates, *, sigma: float, variance: str):
        super().__init__()
        dim, labels = len(columns.steps), columns.labels
        numbers = [i for i in range(dim) if i not in labels]
        self.gaussian = GaussianLikelihood(sigma, variance if numbers else "fixed")
        self.groups = columns.groups
        self.numbers = nn.Buffer(torch.tensor(numbers, dtype=torch.int64), persistent=False)
        self.flags = nn.Buffer(torch.tensor(columns.flags, dtype=torch.int64), persistent=False)
        self.shift = nn.Buffer(torch.zeros(dim))

    def start(self, mean, rows):
        """Set what is added to f: the log-odds of flags and the log frequencies of categories.

        mean  the mean of y over `rows` rows
        """
        flags = mean[self.flags]
        self.shift[self.flags] = torch.logit((rows * flags + 0.5 * PSEUDO_ROWS) / (rows + PSEUDO_ROWS))
        for first, end in self.groups:
            counts = rows * mean[first:end] + PSEUDO_ROWS / (end - first)
            self.shift[first:end] = (counts / (rows + PSEUDO_ROWS)).log()

    def std(self) -> Tensor | float:
        """Return sigma, the decoder's standard deviation of columns that are numbers, after they were standardised."""
        return self.gaussian.std()

    def log_prob(self, y, f):
        logits = f + self.shift
        log_p = self.gaussian.log_prob(y[..., self.numbers], logits[..., self.numbers])
        flags = logits[..., self.flags]
        log_p = log_p + (y[..., self.flags] * flags - softplus(flags)).sum(dim=-1)
        for first, end in self.groups:
            log_p = log_p + (y[..., first:end] * torch.log_softmax(logits[..., first:end], dim=-1)).sum(dim=-1)
        return log_p

    def mean(self, f):
        """Return E(y|f): f itself for numbers, probabilities for flags and categories."""
        logits = f + self.shift
        y = logits.clone()
        y[..., self.flags] = torch.sigmoid(logits[..., self.flags])
        for first, end in self.groups:
            y[..., first:end] = torch.softmax(logits[..., first:end], dim=-1)
        return y

    def draw(self, f, noise):
        """Draw numbers from the stream "likelihood", and flags and categories from "likelihood.label"."""
        y = self.mean(f)
        u = noise.uniform("likelihood.label", f.shape, like=f)
        y[:, self.numbers] = self.gaussian.draw(y[:, self.numbers], noise)
        y[:, self.flags] = (u[:, self.flags] < y[:, self.flags]).to(f.dtype)
        for first, end in self.groups:
            is_passed = y[:, first:end].cumsum(dim=1) <= u[:, first : first + 1]
            y[:, first:end] = one_hot(is_passed.sum(dim=1).clamp(max=end - first - 1), end - first).to(f.dtype)
        return y
