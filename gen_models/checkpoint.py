"""Checkpoints: self-describing folders that store architecture and weights together and pickle nothing.

    model.yaml            the spec that build() takes
    weights.safetensors   parameters and buffers
    resume.safetensors    the optimisers' tensors          (only in a checkpoint to resume from)
    resume.json           step, the optimisers' numbers, the caller's notes (the seed, the best step)
    manifest.json         sha256 and size of each file above

A checkpoint is written to a temporary folder, fsynced, hashed and renamed. Every load verifies it: a flipped byte, a
truncated file or the weights of another model raise CheckpointError and never load wrong weights.
"""

import hashlib
import json
import os
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
from gen_models.checkpoint_digest import MANIFEST
from gen_models.checkpoint_digest import digest as digest  # for those who have this module anyway
from gen_models.engine import Training
from gen_models.errors import CheckpointError

MODEL, WEIGHTS, RESUME_TENSORS, RESUME = "model.yaml", "weights.safetensors", "resume.safetensors", "resume.json"


def save_model(folder: Path, spec: Mapping[str, Any], model: nn.Module) -> None:
    """Write a model, for `load_model`. The folder is replaced completely or not at all."""
    _write(folder, spec, model, None, {})


def save_training(folder: Path, spec: Mapping[str, Any], training: Training, notes: Mapping[str, Any]) -> None:
    """Write everything that a resume needs, for `load_training`.

    notes  the caller's own data, as JSON; `load_training` returns them
    """
    _write(folder, spec, training.model, training, notes)


def load_model(folder: Path, device: str | torch.device = "cpu") -> nn.Module:
    """Load a verified model, in evaluation mode and without gradients."""
    verify(folder)
    model = build(_read_spec(folder))
    _load_weights(folder, model, device)
    return model.eval().requires_grad_(False)


def load_training(folder: Path, training: Training) -> dict[str, Any]:
    """Set a freshly built training to the state that the folder holds; return the caller's notes.

    Raises CheckpointError if the folder is damaged, or holds a model only.
    """
    verify(folder)
    if not (folder / RESUME).is_file():
        raise CheckpointError(f"{folder}: holds a model but no {RESUME}; training cannot resume from it")
    device = next((p.device for p in training.model.parameters()), torch.device("cpu"))
    _load_weights(folder, training.model, device)
    state = json.loads((folder / RESUME).read_text())
    tensors = load_file(folder / RESUME_TENSORS)  # the optimiser moves tensors to its parameters' device where needed
    for name, optimiser in training.optimisers.items():
        _load_optimiser(optimiser, name, state["optimisers"].get(name), tensors, folder)
    training.step = state["step"]
    return state["notes"]


def verify(folder: Path) -> dict[str, Any]:
    """Compare the size and sha256 of each file with the manifest, and return the manifest.

    Raises CheckpointError for the first file that differs.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        files = manifest["files"]
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no {MANIFEST} there; not a checkpoint, or an unfinished one") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); take another copy of the checkpoint") from None
    for name, expected in files.items():
        found = _fact(folder / name)
        if found != expected:
            what = "missing" if found is None else f"{found['bytes']} bytes, sha256 {found['sha256'][:12]}"
            raise CheckpointError(
                f"{folder / name}: expected {expected['bytes']} bytes, sha256 {expected['sha256'][:12]}, "
                f"found {what}; take another copy of the checkpoint"
            )
    return manifest


def recover(folder: Path) -> Path:
    """Finish an interrupted replacement and return the folder.

    If the process was killed between the two renames of a replacement, the old folder is renamed back.
    """
    old = _old(folder)
    if not folder.exists() and old.exists():
        old.rename(folder)
    return folder


def _write(folder: Path, spec: Mapping[str, Any], model: nn.Module, training: Training | None, notes: Mapping) -> None:
    fresh = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        (fresh / MODEL).write_text(yaml.safe_dump(dict(spec), sort_keys=False))
        weights = {name: t.detach().contiguous().clone() for name, t in model.state_dict().items()}
        save_file(weights, fresh / WEIGHTS)
        if training is not None:
            state, tensors = _optimisers_state(training)
            save_file(tensors, fresh / RESUME_TENSORS)
            (fresh / RESUME).write_text(json.dumps({"step": training.step, "optimisers": state, "notes": dict(notes)}))
        facts = {path.name: _fact(path) for path in sorted(fresh.iterdir())}
        (fresh / MANIFEST).write_text(json.dumps({"format": 1, "files": facts}, indent=1))
        _sync(fresh)
        _replace(fresh, folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(fresh, ignore_errors=True)
        raise CheckpointError(f"{folder}: cannot be written ({error}); the checkpoint before it is intact") from error


def _replace(fresh: Path, folder: Path) -> None:
    """Replace the folder by two renames, as one call cannot do it.

    After a kill between the two, `recover` puts the old folder back.
    """
    recover(folder)
    shutil.rmtree(_old(folder), ignore_errors=True)
    if folder.exists():
        folder.rename(_old(folder))
    fresh.rename(folder)
    shutil.rmtree(_old(folder), ignore_errors=True)
    _sync_folder(folder.parent)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fact(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}


def _read_spec(folder: Path) -> dict[str, Any]:
    try:
        return yaml.safe_load((folder / MODEL).read_text())
    except yaml.YAMLError as error:
        raise CheckpointError(f"{folder / MODEL}: not YAML ({error})") from None


def _load_weights(folder: Path, model: nn.Module, device: str | torch.device) -> None:
    try:
        weights = load_file(folder / WEIGHTS, device=str(device))
        model.to(device).load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(f"{folder / WEIGHTS}: not the weights of this {type(model).__name__} ({first})") from None


def _optimisers_state(training: Training) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the optimisers' numbers, for JSON, and their tensors, for safetensors, under NAME/INDEX/KEY."""
    numbers: dict[str, Any] = {}
    tensors: dict[str, torch.Tensor] = {}
    for name, optimiser in training.optimisers.items():
        state = optimiser.state_dict()
        numbers[name] = {"param_groups": state["param_groups"], "state": {}}
        for index, entries in state["state"].items():
            numbers[name]["state"][str(index)] = {k: v for k, v in entries.items() if not torch.is_tensor(v)}
            tensors |= {f"{name}/{index}/{k}": v.contiguous() for k, v in entries.items() if torch.is_tensor(v)}
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
