"""How well a map of errors finds the pixels of a defect: the area under the ROC curve over all pixels of all images.

The pixels of an image depend on each other, so the interval comes from resamples of whole images (the bootstrap,
Efron, 1979). Errors are put into BINS bins by their ranks, so that an area is a sum over bins; a pixel of a defect and
another pixel in the same bin count half.
"""

import numpy as np

from gen_models.errors import DataError

BINS = 2_000
DRAWS = 1_000  # resamples


def pixel_auroc(maps: np.ndarray, masks: np.ndarray, seed: int, confidence: float = 0.95) -> tuple[float, float, float]:
    """Return (area, low, high): the area under the ROC curve, and its interval at the given confidence.

    maps   (images, height, width): the error of each pixel
    masks  the same shape; not 0 where a pixel is of a defect
    seed   of the resamples

    Raises DataError unless some pixels are of a defect and some are not.
    """
    n = len(maps)
    is_defect = np.asarray(masks).reshape(n, -1) != 0
    if not is_defect.any() or is_defect.all():
        raise DataError(f"{int(is_defect.sum())} of {is_defect.size} pixels are of a defect: an area needs both kinds")
    errors = np.asarray(maps, dtype=np.float64).reshape(n, -1)
    edges = np.unique(np.quantile(errors, np.linspace(0, 1, BINS + 1)[1:-1]))
    places = np.searchsorted(edges, errors)
    bins = len(edges) + 1
    image = np.repeat(np.arange(n), errors.shape[1])
    counts = [
        np.bincount(image[chosen] * bins + places.ravel()[chosen], minlength=n * bins).reshape(n, bins)
        for chosen in (is_defect.ravel(), ~is_defect.ravel())
    ]
    area = float(_areas(counts[0].sum(0)[None], counts[1].sum(0)[None])[0])
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=DRAWS)
    areas = _areas(drawn @ counts[0], drawn @ counts[1])
    areas = areas[np.isfinite(areas)]
    low, high = np.quantile(areas, [(1 - confidence) / 2, (1 + confidence) / 2])
    return area, float(min(low, area)), float(max(high, area))


def _areas(defects: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return, for each resample, P(pixel of a defect above another pixel) + P(same bin)/2.

    defects, others  (resamples, bins): how many pixels of each kind are in each bin; without one kind the result is nan
    """
    below = np.cumsum(others, axis=1) - others
    with np.errstate(invalid="ignore", divide="ignore"):
        return (defects * (below + others / 2)).sum(axis=1) / (defects.sum(axis=1) * others.sum(axis=1))
