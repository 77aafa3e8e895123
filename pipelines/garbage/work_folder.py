"""Leftovers in work/: run logs and sweeps that are collected or of other settings, and what killed processes left.

A run log is kept if `dvc repro` or `gen-models play` would go on with it: it is that of params.yaml as it is, and not
collected. What another process writes at the moment is kept too. Downloads, benchmarks and the cluster's token stay.
"""

from collections.abc import Iterator
from pathlib import Path

from gen_models.errors import GenModelsError
from pipelines.config.params import Params
from pipelines.evaluation.evaluation_plan import evaluation_plan
from pipelines.garbage.item import TRASH, Item, folder_item, remove_path, size_of
from pipelines.lineage import facts
from pipelines.runtime import locks, paths
from pipelines.training.sweep_plan import sweep_plan
from pipelines.training.training_plan import best_setting, training_plan

STAGES = ("train", "evaluate")
HASH = 12  # characters of a key in a folder's name


def leftovers(asked: Params) -> Iterator[Item]:
    """Yield what may be removed from work/. asked: params.yaml as it is"""
    for folder in sorted(path for path in paths.work("sweep").glob("*") if path.is_dir()):
        yield from _of_sweep(asked, folder)
    for stage in STAGES:
        for folder in sorted(paths.work(stage).glob("*")):
            if folder.name.endswith((TRASH, ".unfinished")):
                yield _guarded(stage, _key_of(folder.name.strip(".")), folder, "work: half removed or half written")
            elif folder.is_dir() and (why := _stale(asked, stage, folder)):
                yield _guarded(stage, _key_of(folder.name), folder, f"work: {why}")
    for folder in sorted(paths.work("unfinished").glob("*")):
        lock = f"{folder.name}.lock"
        yield _locked(lock, folder, "work: half written by a stage that was killed")
    for folder in sorted(paths.work("ray").glob("*-*-*")):
        if not Path(f"/proc/{folder.name.split('-')[1]}").exists():
            yield folder_item("work: of Ray, whose process has ended", folder, _shown(folder))
    for path in sorted((*paths.work("cluster").glob("*.json"), *paths.work("cluster").glob("*.log"))):
        if path.stem.isdigit() and not Path(f"/proc/{path.stem}").exists():
            yield folder_item("work: of Ray, whose process has ended", path, _shown(path))


def _of_sweep(asked: Params, folder: Path) -> Iterator[Item]:
    """Yield the trials of work/sweep/KEY that are not of the sweep as it is now; a sweep that grows uses the others."""
    key = folder.name
    if key not in asked.sweeps:
        yield _guarded("sweep", key, folder, "work: sweep of a line that params.yaml has no more")
        return
    try:
        own = sweep_plan(asked, key).trial_folders()
    except (GenModelsError, ValueError, KeyError):
        return  # it cannot be told, so it stays
    for trial in sorted(path for path in folder.iterdir() if path.is_dir() and path not in own):
        yield _guarded("sweep", key, trial, "work: trial of other settings, data or code")


def _stale(asked: Params, stage: str, folder: Path) -> str:
    """Return why a folder of a stage is needed no more, or ""."""
    key, digest = _key_of(folder.name), folder.name[-HASH:]
    if key not in asked.runs:
        return f"{stage} of a line that params.yaml has no more"
    try:
        collected = facts.key_of(paths.out(stage, key))
        if collected is not None and collected.startswith(digest):
            return f"{stage} that out/ has"
        return "" if _plan(asked, stage, key).startswith(digest) else f"{stage} of other settings, data or code"
    except (GenModelsError, ValueError, KeyError):
        return ""  # it cannot be told, so it stays


def _plan(asked: Params, stage: str, key: str) -> str:
    """Return the key of what params.yaml asks of a stage now. Raises GenModelsError if that is not known yet."""
    if stage == "train":
        return training_plan(asked, key, best_setting(key, asked.run(key).setting)).lineage["key"]
    plan = training_plan(asked, key, best_setting(key, asked.run(key).setting))
    trained = paths.out("train", key) if plan.is_collected() else plan.log.folder
    return evaluation_plan(asked, key, trained).lineage["key"]


def _guarded(stage: str, key: str, folder: Path, kind: str) -> Item:
    return _locked(f"out.{stage}.{key}.lock", folder, kind)


def _locked(lock: str, folder: Path, kind: str) -> Item:
    """Return an item that is removed only if no other process holds the lock of its output or of its run log."""

    def remove() -> bool:
        try:
            with locks.held(paths.work("locks", lock), within_seconds=0.2):
                if (folder / ".lock").is_file():
                    with locks.held(folder / ".lock", within_seconds=0.2):
                        pass
                return remove_path(folder)
        except locks.HeldError:
            return False

    return Item(kind, _shown(folder), size_of(folder), remove)


def _key_of(name: str) -> str:
    """Return KEY of the folder KEY-HASH."""
    return name.removesuffix(TRASH).removesuffix(".unfinished")[: -HASH - 1]


def _shown(path: Path) -> str:
    return path.relative_to(paths.root()).as_posix()
