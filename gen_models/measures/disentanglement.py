"""The mutual information gap: whether each factor of variation sits in one latent (Chen et al., 2018, equation 6).

    MIG = 1/K sum_k (I(z_j*; v_k) - max_{j != j*} I(z_j; v_k)) / H(v_k),   j* = argmax_j I(z_j; v_k)

z_j is the j-th latent, here called a code, v_k the k-th of K factors from which the data were made; I is the mutual
information, H the entropy. MIG is 1 if each factor is determined by one latent and no other latent tells anything about
it. It is 0 if, for each factor, two latents tell equally much, or none tells anything. I is computed after a code is
put into bins of equal width between its least and largest value (20 bins in Locatello et al., 2019). From n rows each I
is too high by about (bins - 1)(values of the factor - 1)/(2 n) nats, even for a code that is noise; the difference in
the gap removes this bias.
"""

import numpy as np
from numpy.typing import ArrayLike

from gen_models.errors import DataError
from gen_models.measures.partitions import contingency

BINS = 20


def mutual_information_gap(codes: ArrayLike, factors: ArrayLike, *, bins: int = BINS) -> float:
    """Return MIG, the mean of `gaps` over factors, in [0, 1].

    codes    (rows, latents): the latents of each row
    factors  (rows, factors): the factors of each row, with discrete values

    Raises DataError for a factor that does not vary, or if the two have different numbers of rows.
    """
    return float(gaps(codes, factors, bins=bins).mean())


def gaps(codes: ArrayLike, factors: ArrayLike, *, bins: int = BINS) -> np.ndarray:
    """Return the gap of each factor v_k, (factors,): its largest I(z_j; v_k) minus its second largest, over H(v_k).

    Arguments and errors are those of `mutual_information_gap`.
    """
    information, entropies = mutual_information(codes, factors, bins=bins)
    if not entropies.all():
        raise DataError(f"factor {int(np.argmin(entropies))} has one value in all rows: leave it out, it has no gap")
    second, first = np.sort(np.pad(information, ((0, 0), (1, 0))), axis=1)[:, -2:].T  # a single latent competes with 0
    return (first - second) / entropies


def mutual_information(codes: ArrayLike, factors: ArrayLike, *, bins: int = BINS) -> tuple[np.ndarray, np.ndarray]:
    """Return I(z_j; v_k) of the shape (factors, latents), and H(v_k) of the shape (factors,), both in nats.

    Raises DataError unless codes and factors have two axes each and the same number of rows.
    """
    codes, factors = np.asarray(codes, dtype=np.float64), np.asarray(factors)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors):
        raise DataError(f"codes {codes.shape} and factors {factors.shape} need two axes each, and as many rows")
    cells = np.stack([in_bins(code, bins) for code in codes.T], axis=1)
    information = [[_information(factor, cell) for cell in cells.T] for factor in factors.T]
    return np.array(information), np.array([_information(factor, factor) for factor in factors.T])


def in_bins(code: np.ndarray, bins: int) -> np.ndarray:
    """Return the index of the bin of each value of a code (rows,): whole numbers from 0 to at most bins - 1.

    If the code has at most `bins` different values, each of these gets its own bin, whatever their spacing; else the
    bins have equal width between the least and the largest value.
    """
    values, positions = np.unique(code, return_inverse=True)
    if len(values) <= bins:
        return positions
    edges = np.linspace(values[0], values[-1], bins + 1)[1:-1]
    return np.searchsorted(edges, code, side="right")


def _information(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mutual information sum p(a, b) log [p(a, b) / (p(a) p(b))] in nats; for a = b it is the entropy."""
    joint = contingency(a, b) / len(a)
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    there = joint > 0
    return max(0.0, float((joint[there] * np.log(joint[there] / independent[there])).sum()))
