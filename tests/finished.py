"""A project folder with finished runs in it: what train and evaluate leave behind, without a training."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gen_models import checkpoint
from gen_models.build import build_model
from pipelines.data import prepare
from tests.project import params_of, write_params

PROJECT = Path(__file__).resolve().parent.parent
EVENT_SHAPE, LEVELS = [1, 8, 8], 17
SPECS = {
    "vae": {
        "_target_": "gen_models.autoencoders.vae.VAE", "event_shape": EVENT_SHAPE, "levels": LEVELS,
        "latent": 3, "hidden": [8], "sigma": 0.1, "beta": 1.0,
    },
    "sn_wgan": {
        "_target_": "gen_models.adversarial.sn_wgan.SNWGAN", "event_shape": [2], "levels": None,
        "latent": 2, "hidden": [8],
    },
    "realnvp": {
        "_target_": "gen_models.flows.realnvp.RealNVP", "event_shape": [2], "levels": None,
        "couplings": 2, "hidden": [8],
    },
}  # fmt: skip
FAMILIES = {"vae": "autoencoders", "sn_wgan": "adversarial", "realnvp": "flows"}


def make_project(root: Path, runs: list[str]) -> Path:
    """A project folder with prepared digits, whose params.yaml lists VAEs on them by these names."""
    root.mkdir(parents=True, exist_ok=True)
    shutil.copytree(PROJECT / "conf", root / "conf")
    (root / "gen_models").symlink_to(PROJECT / "gen_models")
    write_params(root, params_of(dict.fromkeys(runs, ("vae", "digits")), budget="quick"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(root))
        prepare.main(["digits"])
    return root


def finish(
    root: Path,
    run: str,
    *,
    model: str = "vae",
    beta: float = 1.0,
    nats: float = 20.0,
    data_sha256: str | None = None,
    metric: str = "nats",
    steps: int = 30,
) -> dict:
    """Write out/train/RUN and out/evaluate/RUN as the stages do; returns the lineage."""
    beta = float(beta)
    if data_sha256 is None:
        data_sha256 = json.loads((root / "out" / "data" / "digits" / "manifest.json").read_text())["sha256"]
    spec = SPECS[model] | ({"beta": beta} if model == "vae" else {})
    trained, evaluated = root / "out" / "train" / run, root / "out" / "evaluate" / run
    for folder in (trained, evaluated):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    checkpoint.save_model(trained / "checkpoint", spec, build_model(spec, seed=int(beta)))
    lines = [{"step": step, "metrics": metrics_at(step)} for step in range(10, steps + 1, 10)]
    (trained / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (trained / "samples").mkdir()
    for line in lines:
        np.save(trained / "samples" / f"step_{line['step']:08d}.npy", np.zeros((4, 1, 8, 8), dtype=np.float32))
    lineage = {
        "key": hashlib.sha256(f"{run} {model} {beta} {data_sha256} {metric}".encode()).hexdigest(),
        "run": run, "model": model, "family": FAMILIES[model], "data": "digits",
        "data_sha256": data_sha256, "conf_sha256": f"{beta:064.0f}", "code_sha256": "c" * 64, "seed": 0, "workers": 1,
        "git_commit": "0123456789abcdef", "steps": steps, "metric": metric, "front": None,
        "params": {"model.beta": beta, "optim.vae.lr": 1e-3}, "versions": {"torch": "2"},
    }  # fmt: skip
    (trained / "lineage.json").write_text(json.dumps(lineage))
    numbers = {
        "rows": 100, metric: nats, "criterion": nats, "data_sha256": data_sha256,
        "checkpoint_sha256": checkpoint.digest(trained / "checkpoint"),
    }  # fmt: skip
    (evaluated / "metrics.json").write_text(json.dumps(numbers))
    (evaluated / "samples.png").write_bytes(b"\x89PNG")
    (evaluated / "training.gif").write_bytes(b"GIF89a;")
    return lineage


def metrics_at(step: int) -> dict[str, float]:
    return {"vae.nats": 100.0 / step, "validation.nats": 110.0 / step}
