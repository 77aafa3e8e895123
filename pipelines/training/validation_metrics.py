"""Measures a training on validation rows: the metric that sweeps compare, and the terms of each objective."""

from math import isfinite

from gen_models.contracts import objectives_of
from gen_models.engine import Training
from gen_models.errors import DivergedError
from gen_models.evaluating import evaluating
from gen_models.measures.samples import median_bandwidth
from gen_models.measures.sweep_metrics import validation
from gen_models.measures.units import unit_scale
from gen_models.noise import Noise
from pipelines.data.store import Dataset

BANDWIDTH_ROWS = 2_000  # training rows that set the width of mmd's kernel


class ValidationMetrics:
    """Measures the model of a training on the validation rows of its data, with the same noise at each report."""

    def __init__(self, dataset: Dataset, metric: str, device: str):
        self._metric = metric
        self._rows = dataset.first_rows("validation").to(device)
        self._units = {"levels": dataset.levels, "statistics": dataset.manifest["statistics"]}
        train = unit_scale(dataset.first_rows("train", BANDWIDTH_ROWS).to(device), **self._units)
        self._bandwidth = median_bandwidth(train)

    def __call__(self, training: Training) -> dict[str, float]:
        """Return {"validation.nats": ..., "validation.vae.rate_nats": ...}.

        Raises DivergedError if a number is not finite.
        """
        model = training.model
        found = validation(
            model, self._rows, noise=Noise(0), metrics=[self._metric], bandwidth=self._bandwidth, **self._units
        )
        with evaluating(model):
            for objective in objectives_of(model):
                terms = objective.loss(self._rows, Noise(0)).terms
                found |= {f"{objective.name}.{name}": term.item() for name, term in terms.items()}
        for name, value in found.items():
            if not isfinite(value):
                raise DivergedError(f"step {training.step}: validation {name} is {value}; lower the learning rates")
        return {f"validation.{name}": value for name, value in found.items()}
