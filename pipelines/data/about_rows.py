"""What a trained model has to know of its data, so that it reads new rows as its training rows were read."""

from collections.abc import Mapping
from typing import Any

from pipelines.data.store import Dataset

OF_READING = ("size", "mode", "background", "bits", "channels_last")  # options that decide how rows are read


def about_rows(dataset: Dataset, conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that a checkpoint keeps of its data, as JSON.

    conf: the data's part of the configuration

    {"data", "sha256", "statistics": {"mean", "std"}} of the training rows; "columns" and "table" of a table: the names
    of its numbers, its schema, and how its text was read; "options": how images were read
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
