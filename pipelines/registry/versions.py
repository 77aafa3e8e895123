"""Finds, verifies and uploads versions of registered models.

A version's tag `files` holds the sha256 of each of its files. Before an alias moves to the version, and before a
command uses it, the stored files are compared with these hashes. So the project's own commands never use a file that
was exchanged or damaged.
"""

import hashlib
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gen_models.errors import GenModelsError, RegistryError, first_line, unknown
from pipelines import tracking
from pipelines.config.params import params
from pipelines.registry import serving
from pipelines.runtime import paths

SECONDS_OF_AN_UPLOAD = 3600
# MLflow writes these into a local store when it loads a version; the project's commands run no code from there.
NO_CHAMPION = NONE, BY_HAND_ONLY, NO_LONGER = (  # what the tag `gate` says where no version is champion
    "no version is champion",
    "so it becomes champion by `gen-models promote` only",
    "so it is champion no longer",
)
WRITTEN_BY_LOADING = ("__pycache__", "registered_model_meta")


@dataclass(frozen=True)
class Version:
    """One version of a registered model.

    run_id: the run in MLflow that trained it; is_ready: whether MLflow says that its files are complete
    """

    model: str
    number: str
    run_id: str
    tags: Mapping[str, str]
    is_ready: bool


def models(client: Any) -> dict[str, dict[str, str]]:
    """Return the aliases of all registered models, {model: {alias: version}}."""
    found: dict[str, dict[str, str]] = {}
    token = None
    while True:
        page = client.search_registered_models(max_results=100, page_token=token)
        found |= {model.name: {alias: str(number) for alias, number in model.aliases.items()} for model in page}
        token = page.token
        if not token:
            return found


def aliases(client: Any, model: str) -> dict[str, str]:
    """Return {alias: version} of a registered model, which must exist."""
    return {alias: str(number) for alias, number in client.get_registered_model(model).aliases.items()}


def exists(client: Any, model: str) -> bool:
    """Return whether there is a registered model of this name."""
    return "'" not in model and bool(client.search_registered_models(f"name = '{model}'", max_results=1))


def versions(client: Any, model: str) -> list[Version]:
    """Return all versions of a model, the newest first; an empty list for an unknown model."""
    found: list[Version] = []
    token = None
    while True:
        page = client.search_model_versions(f"name = '{model}'", max_results=200, page_token=token)
        found += [Version(model, str(v.version), v.run_id, dict(v.tags), v.status == "READY") for v in page]
        token = page.token
        if not token:
            return sorted(found, key=lambda version: -int(version.number))


def refuse_untrained(run: str) -> None:
    """Raise RegistryError, with the command that trains it, if params.yaml lists this run."""
    try:
        listed = params().runs
    except GenModelsError:  # there is no sound params.yaml here
        return
    if run in listed:
        raise RegistryError(f"{run} is a run that is not trained yet: make repro RUNS={run}")


def find(client: Any, model: str, which: str) -> Version:
    """Return the version that an alias or a number names.

    Raises RegistryError, which lists what exists, if there is no such version.
    """
    if not exists(client, model):
        if not (known := models(client)):
            raise RegistryError(f"{model}: no model is registered in {tracking.shown_uri()}; {tracking.REGISTER}")
        if paths.out("train", model, "lineage.json").is_file():
            raise RegistryError(f"{model} is trained and not registered: run `gen-models register {model}`")
        refuse_untrained(model)
        raise RegistryError(unknown("registered model", model, known))
    held, named = {version.number: version for version in versions(client, model)}, aliases(client, model)
    number = named.get(which, which)
    if number in held:
        return held[number]
    if not held:
        again = f"gen-models register {model}" if paths.out("train", model).is_dir() else f"make repro RUNS={model}"
        raise RegistryError(f"{model}: all its versions were deleted; run `{again}`")
    if which == "champion":
        candidate = held.get(named.get("candidate", ""))
        said = candidate.tags.get("gate") if candidate else ""
        if said is None:
            why = f"none passed the gate, or `gen-models register {model}` was cut short"
        elif not any(words in said for words in NO_CHAMPION):  # then there was one
            why = f"its version was deleted, or the alias taken away, since the last `gen-models register {model}`"
        else:
            why = said.removeprefix(NONE).lstrip(":, ").partition(";")[0]
            why += ")" * (why.count("(") - why.count(")"))
        raise RegistryError(
            f"{model}: no version is champion: {why}; name a version, such as "
            f"{model}@{'candidate' if candidate else next(iter(held))}, or make one champion: "
            f"gen-models promote {model} VERSION"
        )
    raise RegistryError(unknown(f"alias or version of {model}", which, [*named, *held]))


