"""Breaks the code on purpose, one place at a time, and says which breaks tests notice: `python -m benchmarks.breaks`.

Each break is an edit in a copy of the project, in which the test files named beside the edit run until the first
failure. A break that no test notices shows that a test is missing. Run the command before and after tests are removed:
the same breaks must be noticed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from pipelines.runtime import paths

COPIED = ("gen_models", "pipelines", "benchmarks", "conf", "tests", "docs")
FILES = ("pyproject.toml", "params.yaml", "dvc.yaml", "requirements.lock", "README.md", ".dvcignore", ".gitignore")
SECONDS = 600


class Break(NamedTuple):
    """An edit that makes the code wrong: in `file`, the text `right` becomes `wrong`.

    tests: the names of the test files that should notice, without tests/ and .py
    """

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...]


BREAKS = (
    Break("n_dis counts from one too late", "gen_models/engine.py",
          "step % player.objective.every == 0", "step % (player.objective.every + 1) == 0", ("test_engine",)),
    Break("every epoch has one order", "gen_models/loader.py", "self._noise.at(epoch)", "self._noise.at(0)",
          ("test_loader",)),
    Break("a checkpoint's hash is not compared", "gen_models/checkpoint_folder.py",
          "if found != expected:", "if False:", ("test_checkpoint",)),
    Break("ActNorm's log-determinant forgets the pixels", "gen_models/bijections/actnorm.py",
          "x.shape[2:].numel() * self.log_scale.sum()", "self.log_scale.sum()", ("test_image_flows",)),
    Break("the importance bound forgets log k", "gen_models/autoencoders/latent_variable.py",
          " - math.log(log_weights.shape[1])", "", ("test_iwae",)),
    Break("the Gaussian density loses its constant", "gen_models/autoencoders/gaussian.py",
          " + math.log(2 * math.pi)", "", ("test_autoencoders",)),
    Break("beta multiplies nothing", "gen_models/autoencoders/vae.py", "distortion + self.beta * rate",
          "distortion + rate", ("test_autoencoders", "test_score_function")),
    Break("the GAN's weight is left out", "gen_models/adversarial/gan_losses.py",
          "- self.weight * softplus(fake).mean()\n", "- softplus(fake).mean()\n", ("test_gan",)),
    Break("a code is the farthest", "gen_models/layers/quantiser.py", ".argmin(dim=1)", ".argmax(dim=1)",
          ("test_quantiser", "test_vq_vae")),
    Break("the spectral norm is squared", "gen_models/layers/spectral_norm.py",
          "return weight / (u * self.operator(weight, v)).sum()",
          "return weight / (u * self.operator(weight, v)).sum() ** 2", ("test_lipschitz",)),
    Break("AUROC is off by half a rank", "gen_models/measures/ranking.py", "(positives + 1) / 2", "positives / 2",
          ("test_measures",)),
    Break("cluster accuracy matches the worst", "gen_models/measures/partitions.py", "maximize=True", "maximize=False",
          ("test_measures",)),
    Break("a cell of the latents' grid is twice as wide", "gen_models/codecs/latents.py",
          "self.middle + cells * self.step", "self.middle + 2 * cells * self.step", ("test_codecs",)),
    Break("a prepared array's hash is not compared", "pipelines/data/store.py", 'if digest != entry["sha256"]:',
          "if False:", ("test_store",)),
    Break("a worse version becomes champion", "pipelines/registry/promotion.py",
          "candidate.value <= champion.value", "candidate.value >= champion.value", ("test_registry",)),
    Break("a sweep takes the worst trial", "pipelines/training/ranking.py",
          "number(trial), trial", "-number(trial), trial", ("test_sweep", "test_growing_sweeps")),
    Break("a resume begins from the start", "pipelines/training/run_log.py", "if self.saved_step() else {}",
          "if False else {}", ("test_trainer",)),
    Break("a conf may hold any value", "pipelines/config/schema.py", "strict=True", "strict=False", ("test_config",)),
    Break("workers add gradients and do not average", "gen_models/workers.py", "    flat /= world_size()\n", "",
          ("test_workers",)),
    Break("a weighted mean forgets its weights", "gen_models/analysis/table_anomalies.py",
          "return total / max(sum(weights.values()), LEAST_WEIGHT)", "return total / len(weights)",
          ("test_adbench_default",)),
    Break("a table's contrast has another seed each time", "gen_models/analysis/table_anomalies.py",
          "self.contrast.fit(y, noise)", "self.contrast.fit(y, Noise(__import__('time').time_ns() % 2**31))",
          ("test_table_anomalies",)),
    Break("repeated rows are not told", "pipelines/evaluation/metrics/two_sample.py",
          '"memorisation": near / far}', '"memorisation": 1 - near / far}', ("test_fidelity",)),
    Break("an address is not quoted", "pipelines/report/as_text.py", "quote(key, safe='')", "key", ("test_report",)),
    Break("text of files is markup", "pipelines/report/jinja_environment.py", "autoescape=True", "autoescape=False",
          ("test_report",)),
    Break("a row's posterior is searched by the clock", "pipelines/evaluation/metrics/annealed_likelihood.py",
          "found.log_p, noise)", "found.log_p, Noise(__import__('time').time_ns() % 2**31))", ("test_evaluation",)),
    Break("something is unpickled", "pipelines/data/store.py", "import hashlib\n", "import hashlib\nimport pickle\n",
          ("test_security",)),
    Break("the chapter names a class that is gone", "gen_models/adversarial/gan_losses.py", "class GANLosses",
          "class Losses", ("test_docs",)),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.breaks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="parts of names; all breaks, if none is given")
    asked = parser.parse_args().names
    missed = 0
    for one in BREAKS:
        if asked and not any(part in one.name for part in asked):
            continue
        noticed = is_noticed(one)
        missed += not noticed
        print(f"{'noticed' if noticed else 'MISSED '}  {one.name}", flush=True)
    sys.exit(1 if missed else 0)


def is_noticed(one: Break) -> bool:
    """Return whether a test fails after the edit. Exits with a message if the text to edit is not in the file."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        root.mkdir()
        for name in COPIED:
            shutil.copytree(paths.root() / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy(paths.root() / name, root / name)
        path = root / one.file
        text = path.read_text()
        if one.right not in text:
            sys.exit(f"{one.file}: {one.right!r} is not there any more; mend the break {one.name!r}")
        path.write_text(text.replace(one.right, one.wrong, 1))
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider"]
        command += [f"tests/{name}.py" for name in one.tests]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=SECONDS)
        return done.returncode == 1


if __name__ == "__main__":
    main()
