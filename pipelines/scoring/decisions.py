"""Decides which rows are called anomalous, at an error rate that the user states; no share of anomalies is guessed.

fpr   false-positive rate: of the normal rows, on average at most this share is called. A row is called if p <= fpr
fdr   false-discovery rate: of the called rows, on average at most this share is normal. A row is called if q <= fdr
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from gen_models.anomalies.conformal import conformal_p, q_values, require_rows
from gen_models.errors import DataError
from pipelines.registry.serving import NO_CALIBRATION

ANOMALY, NORMAL = "anomaly", "normal"
KINDS = {"fpr": "false-positive rate", "fdr": "false-discovery rate"}


@dataclass(frozen=True)
class Rule:
    """A rate at which rows are called. kind: fpr or fdr; rate: between 0 and 1"""

    kind: str
    rate: float

    @property
    def words(self) -> str:
        return f"a {KINDS[self.kind]} of {self.rate:.3g}"


@dataclass(frozen=True)
class Decisions:
    """What is said of each row, all (rows,): NaN or "" for a row without a score.

    p, q: NaN without calibration rows; rank: 1 is the most anomalous, equal scores share a rank
    is_called: whether the row is called anomalous, or None without a rule
    """

    p: np.ndarray
    q: np.ndarray
    rank: np.ndarray
    is_called: np.ndarray | None

    @property
    def words(self) -> np.ndarray:
        """The decision of each row: anomaly, normal, or "" for a row that has none."""
        if self.is_called is None:
            return np.full(len(self.p), "", dtype=object)
        found = np.where(self.is_called, ANOMALY, NORMAL).astype(object)
        found[np.isnan(self.rank)] = ""
        return found


def rule_of(fpr: float | None, fdr: float | None, calibration: np.ndarray | None) -> Rule | None:
    """Return the rule that was asked for, or None.

    fpr, fdr: at most one of them; calibration: (n,) scores of calibration rows, or None. Raises DataError if there are
    too few calibration rows for the rate.
    """
    if fpr is None and fdr is None:
        return None
    rule = Rule("fpr", fpr) if fpr is not None else Rule("fdr", float(fdr or 0))
    if calibration is None:
        raise DataError(f"--{rule.kind}: {NO_CALIBRATION}")
    require_rows(len(calibration), rule.rate)
    return rule


def decide(scores: np.ndarray, calibration: np.ndarray | None, rule: Rule | None) -> Decisions:
    """Return p-values, q-values, ranks and decisions of rows.

    scores: (rows,), NaN for a row without one; calibration: (n,) scores of calibration rows, or None
    """
    rank = np.full(len(scores), np.nan)
    is_known = ~np.isnan(scores)
    rank[is_known] = rankdata(-scores[is_known], method="min")
    if calibration is None:
        nothing = np.full(len(scores), np.nan)
        return Decisions(nothing, nothing, rank, None)
    p = conformal_p(calibration, scores)
    q = q_values(p)
    if rule is None:
        return Decisions(p, q, rank, None)
    with np.errstate(invalid="ignore"):
        return Decisions(p, q, rank, (p if rule.kind == "fpr" else q) <= rule.rate)
