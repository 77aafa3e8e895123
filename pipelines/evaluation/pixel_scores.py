"""Measures how well a run's maps of errors find defects, for images that come with masks of their defects.

A map holds, for each pixel of an image, the squared error of the model's reconstruction.
"""

import numpy as np

from gen_models.anomalies.reconstruction_scores import MAPS, error_maps
from gen_models.errors import DataError
from gen_models.evaluating import evaluating
from gen_models.measures.pixel_ranking import pixel_auroc
from pipelines.evaluation.row_scores import RowScores
from pipelines.evaluation.trained_run import Trained

MOST_IMAGES = 500


def pixel_scores(trained: Trained, scored: RowScores, seed: int) -> dict[str, dict[str, float]]:
    """Return {score: {pixel_auroc, pixel_low, pixel_high}} for each score that sums up a map of errors.

    pixel_auroc is the area under the ROC curve over the pixels of the first MOST_IMAGES test images, normal and
    anomalous; pixel_low and pixel_high are its 95% interval. An anomaly whose mask is empty is left out. Returns {} if
    the images have no masks, or if no pixel of these images is masked.
    """
    masks = trained.data.masks("test")
    names = [name for name in MAPS if name in scored.fitted.names]
    if masks is None or not names:
        return {}
    masks = np.asarray(masks[:MOST_IMAGES])
    is_told = ~trained.is_anomaly("test")[: len(masks)] | masks.any(axis=(1, 2))
    x = trained.data.rows("test", MOST_IMAGES)[is_told]
    found = {}
    for name in names:
        with evaluating(trained.model):
            maps = error_maps(trained.model, x, scored.fitted.setting, is_blurred=name == "blurred")
        try:
            area, low, high = pixel_auroc(maps.numpy(), masks[is_told], seed)
        except DataError:
            return {}
        found[name] = {"pixel_auroc": area, "pixel_low": low, "pixel_high": high}
    return found
