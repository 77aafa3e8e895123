"""evaluate KEY: what a run's model is worth on the test split, by its capabilities; numbers and pictures.

    rows, dims, data_sha256, checkpoint_sha256   what the numbers are of

The numbers are those of metrics/, the pictures those of plots/. Where there are latents or
codes, latents.json tells which are in use. Rows of a class that was held out as anomaly are left out. All noise comes
from the seed of params.yaml: a second run writes the same bytes.
"""

import json
import math

from gen_models import checkpoint
from gen_models.evaluating import evaluating
from gen_models.noise import Noise
from pipelines import config
from pipelines.evaluation import metrics, plots
from pipelines.evaluation.metrics.collapse import collapse
from pipelines.evaluation.metrics.pixel_histogram import histogram_log_prob as histogram_log_prob
from pipelines.evaluation.plots import training_animation
from pipelines.evaluation.trained_run import Trained, open_trained
from pipelines.runtime import paths
from pipelines.runtime.stage import argument, produce, run


def main(argv: list[str]) -> None:
    key = argument(argv, "evaluate", "RUN", __doc__)
    params = config.params()
    line = params.run(key)
    with produce(paths.out("evaluate", line.key)) as folder:
        trained = open_trained(line)
        noise = Noise(params.seed)
        with evaluating(trained.model):
            numbers = origin(trained) | metrics.numbers(trained, noise)
            (folder / "metrics.json").write_text(json.dumps(numbers, indent=1) + "\n")
            if seen := metrics.latents(trained, noise):
                (folder / "latents.json").write_text(json.dumps(seen.as_json(), indent=1) + "\n")
            plots.pictures(trained, noise, folder)
        training_animation.animation(trained, folder / "training_animation.gif")
    print(
        f"{line.key}: "
        + ", ".join(f"{name} {value:.4g}" for name, value in numbers.items() if isinstance(value, float))
    )
    for sentence in collapse({name: value for name, value in numbers.items() if isinstance(value, float)}):
        print(f"{line.key}: warning: {sentence}")
    if seen:
        print(f"{line.key}: {'COLLAPSED: ' if seen.is_collapsed else ''}{seen.sentence}")


def origin(trained: Trained) -> dict[str, int | str]:
    """Which rows, which data, which weights the numbers are of."""
    x = trained.normal("test")
    return {
        "rows": len(x),
        "dims": math.prod(trained.data.event_shape),
        "data_sha256": trained.data.sha256,
        "checkpoint_sha256": checkpoint.digest(paths.out("train", trained.run.key, "checkpoint")),
    }


if __name__ == "__main__":
    run(main)
