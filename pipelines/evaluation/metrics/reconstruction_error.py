"""How well rows come back.

mse, mse_pca   squared error a dimension on the unit scale, of the model and of PCA with its bottleneck
"""

import numpy as np
from sklearn.decomposition import PCA

from gen_models.contracts import Encoder, Reconstructor
from gen_models.evaluating import by_rows
from pipelines.evaluation.trained_run import Trained


def reconstruction(trained: Trained) -> dict[str, float]:
    """Squared error a dimension, beside the linear model with a bottleneck of the same size."""
    model, x = trained.model, trained.normal("test")
    if not isinstance(model, Reconstructor):
        return {}
    found = {"mse": (trained.units(by_rows(model.reconstruct, x)) - trained.units(x)).square().mean().item()}
    train, test = (trained.units(trained.normal(split)).flatten(1).numpy() for split in ("train", "test"))
    latent = model.encode(x[:1]).shape[1] if isinstance(model, Encoder) else None
    if latent is not None and latent < min(train.shape):  # as many components as numbers lose nothing
        pca = PCA(latent, svd_solver="full").fit(train)
        found["mse_pca"] = float(np.square(pca.inverse_transform(pca.transform(test)) - test).mean())
    return found
