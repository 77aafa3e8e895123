"""How well the critic of a game tells test rows from samples.

critic_wasserstein[_floor]   for a Wasserstein game: E T(test rows) - E T(samples), in the units of the networks' input;
                             at most W1 if T is 1-Lipschitz. The floor has training rows in place of samples
critic_divergence            for an f-GAN: its bound on D_f between test rows and samples
critic_value                 for a GAN: L, which is 2 JS - log 4 for the best critic (in expectation, with lambda = 1)
                             and -log 4 = -1.386 for a critic that always answers 1/2
critic_accuracy              for a critic that classifies: the mean of the shares of test rows and of samples that it
                             classifies correctly
critic_accuracy_real, critic_accuracy_fake, critic_accuracy_train   the shares of test rows, samples and training rows
                             that it classifies correctly. If the last is far above the first, the critic has memorised
                             its training rows

Both sides are in the form in which data are stored, so that grey levels alone do not tell them apart. Each model has
its own critic, so these numbers cannot be compared between models.
"""

from gen_models.adversarial.game import Game
from gen_models.evaluating import by_rows, draw
from gen_models.noise import Noise
from pipelines.evaluation.trained_run import Trained

CRITIC_ROWS = 2000


def games(trained: Trained, noise: Noise) -> dict[str, float]:
    """Return the terms of the critic's loss on test rows and samples; {} for a model that is not a game."""
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
