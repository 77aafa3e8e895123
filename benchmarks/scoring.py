"""What scoring a large table costs beside reading it and asking the model: `python -m benchmarks.scoring [ROW ...]`.

predict-1m   CPU time of `gen-models predict` on a CSV of 1,000,000 rows of 20 columns, divided by the CPU time of
             pyarrow's reader plus the bare model on an array in memory: the larger ratio of a mixture and a VAE

The command and the bare model run in processes of their own, three times each in turns, and the smallest time counts.
Beside the ratio are the command's memory and the size of the file.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import rows
from benchmarks.inputs import Inputs

ROWS_OF_CSV, COLUMNS = 1_000_000, 20
TRAINING_ROWS, COMPONENTS = 20_000, 5
REPEATS = 3
TARGET = 3.0
MODELS = {
    "mixture": {
        "_target_": "gen_models.mixtures.gaussian_mixture.GaussianMixture",
        "components": COMPONENTS, "covariance": "full",
    },
    "vae": {"_target_": "gen_models.autoencoders.vae.VAE", "latent": 8, "hidden": [64], "sigma": 0.5},
}  # fmt: skip

INPUTS = Inputs(["benchmarks.scoring", "pipelines.commands.predict"])
COMMAND = "from pipelines.cli import main; import sys; sys.argv = ['gen-models', *{words!r}]; main()"
BARE = """
from pathlib import Path
import numpy as np, pyarrow.csv, torch
from gen_models.checkpoint import load_model
from gen_models.evaluating import evaluating
from pipelines.registry import serving
torch.set_num_threads(1)
table = pyarrow.csv.read_csv({csv!r}, read_options=pyarrow.csv.ReadOptions(use_threads=False))
x = np.stack([column.to_numpy() for column in table.columns], axis=1)
model, facts = load_model(Path({checkpoint!r})), serving.facts_of(Path({checkpoint!r}))
scores = serving.row_scores(model, facts)
with evaluating(model):
    torch.cat([scores(scores.default, rows) for rows in torch.from_numpy(x).split(1024)])
"""
MEASURED = """
import json, resource
{code}
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]), file=open({out!r}, "w"))
"""


def predict_1m() -> None:
    """Measure both models, and write the row of the slower one."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        csv = table_of(folder)
        found = {model: ratio_of(folder, model, csv) for model in MODELS}
        size = csv.stat().st_size / 2**20
    beside = {f"{model}: {key}": value for model, (_, numbers) in found.items() for key, value in numbers.items()}
    rows.write(
        "predict-1m",
        model="gmm, vae",
        data=f"{ROWS_OF_CSV} x {COLUMNS} normal numbers",
        figure=max(ratio for ratio, _ in found.values()),
        unit="x pyarrow and the bare model",
        target=TARGET,
        baselines={**beside, "size of the CSV, MiB": size},
        seeds=[0],
        spread=None,
        budget=f"the least of {REPEATS} runs, one thread",
        seconds=time.monotonic() - began,
        inputs=INPUTS,
    )


def table_of(folder: Path) -> Path:
    """Write the CSV, and return its path."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    x = np.random.default_rng(0).normal(size=(ROWS_OF_CSV, COLUMNS)).astype(np.float32)
    path = folder / "rows.csv"
    pacsv.write_csv(pa.table({f"v{k}": x[:, k] for k in range(COLUMNS)}), path)
    return path


def ratio_of(folder: Path, model: str, csv: Path) -> tuple[float, dict[str, float]]:
    """Return (a model's ratio of CPU times, {name: the seconds from which it was computed, and the memory in MiB}).

    folder: a folder for the files of the runs; model: a key of MODELS
    """
    checkpoint = _checkpoint(folder, model)
    words = ["predict", str(checkpoint), str(csv), "--output", str(folder / "scores.parquet")]
    ours, bare = [], []
    for _ in range(REPEATS):
        ours.append(_measured(folder, COMMAND.format(words=words)))
        bare.append(_measured(folder, BARE.format(csv=str(csv), checkpoint=str(checkpoint))))
    seconds, least = min(cpu for cpu, _ in ours), min(cpu for cpu, _ in bare)
    numbers = {"CPU, s": seconds, "bare, s": least, "memory, MiB": max(memory for _, memory in ours)}
    return seconds / least, numbers


def _checkpoint(folder: Path, model: str) -> Path:
    """Write a model of the table that has been started from rows, with the table's schema, and return its folder."""
    import torch

    from gen_models.build import build_model
    from gen_models.checkpoint import save_model
    from gen_models.noise import Noise
    from gen_models.table import Column, Schema

    schema = Schema(tuple(Column(f"v{k}") for k in range(COLUMNS)))
    spec = {**MODELS[model], "event_shape": [COLUMNS], "levels": schema.levels}
    built = build_model(spec, 0)
    built.warm_start(torch.randn(TRAINING_ROWS, COLUMNS, generator=torch.Generator().manual_seed(0)), Noise(0))
    about = {
        "columns": list(schema.names),
        "statistics": {"mean": [0.0] * COLUMNS, "std": [1.0] * COLUMNS},
        "table": {"columns": schema.as_json(), "reading": {}, "ids": []},
    }
    save_model(folder / model, spec, built, data=about)
    return folder / model


def _measured(folder: Path, code: str) -> tuple[float, float]:
    """Run code in a process of its own with one thread, and return (CPU seconds, the most memory in MiB)."""
    out = folder / "measured.json"
    words = [sys.executable, "-c", MEASURED.format(code=code, out=str(out))]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=_one_thread())
    return tuple(json.loads(out.read_text()))


def _one_thread() -> dict[str, str]:
    import os

    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


ROWS = {"predict-1m": predict_1m}

if __name__ == "__main__":
    rows.run(ROWS, prog="python -m benchmarks.scoring", description=str(__doc__))
