"""detect: every anomaly score of every run whose data hold a class out, beside two baselines; ROC curves and images.

    auroc, low, high    area under the ROC curve on the test split, with its 95% interval
    fpr_target          the false-positive rate that was asked for
    fpr, tpr            what the threshold from the calibration split gives on the test split: normal rows called
                        anomalous, anomalies found. A row is called anomalous if its conformal p is at most fpr_target.

The baselines are fitted on the same training rows: the error of PCA (a model below it has learned nothing useful), the
mean distance to the nearest training rows, and an isolation forest (Liu, Ting and Zhou, 2008). No label of an anomaly
is used for anything but counting.

A game has no likelihood and no way back; the score `inversion` searches for the nearest sample of its generator, for
each row. Where that would take long it is left out, in a line.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_curve
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from gen_models.adversarial.game import Game
from gen_models.analysis.anomaly_scores import conformal_p, inversion, scorers
from gen_models.errors import DataError
from gen_models.measures.ranking import auroc, auroc_interval
from gen_models.noise import Noise
from pipelines import config, figures
from pipelines.evaluation.trained_run import Trained, open_trained
from pipelines.runtime import paths
from pipelines.runtime.stage import no_argument, produce, run

FALSE_POSITIVE_RATE = 0.05
COMPONENTS = 16  # of PCA, or half of the dimensions if that is less; fixed beforehand, as no label may choose it
NEIGHBOURS = 5
TREES = 200
REFERENCE_ROWS = 20_000  # training rows that a score or a baseline is fitted on
SHEET_IMAGES = 12
SEARCH = {"starts": 4, "steps": 100}  # of an inversion: with 300 steps the area on digits is 0.004 larger
MOST_NUMBERS = 2_000_000  # in rows that an inversion searches for: some minutes on two cores

Scorer = Callable[[Tensor], np.ndarray]


def main(argv: list[str]) -> None:
    no_argument(argv, "detect", __doc__)
    params = config.params()
    with produce(paths.out("detect")) as folder:
        found: list[Found] = []
        for line in params.runs.values():
            trained = open_trained(line)
            if trained.anomaly is None:
                continue
            is_first = all(row["data"] != line.data for row, _ in found)
            found += detect(trained, params.seed, with_baselines=is_first)
        rows = [row for row, _ in found]
        (folder / "scores.json").write_text(json.dumps(rows, indent=1) + "\n")
        by_data = {row["data"]: [pair for pair in found if pair[0]["data"] == row["data"]] for row in rows}
        draw_roc(by_data, folder)
        for pairs in by_data.values():
            draw_extremes(*max(pairs, key=lambda pair: pair[0]["auroc"]), folder)
    for row in rows:
        print(f"{row['run']} {row['score']}: AUROC {row['auroc']:.3f} ({row['low']:.3f} to {row['high']:.3f})")


@dataclass(frozen=True)
class Case:
    """What the pictures are made of: the scores (rows,) of the test split, and which of its rows are anomalies."""

    trained: Trained
    scores: np.ndarray
    is_anomaly: np.ndarray


Found = tuple[dict[str, Any], Case]


def detect(trained: Trained, seed: int, *, with_baselines: bool) -> list[Found]:
    """A row for each score that a run's model allows, and for each baseline on its data if asked for."""
    run_, data = trained.run, trained.data
    if "calibration" not in data.splits:
        raise DataError(
            f"{run_.data}: holds out {trained.anomaly_name!r} and has no calibration split; "
            f"add calibration: 0.2 to split in conf/data/{run_.data}.yaml"
        )
    reference = trained.normal("train")[:REFERENCE_ROWS]
    units = {"levels": data.levels, "statistics": data.manifest["statistics"]}
    fitted = scorers(trained.model, reference, noise=Noise(seed), **units)
    found = [assess(trained, run_.key, name, _as_numpy(score)) for name, score in fitted.items()]
    found += searched(trained, seed)
    if with_baselines:
        found += [assess(trained, *who, score) for who, score in baselines(trained, reference, seed).items()]
    return found


def searched(trained: Trained, seed: int) -> list[Found]:
    """The inversion of a game's generator; a line says how long it took, or why it is left out."""
    if not isinstance(trained.model, Game):
        return []
    rows = len(trained.data.x("test")) + len(trained.normal("calibration"))
    key, numbers = trained.run.key, rows * math.prod(trained.data.event_shape)
    if numbers > MOST_NUMBERS:
        print(f"{key}: no score by inversion: {rows:,} rows hold {numbers:,} numbers, more than {MOST_NUMBERS:,}")
        return []
    started = time.monotonic()
    found = assess(trained, key, "inversion", _as_numpy(inversion(trained.model, noise=Noise(seed), **SEARCH)))
    effort = f"{SEARCH['starts']} starts of {SEARCH['steps']} steps each: {time.monotonic() - started:.1f} s"
    print(f"{key}: searched for {rows:,} rows among its samples, {effort}")
    return [found]


