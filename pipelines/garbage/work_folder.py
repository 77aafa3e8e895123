"""Finds leftovers in work/: results that out/ has, results of other settings, data or code, and half-written files.

The folder of a training or evaluation is kept if `dvc repro` or `gen-models play` would continue from it: if
params.yaml, as it is now, asks for this result, and out/ does not have it yet. What another process is writing is kept
too. Downloads, benchmarks and the cluster's token stay.
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
    """Yield an item for each thing in work/ that may be removed. asked: params.yaml as it is now"""
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
    """Yield the items of work/sweep/KEY: the trials that do not belong to the sweep as params.yaml has it now.

    If params.yaml has no such sweep any more, yield the whole folder. The sweep's own trials stay: it uses them if it
    grows.
    """
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
    """Return why the folder of a training or evaluation is not needed any more, or "" if it must stay."""
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
    """Return the key of the result that params.yaml, as it is now, asks of a stage.

    Raises GenModelsError if the key is not known yet, for example because the sweep has no result.
    """
    if stage == "train":
        return training_plan(asked, key, best_setting(key, asked.run(key).setting)).lineage["key"]
    plan = training_plan(asked, key, best_setting(key, asked.run(key).setting))
    trained = paths.out("train", key) if plan.is_collected() else plan.log.folder
    return evaluation_plan(asked, key, trained).lineage["key"]


def _guarded(stage: str, key: str, folder: Path, kind: str) -> Item:
    return _locked(f"out.{stage}.{key}.lock", folder, kind)


def _locked(lock: str, folder: Path, kind: str) -> Item:
    """Return an item that is not removed while another process holds the lock of the stage's output or of the run log.

    lock: the name, in work/locks, of the lock of the stage's output
    """

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
    """Return KEY from the name of a folder, KEY-HASH, which may end in .removed or .unfinished."""
    return name.removesuffix(TRASH).removesuffix(".unfinished")[: -HASH - 1]


def _shown(path: Path) -> str:
    return path.relative_to(paths.root()).as_posix()
