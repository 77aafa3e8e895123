"""Scores by the likelihood of a row.

    nll         -log p(x), nats                                             Density
    neg_elbo    -ELBO(x), nats, with draws that all rows share              Bound
    typicality  |nll(x) - H|, H the mean over the training rows; of a model without a density, the same of neg_elbo

A likelihood prefers simple rows: a model of MNIST's digits gives a blank image a larger density than any digit. The
typicality (Nalisnick et al., 2019, "Detecting out-of-distribution inputs using typicality") calls rows anomalous that
are too likely as well. It misses an anomaly that is just as likely as a training row.
"""

from jaxtyping import Float
from torch import Tensor

from gen_models.anomalies.score import Asked, Score, State
from gen_models.contracts import Bound, Density
from gen_models.evaluating import by_rows, elbo

LIKELIHOODS = ("nll", "neg_elbo")  # the scores of which `likelihood` returns one


def _nll(asked: Asked):
    return -by_rows(asked.model.log_prob, asked.x)


def _neg_elbo(asked: Asked):
    return -elbo(asked.model, asked.x, asked.setting.noise.shared())


def likelihood(asked: Asked) -> Float[Tensor, " batch"]:
    """Return the found `nll` of the rows or, of a model without a density, their `neg_elbo`."""
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
