"""The error of reconstructions.

mse, mse_pca   mean squared error for each dimension, on the unit scale, of the model and of PCA with as many components
               as the model has latents
"""

import numpy as np
from sklearn.decomposition import PCA

from gen_models.contracts import Encoder, Reconstructor
from gen_models.evaluating import by_rows
from pipelines.evaluation.trained_run import Trained


def reconstruction(trained: Trained) -> dict[str, float]:
    """Return the model's reconstruction error and, if it has fewer latents than the rows have numbers, PCA's.

    Returns {} for a model that is not a Reconstructor.
    """
    model, x = trained.model, trained.normal("test")
    if not isinstance(model, Reconstructor):
        return {}
    found = {"mse": (trained.units(by_rows(model.reconstruct, x)) - trained.units(x)).square().mean().item()}
    train, test = (trained.units(trained.normal(split)).flatten(1).numpy() for split in ("train", "test"))
    latent = model.encode(x[:1]).shape[1] if isinstance(model, Encoder) else None
    if latent is not None and latent < min(train.shape):  # PCA with all components has no error
        pca = PCA(latent, svd_solver="full").fit(train)
        found["mse_pca"] = float(np.square(pca.inverse_transform(pca.transform(test)) - test).mean())
    return found
