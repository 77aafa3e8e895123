"""Running a model without training it: evaluation mode, no gradients, bounded memory, noise that is fixed.

A mean over rows wants noise of each row's own: the errors of rows average out. A comparison of rows wants
`noise.shared()`: what a row gets must not depend on its neighbours. `elbo` takes either.
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
    """Evaluation mode without gradients; every submodule gets back the mode that it had."""
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
    """function(x), computed for `rows` rows at a time; the function treats each row alone."""
    return torch.cat([function(chunk) for chunk in x.split(rows)])


def elbo(
    model: Bound, x: Float[Tensor, "batch *event"], noise: Noise, *, samples: int = 1, draws: int = BOUND_DRAWS
) -> Float[Tensor, " batch"]:
    """The bound of each row in nats, the mean over `draws` evaluations with `samples` importance samples each.

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
    """n draws from the model, `rows` at a time, each with the noise of another step."""
    sizes = [min(rows, n - start) for start in range(0, n, rows)] or [0]
    return torch.cat([model.sample(size, noise.at(step)) for step, size in enumerate(sizes)])


def whole(noise: Noise) -> Noise:
    """The noise of one worker: each worker that evaluates sees all rows, and all workers get the same number."""
    return replace(noise, rank=0, world=1)