def assess(trained: Trained, who: str, name: str, score: Scorer) -> tuple[dict[str, Any], Case]:
    """AUROC on the test split, and the error rates at the threshold that the calibration split gives."""
    case = Case(trained, score(trained.data.rows("test")), trained.is_anomaly("test"))
    called = conformal_p(score(trained.normal("calibration")), case.scores) <= FALSE_POSITIVE_RATE
    low, high = auroc_interval(case.scores, case.is_anomaly)
    row = {
        "run": who,
        "data": trained.run.data,
        "score": name,
        "auroc": auroc(case.scores, case.is_anomaly),
        "low": low,
        "high": high,
        "fpr_target": FALSE_POSITIVE_RATE,
        "fpr": float(called[~case.is_anomaly].mean()),
        "tpr": float(called[case.is_anomaly].mean()),
    }
    return row, case


def baselines(trained: Trained, reference: Tensor, seed: int) -> dict[tuple[str, str], Scorer]:
    """{(name, score): function of rows as stored} on the unit scale."""

    def flat(x: Tensor) -> np.ndarray:
        return trained.units(x).flatten(1).double().numpy()

    rows = flat(reference)
    pca = PCA(min(COMPONENTS, max(1, rows.shape[1] // 2), len(rows)), svd_solver="full").fit(rows)
    neighbours = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(rows))).fit(rows)
    forest = IsolationForest(n_estimators=TREES, random_state=seed, n_jobs=1).fit(rows)

    def error(x: Tensor) -> np.ndarray:
        values = flat(x)
        return np.square(pca.inverse_transform(pca.transform(values)) - values).sum(axis=1)

    return {
        ("pca", f"reconstruction_{pca.n_components_}"): error,
        ("nearest_neighbours", f"mean_distance_{NEIGHBOURS}"): lambda x: neighbours.kneighbors(flat(x))[0].mean(axis=1),
        ("isolation_forest", "isolation"): lambda x: -forest.score_samples(flat(x)),
    }


def draw_roc(by_data: Mapping[str, list[Found]], folder: Path) -> None:
    """A panel a data set: of each run the score with the largest area, the largest first. scores.json has them all."""
    panels: dict[str, Mapping[str, tuple[np.ndarray, np.ndarray]]] = {}
    for data, pairs in by_data.items():
        best: dict[str, Found] = {}
        for row, case in sorted(pairs, key=lambda pair: -pair[0]["auroc"]):
            best.setdefault(row["run"], (row, case))
        panels[f"{data}: {pairs[0][1].trained.anomaly_name} held out"] = {
            f"{row['auroc']:.3f}  {row['run']}, {row['score']}": roc_curve(case.is_anomaly, case.scores)[:2]
            for row, case in best.values()
        }
    figures.roc(panels, folder / "roc.png")


def draw_extremes(row: dict[str, Any], case: Case, folder: Path) -> None:
    """extremes-DATA.png: the test images that the best score finds most and least anomalous, right and wrong."""
    data, name = case.trained.data, case.trained.anomaly_name
    if not figures.is_image(data.event_shape):
        return
    images, order = np.asarray(data.x("test")), np.argsort(-case.scores, kind="stable")
    anomalies, normal = order[case.is_anomaly[order]], order[~case.is_anomaly[order]]
    figures.sheet(
        {
            "most anomalous": images[order[:SHEET_IMAGES]],
            "least anomalous": images[order[::-1][:SHEET_IMAGES]],
            f"{name}: found first": images[anomalies[:SHEET_IMAGES]],
            f"{name}: found last": images[anomalies[::-1][:SHEET_IMAGES]],
            "false alarms first": images[normal[:SHEET_IMAGES]],
        },
        folder / f"extremes-{row['data']}.png",
        levels=data.levels,
        title=f"{row['data']}: {row['run']}, {row['score']}, AUROC {row['auroc']:.3f}",
    )


def _as_numpy(score: Callable[[Tensor], Tensor]) -> Scorer:
    return lambda x: score(x).double().numpy()


if __name__ == "__main__":
    run(main)
