"""The score `mean_rank`: the mean, over all other scores of the model, of the row's rank among training rows' scores.

The rank of a score is the fraction of training rows that have a smaller score, plus half the fraction with the same
score. All scores have the same weight, which needs neither labels nor a common unit (Aggarwal and Sathe, 2015,
"Theoretical foundations and algorithms for outlier ensembles", average standardised scores instead). `mean_rank` misses
anomalies that only one of many scores finds, because the mean hides them. It does not tell rows apart whose scores are
all larger than those of every training row: they all have the rank 1. A model with a single score has no `mean_rank`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.anomalies.score import Asked, Score, State


def rank(reference: Float[Tensor, " rows"], values: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Return (#{reference < v} + #{reference <= v}) / (2 rows) for each value v; `reference` is sorted."""
    values = values.to(reference.dtype).contiguous()
    counts = torch.searchsorted(reference, values) + torch.searchsorted(reference, values, right=True)
    return counts.to(reference.dtype) / (2 * len(reference))


def mean_rank(others: Sequence[Score]) -> Score:
    """Return the score `mean_rank`: the mean of the row's ranks in the scores `others` that the model offers."""

    def sorted_scores(asked: Asked) -> State | None:
        if len(asked.found) < 2:
            return None
        return {name: values.double().sort().values for name, values in asked.found.items()}

    def values(asked: Asked) -> Tensor:
        names = sorted(asked.state)  # a file may keep them in another order, and a sum rounds by its order
        ranks = [rank(asked.state[name].to(asked.x.device), asked.found[name]) for name in names]
        unknown = torch.stack([asked.found[name].isnan() for name in names]).any(dim=0)
        return torch.stack(ranks).mean(dim=0).masked_fill(unknown, torch.nan)

    return Score(
        "mean_rank",
        lambda model: any(score.offered(model) for score in others),
        values,
        sorted_scores,
        needs=tuple(score.name for score in others),
    )
