"""Measures a denoiser on corrupted test rows, beside the best linear denoiser, and draws a sheet of images.

A level says how strong the corruption is: a standard deviation, or the fraction of a row's numbers that are corrupted.
The result for one level is a record, a dictionary with these keys:

    factor, level      the level as a multiple of the level of training, and in the unit of the model's conf
    noisy              mean squared error of the corrupted rows, over rows and their numbers, on the unit scale:
                       x/(q - 1) for q grey levels, else x standardised by the training rows
    denoised, wiener   the same error of the rows that the model returns, and of the linear denoiser's rows
    gain, gain_error   mean over rows of wiener - denoised, and its standard error; both denoisers get the same
                       corrupted rows, so the differences are paired

Corrupted and denoised rows are clipped to the data's range before their error is measured. The linear denoiser is
fitted to training rows in closed form, once for each level. The model was trained at one level, and does not know at
which level the test rows are corrupted. Rows of a held-out class are left out.
"""

import math
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from gen_models.analysis import linear_denoiser
from gen_models.analysis.denoising import at_level, is_denoiser
from gen_models.evaluating import by_rows, evaluating
from gen_models.noise import Noise
from pipelines import figures
from pipelines.evaluation.data_range import range_of, squared_errors
from pipelines.evaluation.trained_run import Trained

FACTORS = (0.5, 1.0, 2.0)  # multiples of the level at which the model was trained
TRAIN_ROWS = 20_000  # rows to which the linear denoiser is fitted
SHEET_IMAGES = 12


def denoising_errors(trained: Trained, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Return a record for each level of corruption; an empty list if the model was not trained to denoise.

    For images, the sheet denoised-RUN.png, at the level of training, is written to `folder`.
    """
    if not is_denoiser(trained.model):
        return []
    train, test, limits = trained.normal("train")[:TRAIN_ROWS], trained.normal("test"), range_of(trained)
    rows = []
    for factor in FACTORS:
        model = at_level(trained.model, factor)
        with evaluating(trained.model):
            seen = model.corrupt(test, Noise(seed).at(linear_denoiser.DRAWS))  # the fit draws at the steps before
            linear = linear_denoiser.fit(model, train, Noise(seed))
            answers = {"noisy": seen, "denoised": by_rows(model.denoise, seen), "wiener": linear.denoise(seen)}
        errors = {name: squared_errors(trained, limits, answer, test) for name, answer in answers.items()}
        gains = errors["wiener"] - errors["denoised"]
        row = {
            "run": trained.run.key,
            "data": trained.run.data,
            "corruption": model.corruption,
            "factor": factor,
            "level": model.corruption_level,
            "rows": len(test),
            **{name: error.mean().item() for name, error in errors.items()},
            "gain": gains.mean().item(),
            "gain_error": gains.std().item() / math.sqrt(len(gains)) if len(gains) > 1 else 0.0,
        }
        rows.append(row)
        if factor == 1.0 and figures.is_image(trained.data.event_shape):
            draw_sheet(trained, {name: limits.clip(answer) for name, answer in answers.items()}, row, folder)
    return rows


def draw_sheet(trained: Trained, answers: dict[str, Tensor], row: dict[str, Any], folder: Path) -> None:
    """Draw denoised-RUN.png: the first SHEET_IMAGES test images, four times.

    The first row has the clean images, the second the corrupted images, the third the images that the model denoised,
    and the fourth the images that the linear denoiser denoised.

    answers: {"noisy", "denoised", "wiener": images (rows, channels, height, width)}; row: the record of this level
    """
    rows = {
        "clean": trained.normal("test"),
        f"seen: {row['noisy']:.4f}": answers["noisy"],
        f"denoised: {row['denoised']:.4f}": answers["denoised"],
        f"linear: {row['wiener']:.4f}": answers["wiener"],
    }
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", trained.run.key)
    figures.sheet(
        {name: x[:SHEET_IMAGES].numpy() for name, x in rows.items()},
        folder / f"denoised-{name}.png",
        levels=trained.data.levels,
        title=f"{trained.run.key}: {row['corruption']} {row['level']:.3g}, squared error of all test rows",
    )
