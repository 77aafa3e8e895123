"""The table of models: a row per model. A row is all that a new model adds to the law tests."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gen_models.adversarial.conv_wgan import ConvWGAN
from gen_models.adversarial.dcgan import DCGAN
from gen_models.adversarial.f_gan import FGAN
from gen_models.adversarial.gan import GAN
from gen_models.adversarial.sn_wgan import SNWGAN
from gen_models.adversarial.wgan import WGAN
from gen_models.autoencoders.autoencoder import Autoencoder
from gen_models.autoencoders.iwae import IWAE
from gen_models.autoencoders.vae import VAE
from gen_models.autoencoders.vq_vae import VQVAE
from gen_models.autoencoders.vq_vae2 import VQVAE2
from gen_models.contracts import Objective
from gen_models.flows.affine_flow import AffineFlow
from gen_models.flows.ffjord import FFJORD
from gen_models.flows.flow_matching import FlowMatching
from gen_models.flows.glow import Glow
from gen_models.flows.image_realnvp import ImageRealNVP
from gen_models.flows.nice import NICE
from gen_models.flows.realnvp import RealNVP
from gen_models.flows.scalar_flow import ScalarFlow, UniversalFlow
from gen_models.flows.spline_flow import SplineFlow
from gen_models.layers.levels import Column, Levels, coordinates, is_table
from gen_models.mixtures.gaussian_mixture import GaussianMixture
from gen_models.noise import Noise

LINE = ([1], None)
PLANE = ([2], None)
SPACE = ([5], None)
DIGITS = ([1, 4, 4], 17)
SCANS = ([1, 8, 8], 17)
PICTURES = ([3, 4, 4], None)
ODD = ([2, 7, 5], None)
TABLE = ([8], [None, 0.01, "flag", {"category": 3}, 1, None])
ROWS_OF_DATA = 72


@dataclass(frozen=True, eq=False)
class Row:
    """name; constructor and its arguments; the data that it is tried on; the capabilities that it must offer.

    is_seedless  every parameter starts at a constant or where the data say, so that seeds make no difference
    """

    name: str
    model: Callable[..., nn.Module]
    data: tuple[Sequence[int], Levels]
    arguments: dict[str, object]
    offers: tuple[str, ...]
    is_seedless: bool = False

    def __str__(self) -> str:
        return self.name


MIXTURE = ("density", "encoder", "sampler", "clusterer")
AUTOENCODER = ("encoder", "decoder", "reconstructor")
VARIATIONAL = ("bound", "encoder", "decoder", "reconstructor", "sampler")
FLOW = ("density", "encoder", "decoder", "sampler", "temperature")
GAME = ("sampler", "critic")
CONV_WGAN = {"latent": 16, "channels": 16, "clip": 0.3}
QUANTISED = ("encoder", "decoder", "reconstructor", "sampler")
TINY_VQ: dict[str, object] = {
    "codes": 5,
    "dim": 3,
    "channels": 4,
    "blocks": 1,
    "scales": 1,
    "prior_channels": 4,
    "prior_layers": 2,
}

ON_TABLES: list[tuple[str, Callable[..., nn.Module], dict[str, object], tuple[str, ...]]] = [
    ("gmm", GaussianMixture, {"components": 3, "em_steps": 3}, MIXTURE),
    ("gmm labels", GaussianMixture, {"components": 3, "em_steps": 3, "labels": "probabilities"}, MIXTURE),
    ("affine_flow", AffineFlow, {}, FLOW),
    ("scalar_flow", ScalarFlow, {"map": "gaussians", "base": "normal", "components": 3}, FLOW),
    ("nice", NICE, {"couplings": 3, "hidden": [8], "to_line": "histogram"}, FLOW),
    ("realnvp", RealNVP, {"couplings": 2, "hidden": [8]}, FLOW),
    ("spline_flow", SplineFlow, {"couplings": 2, "hidden": [8], "bins": 4}, FLOW),
    ("ffjord", FFJORD, {"hidden": [8], "steps": 2, "score_steps": 8}, FLOW),
    ("flow_matching", FlowMatching, {"hidden": [8], "score_steps": 8}, FLOW),
    ("ae", Autoencoder, {"latent": 2, "hidden": [8]}, AUTOENCODER),
    ("denoising_ae", Autoencoder, {"latent": 2, "hidden": [8], "corruption": "masking"}, AUTOENCODER),
    ("vae", VAE, {"latent": 2, "hidden": [8], "sigma": 0.5}, VARIATIONAL),
    ("vae mixed", VAE, {"latent": 2, "hidden": [8], "likelihood": "mixed", "variance": "learned"}, VARIATIONAL),
    ("vae mixed optimal", VAE, {"latent": 2, "hidden": [8], "likelihood": "mixed", "variance": "optimal"}, VARIATIONAL),
    (
        "iwae mixed",
        IWAE,
        {
            "latents": [3, 2],
            "hidden": [[8], [6]],
            "samples": 3,
            "likelihood": "mixed",
            "gradient": "doubly_reparameterised",
        },
        VARIATIONAL,
    ),
    ("gan", GAN, {"latent": 2, "hidden": [8]}, GAME),
    ("f_gan", FGAN, {"latent": 2, "hidden": [8], "divergence": "js"}, GAME),
    ("wgan", WGAN, {"latent": 2, "hidden": [8], "constraint": "penalty"}, GAME),
    ("sn_wgan", SNWGAN, {"latent": 2, "hidden": [8]}, GAME),
]
ROWS = [
    Row("gmm full", GaussianMixture, PLANE, {"components": 3, "covariance": "full", "em_steps": 3}, MIXTURE, True),
    Row(
        "gmm diagonal",
        GaussianMixture,
        SPACE,
        {"components": 3, "covariance": "diagonal", "em_steps": 3},
        MIXTURE,
        True,
    ),
    Row(
        "gmm spherical",
        GaussianMixture,
        SPACE,
        {"components": 3, "covariance": "spherical", "em_steps": 3},
        MIXTURE,
        True,
    ),
    Row("gmm digits", GaussianMixture, DIGITS, {"components": 3, "em_steps": 3}, MIXTURE, True),
    Row("ae", Autoencoder, SPACE, {"latent": 2, "hidden": [8]}, AUTOENCODER),
    Row("ae linear", Autoencoder, SPACE, {"latent": 2, "hidden": []}, AUTOENCODER),
    Row("ae digits", Autoencoder, DIGITS, {"latent": 3, "hidden": [16, 8]}, AUTOENCODER),
    Row("vae", VAE, PLANE, {"latent": 2, "hidden": [8], "sigma": 0.5}, VARIATIONAL),
    Row("vae beta", VAE, SPACE, {"latent": 2, "hidden": [8], "beta": 4.0}, VARIATIONAL),
    Row("vae digits", VAE, DIGITS, {"latent": 3, "hidden": [16, 8], "sigma": 0.1}, VARIATIONAL),
    Row("realnvp", RealNVP, PLANE, {"couplings": 4, "hidden": [8]}, FLOW),
    Row(
        "realnvp no bn",
        RealNVP,
        SPACE,
        {"couplings": 3, "hidden": [8, 8], "batch_norm": False, "activation": "relu"},
        FLOW,
    ),
    Row("realnvp digits", RealNVP, DIGITS, {"couplings": 4, "hidden": [8]}, FLOW),
    Row("affine_flow", AffineFlow, SPACE, {}, FLOW, True),
    Row("affine_flow digits", AffineFlow, DIGITS, {}, FLOW, True),
    Row("scalar_flow normal", ScalarFlow, LINE, {"map": "gaussians", "base": "normal", "components": 3}, FLOW, True),
    Row("scalar_flow uniform", ScalarFlow, LINE, {"map": "logistics", "base": "uniform", "components": 3}, FLOW, True),
    Row("scalar_flow beta", ScalarFlow, LINE, {"map": "spline", "base": "beta", "components": 4}, FLOW, True),
    Row("universal_flow", UniversalFlow, LINE, {"base": "beta", "components": 3}, FLOW, True),
    Row("nice", NICE, PLANE, {"couplings": 3, "hidden": [8], "base": "normal"}, FLOW),
    Row("nice digits", NICE, DIGITS, {"couplings": 4, "hidden": [8], "to_line": "histogram"}, FLOW),
    Row("spline_flow", SplineFlow, PLANE, {"couplings": 2, "hidden": [8], "bins": 4}, FLOW),
    Row("spline_flow digits", SplineFlow, DIGITS, {"couplings": 2, "hidden": [8], "bins": 4}, FLOW),
    Row("image_realnvp digits", ImageRealNVP, DIGITS, {"scales": 2, "channels": 4, "blocks": 1}, FLOW),
    Row(
        "image_realnvp bn",
        ImageRealNVP,
        DIGITS,
        {"scales": 2, "channels": 4, "blocks": 1, "norm": "batch", "batch_norm": False},
        FLOW,
    ),
    Row(
        "image_realnvp histogram",
        ImageRealNVP,
        DIGITS,
        {"scales": 2, "channels": 4, "blocks": 1, "to_line": "histogram"},
        FLOW,
    ),
    Row("image_realnvp", ImageRealNVP, PICTURES, {"scales": 1, "channels": 4, "blocks": 0, "norm": "none"}, FLOW),
    Row("glow digits", Glow, DIGITS, {"scales": 2, "steps": 2, "channels": 4}, FLOW),
    Row("glow", Glow, PICTURES, {"scales": 1, "steps": 2, "channels": 4}, FLOW),
    Row("ffjord", FFJORD, PLANE, {"hidden": [8], "steps": 4, "score_steps": 8}, FLOW),
    Row(
        "ffjord adjoint",
        FFJORD,
        SPACE,
        {"hidden": [8], "steps": 2, "score_steps": 8, "trace": "exact", "adjoint": True},
        FLOW,
    ),
    Row("flow_matching", FlowMatching, PLANE, {"hidden": [8], "score_steps": 8}, FLOW),
    Row("sn_wgan", SNWGAN, PLANE, {"latent": 2, "hidden": [8, 8], "n_dis": 2}, GAME),
    Row("sn_wgan relu", SNWGAN, SPACE, {"latent": 2, "hidden": [8], "activation": "relu"}, GAME),
    Row("sn_wgan digits", SNWGAN, DIGITS, {"latent": 3, "hidden": [8], "critic_hidden": [16, 8]}, GAME),
    Row("conv_ae digits", Autoencoder, DIGITS, {"latent": 3, "hidden": [8], "channels": [4]}, AUTOENCODER),
    Row(
        "denoising_ae",
        Autoencoder,
        SPACE,
        {"latent": 2, "hidden": [8], "corruption": "gaussian"},
        AUTOENCODER,
    ),
    Row(
        "denoising_ae digits",
        Autoencoder,
        DIGITS,
        {"latent": 3, "hidden": [8], "corruption": "salt_and_pepper"},
        AUTOENCODER,
    ),
    Row("gmm uniform", GaussianMixture, PLANE, {"components": 3, "em_steps": 3, "weights": "uniform"}, MIXTURE, True),
    Row("conv_vae digits", VAE, DIGITS, {"latent": 3, "hidden": [8], "channels": [4], "sigma": 0.1}, VARIATIONAL),
    Row("bernoulli_vae digits", VAE, DIGITS, {"latent": 3, "hidden": [8], "likelihood": "bernoulli"}, VARIATIONAL),
    Row(
        "bernoulli_vae conv",
        VAE,
        ([1, 4, 4], 2),
        {"latent": 2, "hidden": [], "channels": [4], "likelihood": "bernoulli"},
        VARIATIONAL,
    ),
    Row(
        "vae cells",
        VAE,
        DIGITS,
        {"latent": 3, "hidden": [8], "likelihood": "discretised", "variance": "per_pixel", "sigma": 0.2},
        VARIATIONAL,
    ),
    Row("vae learned", VAE, SPACE, {"latent": 2, "hidden": [8], "variance": "learned"}, VARIATIONAL),
    Row("vae optimal", VAE, SPACE, {"latent": 2, "hidden": [8], "variance": "optimal", "samples": 2}, VARIATIONAL),
    Row(
        "vae score",
        VAE,
        SPACE,
        {"latent": 2, "hidden": [8], "gradient": "score_function", "control_variate": "leave_one_out", "samples": 3},
        VARIATIONAL,
    ),
    Row(
        "vae score running",
        VAE,
        PLANE,
        {"latent": 2, "hidden": [8], "gradient": "score_function", "control_variate": "running_mean"},
        VARIATIONAL,
    ),
    Row("iwae", IWAE, PLANE, {"latents": [2], "hidden": [[8]], "samples": 5, "variance": "learned"}, VARIATIONAL),
    Row(
        "iwae digits",
        IWAE,
        DIGITS,
        {
            "latents": [3],
            "hidden": [[8]],
            "samples": 3,
            "likelihood": "bernoulli",
            "gradient": "doubly_reparameterised",
        },
        VARIATIONAL,
    ),
    Row("iwae2", IWAE, SPACE, {"latents": [3, 2], "hidden": [[8], [6]], "samples": 3}, VARIATIONAL),
    Row(
        "iwae2 dreg",
        IWAE,
        SPACE,
        {"latents": [3, 2], "hidden": [[8], [6]], "samples": 3, "gradient": "doubly_reparameterised"},
        VARIATIONAL,
    ),
    Row(
        "iwae conv",
        IWAE,
        DIGITS,
        {"latents": [3], "hidden": [[]], "samples": 2, "channels": [4], "sigma": 0.1},
        VARIATIONAL,
    ),
    Row("gan", GAN, PLANE, {"latent": 2, "hidden": [8, 8], "n_dis": 2, "weight": 2.0}, GAME),
    Row("gan digits", GAN, DIGITS, {"latent": 3, "hidden": [8], "generator_loss": "non_saturating"}, GAME),
    Row("gan penalty", GAN, PLANE, {"latent": 2, "hidden": [8], "activation": "relu", "penalty": 0.1}, GAME),
    Row("dcgan digits", DCGAN, DIGITS, {"latent": 16, "channels": 16, "kernel": 3}, GAME),
    Row("dcgan odd", DCGAN, ODD, {"latent": 3, "channels": 4, "n_dis": 2, "generator_loss": "zero_sum"}, GAME),
    *(
        Row(f"f_gan {divergence}", FGAN, PLANE, {"latent": 2, "hidden": [8], "divergence": divergence}, GAME)
        for divergence in ("kl", "reverse_kl", "squared_hellinger", "js", "pearson", "total_variation")
    ),
    Row("f_gan reverse", FGAN, SPACE, {"latent": 2, "hidden": [8], "divergence": "js", "direction": "reverse"}, GAME),
    Row("f_gan digits", FGAN, DIGITS, {"latent": 2, "hidden": [8], "generator_loss": "non_saturating"}, GAME),
    *(
        Row(f"wgan {constraint}", WGAN, PLANE, {"latent": 2, "hidden": [8], "constraint": constraint}, GAME)
        for constraint in ("normalisation", "penalty", "clipping")
    ),
    *(
        Row(f"conv_wgan {constraint}", ConvWGAN, DIGITS, {**CONV_WGAN, "constraint": constraint}, GAME)
        for constraint in ("projection", "normalisation", "penalty", "clipping")
    ),
    Row("vq_vae digits", VQVAE, DIGITS, {**TINY_VQ, "decay": 0.8}, QUANTISED),
    Row("vq_vae gradient", VQVAE, PICTURES, {**TINY_VQ, "decay": None}, QUANTISED),
    Row("vq_vae2 digits", VQVAE2, SCANS, TINY_VQ, QUANTISED),
    Row("vq_vae2 gradient", VQVAE2, SCANS, {**TINY_VQ, "decay": None, "bottom_dropout": 0.3}, QUANTISED),
    *(
        Row(
            f"{name} table",
            model,
            TABLE,
            arguments,
            offers,
            name in ("gmm", "gmm labels", "affine_flow", "scalar_flow"),
        )
        for name, model, arguments, offers in ON_TABLES
    ),
]


def rows_offering(capability: str) -> list[Row]:
    return [row for row in ROWS if capability in row.offers]


def data_of(row: Row, dtype: torch.dtype = torch.float64, rows: int = ROWS_OF_DATA) -> Tensor:
    """Rows as prepare would store them: correlated and off centre, or on a grid of levels, or both in a table."""
    event_shape, levels = row.data
    generator = torch.Generator().manual_seed(1)
    if is_table(levels):
        return table_rows(levels, event_shape, generator, rows).to(dtype)
    if levels is not None:
        return torch.randint(0, levels, (rows, *event_shape), generator=generator).to(dtype)
    x = torch.randn(rows, *event_shape, generator=generator, dtype=dtype)
    return 3.0 + 2.0 * x + x.roll(1, dims=1).square()


def table_rows(columns: Sequence[Column], event_shape: Sequence[int], generator: torch.Generator, rows: int) -> Tensor:
    """Legal rows of a table; its columns depend on each other."""
    kinds = coordinates(columns, event_shape)
    normal = torch.randn(rows, *event_shape, generator=generator, dtype=torch.float64)
    x = 3.0 + 2.0 * normal + normal.roll(1, dims=1).square()
    steps = torch.tensor(kinds.steps, dtype=torch.float64)
    x = torch.where(steps > 0, (x * (1 / steps).round() / 5).round() / (1 / steps).round(), x)
    for flag in kinds.flags:
        x[:, flag] = (normal[:, flag] + normal[:, 0] > 0.5).double()
    for first, end in kinds.groups:
        x[:, first:end] = one_hot((normal[:, first:end] + normal[:, :1] / 2).argmax(dim=1), end - first).double()
    return x


def assert_legal(x: Tensor, columns: Sequence[Column], seen: Tensor) -> None:
    """Rows of a table are what its columns may hold; grids stay within the range of the rows that were seen."""
    kinds = coordinates(columns, x.shape[1:])
    for i in set(range(x.shape[1])) - set(kinds.labels):
        if step := kinds.steps[i]:
            places = [round(value / step) for value in x[:, i].tolist()]
            decimals = max(0, len(f"{step:g}".split(".")[-1]) if "." in f"{step:g}" else 0)
            assert x[:, i].tolist() == [float(f"{place * step:.{decimals}f}") for place in places]
            low, high = seen[:, i].double().min().item(), seen[:, i].double().max().item()
            assert low - step / 2 < x[:, i].min() and x[:, i].max() < high + step / 2
    labels = x[:, kinds.labels]
    assert torch.equal(labels, (labels == 1).double())
    for first, end in kinds.groups:
        assert (x[:, first:end].sum(dim=1) == 1).all()


def build(row: Row, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    """The model as its constructor leaves it, in evaluation mode."""
    event_shape, levels = row.data
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return row.model(event_shape, levels, **row.arguments).to(dtype).eval()


READY: dict[tuple[str, torch.dtype], nn.Module] = {}  # made once, copied for each test


def ready(row: Row, dtype: torch.dtype = torch.float64) -> nn.Module:
    """The model after its warm start and a nudge of every parameter: no layer at 0, no law true by symmetry."""
    if (row.name, dtype) not in READY:
        READY[row.name, dtype] = _made_ready(row, dtype)
    return copy.deepcopy(READY[row.name, dtype])


def _made_ready(row: Row, dtype: torch.dtype) -> nn.Module:
    model = build(row, dtype=dtype)
    model.warm_start(data_of(row, dtype), Noise(2))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator, dtype=dtype)
    for objective in model.objectives():
        objective.after_step()
    return model


def descend(objective: Objective, x: Tensor, noise: Noise, rate: float = 1e-2) -> None:
    """One step of one player by plain gradient descent, as the engine does it."""
    parameters = list(objective.module.parameters())
    for parameter in parameters:
        parameter.grad = None
    objective.loss(x, noise).value.backward(inputs=parameters)
    with torch.no_grad():
        for parameter in parameters:
            parameter -= rate * parameter.grad
    objective.after_step()
