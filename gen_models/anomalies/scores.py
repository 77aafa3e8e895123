"""All anomaly scores that a model's capabilities allow, fitted once and applied to any rows.

The files beside this one say what each score is, and which rows it misses.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from gen_models.anomalies.code_prior_score import CODE_PRIOR
from gen_models.anomalies.complexity_score import COMPLEXITY
from gen_models.anomalies.critic_score import CRITIC
from gen_models.anomalies.denoising_score import DENOISING
from gen_models.anomalies.importance_score import IMPORTANCE
from gen_models.anomalies.latent_scores import LATENT_MAHALANOBIS, LATENT_MIXTURE, LATENT_NEIGHBOURS
from gen_models.anomalies.likelihood_ratio_score import LIKELIHOOD_RATIO
from gen_models.anomalies.likelihood_scores import NEG_ELBO, NLL, TYPICALITY
from gen_models.anomalies.mean_rank_score import mean_rank
from gen_models.anomalies.reconstruction_scores import BLURRED, RECONSTRUCTION
from gen_models.anomalies.score import NOISE, Asked, Score, Setting, State
from gen_models.errors import DataError, unknown
from gen_models.evaluating import evaluating
from gen_models.layers.levels import Levels
from gen_models.noise import Noise

SINGLE: tuple[Score, ...] = (  # a score comes after the scores that it needs
    NLL,
    NEG_ELBO,
    IMPORTANCE,
    RECONSTRUCTION,
    BLURRED,
    DENOISING,
    CODE_PRIOR,
    CRITIC,
    LATENT_MAHALANOBIS,
    LATENT_NEIGHBOURS,
    LATENT_MIXTURE,
    TYPICALITY,
    COMPLEXITY,
    LIKELIHOOD_RATIO,
)
SCORES: tuple[Score, ...] = (*SINGLE, mean_rank(SINGLE))
# If no score is named, the first of these that the model offers is used: its own likelihood before all others.
DEFAULTS = ("nll", "neg_elbo", "reconstruction", "critic")
SHARED_ROWS = 1_000  # scores that are fitted to other scores use those of so many training rows


class FittedScores:
    """The scores of one model, with what each score keeps of the training rows.

    states   {name of a score: its state}; a score that is fitted to training rows and has no state here is left out
    setting  what scores need besides model and rows
    """

    def __init__(self, model: Any, states: Mapping[str, State], setting: Setting):
        self.model, self.states, self.setting = model, dict(states), setting
        self._scores = [s for s in SCORES if s.offered(model) and (s.fit is None or s.name in states)]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(score.name for score in self._scores)

    @property
    def default(self) -> str:
        """The name of the score that is used if none is named. Raises DataError if the model offers no score."""
        for name in (*DEFAULTS, *self.names):
            if name in self.names:
                return name
        raise DataError(f"{type(self.model).__name__} offers no anomaly score")

    def __call__(
        self, name: str, x: Float[Tensor, "batch *event"], *, is_checked: bool = True
    ) -> Float[Tensor, " batch"]:
        """Return the score called `name` of each row of x, in the data's units.

        Raises DataError if there is no such score. Also raises it if the score of a row is nan, unless is_checked is
        False.
        """
        if name not in self.names:
            raise DataError(unknown_score(self.model, name, self.names))
        return self._found(x, _with_needs(name), is_checked)[name]

    def all(self, x: Float[Tensor, "batch *event"], *, is_checked: bool = True) -> dict[str, Float[Tensor, " batch"]]:
        """Return {name of a score: its value for each row of x}; scores share results of the model, such as latents.

        Raises DataError if a score of a row is nan, unless is_checked is False.
        """
        return self._found(x, set(self.names), is_checked)

    def without(self, names: Collection[str]) -> "FittedScores":
        """Return the same scores without the named ones; name also every score that needs one of them."""
        fewer = FittedScores(self.model, self.states, self.setting)
        fewer._scores = [score for score in self._scores if score.name not in names]
        return fewer

    def _found(self, x: Tensor, wanted: set[str], is_checked: bool) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        passes: dict[str, Tensor] = {}
        with evaluating(self.model):
            for score in self._scores:
                if score.name in wanted:
                    asked = Asked(self.model, x, found, self.states.get(score.name, {}), self.setting, passes)
                    values = score.values(asked)
                    found[score.name] = checked(score.name, values) if is_checked else values
        return found


def unknown_score(model: Any, name: str, names: Collection[str]) -> str:
    """Return one line that says that a model has no score called `name`; names: those that it has."""
    if name in {score.name for score in SCORES}:
        return f"{type(model).__name__} has no score {name!r}: choose from {', '.join(sorted(names)) or '(none)'}"
    return unknown("score", name, names)


def offered(model: Any) -> tuple[str, ...]:
    """Return the names of the scores that the model's capabilities allow; some of them do not apply to all data."""
    return tuple(score.name for score in SCORES if score.offered(model))


