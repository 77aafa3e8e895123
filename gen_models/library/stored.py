"""`save(model, path)` and `load(path)`: checkpoints of one folder, with no spec to repeat.

They are those of `gen_models.checkpoint`: what the pipeline trained loads here, nothing is pickled, and a load verifies
every byte.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import device as torch_device
from torch import nn

from gen_models import checkpoint
from gen_models.checkpoint_folder import DATA, MANIFEST, RESUME, recover, verify
from gen_models.errors import CheckpointError
from gen_models.library.rows import require_model
from gen_models.rebuildable import KEPT, spec_of

STARTED = "was_started"  # the name of a mark on models that need no warm start
OF_A_CHECKPOINT = {MANIFEST, RESUME, DATA, checkpoint.MODEL, checkpoint.WEIGHTS, checkpoint.RESUME_TENSORS}


def save(model: nn.Module, path: str | Path) -> Path:
    """Write a model to a folder, for `load`, and return the folder; a checkpoint that is there is replaced.

    Raises ConfigError for a model that does not know its arguments, CheckpointError if the folder holds other files.
    """
    require_model(model)
    folder = folder_of(path)
    require_place(folder)
    checkpoint.save_model(folder, spec_of(model), model)
    return folder


def load(path: str | Path, *, into: nn.Module | None = None, device: str | torch_device = "cpu") -> nn.Module:
    """Load a verified model, in evaluation mode and with its parameters frozen.

    path  a folder that `save`, `fit` or the pipeline wrote; of a run, such as out/train/vae-digits, its checkpoint
    into  a model of a class outside gen_models, constructed as the saved one was: it receives the weights

    Raises CheckpointError if the folder is no checkpoint, or damaged, or of another model.
    """
    folder = folder_of(path)
    if not (folder / MANIFEST).is_file() and (folder / "checkpoint" / MANIFEST).is_file():
        folder = folder / "checkpoint"
    verify(recover(folder))
    if into is None:
        model = checkpoint.load_model(folder, device)
    else:
        require_model(into)
        refuse_other_spec(folder, spec_of(into) if KEPT in vars(into) else {})
        checkpoint.load_weights(folder, into, device)
        model = into.eval().requires_grad_(False)
    setattr(model, STARTED, True)
    return model


def folder_of(path: str | Path) -> Path:
    """Return a path as a folder's, `~` expanded."""
    if not isinstance(path, str | Path) or not str(path):
        raise CheckpointError(f"path = {path!r} cannot be used: give the name of a folder")
    return Path(path).expanduser().absolute()


def require_place(folder: Path) -> None:
    """Raise CheckpointError if a checkpoint there would replace what is none."""
    if folder.is_dir():
        others = sorted(path.name for path in folder.iterdir() if path.name not in OF_A_CHECKPOINT)
        if others:
            raise CheckpointError(
                f"{folder}: holds {others[0]}, which is not of a checkpoint; give a folder of its own"
            )
    elif folder.exists():
        raise CheckpointError(f"{folder}: is a file; give the name of a folder")


def refuse_other_spec(folder: Path, spec: Mapping[str, Any]) -> None:
    """Raise CheckpointError if a checkpoint was written by a model with other arguments."""
    verify(folder)
    saved = yaml.safe_load((folder / checkpoint.MODEL).read_text())
    for key in spec:
        if saved.get(key) != spec[key]:
            raise CheckpointError(f"{folder}: holds a model with {key}={saved.get(key)!r}, not {spec[key]!r}")
