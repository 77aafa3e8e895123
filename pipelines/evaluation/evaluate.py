"""evaluate KEY: measures a run's model on the test split, and draws pictures of it, to out/evaluate/KEY.

    metrics.json      the numbers of metrics/, the metric by which the model was chosen as `criterion`, rows, dims and
                      the hashes of data and checkpoint
    latents.json      which latents or codes are in use, if the model has any
    NAME.png, .gif    the pictures of plots/
    anomalies.json, clusters.json, denoising.json, compression.json and more: see result_files.py

What is measured depends on what the model can do. Rows of a class that is held out as an anomaly count only in the
anomaly scores. All noise comes from the seed of params.yaml, so a second evaluation writes the same bytes.
"""

import json
import math
from dataclasses import replace

from gen_models import checkpoint
from gen_models.evaluating import evaluating
from gen_models.measures.sweep_metrics import validation
from gen_models.noise import Noise
from pipelines.config.params import params
from pipelines.evaluation.anomaly_assessment import anomaly_scores
from pipelines.evaluation.compression_rates import compression_rates
from pipelines.evaluation.denoising_errors import denoising_errors
from pipelines.evaluation.latent_clusters import latent_clusters
from pipelines.evaluation.metrics import all_metrics
from pipelines.evaluation.metrics.collapse import collapse
from pipelines.evaluation.plots import all_plots, training_animation
from pipelines.evaluation.result_files import SHEETS, write_parts
from pipelines.evaluation.trained_run import Trained, open_trained
from pipelines.lineage.audit import run_stage
from pipelines.runtime import paths
from pipelines.runtime.stage import argument, produce
from pipelines.training.validation_metrics import ruler_of


def main(argv: list[str]) -> None:
    key = argument(argv, "evaluate", "RUN", __doc__)
    asked = params()
    line, seed = asked.run(key), asked.seed
    with produce(paths.out("evaluate", line.key)) as folder:
        trained = open_trained(line)
        noise = Noise(seed)
        with evaluating(trained.model):
            numbers = origin(trained) | criterion(trained) | all_metrics.numbers(trained, noise)
            (folder / "metrics.json").write_text(json.dumps(numbers, indent=1) + "\n")
            if seen := all_metrics.latents(trained, noise):
                (folder / "latents.json").write_text(json.dumps(seen.as_json(), indent=1) + "\n")
            all_plots.pictures(trained, noise, folder)
        training_animation.animation(trained, folder / "training.gif")
        (folder / SHEETS).mkdir()
        write_parts(
            folder,
            scored=anomaly_scores(trained, seed),
            clusters=latent_clusters(trained, seed, folder / SHEETS),
            denoising=denoising_errors(trained, seed, folder / SHEETS),
            compression=compression_rates(trained, seed),
        )
    measured = {name: value for name, value in numbers.items() if isinstance(value, float)}
    print(f"{line.key}: " + ", ".join(f"{name} {value:.4g}" for name, value in measured.items()))
    for sentence in collapse(measured):
        print(f"{line.key}: warning: {sentence}")
    if seen:
        print(f"{line.key}: {'COLLAPSED: ' if seen.is_collapsed else ''}{seen.sentence}")


def criterion(trained: Trained) -> dict[str, float]:
    """Return {"criterion": the metric by which the model was chosen, on test rows}, by which versions are compared."""
    lineage = json.loads(paths.out("train", trained.run.key, "lineage.json").read_text())
    is_normal = ~trained.is_anomaly("test")
    ruler = ruler_of(trained.data, "test", lineage["front"])
    if ruler.factors is not None:
        ruler = replace(ruler, factors=ruler.factors[is_normal])
    (value,) = validation(trained.model, trained.normal("test"), [lineage["metric"]], ruler).values()
    return {"criterion": value}


def origin(trained: Trained) -> dict[str, int | str]:
    """Return what the numbers were measured on: how many rows and dimensions, and the hashes of data and checkpoint."""
    x = trained.normal("test")
    return {
        "rows": len(x),
        "dims": math.prod(trained.data.event_shape),
        "data_sha256": trained.data.sha256,
        "checkpoint_sha256": checkpoint.digest(paths.out("train", trained.run.key, "checkpoint")),
    }


if __name__ == "__main__":
    run_stage("evaluate", main)
