"""Measures how well the critic of an adversarial model (a generator against a critic) tells test rows from samples.

critic_wasserstein[_floor]   for a Wasserstein GAN: the mean of the critic's output T over test rows minus its mean over
                             samples, in the units of the networks' input; if T is 1-Lipschitz, this is at most the
                             Wasserstein distance W1. The floor is the same with training rows in place of samples
critic_divergence            for an f-GAN: its lower bound on the f-divergence of test rows and samples
critic_value                 for a GAN: L = E log D(test row) + lambda E log(1 - D(sample)), where lambda is the weight
                             of the fakes. For lambda = 1, L is -log 4 = -1.386 if the critic D always answers 1/2, and
                             for the best critic it is in expectation 2 JS - log 4 (JS: Jensen-Shannon divergence)
critic_accuracy              for a critic that classifies: the mean of critic_accuracy_real and critic_accuracy_fake
critic_accuracy_real, critic_accuracy_fake, critic_accuracy_train
                             the fractions of the test rows, of the samples and of the training rows that it classifies
                             correctly. If critic_accuracy_train is far above critic_accuracy_real, the critic has
                             memorised training rows

Test rows and samples are both in the data's units (images on whole grey levels), so that the critic cannot tell them
apart by rounding alone. Each model has its own critic, so these numbers cannot be compared between models.
"""

from gen_models.adversarial.game import Game
from gen_models.evaluating import by_rows, draw
from gen_models.noise import Noise
from pipelines.evaluation.trained_run import Trained

CRITIC_ROWS = 2000


def games(trained: Trained, noise: Noise) -> dict[str, float]:
    """Return the metrics that the module docstring describes; {} for a model that is not adversarial."""
    model = trained.model
    if not isinstance(model, Game):
        return {}
    test, train = (trained.normal(split)[:CRITIC_ROWS] for split in ("test", "train"))
    fake = draw(model, len(test), noise)
    reals, fakes, seen = (model.losses.sign * by_rows(model.criticise, rows) for rows in (test, fake, train))
    found = {name: term.item() for name, term in model.losses.critic(reals, fakes).terms.items()}
    if "accuracy_real" in found:
        found["accuracy"] = (found["accuracy_real"] + found["accuracy_fake"]) / 2
        found["accuracy_train"] = model.losses.critic(seen, fakes).terms["accuracy_real"].item()
    if "wasserstein" in found:
        found["wasserstein_floor"] = model.losses.critic(reals, seen).terms["wasserstein"].item()
    return {f"critic_{name}": value for name, value in found.items()}
