"""The score `critic`, -critic(x): what the critic of a game takes for unlike the data. Capability: Critic.

A critic at its optimum knows the ratio of data and samples only where either lies: far from both it may say anything.
"""

from gen_models.anomalies.score import Asked, Score
from gen_models.contracts import Critic
from gen_models.evaluating import by_rows


def _critic(asked: Asked):
    return -by_rows(asked.model.criticise, asked.x)


CRITIC = Score("critic", lambda model: isinstance(model, Critic), _critic)
