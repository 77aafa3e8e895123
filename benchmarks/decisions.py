"""Whether decisions keep their rates, and what finds anomalies in tables: `python -m benchmarks.decisions [ROW ...]`.

fdr-simulated   the share of normal rows among the rows that are called anomalous at a false-discovery rate of 10%, as
                the mean over 200 draws of calibration rows and new rows. A mixture scores the rows; one new row in ten
                is an anomaly. The promised rate is 10% times the share of normal rows, and chance may add what `slack`
                says
breast_cancer   the area under the ROC curve, as the mean over five random halves of the benign rows. A half trains; the
                other half and the malignant rows, which are the anomalies, are the test. No label chooses anything
adbench-30      the mean area of the default detector over the tables of ADBench, beside free baselines. Its command
                reads what `gen-models benchmark adbench FOLDER` has left in adbench/results.json
"""

import json
import math
import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks import rows
from benchmarks.inputs import Inputs
from gen_models.anomalies.conformal import conformal_p, q_values
from gen_models.anomalies.scores import scorers
from gen_models.errors import DataError
from gen_models.measures.ranking import auroc, auroc_interval
from gen_models.mixtures.gaussian_mixture import GaussianMixture
from gen_models.noise import Noise
from pipelines.adbench.default import DEFAULTS
from pipelines.adbench.detectors import BASELINES, Score
from pipelines.runtime import paths

ALPHA, DRAWS = 0.1, 200
NORMAL, ODD, CALIBRATION = 900, 100, 500
DIMS, SHIFT = 8, 4.0
HALVES = 5
ADBENCH_TARGET = 0.872
INPUTS = {
    "fdr-simulated": Inputs(["benchmarks.decisions"]),
    "breast_cancer": Inputs(["benchmarks.decisions"]),
    "adbench-30": Inputs(["pipelines.adbench.default", "pipelines.adbench.detectors", "pipelines.adbench.protocol"]),
}


def fdr_simulated() -> None:
    """Measure the false-discovery rate of a mixture's decisions on simulated rows."""
    began = time.monotonic()
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(DIMS, DIMS))

    def normal(count: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=(count, DIMS)) @ mixing).float()

    model = GaussianMixture([DIMS], None, components=2, covariance="full")
    model.warm_start(normal(2_000), Noise(0))
    score = scorers(model)["nll"]
    shares, found = [], []
    for _ in range(DRAWS):
        new = normal(NORMAL + ODD)
        new[NORMAL:] += SHIFT * torch.from_numpy(mixing[0]).float()
        called = q_values(conformal_p(score(normal(CALIBRATION)).numpy(), score(new).numpy())) <= ALPHA
        shares.append(called[:NORMAL].sum() / max(1, called.sum()))
        found.append(called[NORMAL:].mean())
    promised = ALPHA * NORMAL / (NORMAL + ODD)
    slack = 1.96 * float(np.std(shares)) / math.sqrt(DRAWS)
    rows.write(
        "fdr-simulated",
        model="gmm",
        data=f"{NORMAL} normal rows and {ODD} anomalies of {DIMS} numbers, {CALIBRATION} calibration rows",
        figure=float(np.mean(shares)),
        unit="false-discovery rate",
        target=ALPHA,
        baselines={"promised": promised, "slack of the mean, 95%": slack, "anomalies found": float(np.mean(found))},
        seeds=[0],
        spread=slack,
        budget=f"{DRAWS} draws",
        seconds=time.monotonic() - began,
        inputs=INPUTS["fdr-simulated"],
        command="python -m benchmarks.decisions fdr-simulated",
    )


