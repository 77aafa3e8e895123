"""What a storage holds comes back as it was, whatever was cut, damaged or written late: a folder and an S3 server."""

import json
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from gen_models.errors import ConfigError
from pipelines.config import params
from pipelines.data.prepare import main as prepare
from pipelines.storage import carry, node
from pipelines.storage.place import Place, StorageError
from pipelines.storage.snapshots import MANIFEST, Snapshots
from pipelines.training.run_log import RunLog
from pipelines.training.task import Record, Task
from pipelines.training.trainer import train_or_diverge
from tests.project import PARAMS, make_project, write_params
from tests.test_trainer import files, task

SECRET = "not-to-be-seen"


@pytest.fixture(scope="module")
def s3():
    """An S3 server with a bucket, and the environment in which a process finds it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "anyone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        from pyarrow.fs import S3FileSystem

        S3FileSystem(
            endpoint_override=f"{host}:{port}", scheme="http", region="us-east-1", allow_bucket_creation=True
        ).create_dir("bucket")
        yield "s3://bucket/some/folder"
    server.stop()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = make_project(tmp_path_factory.mktemp("storage") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEN_MODELS_ROOT", str(folder))
        prepare(["digits"])
        yield folder


class Straight(NamedTuple):
    """A training without a cut: its records and its run log's folder."""

    records: list[Record]
    folder: Path


@pytest.fixture(scope="module")
def straight(project, tmp_path_factory) -> Straight:
    folder = tmp_path_factory.mktemp("straight") / "log"
    return Straight(list(train_or_diverge(task("vae", folder))), folder)


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path, monkeypatch) -> Place:
    monkeypatch.setenv("GEN_MODELS_NODE_FOLDER", str(tmp_path / "node"))
    uri = request.getfixturevalue("s3") if request.param == "s3" else str(tmp_path / "stored")
    return Place(f"{uri}/{tmp_path.name}")


def write(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_a_snapshot_comes_back_as_it_was_and_only_what_is_new_is_stored(place, tmp_path):
    folder = write(tmp_path / "log", history="1", latest__weights="a", samples__step_0="s", empty="")
    snapshots = Snapshots(place, "jobs/sweep/one")
    attempt = snapshots.attempt()
    attempt.save(folder, 10)
    first = set(place.names(""))
    write(folder, history="1\n2", latest__weights="b", samples__step_1="t")
    attempt.save(folder, 20)
    new = {name.rpartition("step_00000020/")[2] for name in set(place.names("")) - first}
    assert new == {"history", "latest/weights", "samples/step_1", MANIFEST}
    assert Snapshots(place, "jobs/sweep/one").fetch(tmp_path / "back") == 20
    assert files(tmp_path / "back") == files(folder)
    assert snapshots.fetch(tmp_path / "back", step=10) == 10
    assert (tmp_path / "back" / "latest" / "weights").read_text() == "a"
    assert Snapshots(place, "jobs/sweep").fetch(tmp_path / "other") is None  # another name's are not its own
    snapshots.remove()
    assert place.names("") == []


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "manifest", "no manifest"])
def test_the_newest_snapshot_that_is_whole_is_taken_and_none_is_an_error(place, tmp_path, damage):
    folder, snapshots = tmp_path / "log", Snapshots(place, "job")
    for step in (10, 20):
        snapshots.attempt().save(write(folder, history="line\n" * step, latest__weights=f"weights {step}"), step)
    older = {"history": b"line\n" * 10, "latest/weights": b"weights 10"}

    def hurt(step: int) -> None:
        manifest = next(name for name in place.names("job") if name.endswith(f"step_{step:08d}/{MANIFEST}"))
        weights = manifest.replace(MANIFEST, "latest/weights")
        if damage in ("remove", "no manifest"):
            place.remove_file(weights if damage == "remove" else manifest)
        else:
            name = manifest if damage == "manifest" else weights
            content = place.get_bytes(name)
            place.put_bytes(content[:5] if damage != "flip" else b"X" + content[1:], name)

    hurt(20)
    assert snapshots.fetch(tmp_path / "back") == 10
    assert files(tmp_path / "back") == older
    hurt(10)
    if damage == "no manifest":  # a snapshot without its manifest was never finished, so there is none
        assert snapshots.fetch(tmp_path / "back") is None
    else:
        with pytest.raises(StorageError, match="remove that folder to begin the job again"):
            snapshots.fetch(tmp_path / "back")
    assert files(tmp_path / "back") == older


def test_a_worker_that_is_thought_dead_and_still_writes_spoils_nothing(place, tmp_path):
    """The old worker goes on past the point at which the new one took over, and forgets its own older checkpoints."""
    snapshots = Snapshots(place, "job")
    old, old_folder = snapshots.attempt(), tmp_path / "old"
    old.save(write(old_folder, history="1", latest__weights="1", checkpoint__best="1"), 1)
    assert snapshots.fetch(tmp_path / "new") == 1
    new = snapshots.attempt()
    for step in (2, 3, 4):
        old.save(write(old_folder, history=f"old {step}", latest__weights=str(step), checkpoint__best=str(step)), step)
    new.save(write(tmp_path / "new", history="new", latest__weights="5"), 5)
    old.save(write(old_folder, history="old 4b", latest__weights="4b", checkpoint__best="4b"), 4, "late")
    assert snapshots.fetch(tmp_path / "back") == 5
    assert files(tmp_path / "back") == {"history": b"new", "latest/weights": b"5", "checkpoint/best": b"1"}


