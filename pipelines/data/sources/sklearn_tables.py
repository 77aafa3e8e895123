"""Tables that come with scikit-learn, with labels and the names of their columns. Nothing is downloaded.

breast_cancer  569 x 30, malignant or benign (Wolberg, Street and Mangasarian, 1995)
wine           178 x 13, three cultivars (Forina et al., 1991)
iris           150 x 4, three species (Fisher, 1936); two of its rows are equal
diabetes       442 x 11, patients, without labels (Efron, Hastie, Johnstone and Tibshirani, 2004)
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gen_models.errors import ConfigError
from gen_models.noise import Noise
from pipelines.config.columns import roles_of
from pipelines.data.sources.arrays import Arrays


def breast_cancer(noise: Noise) -> Arrays:
    """Return x (569, 30) float32, and y: 0 malignant, 1 benign. `noise` is not used: nothing is drawn."""
    return _table("breast_cancer")


def wine(noise: Noise) -> Arrays:
    """Return x (178, 13) float32, and y, the cultivar."""
    return _table("wine")


def iris(noise: Noise) -> Arrays:
    """Return x (150, 4) float32, and y, the species."""
    return _table("iris")


def diabetes(noise: Noise, *, columns: Mapping[str, Any]) -> Arrays:
    """Return x (442, 11) float64 of whole numbers, decimals and a flag, with a schema as for a user's own table.

    columns: the key `columns` of conf/data/diabetes.yaml, which gives each column its kind
    """
    from sklearn.datasets import load_diabetes  # takes a second, and only this source needs it

    bundle = load_diabetes(scaled=False)
    values = dict(zip(bundle.feature_names, bundle.data.T, strict=True)) | {"progression": bundle.target}
    schema = roles_of(columns, "conf/data/diabetes.yaml").schema
    x, problems = schema.encode(values)
    if problems:
        raise ConfigError(f"conf/data/diabetes.yaml: columns: {next(iter(problems.values()))}")
    return Arrays(x, None, (), schema.names, schema=schema)


def _table(name: str) -> Arrays:
    from sklearn import datasets  # takes a second, and only these sources need it

    bundle = {"breast_cancer": datasets.load_breast_cancer, "wine": datasets.load_wine, "iris": datasets.load_iris}[
        name
    ]()
    columns = tuple(str(name) for name in bundle.feature_names)
    classes = tuple(str(name) for name in bundle.target_names)
    return Arrays(bundle.data.astype(np.float32), bundle.target.astype(np.int64), classes, columns)
