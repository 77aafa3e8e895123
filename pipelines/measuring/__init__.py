"""What evaluate measures of a model on the test split, by its capabilities: one file for each kind of number."""

from gen_models.noise import Noise
from pipelines.measuring.annealing import annealed
from pipelines.measuring.densities import likelihood
from pipelines.measuring.latents import latents as latents
from pipelines.measuring.reconstructions import reconstruction
from pipelines.measuring.sampling import samples
from pipelines.trained import Trained


def numbers(trained: Trained, noise: Noise) -> dict[str, float]:
    """{metric: value}: all that apply, as the files of this package explain them."""
    seen = latents(trained, noise)
    return {
        **likelihood(trained, noise),
        **annealed(trained, noise),
        **(seen.numbers if seen else {}),
        **reconstruction(trained),
        **samples(trained, noise),
    }
