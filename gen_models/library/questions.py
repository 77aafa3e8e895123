"""The use of a trained model, with arrays as arguments and results: scores, samples, latents, reconstructions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gen_models.anomalies import scores
from gen_models.anomalies.scores import DEFAULTS, SCORES, scorers
from gen_models.contracts import (
    Decoder,
    Encoder,
    Reconstructor,
    Sampler,
    TemperedSampler,
    capabilities,
)
from gen_models.errors import ConfigError, DataError
from gen_models.evaluating import by_rows, draw, evaluating
from gen_models.layers.levels import grey_levels
from gen_models.library.arguments import positive, whole
from gen_models.library.rows import (
    data_scale_of,
    device_of,
    dtype_of,
    event_shape_of,
    levels_of,
    numbers,
    refuse,
    require_model,
    rows_of,
)
from gen_models.noise import Noise


def score(model: nn.Module, x: Any, name: str | None = None, *, reference: Any = None) -> np.ndarray:
    """Return an anomaly score for each row, (rows,); larger is more anomalous.

    name       nll (-log p(x) in nats), neg_elbo (an upper bound of nll), reconstruction, critic, ...; None: the first
               of these four that the model offers. docs/anomalies.md lists all scores
    reference  training rows, which all scores need but nll, neg_elbo, reconstruction, denoising, code_prior and critic

    Raises ConfigError if the model does not offer the score, or if the score needs a reference and none is given, and
    DataError if the model cannot take the rows, or if a score is nan.
    """
    require_model(model)
    if not isinstance(name, str | None):
        raise ConfigError(f"name is a {type(name).__name__}, not a word: training rows are reference=")
    for known in SCORES:
        if known.name == name and reference is None and known.fit is not None and known.offered(model):
            raise ConfigError(f"score {name!r} is fitted to training rows: give them as reference=")
    offered = scorers(
        model,
        None if reference is None else in_random_order(rows_of(model, reference, "reference")),
        levels=levels_of(model),
        statistics=statistics_of(model),
    )
    if not offered:
        raise ConfigError(f"{type(model).__name__} offers no score: {_offers(model)}")
    name = name or next((first for first in DEFAULTS if first in offered), next(iter(offered)))
    if name not in offered:
        raise ConfigError(
            scores.unknown_score(model, name, offered if reference is not None else scores.offered(model))
        )
    return _array(offered[name](rows_of(model, x)))


def sample(model: nn.Module, n: int, *, seed: int = 0, temperature: float = 1.0) -> np.ndarray:
    """Draw n rows from the model, (n, *event), in the units of the training rows; the same seed draws the same rows.

    temperature  1, or any number above 0 if the model offers it; below 1 samples vary less

    Raises ConfigError if the model cannot sample, or has no temperature and one other than 1 is given.
    """
    require_model(model)
    n, seed = whole("n", n), whole("seed", seed, least=0)
    temperature = positive("temperature", temperature)
    if not isinstance(model, Sampler):
        raise ConfigError(f"{type(model).__name__} cannot sample: {_offers(model)}")
    if temperature != 1.0 and not isinstance(model, TemperedSampler):
        raise ConfigError(f"{type(model).__name__} has no temperature: {_offers(model)}")
    with evaluating(model):
        drawn = draw(_At(model, temperature), n, Noise(seed))
    return _array(drawn)


def encode(model: nn.Module, x: Any) -> np.ndarray:
    """Return the latents of the rows x, (rows, latent).

    Raises ConfigError if the model has no encoder, and DataError if it cannot take the rows.
    """
    require_model(model)
    if not isinstance(model, Encoder):
        raise ConfigError(f"{type(model).__name__} cannot encode: {_offers(model)}")
    return _asked(model, model.encode, rows_of(model, x))


def decode(model: nn.Module, z: Any) -> np.ndarray:
    """Return the rows, (rows, *event), that the model decodes from latents z, (rows, latent).

    Raises ConfigError if the model has no decoder, and DataError if z has another shape or is not finite.
    """
    require_model(model)
    if not isinstance(model, Decoder):
        raise ConfigError(f"{type(model).__name__} cannot decode: {_offers(model)}")
    latents = numbers(z, "z").to(device_of(model), next((p.dtype for p in model.parameters()), dtype_of(model)))
    if latents.ndim != 2:
        raise DataError(
            f"z has the shape {tuple(latents.shape)}: give (rows, latent), as encode(model, x) returns them"
        )
    _check_width(model, latents.shape[1])
    refuse(~torch.isfinite(latents), latents, 0, "z{place} is {value}: give finite numbers")
    return _asked(model, model.decode, latents)


def reconstruct(model: nn.Module, x: Any) -> np.ndarray:
    """Return the model's reconstruction of each row of x, (rows, *event).

    Raises ConfigError if the model cannot reconstruct, and DataError if it cannot take the rows.
    """
    require_model(model)
    if not isinstance(model, Reconstructor):
        raise ConfigError(f"{type(model).__name__} cannot reconstruct: {_offers(model)}")
    return _asked(model, model.reconstruct, rows_of(model, x))


def in_random_order(rows: Tensor) -> Tensor:
    """Return the rows in a random order, as they may be sorted, and some scores are fitted to the first of them."""
    return rows[Noise(0).permutation("reference", len(rows)).to(rows.device)]


class _At:
    """A model that samples at a temperature."""

    def __init__(self, model: Any, temperature: float):
        self.model, self.temperature = model, temperature

    def sample(self, n: int, noise: Noise) -> Tensor:
        if self.temperature == 1.0:
            return self.model.sample(n, noise)
        return self.model.sample_at(n, noise, self.temperature)


def _check_width(model: nn.Module, width: int) -> None:
    """Raise DataError unless the model encodes a row into `width` latents."""
    event_shape = event_shape_of(model)
    if event_shape is None or not isinstance(model, Encoder):
        return
    with evaluating(model):
        wanted = model.encode(torch.zeros(1, *event_shape, dtype=dtype_of(model), device=device_of(model))).shape[1]
    if width != wanted:
        raise DataError(f"z has {width} numbers in a row, and the model takes {wanted}")


def _asked(model: nn.Module, method: Callable[[Tensor], Tensor], x: Tensor) -> np.ndarray:
    with evaluating(model):
        return _array(by_rows(method, x))


def _array(x: Tensor) -> np.ndarray:
    return x.detach().cpu().numpy()


def statistics_of(model: nn.Module) -> dict[str, Any] | None:
    """Return the mean and standard deviation of the training rows, which define the unit scale of scores.

    Return None for data on grey levels, or if the model does not keep them.
    """
    scale = data_scale_of(model)
    if grey_levels(levels_of(model)) is not None or scale is None:
        return None
    with torch.no_grad():
        return {"mean": scale.blank(), "std": scale.scale}


def _offers(model: nn.Module) -> str:
    return f"it offers {', '.join(capabilities(model)) or 'nothing'}"
