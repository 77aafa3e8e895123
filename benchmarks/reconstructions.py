"""An autoencoder's squared error of test rows over that of the best linear map, a ratio.

    compression  |x - D(E(x))|^2 with r latents, over r principal components
    denoising    |x - D(E(c(x)))|^2 of corrupted rows, over the linear denoiser of least error

Errors are means over rows and numbers on the unit scale, answers clipped to [0, 1]; spread is the standard error of the
ratio. The linear maps are fitted on the same training rows, in closed form.
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
    """Over PCA with as many components as latents."""
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
    """Over the linear denoiser; the corrupted rows are the same for both, and none that the fit has drawn."""
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
    """The row of a ratio of mean errors."""
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
    """mean(errors) / mean(rivals) of paired rows, and by the delta method its standard error."""
    ratio = errors.mean() / rivals.mean()
    deviations = (errors - ratio * rivals) / rivals.mean()
    return ratio.item(), deviations.std().item() / math.sqrt(len(errors))
