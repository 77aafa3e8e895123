"""Measures the error of reconstructions of test rows.

mse        the squared error of the model's reconstructions, averaged over rows and their numbers, on the unit scale:
           x/(q - 1) for q grey levels, else x standardised by the training rows
mse_error  the standard error of mse, over rows
mse_pca    the same error of PCA with as many components as the model has latents, fitted to the training rows
"""

import math

import numpy as np
from sklearn.decomposition import PCA

from gen_models.contracts import Encoder, Reconstructor
from gen_models.evaluating import by_rows
from pipelines.evaluation.trained_run import Trained


def reconstruction(trained: Trained) -> dict[str, float]:
    """Return mse with its error and, if the model has fewer latents than a row has numbers, mse_pca.

    Returns {} for a model that is not a Reconstructor. There is no mse_pca if there are too few training rows for so
    many components.
    """
    model, x = trained.model, trained.normal("test")
    if not isinstance(model, Reconstructor):
        return {}
    errors = (trained.units(by_rows(model.reconstruct, x)) - trained.units(x)).square()
    found = {"mse": errors.mean().item()}
    if len(errors) > 1:
        found["mse_error"] = errors.flatten(1).mean(dim=1).std().item() / math.sqrt(len(errors))
    train, test = (trained.units(trained.normal(split)).flatten(1).numpy() for split in ("train", "test"))
    latent = model.encode(x[:1]).shape[1] if isinstance(model, Encoder) else None
    if latent is not None and latent < min(train.shape):  # PCA with all components has no error
        pca = PCA(latent, svd_solver="full").fit(train)
        found["mse_pca"] = float(np.square(pca.inverse_transform(pca.transform(test)) - test).mean())
    return found
