"""Scores by the likelihood of a row.

    nll         -log p(x) in nats                                                   needs a Density
    neg_elbo    -ELBO(x) in nats, with the same random draws for all rows           needs a Bound
    typicality  |nll(x) - H|, where H is the mean of nll over the training rows     needs a Density or a Bound

For a model without a density, typicality takes neg_elbo in place of nll. A likelihood prefers simple rows: a model of
MNIST's digits gives a blank image a larger density than any digit. Therefore typicality (Nalisnick et al., 2019,
"Detecting out-of-distribution inputs using typicality") is also large for rows that are too likely. It misses an
anomaly that is just as likely as a training row.
"""

from jaxtyping import Float
from torch import Tensor

from gen_models.anomalies.score import Asked, Score, State
from gen_models.contracts import Bound, Density
from gen_models.evaluating import by_rows, elbo

LIKELIHOODS = ("nll", "neg_elbo")  # `likelihood` returns the first of these that the model offers


def _nll(asked: Asked):
    return -by_rows(asked.model.log_prob, asked.x)


def _neg_elbo(asked: Asked):
    return -elbo(asked.model, asked.x, asked.setting.noise.shared())


def likelihood(asked: Asked) -> Float[Tensor, " batch"]:
    """Return the `nll` of the rows, or `neg_elbo` for a model without a density; `asked.found` must hold it."""
    return asked.found["nll"] if "nll" in asked.found else asked.found["neg_elbo"]


def has_likelihood(model: object) -> bool:
    """Return whether a model offers `nll` or `neg_elbo`."""
    return isinstance(model, Density | Bound)


def _mean_likelihood(asked: Asked) -> State:
    return {"mean": likelihood(asked).double().mean()}


def _typicality(asked: Asked):
    return (likelihood(asked) - asked.state["mean"].to(asked.x.device)).abs().to(likelihood(asked).dtype)


NLL = Score("nll", lambda model: isinstance(model, Density), _nll)
NEG_ELBO = Score("neg_elbo", lambda model: isinstance(model, Bound), _neg_elbo)
TYPICALITY = Score("typicality", has_likelihood, _typicality, _mean_likelihood, needs=LIKELIHOODS)