def test_a_manifest_leads_nowhere_else(place, tmp_path):
    snapshots = Snapshots(place, "job")
    snapshots.attempt().save(write(tmp_path / "log", history="1"), 1)
    (name,) = (name for name in place.names("job") if name.endswith(MANIFEST))
    manifest = json.loads(place.get_bytes(name))
    manifest["files"]["../../stolen"] = manifest["files"]["history"]
    place.put_bytes(json.dumps(manifest).encode(), name)
    with pytest.raises(StorageError, match="stolen"):
        snapshots.fetch(tmp_path / "deep" / "back")
    assert not list(tmp_path.rglob("stolen"))


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_carried_training_that_is_cut_and_resumed_elsewhere_equals_the_straight_one(
    project, straight, place, tmp_path, monkeypatch, cut
):
    asked = task("vae", project / "work" / "train" / "vae")
    shutil.rmtree(asked.folder, ignore_errors=True)
    carrier = carry.Carrier(place.uri)
    begun = carry.training(train_or_diverge, asked, carrier.give_task(asked))
    for _ in range(cut):
        next(begun)
    begun.close()
    monkeypatch.setenv("GEN_MODELS_NODE_FOLDER", str(tmp_path / "another machine"))
    resumed = list(carry.training(train_or_diverge, asked, carrier.give_task(asked)))
    assert resumed == straight.records[cut - cut % 2 :]  # checkpoints are at every second report
    carrier.look(asked.folder)
    assert RunLog(Path(asked.folder)).history() == RunLog(straight.folder).history()
    carrier.take(asked.folder)
    assert files(Path(asked.folder)) == {k: v for k, v in files(straight.folder).items() if k != ".lock"}
    assert place.names("jobs") == []
    assert not list((tmp_path / "another machine" / "jobs").glob("*/*"))
    carrier.take(asked.folder)  # once more, when the storage has nothing of it, leaves the folder as it is
    assert RunLog(Path(asked.folder)).is_finished(asked.steps)


def test_what_was_done_here_before_is_carried_on_there(project, straight, place):
    asked = task("vae", project / "work" / "train" / f"begun-{place.uri[:2]}")
    begun = train_or_diverge(asked)
    for _ in range(4):
        next(begun)
    begun.close()
    resumed = list(carry.training(train_or_diverge, asked, carry.Carrier(place.uri).give_task(asked)))
    assert resumed == straight.records[4:]


def test_a_divergence_is_carried_home(project, place):
    asked = task("vae", project / "work" / "train" / f"wild-{place.uri[:2]}", **{"optim.vae.lr": 1e12})
    carrier = carry.Carrier(place.uri)
    list(carry.training(train_or_diverge, asked, carrier.give_task(asked)))
    carrier.take(asked.folder)
    assert "lower optim.vae.lr" in RunLog(Path(asked.folder)).diverged()


def test_a_machine_fetches_data_once_and_again_if_its_copy_is_damaged(project, place):
    data = project / "out" / "data" / "digits"
    digest = node.store_data(place, data)
    copy = node.fetch_data(place, digest)
    assert files(copy) == files(data)
    before = place.names("")
    assert node.store_data(place, data) == digest
    assert place.names("") == before
    (copy / "train.x.npy").write_bytes(b"torn")
    assert files(node.fetch_data(place, digest)) == files(data)
    place.put_bytes(b"torn", f"data/{digest}/train.x.npy")
    assert files(node.fetch_data(place, digest)) == files(data)  # the copy is whole, so it is not fetched again
    shutil.rmtree(copy)
    with pytest.raises(StorageError, match=f"data/{digest}: the data there are not whole; remove that folder"):
        node.fetch_data(place, digest)
    place.remove(f"data/{digest}")
    node.store_data(place, data)
    assert files(node.fetch_data(place, digest)) == files(data)


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("s3://me:secret@bucket/x", "s3://bucket/x: write no credentials or options into the URI"),
        ("s3://bucket/x?endpoint_override=127.0.0.1", "write no credentials or options"),
        ("s3:///x", "name a bucket"),
        ("shared/folder", "write an absolute path"),
        (7, "expected text"),
    ],
)
def test_a_uri_that_cannot_be_a_storage_is_refused_and_shows_no_secret(project, uri, told):
    write_params(project, {**PARAMS, "storage": uri})
    try:
        with pytest.raises(ConfigError, match=r"params\.yaml: storage: ") as caught:
            params.params()
    finally:
        write_params(project, PARAMS)
    assert told in str(caught.value) and "secret" not in str(caught.value)


def test_a_storage_that_is_away_or_full_ends_in_one_line(project, tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anyone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    with pytest.raises(StorageError, match="storage: s3://bucket/x: cannot list") as caught:
        Place("s3://bucket/x").names("jobs")
    assert "\n" not in str(caught.value) and SECRET not in str(caught.value)
    locked = tmp_path / "a file"
    locked.touch()
    with pytest.raises(StorageError, match="cannot write job/"):
        Snapshots(Place(str(locked)), "job").attempt().save(write(tmp_path / "log", history="1"), 1)


def test_no_secret_is_stored(project, s3, tmp_path, monkeypatch):
    monkeypatch.setenv("GEN_MODELS_NODE_FOLDER", str(tmp_path / "node"))
    place = Place(f"{s3}/secrets")
    asked = task("vae", project / "work" / "train" / "secret")
    given = carry.Carrier(place.uri).give_task(asked)
    list(carry.training(train_or_diverge, replace(asked, steps=4), given))
    stored = [place.get_bytes(name) for name in place.names("")]
    assert stored and not any(SECRET.encode() in content for content in stored)
    assert SECRET not in json.dumps([given, Task(**asked.as_json()).as_json()])
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == SECRET
