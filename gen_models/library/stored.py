"""`save(model, path)` and `load(path)`: a checkpoint is a folder that also holds how to construct the model.

The checkpoints are those of `gen_models.checkpoint`: models that the pipeline trained can be loaded here, nothing is
pickled, and `load` verifies every byte.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import device as torch_device
from torch import nn

from gen_models import checkpoint
from gen_models.build import ROOTS
from gen_models.checkpoint_folder import DATA, MANIFEST, RESUME, about_data, recover, verify
from gen_models.errors import CheckpointError, ConfigError, one_line
from gen_models.library.rows import require_model
from gen_models.rebuildable import KEPT, STARTED, spec_of

IS_STARTED = "is_started"  # the mark in a checkpoint's data.json, written only where it is false
LEFT_BY_DESKTOPS = {".DS_Store", ".directory", "Thumbs.db", "desktop.ini"}
OF_A_CHECKPOINT = {MANIFEST, RESUME, DATA, checkpoint.MODEL, checkpoint.WEIGHTS, checkpoint.RESUME_TENSORS}


def save(model: nn.Module, path: str | Path) -> Path:
    """Write a model to a folder, from which `load` reads it, and return the folder.

    A checkpoint that the folder holds is replaced. Raises ConfigError if the model's class does not record the
    arguments of its constructor (see Rebuildable), and CheckpointError if the folder holds other files.
    """
    require_model(model)
    folder = folder_of(path)
    require_place(folder)
    about = None if getattr(model, STARTED, False) else {IS_STARTED: False}
    checkpoint.save_model(folder, spec_of(model), model, data=about)
    return folder


def load(path: str | Path, *, into: nn.Module | None = None, device: str | torch_device = "cpu") -> nn.Module:
    """Verify a checkpoint and return its model, in evaluation mode and with its parameters frozen.

    path    a folder that `save`, `fit` or the pipeline wrote, such as out/train/vae-digits for a run
    into    for a model of a class outside gen_models: a model constructed like the saved one, which receives its
            weights and is returned
    device  where the model is put

    torch's global random numbers stay as they are. Raises CheckpointError if the folder is no checkpoint, is damaged,
    or holds another model than `into`, and ConfigError if the device cannot be used, or if `into` is missing for a
    class outside gen_models.
    """
    folder = folder_of(path)
    _require_device(device)
    if not (folder / MANIFEST).is_file() and (folder / "checkpoint" / MANIFEST).is_file():
        folder = folder / "checkpoint"
    verify(recover(folder))
    if into is None:
        _require_own_class(folder)
        with torch.random.fork_rng(devices=[]):  # the constructor draws weights, which the stored ones replace
            model = checkpoint.load_model(folder, device)
    else:
        require_model(into)
        refuse_other_spec(folder, spec_of(into) if KEPT in vars(into) else {})
        checkpoint.load_weights(folder, into, device)
        model = into.eval().requires_grad_(False)
    setattr(model, STARTED, about_data(folder).get(IS_STARTED, True))
    return model


def folder_of(path: str | Path) -> Path:
    """Return the absolute path of a folder, with `~` expanded. Raises CheckpointError if `path` is empty or no path."""
    if not isinstance(path, str | Path) or not str(path):
        raise CheckpointError(f"path = {path!r} cannot be used: give the name of a folder")
    return Path(path).expanduser().absolute()


def require_place(folder: Path) -> None:
    """Raise CheckpointError if `folder` is a file, or holds files that are not those of a checkpoint."""
    if folder.is_dir():
        others = sorted(files_of(folder) - OF_A_CHECKPOINT)
        if others:
            raise CheckpointError(
                f"{folder}: holds {others[0]}, which is not of a checkpoint; give a folder of its own"
            )
    elif folder.exists():
        raise CheckpointError(f"{folder}: is a file; give the name of a folder")


def files_of(folder: Path) -> set[str]:
    """Return the names in a folder, without those of files that a desktop leaves there."""
    return {path.name for path in folder.iterdir()} - LEFT_BY_DESKTOPS


def refuse_other_spec(folder: Path, spec: Mapping[str, Any]) -> None:
    """Raise CheckpointError if the folder's checkpoint is of a model whose class or arguments differ from `spec`.

    A class outside gen_models may have moved to another module, as from a notebook: of it only the name must agree.
    """
    verify(folder)
    saved = yaml.safe_load((folder / checkpoint.MODEL).read_text())
    targets = [str(of.get("_target_")) for of in (saved, spec)]
    is_own = not any(target.startswith(ROOTS) for target in targets)
    is_moved = is_own and _own_name(targets[0]) == _own_name(targets[1])
    for key in spec:
        if key == "_target_" and is_moved:
            continue
        if saved.get(key) != spec[key]:
            raise CheckpointError(f"{folder}: holds a model with {key}={saved.get(key)!r}, not {spec[key]!r}")


def _own_name(target: str) -> str:
    return target.rpartition(".")[2]


def _require_own_class(folder: Path) -> None:
    """Raise ConfigError if the folder's model is of a class that `load` does not build."""
    target = str(yaml.safe_load((folder / checkpoint.MODEL).read_text()).get("_target_"))
    if not target.startswith(ROOTS):
        raise ConfigError(
            f"{folder}: _target_ {target!r} is outside the roots that may be built: make such a model, and give it as "
            f"load(path, into={_own_name(target)}(...))"
        )


def _require_device(device: str | torch_device) -> None:
    """Raise ConfigError if torch cannot use the device."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:  # torch built without CUDA raises AssertionError
        raise ConfigError(f"device = {str(device)!r} cannot be used ({one_line(error)}): give device='cpu'") from None
