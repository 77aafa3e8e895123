"""Running a model without training it: evaluation mode, no gradients, bounded memory and fixed noise.

For a mean over rows, give each row its own draws, so that the errors of rows average out. To compare rows, use
`noise.shared()`, so that a row's value does not depend on its position among the rows. `elbo` and `log_prob` accept
either.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.contracts import Bound, Density, Sampler
from gen_models.noise import Noise

CHUNK_ROWS = 1024  # rows that go through a model at once
BOUND_DRAWS = 8  # evaluations of a bound that are averaged
Answer = TypeVar("Answer")


@contextmanager
def evaluation_mode(model: object) -> Iterator[None]:
    """Run the context in evaluation mode; at its end restore the mode of every submodule."""
    modules = [module for module in model.modules() if module.training] if isinstance(model, nn.Module) else []
    try:
        for module in modules:
            module.training = False
        yield
    finally:
        for module in modules:
            module.training = True


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """Run the context in evaluation mode without gradients; at its end restore the mode of every submodule."""
    with evaluation_mode(model), torch.no_grad():
        yield


def question(method: Callable[..., Answer]) -> Callable[..., Answer]:
    """Decorate a method that asks a model for something, such as `log_prob`, so that it runs in evaluation mode.

    A call then leaves the model as it was (in training mode batch normalisation would move its running means). The
    result depends neither on the mode that the model is in nor on the other rows.
    """

    @wraps(method)
    def asked(model: nn.Module, *arguments: Any, **keywords: Any) -> Answer:
        with evaluation_mode(model):
            return method(model, *arguments, **keywords)

    return asked


def by_rows(function: Callable[[Tensor], Tensor], x: Float[Tensor, "batch *event"], rows: int = CHUNK_ROWS) -> Tensor:
    """Return function(x), computed for `rows` rows at a time; the function must treat each row by itself."""
    return torch.cat([function(chunk) for chunk in x.split(rows)])


def elbo(
    model: Bound, x: Float[Tensor, "batch *event"], noise: Noise, *, samples: int = 1, draws: int = BOUND_DRAWS
) -> Float[Tensor, " batch"]:
    """Return the bound of each row in nats: the mean of `draws` evaluations with `samples` importance samples each.

    noise  evaluation k uses its step noise.step + k; if the noise is shared, all rows have the same draws
    """
    steps = [noise.at(noise.step + k) for k in range(draws)]
    return _with_draws(x, steps, lambda rows, drawn: model.elbo(rows, drawn, samples), CHUNK_ROWS // samples)


def log_prob(
    model: Density, x: Float[Tensor, "batch *event"], noise: Noise, *, draws: int = BOUND_DRAWS
) -> Float[Tensor, " batch"]:
    """Return log p(x) of each row in nats, with its own draws for each row: for a mean over rows.

    Discrete data are dequantised with `draws` draws for each row, and the result is a lower bound in expectation.
    `model.log_prob(x)` uses the same draws for all rows instead, so its errors do not average out over rows.
    """
    if not getattr(getattr(model, "data_scale", None), "is_dequantised", False):
        draws = 1  # nothing is drawn
    steps = [noise.at(noise.step + k) for k in range(draws)]
    return _with_draws(x, steps, model.log_prob, CHUNK_ROWS)


def draw(model: Sampler, n: int, noise: Noise, *, rows: int = 256) -> Float[Tensor, "batch *event"]:
    """Draw n rows from the model, `rows` at a time to save memory; the rows do not depend on `rows`."""
    starts = range(0, n, rows) or [0]
    return torch.cat([model.sample(min(rows, n - start), noise.rows_from(start)) for start in starts])


def as_sampled(model: object, x: Float[Tensor, "batch *event"], noise: Noise) -> Float[Tensor, "batch *event"]:
    """Return rows of data in the form in which the model draws its samples, so that data and samples can be compared.

    A model of binary pixels draws black and white pixels. For such a model each pixel of the data is drawn as black or
    white, with its grey level as the probability; for other models x is returned.
    """
    observe = getattr(getattr(model, "data_scale", None), "as_sampled", None)
    return x if observe is None else observe(x, noise)


def observes_binary(model: object) -> bool:
    """Return whether a model is of binary pixels for data of more levels, so that its log p is not that of the data."""
    scale: Any = getattr(model, "data_scale", None)
    return hasattr(scale, "as_sampled") and scale.levels > 2


def whole(noise: Noise) -> Noise:
    """Return the noise that a single worker would have.

    In evaluation each worker processes all rows; with this noise all workers get the same result.
    """
    return replace(noise, rank=0, world=1)


def _with_draws(
    x: Tensor, steps: Sequence[Noise], function: Callable[[Tensor, Noise], Tensor], rows: int
) -> Float[Tensor, " batch"]:
    """Return the mean over `steps` of function(x, step) for each row, computed for `rows` rows at a time."""
    rows = max(1, rows)
    means = []
    for number, chunk in enumerate(x.split(rows)):
        values = [function(chunk, step.rows_from(number * rows)) for step in steps]
        means.append(torch.stack(values).mean(dim=0))
    return torch.cat(means)
