"""Running a model without training it: evaluation mode, no gradients, bounded memory and fixed noise.

For a mean over rows give each row its own noise, so that the errors of rows average out. To compare rows use
`noise.shared()`, so that a row's value does not depend on its neighbours. `elbo` accepts either.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.contracts import Bound, Sampler
from gen_models.noise import Noise

CHUNK_ROWS = 1024  # rows that go through a model at once
BOUND_DRAWS = 8  # evaluations of a bound that are averaged


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """Run the context in evaluation mode without gradients; at its end restore the mode of every submodule."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        with torch.no_grad():
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def by_rows(function: Callable[[Tensor], Tensor], x: Float[Tensor, "batch *event"], rows: int = CHUNK_ROWS) -> Tensor:
    """Return function(x), computed for `rows` rows at a time; the function must treat each row by itself."""
    return torch.cat([function(chunk) for chunk in x.split(rows)])


def elbo(
    model: Bound, x: Float[Tensor, "batch *event"], noise: Noise, *, samples: int = 1, draws: int = BOUND_DRAWS
) -> Float[Tensor, " batch"]:
    """Return the bound of each row in nats: the mean of `draws` evaluations with `samples` importance samples each.

    Noise that is not shared is drawn anew for each chunk of rows.
    """
    chunks = x.split(max(1, CHUNK_ROWS // samples))
    bounds = []
    for number, chunk in enumerate(chunks):
        start = 0 if noise.is_shared else number * draws
        values = [model.elbo(chunk, noise.at(start + k), samples) for k in range(draws)]
        bounds.append(torch.stack(values).mean(dim=0))
    return torch.cat(bounds)


def draw(model: Sampler, n: int, noise: Noise, *, rows: int = 256) -> Float[Tensor, "batch *event"]:
    """Draw n rows from the model, `rows` at a time, each time with the noise of another step."""
    sizes = [min(rows, n - start) for start in range(0, n, rows)] or [0]
    return torch.cat([model.sample(size, noise.at(step)) for step, size in enumerate(sizes)])


def whole(noise: Noise) -> Noise:
    """Return the noise of a single worker.

    In evaluation each worker processes all rows; with this noise all workers get the same number.
    """
    return replace(noise, rank=0, world=1)
