"""`python -m benchmarks.overview`: draws docs/pictures/overview.png from the graph's outputs, after `make repro`."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from gen_models.checkpoint import load_model
from pipelines import figures
from pipelines.config.params import params
from pipelines.data.store import Dataset, open_data
from pipelines.runtime import paths

SAMPLED = {
    "gmm-digits": "Gaussian mixture",
    "vae-digits": "VAE",
    "glow-digits": "Glow",
    "sn_wgan-digits": "SN-WGAN",
}
LARGER = "bernoulli_vae-mnist5k"  # 28x28 pixels
DENSITY = "out/evaluate/realnvp-two_moons/density.png"  # drawn by the stage evaluate


def main() -> None:
    """Draw samples of the models on digits, reconstructions of an autoencoder, and pictures that the stages drew."""
    digits = open_data("digits")
    panels: dict[str, np.ndarray | Path] = {"data": figures.mosaic(digits.x("test")[:36], levels=17, columns=6)}
    for key, title in SAMPLED.items():
        panels[f"{title}: samples"] = figures.mosaic(last_samples(key)[:36], levels=17, columns=6)
    panels["AE: images above reconstructions"] = figures.mosaic(there_and_back(digits), levels=17, columns=6)
    panels["Real NVP: density"] = paths.root() / DENSITY
    levels = open_data("mnist5k").levels
    panels["VAE of MNIST: samples"] = figures.mosaic(last_samples(LARGER)[:36], levels=levels, columns=6)
    path = paths.root() / "docs" / "pictures" / "overview.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figures.overview(panels, path)


def last_samples(run: str) -> np.ndarray:
    """Return the samples that a training drew at its end, (samples, *event)."""
    path = sorted((paths.out("train", run) / "samples").glob("*.npy"))[-1]
    return np.load(path, allow_pickle=False)


def there_and_back(digits: Dataset) -> np.ndarray:
    """Return three rows of six test images, and below each row its reconstructions by the autoencoder."""
    x = digits.rows("test")[:18]
    model: Any = load_model(paths.out("train", "ae-digits", "checkpoint"))
    back = model.reconstruct(x).clamp(0, 16)
    pairs = [rows for both in zip(x.split(6), back.split(6), strict=True) for rows in both]
    return torch.cat(pairs).numpy()


if __name__ == "__main__":
    params()
    main()
