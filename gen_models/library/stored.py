"""`save(model, path)` and `load(path)`: a checkpoint is a folder that also holds how to construct the model.

The checkpoints are those of `gen_models.checkpoint`: models that the pipeline trained can be loaded here, nothing is
pickled, and `load` verifies every byte.
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
    """Write a model to a folder, from which `load` reads it, and return the folder.

    A checkpoint that the folder holds is replaced. Raises ConfigError if the model's class does not record the
    arguments of its constructor (see Rebuildable), and CheckpointError if the folder holds other files.
    """
    require_model(model)
    folder = folder_of(path)
    require_place(folder)
    checkpoint.save_model(folder, spec_of(model), model)
    return folder


def load(path: str | Path, *, into: nn.Module | None = None, device: str | torch_device = "cpu") -> nn.Module:
    """Verify a checkpoint and return its model, in evaluation mode and with its parameters frozen.

    path    a folder that `save`, `fit` or the pipeline wrote, such as out/train/vae-digits for a run
    into    for a model of a class outside gen_models: a model constructed like the saved one, which receives its
            weights and is returned
    device  where the model is put

    Raises CheckpointError if the folder is no checkpoint, is damaged, or holds another model than `into`.
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
    """Return the absolute path of a folder, with `~` expanded. Raises CheckpointError if `path` is empty or no path."""
    if not isinstance(path, str | Path) or not str(path):
        raise CheckpointError(f"path = {path!r} cannot be used: give the name of a folder")
    return Path(path).expanduser().absolute()


def require_place(folder: Path) -> None:
    """Raise CheckpointError if `folder` is a file, or holds files that are not those of a checkpoint."""
    if folder.is_dir():
        others = sorted(path.name for path in folder.iterdir() if path.name not in OF_A_CHECKPOINT)
        if others:
            raise CheckpointError(
                f"{folder}: holds {others[0]}, which is not of a checkpoint; give a folder of its own"
            )
    elif folder.exists():
        raise CheckpointError(f"{folder}: is a file; give the name of a folder")


def refuse_other_spec(folder: Path, spec: Mapping[str, Any]) -> None:
    """Raise CheckpointError if the folder's checkpoint is of a model whose class or arguments differ from `spec`."""
    verify(folder)
    saved = yaml.safe_load((folder / checkpoint.MODEL).read_text())
    for key in spec:
        if saved.get(key) != spec[key]:
            raise CheckpointError(f"{folder}: holds a model with {key}={saved.get(key)!r}, not {spec[key]!r}")
