"""The score `likelihood_ratio`: nll(x) + log p_0(x) in nats, where p_0 is a simple background density.

It needs a Density or a Bound; for a model without a density, -ELBO(x) takes the place of nll(x) = -log p(x). Under the
background all numbers of a row are independent. What makes a row likely whatever it shows, such as pixels that are
black in all images, is likely under the background too, and cancels (Ren et al., 2019, "Likelihood ratios for
out-of-distribution detection"). Ren et al. train a second model on noisy rows as the background; here p_0 is counted
from the training rows, which takes seconds. The score finds rows whose numbers do not belong together. It misses rows
that are unusual in single numbers, because the background calls them unusual as well.

p_0 of a number depends on its kind:

    grey levels    a histogram of each pixel: black, white, and at most 30 bins between
    binary pixels  the probability that a pixel is 1 is its mean in the training rows; the score uses the expectation
                   of log p_0 over the random draw of the binary pixels
    labels         the frequency of each category or flag
    other numbers  a logistic density with the column's mean and variance. A Gaussian would fall faster than the density
                   of most models, and so make a row more normal the farther it lies outside the data
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gen_models.anomalies.likelihood_scores import LIKELIHOODS, has_likelihood, likelihood
from gen_models.anomalies.score import NOISE, Asked, Score, State
from gen_models.evaluating import CHUNK_ROWS, as_sampled, by_rows
from gen_models.layers.levels import FLAG, Levels, coordinates, grey_levels, is_table

BINS = 30  # between black and white
EVEN = 0.5  # rows added to the count of each bin or label, so that none is impossible
LOGISTIC = math.sqrt(3) / math.pi  # scale of a logistic density with standard deviation 1


def fit_background(x: Float[Tensor, "rows *event"], levels: Levels) -> State:
    """Return the state of the background p_0, fitted to the training rows x.

    For grey levels it is the count of each bin of each pixel; else the mean, standard deviation and frequency of each
    number.
    """
    flat = x.flatten(1)
    if (q := grey_levels(levels)) is not None:
        return {"counts": torch.stack([_counts(part, q) for part in flat.split(CHUNK_ROWS)]).sum(dim=0)}
    step = _steps(levels, flat)
    flat = flat.double()
    mean, shares = flat.mean(dim=0), (flat.sum(dim=0) + EVEN) / (len(flat) + 2 * EVEN)
    return {"mean": mean, "std": (flat.var(dim=0, correction=0) + step.square() / 12).sqrt(), "shares": shares}


def log_background(state: State, x: Float[Tensor, "rows *event"], levels: Levels) -> Float[Tensor, " rows"]:
    """Return log p_0(x) of each row in nats, in the data's units; `state` is what `fit_background` returned."""
    flat = x.flatten(1)
    if (q := grey_levels(levels)) is not None:
        counts = state["counts"].to(flat.device).double() + EVEN
        table = (counts / counts.sum(dim=1, keepdim=True) / _widths(q).to(flat.device)).log()
        return table.gather(1, _bins(flat, q).T).sum(dim=0)
    mean, std, shares = (state[name].to(flat.device) for name in ("mean", "std", "shares"))
    flat = flat.double()
    scale = LOGISTIC * std.where(std > 0, 1.0)
    far = (flat - mean).abs() / scale
    numbers = -far - 2 * F.softplus(-far) - scale.log()
    numbers = numbers.where(std > 0, 0.0)  # a constant column
    columns = coordinates(levels, [flat.shape[1]]) if is_table(levels) else None
    for flag in columns.flags if columns else ():
        numbers[:, flag] = flat[:, flag] * shares[flag].log() + (1 - flat[:, flag]) * (-shares[flag]).log1p()
    for first, end in columns.groups if columns else ():
        numbers[:, first:end] = flat[:, first:end] * (shares[first:end] / shares[first:end].sum()).log()
    return numbers.sum(dim=1)


def _widths(q: int) -> Float[Tensor, " bins"]:
    """Return how many of the q grey levels lie in each bin."""
    return torch.bincount(_bins(torch.arange(float(q)), q)).double()


def _bins(x: Tensor, q: int) -> Tensor:
    """Return the index of the bin of each number, on q grey levels."""
    level = x.nan_to_num().round().clamp(0, q - 1).long()
    width = max(1, -(-(q - 2) // BINS))
    return torch.where(level < q - 1, (level + width - 1) // width, 1 + -(-(q - 2) // width))


def _counts(flat: Float[Tensor, "rows dim"], q: int) -> Float[Tensor, "dim bins"]:
    """Return how many rows have a number in each bin, for each number of a row."""
    bins = len(_widths(q))
    places = _bins(flat, q) + bins * torch.arange(flat.shape[1], device=flat.device)
    return torch.bincount(places.flatten(), minlength=bins * flat.shape[1]).view(-1, bins).double()


def _steps(levels: Levels, flat: Float[Tensor, "rows dim"]) -> Float[Tensor, " dim"]:
    steps = coordinates(levels, [flat.shape[1]]).steps if is_table(levels) else [0.0] * flat.shape[1]
    return torch.tensor(steps, dtype=torch.float64, device=flat.device)


def _seen(asked: Asked) -> tuple[Tensor, Levels]:
    """Return the rows, and what their numbers are, as the model's likelihood sees them.

    For a model of binary pixels, grey levels become probabilities in [0, 1], and each pixel counts as a flag.
    """
    q, few = grey_levels(asked.setting.levels), asked.x[:1]
    if q is None or as_sampled(asked.model, few, NOISE) is few:
        return asked.x, asked.setting.levels
    return asked.x.flatten(1) / (q - 1), [FLAG] * math.prod(asked.x.shape[1:])


def _background(asked: Asked) -> State:
    return fit_background(*_seen(asked))


def _ratio(asked: Asked):
    x, levels = _seen(asked)
    found = likelihood(asked)
    return found + by_rows(lambda rows: log_background(asked.state, rows, levels), x).to(found)


LIKELIHOOD_RATIO = Score("likelihood_ratio", has_likelihood, _ratio, _background, needs=LIKELIHOODS)
