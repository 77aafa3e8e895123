"""Laws of the benchmark of tables: the default detector is its parts' weighted mean; a job finds its table."""

from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch

from gen_models.analysis import table_anomalies
from gen_models.analysis.contrast import Contrast
from gen_models.analysis.table_anomalies import MEASURES, TableAnomalies
from gen_models.noise import Noise
from pipelines.adbench.default import DEFAULTS
from pipelines.adbench.protocol import split, tables_in

SEED = 2
STEPS = 10
RNG = np.random.default_rng(0)
TRAIN, TEST = RNG.standard_normal((40, 3)), 2 * RNG.standard_normal((30, 3))


@pytest.fixture(scope="module", autouse=True)
def short_fits():
    """Networks of a few minibatches: the laws are of the sum of the measures, whatever these learned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_anomalies, "Contrast", partial(Contrast, steps=STEPS))
        yield


@pytest.fixture(scope="module")
def fitted() -> TableAnomalies:
    torch.manual_seed(SEED)
    model = TableAnomalies(TRAIN.shape[1])
    model.fit(torch.from_numpy(TRAIN), Noise(SEED))
    return model


@pytest.fixture(scope="module")
def measures(fitted) -> dict[str, np.ndarray]:
    return {name: values.double().numpy() for name, values in fitted.measures(torch.from_numpy(TEST)).items()}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "local" else pytest.mark.slow) for name in MEASURES]
)
def test_without_a_measure_the_rest_keeps_its_weights(name, fitted, measures):
    weights = fitted.effective_weights
    total = sum(weights.values())
    without = (total - weights[name]) * _scores(f"default without {name}")
    whole = total * _scores("default")
    np.testing.assert_allclose(without + weights[name] * measures[name], whole, rtol=1e-4, atol=1e-4)


def test_a_relative_folder_is_found_from_the_folder_of_a_job(tmp_path, monkeypatch):
    (tmp_path / "tables").mkdir()
    np.savez(tmp_path / "tables" / "3_two.npz", X=np.concatenate([TRAIN, TEST]), y=np.arange(70) >= 40)
    monkeypatch.chdir(tmp_path)
    [table] = tables_in(Path("tables"))
    monkeypatch.chdir(tmp_path / "tables")
    assert split(table, SEED).is_anomaly.sum() == 30


@pytest.mark.slow
def test_without_neighbours_no_measure_with_a_kernel_at_each_row_is_left(measures):
    np.testing.assert_allclose(_scores("without_neighbours"), measures["contrast"], rtol=1e-4, atol=1e-4)


@cache
def _scores(detector: str) -> np.ndarray:
    return DEFAULTS[detector](TRAIN, SEED)(TEST)
