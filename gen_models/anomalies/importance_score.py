"""The score `importance`, -log (1/K) sum_k w_k with K = 16 draws that all rows share, nats. Capability: Bound.

The importance-weighted bound of Burda, Grosse and Salakhutdinov (2016) is nearer to log p(x) than the ELBO, most for
rows whose posterior the encoder misses, so that an anomaly of the encoder is told from one of the model. It misses what
the likelihood misses: rows that are simpler than the data. A bound of 16 draws costs as much as two passes of
`neg_elbo`, which averages 8, so it is left out where training rows x draws x numbers of a row exceed 10^8.
"""

from gen_models.anomalies.score import Asked, Score, State
from gen_models.contracts import Bound
from gen_models.evaluating import elbo

DRAWS = 16
MOST_NUMBERS = 100_000_000  # training rows x draws x numbers of a row: 8,000 images of 28x28, or any usual table


def _importance(asked: Asked):
    return -elbo(asked.model, asked.x, asked.setting.noise.shared(), samples=DRAWS, draws=1)


def _where_it_is_cheap(asked: Asked) -> State | None:
    return {} if DRAWS * asked.x.numel() <= MOST_NUMBERS else None


IMPORTANCE = Score("importance", lambda model: isinstance(model, Bound), _importance, _where_it_is_cheap)
