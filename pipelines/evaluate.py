"""evaluate KEY: what a run's model is worth on the test split, by its capabilities; numbers and pictures.

    rows, dims, data_sha256, checkpoint_sha256   what the numbers are of

The numbers are those of pipelines/measuring, the pictures those of pipelines/portraits. Where there are latents or
codes, latents.json tells which are in use. Rows of a class that was held out as anomaly are left out. All noise comes
from the seed of params.yaml: a second run writes the same bytes.
"""

import json
import math

from gen_models import checkpoint
from gen_models.measures import evaluating
from gen_models.noise import Noise
from pipelines import config, measuring, paths, portraits
from pipelines.measuring.collapse import collapse
from pipelines.measuring.histogram import histogram_log_prob as histogram_log_prob
from pipelines.portraits import training
from pipelines.stage import argument, produce, run
from pipelines.trained import Trained, open_trained


def main(argv: list[str]) -> None:
    key = argument(argv, "evaluate", "RUN", __doc__)
    params = config.params()
    line = params.run(key)
    with produce(paths.out("evaluate", line.key)) as folder:
        trained = open_trained(line)
        noise = Noise(params.seed)
        with evaluating(trained.model):
            numbers = origin(trained) | measuring.numbers(trained, noise)
            (folder / "metrics.json").write_text(json.dumps(numbers, indent=1) + "\n")
            if seen := measuring.latents(trained, noise):
                (folder / "latents.json").write_text(json.dumps(seen.as_json(), indent=1) + "\n")
            portraits.pictures(trained, noise, folder)
        training.animation(trained, folder / "training.gif")
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
