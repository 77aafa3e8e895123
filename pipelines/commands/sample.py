"""sample: draws rows from a registered model, or from one in a checkpoint's folder.

    gen-models sample vae-digits --n 64 --output digits.npy
    gen-models sample glow-digits --n 64 --temperature 0.7

The same seed gives the same rows. They are in the units of the training data, such as grey levels from 0 to 16. A .npy
file gets images as (n, channels, height, width).
"""

from collections.abc import Sequence

import numpy as np

from pipelines import arguments
from pipelines.commands.output_file import answering, as_rows, form_of
from pipelines.commands.stored_model import open_model
from pipelines.registry import serving
from pipelines.runtime.stage import parse


def main(argv: Sequence[str]) -> None:
    """Draw rows from a model and write them; argv: the arguments after `sample`."""
    asked = parse(argv, "sample", __doc__, arguments.sample)
    model, facts = open_model(asked.model)
    draws = {"n": asked.n, "seed": asked.seed, "temperature": asked.temperature}
    found = serving.answer(model, np.zeros((0, 0)), facts=facts, task="sample", **draws)
    with answering(asked.output, form_of(facts)) as answer:
        answer.write(as_rows(found, facts, "x"))
