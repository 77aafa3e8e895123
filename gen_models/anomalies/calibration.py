"""The calibration of a model's anomaly scores: one safetensors file, stored with the model, without pickled data.

With it, a new row's score can be compared with those of normal rows. The file holds the scores of calibration rows,
which neither the training nor the choice of the model has seen; what each score keeps of the training rows; and usual
values of each column of a table, for explanations. No training row is in it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gen_models.anomalies.score import Setting, State
from gen_models.anomalies.scores import FittedScores
from gen_models.errors import CheckpointError

FILE = "calibration.safetensors"


@dataclass(frozen=True)
class Calibration:
    """The contents of a calibration file.

    scores   {name of a score: its values for the calibration rows, (n,), float64, sorted}
    states   {name of a score: its state, which is what it keeps of the training rows}
    usual    (k, numbers): k usual values of each column of a table; None if the rows are not of a table
    counts   for each column of a table, (2, things): how many training rows have each thing by which columns are
             compared (pipelines/evaluation/column_counts.py), and of how many rows; () if they are not of a table
    facts    data_sha256, of the data; checkpoint_sha256, of the model; map_scale, for images: the blurred squared error
             of a pixel that one in a thousand pixels of the calibration rows exceeds
    """

    scores: Mapping[str, np.ndarray]
    states: Mapping[str, State] = field(default_factory=dict)
    usual: Tensor | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    counts: Sequence[np.ndarray] = ()

    @property
    def rows(self) -> int:
        return max((len(values) for values in self.scores.values()), default=0)

    def fitted(self, model: Any, setting: Setting) -> FittedScores:
        """Return the scores of this calibration's model, in the states in which they were fitted to training rows.

        A score that the calibration rows have no values of is left out: it was no number for some row.
        """
        found = FittedScores(model, self.states, setting)
        return found.without([name for name in found.names if name not in self.scores]) if self.scores else found


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write the calibration to a file."""
    tensors = {
        f"calibration/{name}": torch.from_numpy(np.sort(values).astype(np.float64))
        for name, values in calibration.scores.items()
    }
    for name, state in calibration.states.items():
        tensors |= {f"state/{name}/{key}": value.contiguous() for key, value in state.items()}
    if calibration.usual is not None:
        tensors["usual"] = calibration.usual.contiguous()
    for column, counts in enumerate(calibration.counts):
        tensors[f"counts/{column}"] = torch.from_numpy(np.ascontiguousarray(counts, dtype=np.float64))
    about = {"states": sorted(calibration.states), "facts": dict(calibration.facts)}
    save_file(tensors, path, {"about": json.dumps(about, sort_keys=True)})


def load_calibration(path: Path) -> Calibration:
    """Return the calibration that `save_calibration` wrote. Raises CheckpointError if the file is damaged."""
    try:
        with safe_open(path, "pt") as stored:
            about = json.loads((stored.metadata() or {})["about"])
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
        states: dict[str, dict[str, Tensor]] = {name: {} for name in about["states"]}
        scores, counts = {}, {}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            if kind == "calibration":
                scores[rest] = tensor.numpy()
            elif kind == "state":
                score, _, key = rest.partition("/")
                states[score][key] = tensor
            elif kind == "counts":
                counts[int(rest)] = tensor.numpy()
        by_column = tuple(counts[column] for column in sorted(counts))
        return Calibration(scores, states, tensors.get("usual"), {**about["facts"]}, by_column)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path}: not a file of calibration scores ({error}); take another copy") from None
