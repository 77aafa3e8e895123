"""The base class of the estimators: it trains a model and keeps it as bytes, so estimators can be pickled and copied.

The bytes are in the safetensors format. When the model is used first, it is built again from its class, its arguments
and these bytes. For rows of a table it computes in float64, so that the result for a row depends on the other rows
in its last bits only.
"""

import copy
import json
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

import gen_models
from gen_models.build import build, build_optimisers
from gen_models.contracts import Sampler
from gen_models.errors import ConfigError, first_line
from gen_models.layers.arguments import require_whole
from gen_models.library.rows import WORDS
from gen_models.rebuildable import spec_of
from gen_models_sklearn.recipe import recipe

KEPT_MODELS = 8  # built models that are kept for the next call
TABLE_AXES, IMAGE_AXES = 2, 3  # of X, and of a row
CHANNELS = (1, 3, 4)  # of an image: grey, colours, colours and transparency
LEAST_ROWS = 2


def offers(capability: type) -> Any:
    """Return a decorator for methods: a fitted estimator has the method only if its model has the capability.

    capability  a protocol of gen_models.contracts, such as Sampler
    """
    return available_if(
        lambda estimator: not hasattr(estimator, "weights_") or isinstance(estimator._model(), capability)
    )


class GenerativeEstimator(BaseEstimator):
    """A model of gen_models, trained on X: (rows, columns), or images (rows, channels, height, width).

    model      NAME of a file conf/model/NAME.yaml, its content as a mapping, or {"_target_": CLASS, argument: value}
    arguments  {name: value} for the model's constructor, which replace those that `model` gives: {"components": 5}
    levels     what the numbers of a row are (gen_models.layers.levels); None: real numbers
    steps      of training; None: a number for minutes of work, from conf/model; 0 for a mixture, whose warm start is EM
    batch      rows of a minibatch
    seed       of the weights before training, and of all random numbers in training
    device     on which the model is trained and used

    After `fit`: spec_, the model's class and arguments; weights_, the bytes of its parameters; n_features_in_.
    """

    def __init__(self, model="gmm", *, arguments=None, levels=None, steps=None, batch=128, seed=0, device="cpu"):
        self.model = model
        self.arguments = arguments
        self.levels = levels
        self.steps = steps
        self.batch = batch
        self.seed = seed
        self.device = device

    @property
    def model_(self) -> nn.Module:
        """A copy of the fitted PyTorch model, in evaluation mode; the estimator does not change with it."""
        return copy.deepcopy(self._model())

    def _model(self) -> nn.Module:
        """Return the fitted model, which other calls use too."""
        check_is_fitted(self, "weights_")
        return _built(json.dumps(self.spec_), self.weights_, str(self.device), len(self.spec_["event_shape"]) == 1)

    @offers(Sampler)
    def sample(self, n_samples: int = 1, *, seed: int = 0) -> np.ndarray:
        """Draw n_samples rows of the shape of X's rows, in the units of X; the same seed draws the same rows."""
        return gen_models.sample(self._model(), int(n_samples), seed=seed)

    def _rows(self, X: Any, *, reset: bool = False, least: int = 1) -> np.ndarray:
        """Return X as an array, after scikit-learn's checks; rows must have as many columns, or channels, as in `fit`.

        reset  true in `fit`, which sets this number
        least  the fewest rows that are allowed
        """
        rows = validated(
            self,
            X,
            reset=reset,
            dtype=[np.float64, np.float32, np.uint8, np.int64],
            allow_nd=True,
            ensure_min_samples=least,
        )
        shape = rows.shape[1:]
        if reset and len(shape) == IMAGE_AXES and shape[2] in CHANNELS and min(shape[:2]) > max(CHANNELS):
            raise ValueError(f"X has the shape {rows.shape}, and channels come first: give numpy.moveaxis(X, -1, 1)")
        return rows

    def _require(self, model: nn.Module) -> None:
        """Raise ConfigError if the model, not yet trained, does not offer what the estimator needs."""

    def _train_model(self, X: np.ndarray) -> None:
        """Train the model on the rows X, and keep its spec and weights."""
        require_whole("seed", seed := plain(self.seed), least=0)
        table = [None] * X.shape[1] if X.ndim == TABLE_AXES and self.levels is None else None
        how = recipe(self.model, self.arguments, X.shape[1:], table or plain(self.levels))
        require_device(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # and not those of GPUs, which the fork does not restore
            model = build(how.spec).to(self.device)
        self._require(model)
        gen_models.fit(
            model,
            X,
            steps=how.steps if self.steps is None else plain(self.steps),
            batch=plain(self.batch),
            seed=seed,
            optimisers=build_optimisers(how.optim, model) if how.optim else None,
            **how.settings,
        )
        self.spec_ = spec_of(model)
        self.weights_ = save({name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()})


@lru_cache(maxsize=KEPT_MODELS)
def _built(spec: str, weights: bytes, device: str, is_exact: bool) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        model = build(json.loads(spec))
    try:
        model.load_state_dict(load(weights))
    except RuntimeError:
        raise ConfigError("weights_ are not those of the model of spec_: fit the estimator again") from None
    model = model.eval().requires_grad_(False).to(device)
    return model.double() if is_exact else model


def require_device(device: Any) -> None:
    """Raise ConfigError unless tensors can be on the device."""
    try:
        torch.empty(0, device=str(device))
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for the device
        known = "'cpu' or 'cuda'" if torch.cuda.is_available() else "'cpu'"
        raise ConfigError(f"device = {device!r} cannot be used ({first_line(error, most=60)}): give {known}") from None


def validated(estimator: BaseEstimator, X: Any, **options: Any) -> Any:
    """Return what scikit-learn's validate_data returns; its error for words gets a hint how they become numbers."""
    try:
        return validate_data(estimator, X, **options)
    except ValueError as error:
        if "could not convert string" not in str(error):
            raise
        raise ValueError(f"{error}; {WORDS}") from None


def plain(value: Any) -> Any:
    """Return a Python number for a numpy number, which a parameter grid may hold; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value