def breast_cancer() -> None:
    """Measure the detectors on malignant rows of scikit-learn's breast cancer table."""
    from sklearn.datasets import load_breast_cancer

    began = time.monotonic()
    bundle = load_breast_cancer()
    x, is_odd = bundle.data, bundle.target == 0
    detectors: dict[str, Callable[[np.ndarray, int], Score]] = {
        **BASELINES,
        "ecod": ecod,
        "default": DEFAULTS["default"],
    }
    areas: dict[str, list[float]] = {name: [] for name in detectors}
    interval = (math.nan, math.nan)
    for seed in range(HALVES):
        benign = np.random.default_rng(seed).permutation(np.flatnonzero(~is_odd))
        train, held = x[benign[: len(benign) // 2]], x[benign[len(benign) // 2 :]]
        mean, std = train.mean(axis=0), train.std(axis=0)
        test = (np.concatenate([held, x[is_odd]]) - mean) / std
        truth = np.arange(len(test)) >= len(held)
        for name, fit in detectors.items():
            scores = fit((train - mean) / std, seed)(test)
            areas[name].append(auroc(scores, truth))
            if name == "default" and seed == 0:
                interval = auroc_interval(scores, truth)
    rows.write(
        "breast_cancer",
        model="default detector of tables",
        data="breast_cancer, trained on half of the benign rows",
        figure=float(np.mean(areas["default"])),
        unit="mean area",
        better="higher",
        target=max(float(np.mean(of)) for name, of in areas.items() if name != "default"),
        baselines={
            **{name: float(np.mean(of)) for name, of in areas.items() if name != "default"},
            "95% interval of the first half, from": interval[0],
            "to": interval[1],
        },
        seeds=list(range(HALVES)),
        spread=max(areas["default"]) - min(areas["default"]),
        budget=f"{HALVES} halves",
        seconds=time.monotonic() - began,
        inputs=INPUTS["breast_cancer"],
        command="python -m benchmarks.decisions breast_cancer",
    )


def ecod(train: np.ndarray, seed: int) -> Score:
    """Return the score of Li et al. (2022): the sum over columns of -log of the smaller tail of training rows."""
    ordered, n = np.sort(train, axis=0), len(train)

    def score(x: np.ndarray) -> np.ndarray:
        columns = range(x.shape[1])
        below = np.stack([np.searchsorted(ordered[:, j], x[:, j], "right") for j in columns], axis=1)
        above = n - np.stack([np.searchsorted(ordered[:, j], x[:, j], "left") for j in columns], axis=1)
        tails = [-np.log((counts + 1) / (n + 1)) for counts in (below, above)]
        return np.maximum(*(tail.sum(axis=1) for tail in tails)) + np.maximum(*tails).sum(axis=1)

    return score


def adbench_30() -> None:
    """Write the row adbench-30 from the results that `gen-models benchmark adbench` left in adbench/results.json.

    Raises DataError if the file is not there.
    """
    path = paths.root() / "adbench" / "results.json"
    if not path.is_file():
        raise DataError(f"{path} is not there: run `gen-models benchmark adbench FOLDER` first")
    found = json.loads(path.read_text())
    whole = found["all"]
    gain = whole["above_neighbours"]["default"]["auroc"]
    beside = {name: row["auroc"] for name, row in whole["detectors"].items() if name != "default"}
    own = whole["detectors"]["default"]
    rows.write(
        "adbench-30",
        model="default detector of tables",
        data=f"{whole['tables']} tables of ADBench",
        figure=own["auroc"],
        unit="mean area",
        better="higher",
        target=ADBENCH_TARGET,
        baselines={
            **beside,
            **{f"default, {part}": found[part]["detectors"]["default"]["auroc"] for part in ("odd", "even")},
            **{
                f"{name}, {part}": found[part]["detectors"][name]["auroc"]
                for name in ("knn1", "knn5")
                for part in ("odd", "even")
            },
            f"above {gain['over']}, 95% from": gain["low"],
            f"above {gain['over']}, 95% to": gain["high"],
            "without copies of training rows": own["auroc_without_copies"],
            "average precision": own["average_precision"],
            "mean rank": own["rank"],
            "critical difference of ranks": whole["critical_difference"],
        },
        seeds=[0, 1, 2],
        spread=own["spread_over_seeds"],
        budget="fitted once a table and seed",
        seconds=own["seconds"],
        inputs=INPUTS["adbench-30"],
        command="python -m benchmarks.decisions adbench-30",
    )


ROWS = {"fdr-simulated": fdr_simulated, "breast_cancer": breast_cancer, "adbench-30": adbench_30}

if __name__ == "__main__":
    rows.run(ROWS, prog="python -m benchmarks.decisions", description=str(__doc__))
