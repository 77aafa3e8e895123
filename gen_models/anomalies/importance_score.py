"""The score `importance`: -log (1/K) sum_k w_k in nats, with K = 16 draws of latents z_k that all rows share.

It needs a Bound. w_k = p(x, z_k) / q(z_k|x), so the score is minus the importance-weighted bound of Burda, Grosse and
Salakhutdinov (2016). This bound is nearer to log p(x) than the ELBO, most of all for rows whose posterior the encoder
misses; so it helps to tell rows on which the encoder fails from rows that the model finds unlikely. It misses what the
likelihood misses: rows that are simpler than the data. It costs twice as much as `neg_elbo`, which averages over 8
draws, so it is left out if training rows x 16 draws x numbers of a row exceed 10^8.
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
