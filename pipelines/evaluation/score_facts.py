"""Describes a run's anomaly scores without labels, which is possible for every data set.

The result for one score is a record, a dictionary with these keys and the names of run, data and score:

rows, calibration_rows   how many test rows (of all classes) and calibration rows were scored
is_default               whether `gen-models score` uses this score if the user names none
test, calibration        quantiles of the score on test rows and on calibration rows, at the levels in QUANTILES
shift_p                  the p-value of the two-sample Kolmogorov-Smirnov test that the score has the same distribution
                         on calibration rows as on normal test rows; it is small if these were not split at random
resembles                {ranking: Spearman's rank correlation of the score on test rows with that ranking} for three
                         rankings that need no training: by the distance to the mean of the training rows, by the error
                         of principal components, and by the same score of the same network before its training
lamp                     a warning: a sentence if one of these correlations is at least TWIN, as the training then added
                         next to nothing to this score; else ""
most                     the most anomalous test rows, the most anomalous first: index of the row, score and p-value;
                         for the default score also what identifies the row in the user's files (Dataset.names), if
                         anything is known, and the reason, if the model can say it
"""

from typing import Any

import numpy as np
import torch
import yaml
from scipy.stats import ks_2samp, spearmanr
from torch import Tensor

from gen_models.anomalies.calibration import Calibration
from gen_models.anomalies.conformal import conformal_p
from gen_models.anomalies.score import Setting
from gen_models.anomalies.scores import FittedScores
from gen_models.build import build_model
from gen_models.codecs import principal
from gen_models.errors import GenModelsError
from gen_models.evaluating import evaluating
from pipelines.evaluation.reasons import Reasons
from pipelines.evaluation.row_scores import RowScores
from pipelines.evaluation.trained_run import Trained

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TWIN = 0.97  # two scores with at least this rank correlation find nearly the same rows anomalous
COMPONENTS = 16  # at most half of the dimensions; as many as the baseline PCA has (free_detectors.py)
COMPARED_ROWS = 1_000  # test rows on which rankings are compared
FITTED_ROWS = 5_000  # training rows for the mean and the components
MOST = 12
WORDS = {
    "distance_to_mean": "the distance to the mean of the training rows",
    "pca": "the error of principal components",
    "untrained": "the same network before its training",
}


def score_facts(trained: Trained, scored: RowScores, known: Calibration | None) -> list[dict[str, Any]]:
    """Return the record of each score of a run.

    known: what `write_calibration` (row_scores.py) returned
    """
    if not scored.fitted.names:
        return []
    plain = _untrained_rankings(trained, scored.fitted.setting)
    found = [_facts(trained, scored, name, plain) for name in scored.fitted.names]
    for record in found:
        if record["is_default"]:
            record["most"] = _with_reasons(trained, scored, known, _with_names(trained, record["most"]))
    return found


def _facts(trained: Trained, scored: RowScores, name: str, plain: dict[str, Any]) -> dict[str, Any]:
    test, calibration = scored.test[name], scored.calibration.get(name, np.zeros(0))
    is_normal = ~trained.is_anomaly("test")[: len(test)]
    p = conformal_p(calibration, test) if len(calibration) else np.full(len(test), np.nan)
    resembles = {}
    for what, ranking in plain.items():
        other = ranking.get(name) if isinstance(ranking, dict) else ranking
        if other is not None:
            resembles[what] = _rank_correlation(test[: len(other)], other)
    order = np.argsort(-test, kind="stable")[:MOST].tolist()
    return {
        "run": trained.run.key,
        "data": trained.data.name,
        "score": name,
        "is_default": name == scored.fitted.default,
        "rows": len(test),
        "calibration_rows": len(calibration),
        "test": _quantiles(test),
        "calibration": _quantiles(calibration),
        "shift_p": float(ks_2samp(calibration, test[is_normal]).pvalue) if len(calibration) else None,
        "resembles": resembles,
        "lamp": _lamp(resembles),
        "most": [{"row": k, "score": float(test[k]), "p": float(p[k]) if len(calibration) else None} for k in order],
    }


def _with_names(trained: Trained, most: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = trained.data.names("test", [one["row"] for one in most])
    if not names:
        return most
    return [{**one, "names": {name: words[k] for name, words in names.items()}} for k, one in enumerate(most)]


def _with_reasons(
    trained: Trained, scored: RowScores, known: Calibration | None, most: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    reasons = Reasons(scored.fitted, scored.fitted.default, known, trained.data.manifest)
    if reasons.why_none:
        return most
    x = np.asarray(trained.data.x("test")[[one["row"] for one in most]])
    with evaluating(trained.model):
        told = reasons.of(x if x.dtype == np.float64 else x.astype(np.float32))
    return [{**one, "reason": reason.text} for one, reason in zip(most, told, strict=True)]


def _lamp(resembles: dict[str, float | None]) -> str:
    known = {what: value for what, value in resembles.items() if value is not None}
    if not known or (nearest := max(known, key=lambda what: known[what])) is None or known[nearest] < TWIN:
        return ""
    return f"ranks rows as {WORDS[nearest]} does (rank correlation {known[nearest]:.3f})"


def _untrained_rankings(trained: Trained, setting: Setting) -> dict[str, Any]:
    """Return the rankings that need no training: {name: a value (rows,) for each of the first test rows}.

    Under `untrained` there is {score: values} in place of values: one ranking for each score of the untrained network.
    """
    train, test = trained.normal("train")[:FITTED_ROWS], trained.data.rows("test")[:COMPARED_ROWS]
    near, flat = trained.units(train).flatten(1).double(), trained.units(test).flatten(1).double()
    components = min(COMPONENTS, max(1, flat.shape[1] // 2))
    code = principal.fit(near, torch.ones(flat.shape[1], dtype=flat.dtype)).first(components)
    return {
        "distance_to_mean": (flat - near.mean(dim=0)).square().sum(dim=1).numpy(),
        "pca": (code.decode(code.encode(flat)) - flat).square().sum(dim=1).numpy(),
        "untrained": _untrained_scores(trained, test, setting),
    }


def _untrained_scores(trained: Trained, test: Tensor, setting: Setting) -> dict[str, np.ndarray]:
    """Return {score: values (rows,)} of the network before its training, for the scores that need no training rows.

    The network is built anew and gets the buffers of the trained model, such as the scale of the data. Returns {} if it
    gives no finite numbers.
    """
    spec = yaml.safe_load((trained.folder / "checkpoint" / "model.yaml").read_text())
    model = build_model(spec, setting.noise.seed + 1)
    model.load_state_dict(dict(trained.model.named_buffers()), strict=False)
    fitted = FittedScores(model, {}, setting)
    try:
        return {name: values.double().numpy() for name, values in fitted.all(test).items()}
    except GenModelsError:
        return {}


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    if len(a) < 2 or not (np.isfinite(a).all() and np.isfinite(b).all()) or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(spearmanr(a, b).statistic)


def _quantiles(scores: np.ndarray) -> dict[str, float]:
    if not len(scores):
        return {}
    return {f"{level:g}": float(value) for level, value in zip(QUANTILES, np.quantile(scores, QUANTILES), strict=True)}
