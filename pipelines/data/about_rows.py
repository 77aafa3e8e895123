"""Gathers what a checkpoint keeps about the training data, so that a trained model reads new rows in the same way."""

from collections.abc import Mapping
from typing import Any

from pipelines.data.store import Dataset

OF_READING = ("size", "mode", "background", "bits", "channels_last")  # options that decide how rows are read


def about_rows(dataset: Dataset, conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint keeps about the data set that its model was trained on, as values that JSON can hold.

    conf: the data set's part of the configuration, as in conf/data/NAME.yaml

    The keys are "data", the name of the data set; "sha256", its hash; "statistics", the {"mean", "std"} of the training
    rows; "columns", the names of a table's columns, or [] for other data; "options", those options of `conf` that
    decide how images and arrays are read; and "table", for a user's table only: its schema, the options with which its
    text was read, and its columns of identifiers.
    """
    manifest = dataset.manifest
    options = conf.get("options") or {}
    found = {
        "data": dataset.name,
        "sha256": dataset.sha256,
        "statistics": {name: manifest["statistics"][name] for name in ("mean", "std")},
        "columns": list(dataset.columns),
        "options": {name: options[name] for name in OF_READING if name in options},
    }
    return found | ({"table": manifest["table"]} if "table" in manifest else {})