def fit_scores(
    model: Any, reference: Float[Tensor, "rows *event"] | None, setting: Setting, *, name: str | None = None
) -> FittedScores:
    """Return all scores that the model offers, fitted to the training rows `reference`.

    Without training rows, return only the scores that need none. With the name of a score, fit only this one and those
    that it needs; others that are fitted to training rows are then left out.
    """
    if reference is None:
        return FittedScores(model, {}, setting)
    wanted = [s for s in SCORES if s.offered(model) and (name is None or s.name in _with_needs(name))]
    states: dict[str, State] = {}
    shared: dict[str, Tensor] = {}
    of_all = Asked(model, reference, shared, {}, setting, {})
    of_some = Asked(model, reference[:SHARED_ROWS], shared, {}, setting, {})
    with evaluating(model):
        for score in wanted:
            state = score.fit(of_all) if score.fit is not None else {}
            if state is None:
                continue
            if score.fit is not None:
                states[score.name] = state
            if any(score.name in other.needs for other in wanted):
                shared[score.name] = score.values(of_some._replace(state=state))
    return FittedScores(model, states, setting)


def scorers(
    model: object,
    reference: Float[Tensor, "rows *event"] | None = None,
    *,
    noise: Noise = NOISE,
    levels: Levels = None,
    statistics: Mapping[str, Any] | None = None,
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return {name of a score: function from rows, in the data's units, to their scores}, fitted once for any rows.

    reference           training rows, for scores that compare with them or need to know whether rows are images;
                        without it these scores are left out
    noise               random numbers; all rows share the same draws
    levels, statistics  from the data's manifest; they define the unit scale
    """
    fitted = fit_scores(model, reference, Setting(levels, statistics, noise))
    return {name: _applied(fitted, name) for name in fitted.names}


def scores(
    model: object,
    x: Float[Tensor, "batch *event"],
    reference: Float[Tensor, "rows *event"] | None = None,
    *,
    noise: Noise = NOISE,
    levels: Levels = None,
    statistics: Mapping[str, Any] | None = None,
) -> dict[str, Float[Tensor, " batch"]]:
    """Return {name: score of each row of x} for all scores that the model's capabilities allow.

    The arguments are those of `scorers`.
    """
    return fit_scores(model, reference, Setting(levels, statistics, noise)).all(x)


def checked(name: str, values: Float[Tensor, " batch"]) -> Float[Tensor, " batch"]:
    """Return the values of the score `name`. Raises DataError if one is nan, as such a row cannot be ranked."""
    if values.isnan().any():
        row = int(values.isnan().nonzero()[0])
        raise DataError(f"score {name!r} of row {row} is nan: check that the row is finite, or leave this score out")
    return values


def _applied(fitted: FittedScores, name: str) -> Callable[[Tensor], Tensor]:
    return lambda x: fitted(name, x)


def _with_needs(name: str) -> set[str]:
    (score,) = (score for score in SCORES if score.name == name)
    return {name}.union(*(_with_needs(needed) for needed in score.needs))
