"""Draws the samples of a sweep's trials, for the report and for MLflow."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np

MOST = 12  # trials in a picture


def samples(rows: Sequence[Mapping[str, Any]], drawn: Mapping[int, np.ndarray], levels: Any) -> bytes | None:
    """Return the PNG of the trials' samples side by side, in the order of their settings; None if there are none.

    rows: the rows of trials.json; drawn: {trial: samples}; levels: the number of grey levels of the data, or None

    A setting that was trained with several seeds is drawn once. Of more than MOST settings, the best are drawn.
    """
    shown = [row for row in rows if row["trial"] in drawn and "of" not in row and row["value"] is not None]
    shown = sorted(shown, key=lambda row: (row["value"], row["trial"]))[:MOST]
    if not shown:
        return None
    from pipelines import figures  # matplotlib takes a third of a second to import

    ordered = sorted(shown, key=lambda row: [_order(row["override"][key]) for key in keys_of(shown)])
    panels = {f"{row['trial']}: {figures.setting(row['override'])}": drawn[row["trial"]] for row in ordered}
    file = BytesIO()
    figures.trial_samples(panels, file, levels=levels if isinstance(levels, int) else None)
    return file.getvalue()


def keys_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the swept keys that all rows have, beta first."""
    common = set.intersection(*(set(row["override"]) for row in rows))
    return sorted(common, key=lambda key: (not key.endswith(".beta"), key))


def _order(value: Any) -> tuple[int, float, str]:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return (0, float(value), "") if is_number else (1, 0.0, str(value))
