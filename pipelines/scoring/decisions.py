"""Decides which rows are called (flagged as anomalies), at an error rate that the user states.

Nobody has to guess how many of the rows are anomalies. p is a row's conformal p-value against the scores of calibration
rows (normal rows that the training has not seen). q is its q-value, the smallest false-discovery rate at which the row
would be called.

fpr   false-positive rate: of the normal rows, on average at most this fraction is called. A row is called if p <= fpr
fdr   false-discovery rate: of the called rows, on average at most this fraction is normal. A row is called if q <= fdr
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from gen_models.anomalies.conformal import conformal_p, q_values, require_rows
from gen_models.errors import DataError

ROUNDING = 1e-12  # a q-value such as 0.30000000000000004 is 0.3
ANOMALY, NORMAL = "anomaly", "normal"
KINDS = {"fpr": "false-positive rate", "fdr": "false-discovery rate"}


@dataclass(frozen=True)
class Rule:
    """The error rate at which rows are called. kind: "fpr" or "fdr"; rate: between 0 and 1"""

    kind: str
    rate: float

    @property
    def words(self) -> str:
        return f"a {KINDS[self.kind]} of {self.rate:.3g}"


@dataclass(frozen=True)
class Decisions:
    """The decisions on rows; each array has shape (rows,).

    p, q       p-value and q-value; NaN for a row without a score, and for all rows if there are no calibration rows
    rank       1 is the most anomalous row, and equal scores share a rank; NaN for a row without a score
    is_called  whether each row is called anomalous; None without a rule
    """

    p: np.ndarray
    q: np.ndarray
    rank: np.ndarray
    is_called: np.ndarray | None

    @property
    def words(self) -> np.ndarray:
        """The decision on each row: "anomaly", "normal", or "" for a row without a score and for all without a rule."""
        if self.is_called is None:
            return np.full(len(self.p), "", dtype=object)
        found = np.where(self.is_called, ANOMALY, NORMAL).astype(object)
        found[np.isnan(self.rank)] = ""
        return found


def rule_of(fpr: float | None, fdr: float | None, calibration: np.ndarray | None, *, without: str) -> Rule | None:
    """Return the rule that the user stated, or None if no rate was stated.

    fpr, fdr: the stated rate; at least one of them is None; calibration: scores of calibration rows (n,), or None
    without: what the error says if they are None

    Raises DataError if a rate was stated but is not between 0 and 1, or if there are no or too few calibration rows for
    it.
    """
    if fpr is None and fdr is None:
        return None
    rule = Rule("fpr", fpr) if fpr is not None else Rule("fdr", float(fdr or 0))
    if calibration is None:
        raise DataError(f"--{rule.kind}: {without}")
    require_rows(len(calibration), rule.rate)
    return rule


def decide(scores: np.ndarray, calibration: np.ndarray | None, rule: Rule | None) -> Decisions:
    """Return p-values, q-values, ranks and decisions for rows.

    scores: (rows,), NaN for a row without a score; calibration: scores of calibration rows (n,), or None
    rule: the rate at which rows are called; None: no decisions
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
        return Decisions(p, q, rank, (p if rule.kind == "fpr" else q) <= rule.rate * (1 + ROUNDING))
