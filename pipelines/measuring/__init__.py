"""What evaluate measures of a model on the test split, by its capabilities: one file for each kind of number."""

from gen_models.contracts import Sampler
from gen_models.noise import Noise
from pipelines.measuring.annealing import annealed
from pipelines.measuring.densities import likelihood
from pipelines.measuring.fidelity import fidelity
from pipelines.measuring.games import games
from pipelines.measuring.gradients import gradient_norms
from pipelines.measuring.latents import latents as latents
from pipelines.measuring.reconstructions import reconstruction
from pipelines.measuring.sampling import samples, sides
from pipelines.trained import Trained


def numbers(trained: Trained, noise: Noise) -> dict[str, float]:
    """{metric: value}: all that apply, as the files of this package explain them."""
    drawn = sides(trained, noise) if isinstance(trained.model, Sampler) else None  # some models are slow to draw from
    seen = latents(trained, noise)
    return {
        **likelihood(trained, noise),
        **annealed(trained, noise),
        **(seen.numbers if seen else {}),
        **reconstruction(trained),
        **samples(trained, noise, drawn),
        **fidelity(trained, noise, drawn),
        **games(trained, noise),
        **gradient_norms(trained, noise),
    }
