"""The flags and categories of a mixture's rows: given the component k they are independent, with probabilities p_k.

With Gaussian numbers beside them this is the location mixture of Hunt and Jorgensen (1999). The M step is the mode of
p_k under a Dirichlet prior that adds PSEUDO_ROWS rows (layers/labels.py) with the frequencies of all rows. A value that
no row of a component has therefore keeps a probability, which is the larger the more common the value is.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.layers.labels import Labels, with_prior
from gen_models.layers.levels import Coordinates
from gen_models.noise import Noise


class ComponentLabels(nn.Module):
    """P(labels|k) for K components: a logit for each flag, and for each value of a category.

    columns     the kind of each number of a row
    components  K
    """

    at: Tensor

    def __init__(self, columns: Coordinates, components: int):
        super().__init__()
        self.labels = Labels(columns)
        self.at = nn.Buffer(torch.tensor(columns.labels, dtype=torch.int64), persistent=False)
        self.logits = nn.Parameter(torch.zeros(components, len(columns.labels)))

    def log_prob(self, y: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch components"]:
        """Return log P of the labels of each row y under each component."""
        none = torch.zeros(1, dtype=y.dtype, device=y.device)
        return sum(self.labels.log_probs(y[:, None], self._wide(y.shape[1])), start=none)

    def frequencies(self, y: Float[Tensor, "batch dim"]) -> Float[Tensor, " dim"]:
        """Return the mean of rows y and of PSEUDO_ROWS rows with even labels, so that no label's mean is 0 or 1."""
        mean = y.mean(dim=0)
        return with_prior(mean, len(y), self.labels.even(mean))

    @torch.no_grad()
    def set_from(self, k: int, mean: Float[Tensor, " dim"], rows: float, frequencies: Float[Tensor, " dim"]) -> None:
        """Set p_k from the mean over `rows` rows of the component and the frequencies of all rows."""
        self.logits[k] = self.labels.logits(with_prior(mean, rows, frequencies))[self.at]

    def draw(self, y: Float[Tensor, "batch dim"], k: Tensor, noise: Noise) -> Float[Tensor, "batch dim"]:
        """Return rows y with labels drawn from the components k, one for each row."""
        p = self.labels.probabilities(self._wide(y.shape[1]))[k][:, self.at]
        u = noise.uniform("mixture.label", y.shape, like=y)
        return self.labels.draw(y.index_copy(1, self.at, p), u)

    def _wide(self, dim: int) -> Float[Tensor, "components dim"]:
        """Return the logits at their places in rows of `dim` numbers."""
        wide = self.logits.new_zeros(len(self.logits), dim)
        return wide.index_copy(1, self.at, self.logits)
