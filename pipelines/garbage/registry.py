"""Finds stale versions of registered models, and files in MLflow's store that belong to nothing there any more.

A version is kept if an alias points to it, if it is one of the newest, or if it is one of the last champions, to which
a rollback could lead. A version that `gen-models register` did not make is never touched. When a version is removed,
its run in MLflow, with the run's numbers, stays.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pipelines import tracking
from pipelines.garbage.item import Item, folder_item, remove_path, size_of
from pipelines.registry import moves, versions
from pipelines.registry.versions import Version
from pipelines.runtime import paths
from pipelines.runtime.stage import hold

VERSIONS, UPLOADS = "MLflow: versions without alias", "MLflow: uploads that are no version"
ORPHANS = "MLflow: artifacts of which it knows nothing"


def stale_versions(client: Any, keep: int) -> Iterator[Item]:
    """Yield an item for each version of a registered model that may be removed.

    keep: how many of a model's newest versions stay, and how many of its last champions; at least one champion stays
    """
    for model, aliases in sorted(versions.models(client).items()):
        held = versions.versions(client, model)
        if len(held) <= keep:
            continue
        kept = {version.number for version in held[:keep]} | set(aliases.values())
        way = moves.champions(moves.moves_of(client, model))
        kept |= set(way[-max(keep, 1) :])
        for version in held:
            if version.number not in kept and {"files", "key"} <= version.tags.keys():
                yield _item(client, version)


def unused_uploads(client: Any) -> Iterator[Item]:
    """Yield an item for each upload of `gen-models register` that is no version: the upload was killed, for example."""
    for model_id, run in tracking.unused_models(client).items():
        folder = tracking.upload_folder(model_id)
        yield Item(UPLOADS, f"{run}: {model_id}", _size(folder), partial(_forget, client, model_id, run))


def _forget(client: Any, model_id: str, run: str) -> bool:
    with hold(paths.out("register", run), within_seconds=0):
        if model_id in tracking.model_ids(client, run):
            return False  # it has become a version since
        folder = tracking.upload_folder(model_id)
        tracking.delete_upload(client, model_id)
        return remove_path(folder) if folder is not None else True


def orphans(client: Any) -> Iterator[Item]:
    """Yield an item for each folder of artifacts that belongs to no run, version or upload.

    Only a local store has such folders: see `tracking.orphaned_folders`.
    """
    for folder in tracking.orphaned_folders(client):
        yield folder_item(ORPHANS, folder, folder.relative_to(paths.root()).as_posix())


def _item(client: Any, version: Version) -> Item:
    folder = tracking.model_folder(client, version.model, version.number)

    def remove() -> bool:
        with hold(paths.out("register", version.model), within_seconds=0):
            if version.number in versions.aliases(client, version.model).values():
                return False  # someone has pointed an alias to it since
            tracking.delete_version(client, version.model, version.number)
            return remove_path(folder) if folder is not None else True

    return Item(VERSIONS, f"{version.model} version {version.number}", _size(folder), remove)


def _size(folder: Path | None) -> int:
    return size_of(folder) if folder is not None else 0
