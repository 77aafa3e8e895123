"""Measures a training on validation rows: the metric that sweeps compare, and the terms of each objective."""

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

import numpy as np

from gen_models.engine import Training
from gen_models.errors import DivergedError
from gen_models.evaluating import evaluating
from gen_models.measures.samples import bandwidths
from gen_models.measures.sweep_metrics import Ruler, terms_of, validation
from gen_models.noise import Noise
from pipelines.data.store import Dataset

BANDWIDTH_ROWS = 2_000  # training rows that set the widths of mmd's kernels
_known: dict[tuple[str, str], tuple[float, ...]] = {}  # {(hash of the data, device): widths}


class ValidationMetrics:
    """Measures a model in training on the validation rows of its data, with the same noise at each report."""

    def __init__(self, dataset: Dataset, conf: Mapping[str, Any], device: str):
        self._metric = conf["metric"]
        self._rows = dataset.first_rows("validation").to(device)
        self._ruler = ruler_of(dataset, "validation", conf["sweep"].get("front"), device)

    def __call__(self, training: Training) -> dict[str, float]:
        """Return {"validation.nats": ..., "validation.vae.rate_nats": ...}.

        Raises DivergedError if a number is not finite.
        """
        model = training.model
        found = validation(model, self._rows, [self._metric], self._ruler)
        with evaluating(model):
            found |= terms_of(model, self._rows, Noise(0))
        for name, value in found.items():
            if not isfinite(value):
                raise DivergedError(f"step {training.step}: validation {name} is {value}; lower the learning rates")
        return {f"validation.{name}": value for name, value in found.items()}


def ruler_of(dataset: Dataset, split: str, front: Mapping[str, Any] | None, device: str = "cpu") -> Ruler:
    """Return what the metrics need besides the model and the rows of a split.

    front: `sweep.front` of the conf: the metrics of the rate-distortion picture, or None
    """
    ruler = Ruler(levels=dataset.levels, statistics=dataset.manifest["statistics"], front=front)
    factors = np.asarray(dataset.factors(split)) if dataset.manifest.get("factors") else None
    return replace(ruler, bandwidths=_bandwidths(dataset, ruler, device), factors=factors)


def _bandwidths(dataset: Dataset, ruler: Ruler, device: str) -> tuple[float, ...]:
    """Return the widths of mmd's kernels; a process that trains several times on the same data computes them once."""
    key = (dataset.sha256, device)
    if key not in _known:
        _known[key] = bandwidths(ruler.units(dataset.first_rows("train", BANDWIDTH_ROWS).to(device)))
    return _known[key]
