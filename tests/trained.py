"""A project folder with prepared data and barely trained models in it, and settings under which evaluation is quick."""

import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch

from gen_models import checkpoint
from gen_models.analysis.inference import gaps
from gen_models.build import build_model, build_optimisers
from gen_models.contracts import WarmStart
from gen_models.engine import Training, fit
from gen_models.loader import Batches
from gen_models.noise import Noise
from pipelines.comparison import compression_baselines, free_detectors
from pipelines.config.compose import compose
from pipelines.config.params import Run, params
from pipelines.data import prepare
from pipelines.data.store import open_data
from pipelines.evaluation import anomaly_assessment, compression_rates, latent_clusters
from pipelines.evaluation.metrics import annealed_likelihood, two_sample
from pipelines.evaluation.plots import plane_plots
from pipelines.figures import style
from pipelines.runtime import paths
from tests.project import HERE, params_of, write_params

SEED = 3
STEPS = 60
GAP_STEPS = 5  # of the fit of a row's own posterior
DPI = 50
COMPRESSED_ROWS = 40  # that are compressed of each test split

# A run for each capability, on images, on images without one class, and on points of the plane.
RUNS = {
    "ae-digits": ("ae", "digits"),
    "vae-digits_normal": ("vae", "digits_normal"),
    "gmm-digits_normal": ("gmm", "digits_normal"),
    "sn_wgan-two_moons": ("sn_wgan", "two_moons"),
    "sn_wgan-digits_normal": ("sn_wgan", "digits_normal"),
    "bernoulli_vae-digits": ("bernoulli_vae", "digits"),
    "gmm-two_moons": ("gmm", "two_moons"),
    "vae-two_moons": ("vae", "two_moons"),
}
DATA = ["digits", "digits_normal", "two_moons"]


def make_trained_project(
    root: Path, runs: Mapping[str, tuple[str, str]], data: list[str], steps: Mapping[str, int] | None = None
) -> Path:
    """A project folder with prepared data, and a model for each run after a few minibatches; `steps` by model."""
    shutil.copytree(HERE / "conf", root / "conf")
    (root / "gen_models").mkdir()
    moons = root / "conf" / "data" / "two_moons.yaml"
    moons.write_text(moons.read_text().replace("rows: 40000", "rows: 800"))
    list_runs(root, runs, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(root))
        for name in params().data_sets:
            prepare.main([name])
        for run in params().runs.values():
            train(run, (steps or {}).get(run.model, STEPS))
    return root


def list_runs(root: Path, runs: Mapping[str, tuple[str, str]], data: list[str]) -> None:
    """Write a params.yaml with these runs."""
    write_params(root, params_of(runs, seed=SEED, budget="quick", data=data))


def train(run: Run, steps: int = STEPS) -> None:
    """Write the checkpoint of a run after a few minibatches, and what evaluate reads of its lineage."""
    conf, data = compose(run.model, run.data, "quick"), open_data(run.data)
    model = build_model(conf["model"], 0)
    if isinstance(model, WarmStart):
        with torch.no_grad():
            model.warm_start(data.rows("train"), Noise(0))
    training = Training(model, build_optimisers(conf["optim"], model))
    for _ in fit(training, Batches(data.x("train"), 64, 0), Noise(0), steps=steps, report_every=steps):
        pass
    folder = paths.out("train", run.key, "checkpoint")
    folder.parent.mkdir(parents=True)
    checkpoint.save_model(folder, conf["model"], model)
    lineage = {
        "key": f"{run.key}, {steps} steps", "data_sha256": data.sha256,
        "metric": conf["metric"], "front": conf["sweep"].get("front"),
    }  # fmt: skip
    (folder.parent / "lineage.json").write_text(json.dumps(lineage))
    report = {"step": steps, "metrics": {f"validation.{conf['metric']}": 1.5}}
    (folder.parent / "history.jsonl").write_text(json.dumps(report) + "\n")


def be_quick(patch: pytest.MonkeyPatch) -> None:
    """Forests, starts, fits, grids, pictures and searches that take no time."""
    patch.setattr(two_sample, "FOREST", {**two_sample.FOREST, "n_estimators": 10})
    patch.setattr(annealed_likelihood, "SETTING", {"temperatures": 10, "chains": 2, "leapfrogs": 1})
    patch.setattr(annealed_likelihood, "PRIOR_SAMPLES", 200)
    patch.setattr(annealed_likelihood, "gaps", partial(gaps, steps=GAP_STEPS, samples=32))
    patch.setattr(plane_plots, "GRID", 20)
    patch.setattr(style, "DPI", DPI)
    patch.setattr(style, "LAYOUT", None)  # test_plots.py has the layout
    patch.setattr(latent_clusters, "SEEDS", 2)
    patch.setattr(latent_clusters, "STARTS", 1)
    patch.setattr(free_detectors, "TREES", 20)
    patch.setattr(anomaly_assessment, "SEARCH", {"starts": 2, "steps": 10})
    patch.setattr(compression_rates, "TEST_ROWS", COMPRESSED_ROWS)
    patch.setattr(compression_baselines, "COMPONENTS", (1, 4, 16))
    patch.setattr(compression_baselines, "PCA_STEPS", (0.2, 0.8))


def files(folder: Path) -> dict[str, bytes]:
    """{path: bytes} of all files below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
