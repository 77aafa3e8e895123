"""Collects the metrics that `evaluate` measures on the test split: those that the model's capabilities allow."""

from gen_models.contracts import Sampler
from gen_models.noise import Noise
from pipelines.evaluation.metrics.active_latents import latents as latents
from pipelines.evaluation.metrics.annealed_likelihood import annealed
from pipelines.evaluation.metrics.critic import games
from pipelines.evaluation.metrics.fidelity import fidelity
from pipelines.evaluation.metrics.gradient_norms import gradient_norms
from pipelines.evaluation.metrics.likelihood import likelihood
from pipelines.evaluation.metrics.reconstruction_error import reconstruction
from pipelines.evaluation.metrics.two_sample import samples, sides
from pipelines.evaluation.trained_run import Trained


def numbers(trained: Trained, noise: Noise) -> dict[str, float]:
    """Return {metric: value} for all metrics that apply to the model; the other files of this folder explain them."""
    drawn = sides(trained, noise) if isinstance(trained.model, Sampler) else None  # once: some models draw slowly
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
