"""What the critic of a game says of test rows beside samples: how far its player is from telling them apart.

critic_wasserstein[_floor]   of a Wasserstein game: E T(test rows) - E T(samples), in the networks' units; at most W1
                             where T is 1-Lipschitz. The floor has training rows in place of samples
critic_divergence            of an f-GAN: its bound on D_f, of test rows against samples
critic_value                 of a GAN: L, at least 2 JS - log 4 for the best critic; -log 4 = -1.386 where it guesses
critic_accuracy              of a classifier: share of test rows and of samples on the right side, their mean
critic_accuracy_real, critic_accuracy_fake, critic_accuracy_train   of test rows, of samples, of training rows: if the
                             last is far above the first, the critic knows its training rows by heart

Both sides are as stored, so that grey levels do not tell them apart; each model has a critic of its own, so the numbers
of two models do not compare.
"""

from gen_models.adversarial.game import Game
from gen_models.evaluating import by_rows, draw
from gen_models.noise import Noise
from pipelines.evaluation.trained_run import Trained

CRITIC_ROWS = 2000


def games(trained: Trained, noise: Noise) -> dict[str, float]:
    """The terms of the critic's loss, of test rows and samples; nothing of a model that is no game."""
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
