"""The likelihood p(y|z) of a table whose columns differ in kind, as a function of the decoder's output f(z).

    numbers               continuous, or dequantised from a grid: y ~ N(f, sigma^2), with one sigma for all, in network
                          units
    flags and categories  have probabilities, whose logits are f: see layers/labels.py

To the f of a flag the log-odds of the data are added first, to the f of a category the log frequencies of the data.
log p is the sum over columns, in nats. Flags and categories have probabilities, which do not depend on a unit. Numbers
have a density in network units, so the caller adds the log-determinant of their scaling to get the data's units.
"""

import torch
from torch import Tensor, nn

from gen_models.autoencoders.likelihoods import GaussianLikelihood, Likelihood
from gen_models.layers.labels import Labels, with_prior
from gen_models.layers.levels import Coordinates


class MixedLikelihood(Likelihood):
    """A likelihood of rows y of a table in which flags and categories are 0 and 1, not scaled.

    columns          the kind of each number of a row
    sigma, variance  of the numbers, see GaussianLikelihood; in a table without numbers sigma stays as given
    """

    shift: Tensor
    numbers: Tensor

    def __init__(self, columns: Coordinates, *, sigma: float, variance: str):
        super().__init__()
        numbers = columns.numbers
        self.gaussian = GaussianLikelihood(sigma, variance if numbers else "fixed")
        self.labels = Labels(columns)
        self.numbers = nn.Buffer(torch.tensor(numbers, dtype=torch.int64), persistent=False)
        self.shift = nn.Buffer(torch.zeros(len(columns.steps)))

    def start(self, mean, rows):
        """Set what is added to f: the log-odds of flags and the log frequencies of categories.

        mean  the mean of y over `rows` rows
        """
        logits = self.labels.logits(with_prior(mean, rows, self.labels.even(mean)))
        self.shift.copy_(logits.index_fill(0, self.numbers, 0.0))

    def std(self) -> Tensor | float:
        """Return sigma, the decoder's standard deviation of columns that are numbers, after they were standardised."""
        return self.gaussian.std()

    def log_prob(self, y, f):
        logits = f + self.shift
        log_p = self.gaussian.log_prob(y[..., self.numbers], logits[..., self.numbers])
        return sum(self.labels.log_probs(y, logits), start=log_p)

    def mean(self, f):
        """Return E(y|f): f itself for numbers, probabilities for flags and categories."""
        return self.labels.probabilities(f + self.shift)

    def draw(self, f, noise):
        """Draw numbers from the stream "likelihood", and flags and categories from "likelihood.label"."""
        y = self.mean(f)
        u = noise.uniform("likelihood.label", f.shape, like=f)
        y[:, self.numbers] = self.gaussian.draw(y[:, self.numbers], noise)
        return self.labels.draw(y, u)
