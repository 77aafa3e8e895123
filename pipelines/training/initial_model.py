"""Builds a model from its conf with a seed, and initialises it from training rows, so that it is ready for step 1."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from gen_models.build import build_model, build_optimisers
from gen_models.contracts import WarmStart
from gen_models.engine import Training
from gen_models.noise import Noise
from pipelines.data.store import Dataset

WARM_ROWS = 10_000  # training rows that a data-dependent initialisation sees


def build_training(conf: Mapping[str, Any], seed: int, device: str = "cpu") -> Training:
    """Return the model and the optimisers of a configuration, before step 1.

    Raises ConfigError if they cannot be built.
    """
    model = build_model(conf["model"], seed).to(device)
    return Training(model, build_optimisers(conf["optim"], model))


def warm_start(model: nn.Module, dataset: Dataset, seed: int, device: str = "cpu") -> None:
    """Initialise a model from training rows, if it is a WarmStart (it has ActNorm, a codebook or a mixture).

    Else do nothing.
    """
    if isinstance(model, WarmStart):
        with torch.no_grad():
            model.warm_start(dataset.first_rows("train", WARM_ROWS).to(device), Noise(seed))