def folder_of(client: Any, version: Version) -> Path:
    """Return the folder of a version's files after comparing each with its sha256.

    Raises RegistryError if a file differs, if the stored files cannot be read, or if the version has no tag `files`.
    """
    name = f"{version.model} version {version.number}"
    if "files" not in version.tags:
        raise RegistryError(f"{name}: it has no tag `files`, so it was not registered by `gen-models register`")
    expected = json.loads(version.tags["files"])
    try:
        folder = tracking.fetch(client.get_model_version_download_uri(version.model, version.number))
        found = hashes(folder)
    except (tracking.StoreError, OSError) as error:
        raise RegistryError(f"{name}: its stored files cannot be read ({first_line(error)})") from None
    for path in sorted(expected.keys() | found.keys()):
        if expected.get(path) != found.get(path):
            raise RegistryError(
                f"{name}: the stored file {path} has changed: expected sha256 {_short(expected.get(path))}, "
                f"found {_short(found.get(path))}; `gen-models register` stores it anew"
            )
    return folder


def what_changed(client: Any, version: Version) -> str | None:
    """Return a line that says which of a version's files has changed, or None."""
    try:
        folder_of(client, version)
    except RegistryError as error:
        return str(error)
    return None


def upload(
    client: Any,
    model: str,
    checkpoint: Path,
    *,
    facts: Mapping[str, Any],
    calibration: Path | None,
    tags: Mapping[str, str],
    run_id: str,
    experiment_id: str,
) -> Version:
    """Store a checkpoint as a new version of a model. The version appears, with its tags, after its files are stored.

    facts: what `serving.answer` needs to know of the model's data; calibration: the file of its calibration, or None
    run_id, experiment_id: the run in MLflow that trained it
    """
    _forget_unfinished(client, model, experiment_id)
    identity = {"run": model, "key": tags["key"]}
    logged = client.create_logged_model(experiment_id, model, run_id, identity, None, tags["family"])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        serving.package(folder, checkpoint, facts, logged.model_id, calibration)
        files = hashes(folder)
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    tracking.link_model(client, run_id, logged.model_id)
    if not exists(client, model):
        client.create_registered_model(model, {name: tags[name] for name in ("model", "family", "data")}, _about(tags))
    stored = client.create_model_version(
        model,
        f"models:/{logged.model_id}",
        run_id,
        tags={**tags, "files": json.dumps(files, sort_keys=True)},
        model_id=logged.model_id,
    )
    return Version(model, str(stored.version), run_id, dict(stored.tags), stored.status == "READY")


def point(client: Any, alias: str, version: Version) -> None:
    """Verify a version's stored files, and move an alias to the version. Raises RegistryError as `folder_of` does."""
    folder_of(client, version)
    client.set_registered_model_alias(version.model, alias, version.number)


def hashes(folder: Path) -> dict[str, str]:
    """Return {path: sha256} for the files below a folder, without the files that MLflow writes when it loads a version.

    Raises FileNotFoundError if there are no files.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not set(relative.parts) & set(WRITTEN_BY_LOADING):
            with path.open("rb") as file:
                found[relative.as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    if not found:
        raise FileNotFoundError(f"no files in {folder}")
    return found


def _forget_unfinished(client: Any, model: str, experiment_id: str) -> None:
    """Delete uploads that did not become versions because the process was killed.

    One that is younger than SECONDS_OF_AN_UPLOAD may be another copy's, on the same server, that is still at work.
    """
    used = tracking.model_ids(client, model)
    for logged in client.search_logged_models([experiment_id], f"tags.run = '{model}'"):
        age = time.time() - logged.creation_timestamp / 1000
        if logged.model_id not in used and age > SECONDS_OF_AN_UPLOAD:
            client.delete_logged_model(logged.model_id)


def _about(tags: Mapping[str, str]) -> str:
    return (
        f"`{tags['model']}` on `{tags['data']}`. **candidate** is the version that the graph's outputs describe now; "
        "**champion** is the version to serve, and moves only to one that is not worse on the same test data."
    )


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "no such file"
