"""Measures an autoencoder's squared error on test rows, divided by the error of the best linear map.

    compression  |x - D(E(x))|^2 with r latents, over the error of PCA with r components
    denoising    |x - D(E(c(x)))|^2 for corrupted rows c(x), over the error of the best linear denoiser

Errors are means over rows and their numbers on the unit scale, with the reconstructed or denoised rows clipped to the
data's range. The spread is the standard error of the ratio. The linear maps are fitted to the same training rows, in
closed form.
"""

import math
import time

from torch import Tensor

from benchmarks import plan, training
from gen_models.analysis import linear_denoiser
from gen_models.codecs import principal
from gen_models.evaluating import by_rows, evaluating
from gen_models.noise import Noise
from pipelines.comparison.compression_baselines import unit_of
from pipelines.evaluation.data_range import range_of, squared_errors


def compression(name: str, row: plan.Row) -> None:
    """Measure the error of reconstructions over the error of PCA with as many components as the model has latents."""
    began = time.monotonic()
    played = training.play(row.model, training.data(row.data), row.settings, steps=row.steps)
    trained, r = played.trained, row.settings["model.latent"]
    x, train = trained.normal("test"), trained.normal("train")
    pca = principal.fit(train, unit_of(trained)).first(r)
    with evaluating(trained.model):
        found = {"model": by_rows(trained.model.reconstruct, x), "pca": pca.decode(pca.encode(x))}
    errors = {who: squared_errors(trained, range_of(trained), y, x) for who, y in found.items()}
    write_ratio(
        name,
        row,
        began,
        played,
        errors["model"],
        errors["pca"],
        {"squared error": errors["model"].mean().item(), f"PCA, r = {r}": errors["pca"].mean().item()},
    )


def denoising(name: str, row: plan.Row) -> None:
    """Measure the error of denoised rows over the error of the linear denoiser.

    Both denoise the same corrupted test rows. Their noise is not among the options.draws draws of noise with which the
    linear denoiser is fitted to training rows.
    """
    began = time.monotonic()
    played = training.play(row.model, training.data(row.data), row.settings, steps=row.steps)
    trained, noise = played.trained, Noise(1)  # training and its validation have the noise of seed 0
    x, limits = trained.normal("test"), range_of(trained)
    with evaluating(trained.model):
        seen = trained.model.corrupt(x, noise.at(row.options["draws"]))
        linear = linear_denoiser.fit(trained.model, trained.normal("train"), noise, draws=row.options["draws"])
        answers = {"model": by_rows(trained.model.denoise, seen), "linear": linear.denoise(seen), "corrupted": seen}
    errors = {who: squared_errors(trained, limits, answer, x) for who, answer in answers.items()}
    write_ratio(
        name,
        row,
        began,
        played,
        errors["model"],
        errors["linear"],
        {
            "squared error": errors["model"].mean().item(),
            "linear denoiser": errors["linear"].mean().item(),
            "corrupted rows": errors["corrupted"].mean().item(),
        },
    )


def write_ratio(
    name: str,
    row: plan.Row,
    began: float,
    played: training.Played,
    errors: Tensor,
    rivals: Tensor,
    beside: dict[str, float],
) -> None:
    """Write the row of a ratio of mean errors.

    began: when the measurement began (time.monotonic); beside: the baselines
    errors, rivals: the squared errors of the model and of the linear map on the same test rows, (rows,) each
    """
    ratio, error = ratio_of_means(errors, rivals)
    plan.write(
        "latent",
        name,
        row,
        ratio,
        "x the linear map's error",
        spread=error,
        baselines=beside,
        budget=f"{row.steps} minibatches of {played.batch_size}, {played.seconds:.0f} s",
        seconds=time.monotonic() - began,
    )


def ratio_of_means(errors: Tensor, rivals: Tensor) -> tuple[float, float]:
    """Return mean(errors) / mean(rivals) for errors of the same rows, (rows,) each, and the ratio's standard error.

    The standard error is computed by the delta method.
    """
    ratio = errors.mean() / rivals.mean()
    deviations = (errors - ratio * rivals) / rivals.mean()
    return ratio.item(), deviations.std().item() / math.sqrt(len(errors))
