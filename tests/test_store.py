"""What was prepared is what is read: any change of any byte on disk is an error that names the file and the fix."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gen_models.errors import DataError
from pipelines.data import store
from pipelines.data.store import open_data, open_folder, write_array, write_manifest

FILES = ("train.x.npy", "train.y.npy", "test.x.npy", "test.y.npy")


def make(folder, *, rows=(5, 3)):
    """A small prepared data set of 2x2 images on 4 levels."""
    folder.mkdir(parents=True)
    splits = {}
    for split, n in zip(("train", "test"), rows, strict=True):
        x = (np.arange(n * 4) % 4).astype(np.uint8).reshape(n, 1, 2, 2)
        y = np.arange(n) % 2
        entry = {
            "x": write_array(folder / f"{split}.x.npy", iter([x[:2], x[2:]]), x.shape, x.dtype),
            "y": write_array(folder / f"{split}.y.npy", iter([y]), y.shape, y.dtype),
        }
        splits[split] = {"rows": n, **entry, "labels": {"0": (n + 1) // 2, "1": n // 2}}
    manifest = {"name": folder.name, "source": "made", "event_shape": [1, 2, 2], "dtype": "uint8", "levels": 4}
    manifest |= {"classes": ["a", "b"], "splits": splits, "statistics": {}, "anomaly": None, "leakage": {}}
    return write_manifest(folder, manifest)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose path has a space and a letter beyond ASCII, seen from another directory."""
    root = tmp_path / "a prøject"
    (root / "out" / "data").mkdir(parents=True)
    (root / "params.yaml").write_text("")
    monkeypatch.setenv("GEN_MODELS_ROOT", str(root))
    make(root / "out" / "data" / "toy")
    return root / "out" / "data" / "toy"


def test_what_is_read_is_what_was_written(project):
    data = open_data("toy")
    assert (data.name, data.event_shape, data.levels, data.splits) == ("toy", (1, 2, 2), 4, ("train", "test"))
    assert data.x("train").dtype == np.uint8
    assert data.x("train").ravel().tolist() == [i % 4 for i in range(20)]
    assert data.y("test").tolist() == [0, 1, 0]
    assert data.sha256 == data.manifest["sha256"]


def test_rows_are_float32_as_stored_and_a_copy(project):
    data = open_data("toy")
    rows = data.rows("train")
    assert rows.dtype == torch.float32
    assert torch.equal(rows, torch.tensor(np.array(data.x("train"))).float())
    rows.add_(1)
    assert data.x("train").max() == 3


def test_arrays_are_mapped_and_cannot_be_written(project):
    x = open_data("toy").x("train")
    assert isinstance(x, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 1


def test_a_file_of_blocks_is_the_file_that_numpy_writes(project, tmp_path):
    np.save(tmp_path / "whole.npy", np.array(open_data("toy").x("train")))
    assert (tmp_path / "whole.npy").read_bytes() == (project / "train.x.npy").read_bytes()


@pytest.mark.parametrize("file", FILES)
def test_one_flipped_byte_anywhere_is_found(project, file):
    path = project / file
    good = path.read_bytes()
    for position in range(0, len(good), 7):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        path.chmod(0o444)  # as DVC's cache leaves it
        with pytest.raises(
            DataError, match=f"{file}: expected sha256 [0-9a-f]{{64}}, found [0-9a-f]{{64}}; `gen-models prepare toy`"
        ) as error:
            open_data("toy")
        assert str(path) in str(error.value)
        path.chmod(0o644)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("keep", [0, 10, -1])
def test_a_truncated_or_empty_file_is_found(project, file, keep):
    path = project / file
    good = path.read_bytes()
    path.write_bytes(good[:keep])
    with pytest.raises(
        DataError, match=f"{file}: expected {len(good)} bytes, found {len(good[:keep])} bytes; `gen-models prep"
    ):
        open_data("toy")


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_grew_or_went_or_is_a_folder_is_found(project, file):
    path = project / file
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match="bytes, found"):
        open_data("toy")
    path.unlink()
    with pytest.raises(DataError, match=f"{file}: expected .* found no file; `gen-models prepare toy` writes it anew"):
        open_data("toy")
    path.mkdir()
    with pytest.raises(DataError, match=file):
        open_data("toy")


