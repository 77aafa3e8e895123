"""The score `critic`: -critic(x), large for rows that the critic of a GAN takes for fakes. It needs a Critic.

At its optimum the critic of a GAN knows the ratio of the densities of data and samples, but only where data or samples
lie. Far from both its output may be anything.
"""

from gen_models.anomalies.score import Asked, Score
from gen_models.contracts import Critic
from gen_models.evaluating import by_rows


def _critic(asked: Asked):
    return -by_rows(asked.model.criticise, asked.x)


CRITIC = Score("critic", lambda model: isinstance(model, Critic), _critic)
