"""The score `denoising`: |x - D(c(x))|^2 on the unit scale (measures/units.py), a mean over 4 draws of a corruption c.

All rows share the draws. The score needs a model D trained to undo the corruption c (Sakurada and Yairi, 2014). D moves
a corrupted row towards rows like those of the training; if c adds a little Gaussian noise of variance sigma^2, the move
is sigma^2 times the gradient of their log density (Alain and Bengio, 2014). So an anomaly does not come back to where
it was. The score misses anomalies that are smaller than what the corruption hides.
"""

import torch
from torch import Tensor

from gen_models.analysis.denoising import is_denoiser
from gen_models.anomalies.reconstruction_scores import squared
from gen_models.anomalies.score import Asked, Score
from gen_models.evaluating import by_rows
from gen_models.measures.units import unit_scale

DRAWS = 4


def _denoising(asked: Asked):
    setting = asked.setting

    def units(x: Tensor) -> Tensor:
        return unit_scale(x, levels=setting.levels, statistics=setting.statistics)

    def error(x: Tensor) -> Tensor:
        seen = [asked.model.corrupt(x, setting.noise.shared().at(draw)) for draw in range(DRAWS)]
        return torch.stack([squared(units(asked.model.denoise(one)) - units(x)) for one in seen]).mean(dim=0)

    return by_rows(error, asked.x)


DENOISING = Score("denoising", is_denoiser, _denoising)