def test_files_that_changed_places_are_found(project):
    a, b = project / "train.x.npy", project / "test.x.npy"
    a.rename(project / "aside")
    b.rename(a)
    (project / "aside").rename(b)
    with pytest.raises(DataError, match="bytes, found"):
        open_data("toy")


@pytest.mark.parametrize("key, value", [("levels", 5), ("event_shape", [4]), ("name", "other"), ("anomaly", [1])])
def test_an_edited_manifest_is_found(project, key, value):
    path = project / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, key: value}))
    with pytest.raises(DataError, match=r"manifest\.json: expected sha256 .* `gen-models prepare toy`"):
        open_data("toy")


def test_a_manifest_with_one_anomalous_class_as_a_number_asks_to_be_written_anew(project):
    path = project / "manifest.json"
    manifest = {key: value for key, value in json.loads(path.read_text()).items() if key != "sha256"}
    write_manifest(project, {**manifest, "anomaly": 1})
    with pytest.raises(
        DataError, match="expected anomaly: a list of classes, or null, found 1; `gen-models prepare toy`"
    ):
        open_data("toy")


def test_the_layout_of_the_manifest_s_text_does_not_matter(project):
    path = project / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()), sort_keys=True))
    assert open_data("toy").levels == 4


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"sha256": 1}', "\xff\xfe", "[" * 100_000])
def test_a_manifest_that_is_none_is_found(project, text):
    (project / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"manifest\.json: expected .*; `gen-models prepare toy`"):
        open_data("toy")


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_as_a_manifest_give_the_project_s_error(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(DataError):
        open_folder(folder)


def test_a_manifest_that_leads_out_of_its_folder_is_refused(project):
    manifest = json.loads((project / "manifest.json").read_text())
    del manifest["sha256"]
    manifest["splits"]["train"]["x"]["file"] = "../../secret.npy"
    write_manifest(project, manifest)
    with pytest.raises(DataError, match=r"expected file train\.x\.npy, found \.\./\.\./secret\.npy"):
        open_data("toy")


@pytest.mark.parametrize("change", [{"rows": 4}, {"event_shape": [4]}, {"dtype": "float32"}])
def test_arrays_of_another_shape_or_type_than_the_manifest_s_are_refused(project, change):
    manifest = json.loads((project / "manifest.json").read_text())
    del manifest["sha256"]
    if "rows" in change:
        manifest["splits"]["train"] |= change
    else:
        manifest |= change
    write_manifest(project, manifest)
    with pytest.raises(DataError, match="expected train: x "):
        open_data("toy")


def test_nothing_is_unpickled(project):
    x = np.array([{}], dtype=object)
    np.save(project / "train.x.npy", x, allow_pickle=True)
    size, digest = (project / "train.x.npy").stat().st_size, store._sha256(project / "train.x.npy")
    manifest = json.loads((project / "manifest.json").read_text())
    del manifest["sha256"]
    manifest["splits"]["train"]["x"] |= {"bytes": size, "sha256": digest}
    write_manifest(project, manifest)
    with pytest.raises(DataError, match=r"train\.x\.npy: expected an array of numbers"):
        open_data("toy")


def test_unknown_names_have_a_near_match_and_the_list(project):
    with pytest.raises(DataError, match="unknown prepared data set 'tyo': did you mean 'toy'"):
        open_data("tyo")
    for name in ("../data/toy", "..", "", "toy/", "toy\n"):
        with pytest.raises(DataError, match="unknown prepared data set"):
            open_data(name)
    with pytest.raises(DataError, match="unknown split of toy 'tran': did you mean 'train'"):
        open_data("toy").x("tran")


def test_a_folder_without_a_manifest_says_so(project):
    (project.parent / "half").mkdir()
    with pytest.raises(DataError, match=r"half/manifest\.json: expected a file, found none; `gen-models prepare half`"):
        open_data("half")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_is_one_line_with_path_and_bytes():
    with pytest.raises(DataError, match=r"/dev/full: No space left on device after .* bytes; free some space"):
        write_array(Path("/dev/full"), iter([np.zeros(10)]), (10,), np.dtype(np.float64))


def test_errors_are_one_line(project):
    (project / "train.x.npy").unlink()
    with pytest.raises(DataError) as error:
        open_data("toy")
    assert "\n" not in str(error.value)
