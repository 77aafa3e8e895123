"""denoise: every denoiser on corrupted test rows, beside the best linear one; a sheet of images for each.

    factor, level      of the corruption, in units of the trained level, and as it is in the conf
    noisy              squared error a number of the corrupted row, on the unit scale
    denoised, wiener   the same of the model's answer, and of the linear denoiser's
    gain, gain_error   wiener - denoised, mean over rows, with its standard error: of pairs, the noise is shared

All answers are clipped to the data's range. The linear denoiser is fitted in closed form on training rows, anew for
each level; the model saw one level and is told of no other. Rows of a held-out class are left out.
"""

import json
import math
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from gen_models.analysis import wiener
from gen_models.analysis.denoising import at_level, is_denoiser
from gen_models.evaluating import by_rows, evaluating
from gen_models.noise import Noise
from pipelines import config, figures
from pipelines.evaluation.data_range import range_of, squared_errors
from pipelines.evaluation.trained_run import Trained, open_trained
from pipelines.runtime import paths
from pipelines.runtime.stage import no_argument, produce, run

FACTORS = (0.5, 1.0, 2.0)  # of the level that the model was trained at
TRAIN_ROWS = 20_000  # that the linear denoiser is fitted on
SHEET_IMAGES = 12


def main(argv: list[str]) -> None:
    no_argument(argv, "denoise", __doc__)
    params = config.params()
    rows: list[dict[str, Any]] = []
    with produce(paths.out("denoise")) as folder:
        for line in params.runs.values():
            trained = open_trained(line)
            if is_denoiser(trained.model):
                rows += denoise(trained, params.seed, folder)
        (folder / "scores.json").write_text(json.dumps(rows, indent=1) + "\n")
    for row in rows:
        errors = ", ".join(f"{name} {row[name]:.5f}" for name in ("noisy", "denoised", "wiener"))
        print(f"{row['run']} {row['corruption']} {row['level']:.3g}: MSE {errors}")


def denoise(trained: Trained, seed: int, folder: Path) -> list[dict[str, Any]]:
    """A row of numbers a level; the sheet of the trained level."""
    train, test, limits = trained.normal("train")[:TRAIN_ROWS], trained.normal("test"), range_of(trained)
    rows = []
    for factor in FACTORS:
        model = at_level(trained.model, factor)
        with evaluating(trained.model):
            seen = model.corrupt(test, Noise(seed).at(wiener.DRAWS))  # a step that the fit does not draw
            linear = wiener.fit(model, train, Noise(seed))
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
    """denoised-RUN.png: the first test images, what the model saw, what it gave back, and the linear denoiser."""
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


if __name__ == "__main__":
    run(main)
