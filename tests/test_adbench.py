"""Laws of what the benchmark of tables compares: the default detector is its parts' weighted mean."""

from functools import cache

import numpy as np
import pytest
import torch

from gen_models.analysis.table_anomalies import MEASURES, TableAnomalies
from gen_models.noise import Noise
from pipelines.adbench.default import DEFAULTS

SEED = 2
RNG = np.random.default_rng(0)
TRAIN, TEST = RNG.standard_normal((40, 3)), 2 * RNG.standard_normal((30, 3))


@pytest.fixture(scope="module")
def measures() -> dict[str, np.ndarray]:
    torch.manual_seed(SEED)
    model = TableAnomalies(TRAIN.shape[1])
    model.fit(torch.from_numpy(TRAIN), Noise(SEED))
    return {name: values.double().numpy() for name, values in model.measures(torch.from_numpy(TEST)).items()}


@pytest.mark.parametrize("name", MEASURES)
def test_without_a_measure_the_rest_keeps_its_weights(name, measures):
    total = sum(MEASURES.values())
    without = (total - MEASURES[name]) * _scores(f"default without {name}")
    whole = total * _scores("default")
    np.testing.assert_allclose(without + MEASURES[name] * measures[name], whole, rtol=1e-4, atol=1e-4)


def test_without_neighbours_no_measure_with_a_kernel_at_each_row_is_left(measures):
    np.testing.assert_allclose(_scores("without_neighbours"), measures["contrast"], rtol=1e-4, atol=1e-4)


@cache
def _scores(detector: str) -> np.ndarray:
    return DEFAULTS[detector](TRAIN, SEED)(TEST)
