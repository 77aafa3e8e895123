"""The flags and categories of a mixture's rows: given the component k they are independent, with probabilities p_k.

With Gaussian numbers beside them this is the location mixture of Hunt and Jorgensen (1999). The M step is the mode of
p_k under a Dirichlet prior that adds PSEUDO_ROWS rows (layers/labels.py) with the frequencies of all rows. A value that
no row of a component has therefore keeps a probability, which is the larger the more common the value is.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.layers.labels import PSEUDO_ROWS, Labels, with_prior
from gen_models.layers.levels import Coordinates
from gen_models.noise import Noise


class ComponentLabels(nn.Module):
    """P(labels|k) for K components: a logit for each flag, and for each value of a category.

    columns     the kind of each number of a row
    components  K
    """

    at: Tensor
    frequencies: Tensor
    rows: Tensor

    def __init__(self, columns: Coordinates, components: int):
        super().__init__()
        self.labels = Labels(columns)
        self.at = nn.Buffer(torch.tensor(columns.labels, dtype=torch.int64), persistent=False)
        self.logits = nn.Parameter(torch.zeros(components, len(columns.labels)))
        self.frequencies = nn.Buffer(self.labels.even(torch.empty(len(columns.steps))))  # of the labels in all rows
        self.rows = nn.Buffer(torch.tensor(math.inf))  # how many rows that were; inf: no prior yet

    def log_prob(self, y: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch components"]:
        """Return log P of the labels of each row y under each component."""
        none = torch.zeros(1, dtype=y.dtype, device=y.device)
        return sum(self.labels.log_probs(y[:, None], self._wide(y.shape[1])), start=none)

    @torch.no_grad()
    def fit_prior(self, y: Float[Tensor, "batch dim"]) -> None:
        """Set the prior's frequencies: the mean of all rows y and PSEUDO_ROWS rows with even labels, never 0 or 1."""
        mean = y.double().mean(dim=0)
        self.frequencies.copy_(with_prior(mean, len(y), self.labels.even(mean)))
        self.rows.fill_(len(y))

    @torch.no_grad()
    def set_from(self, k: int, mean: Float[Tensor, " dim"], rows: float) -> None:
        """Set p_k from the mean over `rows` rows of the component, and the prior."""
        p = with_prior(mean.double(), rows, self.frequencies.double())
        self.logits[k] = self.labels.logits(p)[self.at]

    def penalty(self) -> Float[Tensor, ""]:
        """Return -log of the prior's density at all p_k, up to a constant, divided by the rows of `fit_prior`.

        If these are some of the training rows only, the prior weighs as if it had proportionally more rows of its own.
        """
        return -PSEUDO_ROWS * self.log_prob(self.frequencies[None]).sum() / self.rows

    def draw(self, y: Float[Tensor, "batch dim"], k: Tensor, noise: Noise) -> Float[Tensor, "batch dim"]:
        """Return rows y with labels drawn from the components k, one for each row."""
        p = self.labels.probabilities(self._wide(y.shape[1]))[k][:, self.at]
        u = noise.uniform("mixture.label", y.shape, like=y)
        return self.labels.draw(y.index_copy(1, self.at, p), u)

    def _wide(self, dim: int) -> Float[Tensor, "components dim"]:
        """Return the logits at their places in rows of `dim` numbers."""
        wide = self.logits.new_zeros(len(self.logits), dim)
        return wide.index_copy(1, self.at, self.logits)
