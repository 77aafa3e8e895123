"""`python -m benchmarks.readme`: README's picture and tables, from the graph's outputs and the result files.

Run it after `make repro`, `make bench` and `make figures`. Tables stand between `<!-- NAME -->` and `<!-- /NAME -->`.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import rows
from gen_models.checkpoint import load_model
from gen_models.errors import GenModelsError
from pipelines import config, figures
from pipelines.data.store import Dataset, open_data
from pipelines.runtime import paths

SAMPLED = ("gmm-digits", "vae-digits", "glow-digits", "sn_wgan-digits")
PICTURES = {  # beside the samples: what the stages drew
    "Real NVP: density": "out/evaluate/realnvp-two_moons/density.png",
    "anomaly scores, without the 8": "out/detect/roc.png",
}
VARIANTS = "modes-variants"  # rows that have a table of their own
TITLES = {
    "gmm": "Gaussian mixture",
    "ae": "Autoencoder",
    "vae": "VAE",
    "denoising_ae": "Denoising autoencoder",
    "iwae": "IWAE of binary pixels",
    "vq_vae": "VQ-VAE",
    "gan": "GAN",
    "f_gan": "f-GAN",
    "dcgan": "DCGAN",
    "scalar_flow": "Flow of the line",
    "realnvp": "Real NVP",
    "image_realnvp": "Real NVP of images",
    "glow": "Glow",
    "ffjord": "FFJORD",
    "sn_wgan": "SN-WGAN",
}


def main() -> None:
    picture()
    board = json.loads((paths.root() / "reports" / "leaderboard.json").read_text())
    replace("models", models(board))
    replace("detection", detection(board))
    replace("flows", measured("flows"))
    replace("latent", measured("latent"))
    replace("games", measured("games"))
    replace("variants", variants())
    replace("bench", measured("pipeline", "loader"))


def picture() -> None:
    """docs/pictures/overview.png: samples of each model on digits, and what else the stages drew."""
    digits = open_data("digits")
    panels: dict[str, np.ndarray | Path] = {"data": figures.mosaic(digits.x("test")[:36], levels=17, columns=6)}
    for key in SAMPLED:
        last = sorted((paths.out("train", key) / "samples").glob("*.npy"))[-1]
        draws = np.load(last, allow_pickle=False)[:36]
        panels[f"{TITLES[key.partition('-')[0]]}: samples"] = figures.mosaic(draws, levels=17, columns=6)
    panels["AE: test rows, above copies"] = figures.mosaic(there_and_back(digits), levels=17, columns=6)
    panels |= {title: paths.root() / path for title, path in PICTURES.items()}
    path = paths.root() / "docs" / "pictures" / "overview.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figures.overview(panels, path)


def there_and_back(digits: Dataset) -> np.ndarray:
    """Three rows of six test images, each row above its reconstructions by the autoencoder."""
    x = digits.rows("test")[:18]
    back = load_model(paths.out("train", "ae-digits", "checkpoint")).reconstruct(x).clamp(0, 16)
    pairs = [rows for both in zip(x.split(6), back.split(6), strict=True) for rows in both]
    return torch.cat(pairs).numpy()


def models(board: dict[str, Any]) -> str:
    """A row per run on whole data sets: likelihood, reconstruction, samples, clusters."""
    lines = []
    for run in board["runs"]:
        if run["data"].endswith("_normal"):
            continue
        m, c = run["metrics"], run["clustering"]
        likelihood = f"{m['nats']:.2f}" + (" (bound)" if run["is_bound"] else "") if "nats" in m else ""
        lines.append([
            TITLES.get(run["model"], run["model"]),
            run["data"],
            likelihood,
            f"{m['bits_per_dim']:.3f}" if "bits_per_dim" in m else "",
            (f"{m['mse']:.5f}" + (f" ({m['mse_pca']:.5f})" if "mse_pca" in m else "")) if "mse" in m else "",
            f"{m['c2st_accuracy']:.2f} ({m['c2st_accuracy_floor']:.2f})" if "c2st_accuracy" in m else "",
            f"{m['memorisation']:.2f}" if "memorisation" in m else "",
            f"{c['acc_mean']:.2f} / {c['nmi_mean']:.2f} / {c['ari_mean']:.2f}" if c else "",
        ])  # fmt: skip
    raw = next(row for row in board["baselines"]["clustering"] if row["data"] == "digits")
    clusters = f"{raw['acc_mean']:.2f} / {raw['nmi_mean']:.2f} / {raw['ari_mean']:.2f}"
    lines.append(["*k-means on the data*", "digits", "", "", "", "", "", clusters])
    head = ["model", "data", "-log p, nats", "bits/dim", "MSE (PCA)", "C2ST (floor)", "memorisation", "ACC / NMI / ARI"]
    return table(head, lines)


def detection(board: dict[str, Any]) -> str:
    """A row per score: the area under the ROC curve with its 95% interval."""
    found = [row for run in board["runs"] for row in run["detection"]] + board["baselines"]["detection"]
    found.sort(key=lambda row: -row["auroc"])
    lines = [
        [row["run"], row["score"], f"{row['auroc']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"] for row in found
    ]
    return table(["model or baseline", "score", "AUROC", "95% interval"], lines)


def measured(*modules: str) -> str:
    """A row per result file that these modules of benchmarks/ wrote, stale ones marked; then commands and machines."""
    commands = tuple(f"python -m benchmarks.{module}" for module in modules)
    stale, lines, made = set(rows.stale()), [], set()
    for path in sorted((paths.root() / "benchmarks" / "results").glob("*.json")):
        row = json.loads(path.read_text())
        if not row["command"].startswith(commands) or row["name"].startswith(VARIANTS):
            continue
        verdict = "met" if row["met"] else "**missed**"
        verdict += ", stale" if row["name"] in stale else ""
        spread = "" if row["spread"] is None else f" +- {row['spread']:.1g}"
        lines.append([
            row["name"],
            f"{row['figure']:.4g}{spread} {row['unit']}",
            f"{row['target']:.4g}",
            verdict,
            "; ".join(f"{name} {value:.4g}" for name, value in row["baselines"].items()),
            row["budget"],
        ])  # fmt: skip
        made.add((row["command"].replace(row["name"], "ROW"), row["device"]))
    below = [f"By `{command}` on {device}." for command, device in sorted(made)]
    return "\n\n".join([table(["row", "figure", "target", "", "beside it", "budget"], lines), *below])


def variants() -> str:
    """A row per variant of the games: modes reached and the share of samples near one, on each data set."""
    found = [
        json.loads(path.read_text())
        for path in sorted((paths.root() / "benchmarks" / "results").glob(f"{VARIANTS}*.json"))
    ]
    stale = set(rows.stale())
    head, beside = ["variant"], []
    for row in found:
        head += [f"modes, {row['data']}", "share within 3 sd"]
        verdict = "met" if row["met"] else "missed"
        verdict += ", stale" if row["name"] in stale else ""
        beside.append(
            f"`{row['command']}`: {row['budget']}, seeds {row['seeds']}, {row['device']}. The best by the rule above: "
            f"{row['figure']:.3g} {row['unit']}, target {row['target']:g}, {verdict}."
        )
    names = dict.fromkeys(what.rpartition(": ")[0] for row in found for what in row["baselines"])
    lines = [
        [
            name,
            *(number(row["baselines"], f"{name}: {what}") for row in found for what in ("modes", "share within 3 sd")),
        ]
        for name in names
    ]
    return "\n\n".join([table(head, lines), *beside])


def number(values: dict[str, float], name: str) -> str:
    return f"{values[name]:.3g}" if name in values else ""


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in [head, ["---"] * len(head), *lines])
    return "\n".join("| " + " | ".join(line) + " |" for line in escaped)


def replace(name: str, text: str) -> None:
    """Put a table between its marks in README."""
    path = paths.root() / "README.md"
    whole = path.read_text()
    marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not marks.search(whole):
        raise GenModelsError(f"{path}: the marks <!-- {name} --> and <!-- /{name} --> are missing; put them back")
    path.write_text(marks.sub(lambda found: f"{found[1]}{text}\n{found[2]}", whole))


if __name__ == "__main__":
    config.params()
    main()
