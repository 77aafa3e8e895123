"""Checks again each thing that a version came from, if it is still here: files by their hashes, the code as it is now.

A thing is `equal`; or `differs since`, such as code that was edited, which is no error; or `not here`: it was removed,
or another one has taken its place; or BROKEN: it is here, says that it is the version's, and does not agree with what
was recorded.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gen_models import checkpoint_folder
from gen_models.errors import CheckpointError, DataError, GenModelsError
from pipelines import tracking
from pipelines.config.conf_files import data_conf
from pipelines.config.data_files import files_of, named_paths
from pipelines.data.sources.files import origin_of
from pipelines.data.store import manifest_of, open_data
from pipelines.lineage import facts
from pipelines.lineage.fingerprint import fingerprint
from pipelines.lineage.hashing import sha256_json
from pipelines.registry import origins, versions
from pipelines.registry.version_facts import told
from pipelines.registry.versions import Version
from pipelines.runtime import paths

EQUAL, MOVED, ABSENT, BROKEN = "equal", "differs since", "not here", "BROKEN"
MOST_NAMED = 20


@dataclass(frozen=True)
class Finding:
    """The result of a check. thing: what was checked; state: EQUAL, MOVED, ABSENT or BROKEN; words: what was found"""

    thing: str
    state: str
    words: str


def findings(client: Any, version: Version) -> Iterator[Finding]:
    """Yield the result of each check of a version."""
    checks: tuple[tuple[str, Callable[[Any, Version], Finding | tuple[str, str]]], ...] = (
        ("registry files", _stored),
        ("run in MLflow", _run),
        ("training", _trained),
        ("run log", _log),
        ("evaluation", _evaluated),
        ("prepared data", _data),
        ("data source", _source),
        ("code", _code),
        ("libraries", _libraries),
    )
    for thing, check in checks:
        try:
            found = check(client, version)
        except OSError as error:
            found = (BROKEN, f"{error.filename}: {(error.strerror or 'cannot be read').lower()}")
        yield found if isinstance(found, Finding) else Finding(thing, *found)


def _stored(client: Any, version: Version) -> tuple[str, str]:
    if "files" not in version.tags:
        return ABSENT, "it was not registered by `gen-models register`, so no hashes of its files are known"
    expected = told(version, "files")
    try:
        folder = tracking.fetch(client.get_model_version_download_uri(version.model, version.number))
        found = versions.hashes(folder)
    except (tracking.StoreError, OSError):
        return BROKEN, "the files that the registry stores are gone or cannot be read"
    where = (
        str(folder) if tracking.is_local() else f"{version.model} version {version.number} in {tracking.shown_uri()}"
    )
    return _compared(expected, found, where)


def _run(client: Any, version: Version) -> tuple[str, str]:
    with_id = f"run {version.run_id}"
    try:
        run = client.get_run(version.run_id)
        if run.info.lifecycle_stage == "deleted" or not client.list_artifacts(version.run_id, "checkpoint"):
            return ABSENT, f"{with_id} was deleted, or has no checkpoint"
        folder = tracking.fetch(f"{run.info.artifact_uri}/checkpoint")
    except (tracking.StoreError, *tracking.FAILURES):
        return ABSENT, f"{with_id} is not in the store"
    return _checkpoint(folder, version, with_id)


def _trained(client: Any, version: Version) -> tuple[str, str]:
    folder = paths.out("train", version.model)
    if not folder.is_dir():
        return ABSENT, _shown(folder)
    key, checkpoint = _key(folder), folder / "checkpoint"
    known = {version.tags.get("key"), *(other["key"] for other in told(version, "same_bytes", []))}
    if key is None:
        return BROKEN, f"{_shown(folder / 'lineage.json')}: missing, or not JSON"
    digest = checkpoint_folder.digest(checkpoint) if (checkpoint / checkpoint_folder.MANIFEST).is_file() else None
    if key not in known and digest == version.tags.get("checkpoint_sha256"):
        return BROKEN, f"{_shown(folder / 'lineage.json')}: its key is {key[:12]}, that of no training of this version"
    if key not in known:
        return ABSENT, f"{_shown(folder)} holds another training now, {key[:12]}"
    state, words = _checkpoint(checkpoint, version, _shown(checkpoint))
    return (state, words) if state == BROKEN else _outputs(version, "train", folder)


def _log(client: Any, version: Version) -> tuple[str, str]:
    folder = paths.work("train", f"{version.model}-{version.tags.get('key', '')[:12]}")
    if not folder.is_dir():
        return ABSENT, f"{_shown(folder)}; it is removed when the training is collected"
    try:
        for part in ("checkpoint", "latest"):
            if (folder / part).is_dir():
                checkpoint_folder.verify(folder / part)
    except CheckpointError as error:
        return BROKEN, str(error).partition(";")[0]
    return EQUAL, _shown(folder)


def _evaluated(client: Any, version: Version) -> tuple[str, str]:
    folder, trained = paths.out("evaluate", version.model), _key(paths.out("train", version.model))
    if not folder.is_dir():
        return ABSENT, _shown(folder)
    if trained != version.tags.get("key"):
        return ABSENT, f"{_shown(folder)} is of another training now"
    return _outputs(version, "evaluate", folder)


def _outputs(version: Version, stage: str, folder: Path) -> tuple[str, str]:
    """Compare a stage's files in out/ with the hashes of the last registration. stage: train or evaluate

    If the evaluation ran again since then, its lineage.json differs, and the state is MOVED.
    """
    below = f"{_shown(folder)}/"
    expected = {name: digest for name, digest in told(version, "outputs", {}).items() if name.startswith(below)}
    found = {name: digest for name, digest in origins.hashes_of(version.model).items() if name.startswith(below)}
    if not expected:
        return ABSENT, f"{below}: its hashes were not recorded; `gen-models register {version.model}` does that"
    lineage = f"{below}lineage.json"
    if stage == "evaluate" and expected.get(lineage) != found.get(lineage) and _key(folder) is not None:
        return MOVED, f"{below}: evaluated again since it was registered"
    return _compared(expected, found, below.rstrip("/"), prefix=below)


def _data(client: Any, version: Version) -> tuple[str, str]:
    name, expected = version.tags.get("data", ""), version.tags.get("data_sha256", "")
    folder = paths.out("data", name)
    if not name or not folder.is_dir():
        return ABSENT, _shown(folder)
    try:
        manifest = manifest_of(name)
        if manifest["sha256"] != expected:
            return ABSENT, f"{_shown(folder)} holds other data now, {manifest['sha256'][:12]}"
        open_data(name)
    except DataError as error:
        return BROKEN, str(error).partition(";")[0]
    return EQUAL, f"{_shown(folder)}, sha256 {expected[:12]}"


def _source(client: Any, version: Version) -> tuple[str, str]:
    recorded, name = told(version, "source", None), version.tags.get("data", "")
    if recorded is None:
        return ABSENT, f"no file was read for {name}, or its hash was not recorded"
    try:
        options = data_conf(name).get("options") or {}
    except GenModelsError:
        return ABSENT, f"conf/data/{name}.yaml"
    read = files_of(options)
    if (then := recorded.get("read", named_paths(options))) != named_paths(options):
        return ABSENT, f"{', '.join(then.values())}, which conf/data/{name}.yaml does not name any more"
    if not read or not all(path.exists() for path in read):
        return ABSENT, ", ".join(map(str, read)) or f"conf/data/{name}.yaml names no file"
    if any(path.is_dir() for path in read):
        from gen_models.noise import Noise
        from pipelines.data.checks import draw  # reads images, which imports torch

        try:
            found = dict(draw(data_conf(name), Noise(0), f"conf/data/{name}.yaml").origin)
        except GenModelsError as error:
            return BROKEN, str(error).partition(";")[0]
    else:
        found = origin_of(*read)
    if found.get("sha256") == recorded["sha256"]:
        return EQUAL, f"{', '.join(map(str, read))}, sha256 {recorded['sha256'][:12]}"
    newer = [str(path) for path in _files(read) if path.stat().st_mtime * 1000 > _made(client, version)]
    which = f"; written since then: {_some(newer)}" if newer else ""
    return BROKEN, (
        f"{', '.join(map(str, read))}: sha256 {str(found.get('sha256'))[:12]}, {recorded['sha256'][:12]} when it was "
        f"prepared{which}"
    )


def _code(client: Any, version: Version) -> tuple[str, str]:
    expected = version.tags.get("code_sha256")
    if expected is None:
        return ABSENT, "its hash was not recorded"
    try:
        now = fingerprint("train", version.tags.get("model"))
    except GenModelsError as error:
        return ABSENT, str(error).partition(";")[0]
    if sha256_json(now) == expected:
        return EQUAL, f"{len(now['files'])} files, sha256 {expected[:12]}"
    then = told(version, "code_files", None)
    if then is None:
        return MOVED, f"sha256 {sha256_json(now)[:12]} now, {expected[:12]} then"
    names = [f"{name} {then['libraries'].get(name)} then, {now['libraries'].get(name)} now"
             for name in sorted({*then["libraries"], *now["libraries"]})
             if then["libraries"].get(name) != now["libraries"].get(name)]  # fmt: skip
    return MOVED, "; ".join([*_differences(then["files"], now["files"]), *names])


def _libraries(client: Any, version: Version) -> tuple[str, str]:
    then, now = told(version, "versions", None), facts.versions()
    if then is None:
        return ABSENT, "their versions were not recorded"
    moved = [f"{name} {then[name]} then, {now.get(name)} now" for name in sorted(then) if then[name] != now.get(name)]
    return (MOVED, ", ".join(moved)) if moved else (EQUAL, ", ".join(f"{name} {now[name]}" for name in sorted(now)))


def _checkpoint(folder: Path, version: Version, where: str) -> tuple[str, str]:
    try:
        checkpoint_folder.verify(folder)
    except CheckpointError as error:
        return BROKEN, str(error).partition(";")[0]
    digest, expected = checkpoint_folder.digest(folder), version.tags.get("checkpoint_sha256", "")
    if digest != expected:
        return BROKEN, f"{where}: {checkpoint_folder.MANIFEST} has sha256 {digest[:12]}, expected {expected[:12]}"
    return EQUAL, f"{where}, checkpoint {expected[:12]}"


def _compared(
    expected: Mapping[str, str], found: Mapping[str, str], where: str, *, prefix: str = ""
) -> tuple[str, str]:
    different = _differences(expected, found)
    if different:
        return BROKEN, f"{where}: {'; '.join(line.replace(prefix, '') if prefix else line for line in different)}"
    return EQUAL, f"{where}, {len(expected)} files"


def _differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return sentences that name the files that are changed, missing and new."""
    kinds = (
        ("changed", sorted(name for name in then.keys() & now.keys() if then[name] != now[name])),
        ("missing", sorted(then.keys() - now.keys())),
        ("new", sorted(now.keys() - then.keys())),
    )
    return [f"{kind}: {_some(names)}" for kind, names in kinds if names]


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _files(read: list[Path]) -> Iterator[Path]:
    for path in read:
        yield from (inner for inner in sorted(path.rglob("*")) if inner.is_file()) if path.is_dir() else (path,)


def _made(client: Any, version: Version) -> int:
    return int(client.get_model_version(version.model, version.number).creation_timestamp)


def _key(folder: Path) -> str | None:
    """Return the key in the lineage.json of a stage's output; None if there is none that can be read."""
    try:
        return facts.key_of(folder)
    except (ValueError, KeyError, TypeError):
        return None


def _shown(path: Path) -> str:
    return path.relative_to(paths.root()).as_posix()
