"""Checkpoints: self-describing folders that store architecture and weights together and pickle nothing.

    model.yaml            the spec that build() takes
    data.json             what is known of the training data, such as a table's schema   (if the caller gave it)
    weights.safetensors   parameters and buffers
    resume.safetensors    the tensors in the optimisers' state   (only in a checkpoint to resume from)
    resume.json           the step, the rest of the optimisers' state, the caller's notes (the seed, the best step)
    manifest.json         sha256 and size of each file above

A checkpoint is written to a temporary folder, fsynced, hashed and renamed. Every load verifies it: a flipped byte, a
truncated file or the weights of another model raise CheckpointError and never load wrong weights.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from gen_models.build import build
from gen_models.checkpoint_folder import (
    DATA,
    MANIFEST,
    RESUME,
    about_data,
    digest,
    fact,
    recover,
    replace,
    sync,
    verify,
)
from gen_models.engine import Training
from gen_models.errors import CheckpointError

__all__ = [
    "about_data",
    "digest",
    "load_model",
    "load_training",
    "load_weights",
    "recover",
    "save_model",
    "save_training",
    "verify",
]

MODEL, WEIGHTS, RESUME_TENSORS = "model.yaml", "weights.safetensors", "resume.safetensors"


def save_model(
    folder: Path, spec: Mapping[str, Any], model: nn.Module, *, data: Mapping[str, Any] | None = None
) -> None:
    """Write a model, for `load_model`. An earlier checkpoint in the folder is replaced completely or not at all.

    data  what is known of the training data, as JSON; `about_data` returns it

    Raises CheckpointError if the checkpoint cannot be written.
    """
    _write(folder, spec, model, None, {}, data)


def save_training(folder: Path, spec: Mapping[str, Any], training: Training, notes: Mapping[str, Any]) -> None:
    """Write everything that a resume needs, for `load_training`.

    notes  the caller's own data, as JSON; `load_training` returns them

    Raises CheckpointError like `save_model`.
    """
    _write(folder, spec, training.model, training, notes)


def load_model(folder: Path, device: str | torch.device = "cpu") -> nn.Module:
    """Verify a checkpoint and return its model, in evaluation mode and without gradients.

    Raises CheckpointError if the folder is no checkpoint or is damaged.
    """
    verify(folder)
    model = build(_read_spec(folder))
    load_weights(folder, model, device)
    return model.eval().requires_grad_(False)


def load_training(folder: Path, training: Training) -> dict[str, Any]:
    """Set a freshly built training to the state that the folder holds; return the notes given to `save_training`.

    Raises CheckpointError if the folder is damaged, holds another model, or holds a model without the state of its
    training.
    """
    verify(folder)
    if not (folder / RESUME).is_file():
        raise CheckpointError(f"{folder}: holds a model but no {RESUME}; training cannot resume from it")
    device = next((p.device for p in training.model.parameters()), torch.device("cpu"))
    load_weights(folder, training.model, device)
    state = json.loads((folder / RESUME).read_text())
    tensors = load_file(folder / RESUME_TENSORS)  # the optimiser moves tensors to its parameters' device where needed
    for name, optimiser in training.optimisers.items():
        _load_optimiser(optimiser, name, state["optimisers"].get(name), tensors, folder)
    training.step = state["step"]
    return state["notes"]


def load_weights(folder: Path, model: nn.Module, device: str | torch.device = "cpu") -> None:
    """Load a checkpoint's parameters and buffers into the model, which moves to `device`.

    The model takes the dtype of the stored parameters. Raises CheckpointError if they belong to another model.
    """
    try:
        weights = load_file(folder / WEIGHTS, device=str(device))
        for name, parameter in list(model.named_parameters())[:1]:
            if name in weights and weights[name].dtype != parameter.dtype:
                model.to(weights[name].dtype)
        model.to(device).load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(f"{folder / WEIGHTS}: not the weights of this {type(model).__name__} ({first})") from None


def _write(
    folder: Path,
    spec: Mapping[str, Any],
    model: nn.Module,
    training: Training | None,
    notes: Mapping,
    data: Mapping[str, Any] | None = None,
) -> None:
    fresh = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        (fresh / MODEL).write_text(yaml.safe_dump(dict(spec), sort_keys=False))
        weights = {name: t.detach().contiguous().clone() for name, t in model.state_dict().items()}
        save_file(weights, fresh / WEIGHTS)
        if data is not None:
            (fresh / DATA).write_text(json.dumps(data, indent=1, ensure_ascii=False, sort_keys=True))
        if training is not None:
            state, tensors = _optimisers_state(training)
            save_file(tensors, fresh / RESUME_TENSORS)
            (fresh / RESUME).write_text(json.dumps({"step": training.step, "optimisers": state, "notes": dict(notes)}))
        facts = {path.name: fact(path) for path in sorted(fresh.iterdir())}
        (fresh / MANIFEST).write_text(json.dumps({"format": 1, "files": facts}, indent=1))
        sync(fresh)
        replace(fresh, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise CheckpointError(f"{folder}: cannot be written ({error}); the checkpoint before it is intact") from error


def _read_spec(folder: Path) -> dict[str, Any]:
    try:
        return yaml.safe_load((folder / MODEL).read_text())
    except yaml.YAMLError as error:
        raise CheckpointError(f"{folder / MODEL}: not YAML ({error})") from None


def _optimisers_state(training: Training) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the optimisers' state in two parts: what is no tensor, for JSON, and the tensors, for safetensors.

    The tensors' names are NAME/INDEX/KEY.
    """
    numbers: dict[str, Any] = {}
    tensors: dict[str, torch.Tensor] = {}
    for name, optimiser in training.optimisers.items():
        state = optimiser.state_dict()
        numbers[name] = {"param_groups": state["param_groups"], "state": {}}
        for index, entries in state["state"].items():
            numbers[name]["state"][str(index)] = {k: v for k, v in entries.items() if not torch.is_tensor(v)}
            held = {k: v.contiguous().clone() for k, v in entries.items() if torch.is_tensor(v)}  # views share memory
            tensors |= {f"{name}/{index}/{k}": v for k, v in held.items()}
    return numbers, tensors


def _load_optimiser(optimiser, name: str, state: dict | None, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    if state is None:
        raise CheckpointError(f"{folder / RESUME}: no optimiser {name!r}; it was saved by another model")
    entries: dict[int, dict[str, Any]] = {int(index): dict(numbers) for index, numbers in state["state"].items()}
    for path, tensor in tensors.items():
        owner, index, key = path.split("/")
        if owner == name:
            entries.setdefault(int(index), {})[key] = tensor
    try:
        optimiser.load_state_dict({"state": entries, "param_groups": state["param_groups"]})
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{folder / RESUME}: optimiser {name!r} does not fit ({error})") from None
