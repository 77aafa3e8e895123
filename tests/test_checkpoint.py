"""A checkpoint loads as it was saved, or says in one line why not; a write that fails leaves the one before it."""

import json
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gen_models import checkpoint
from gen_models.contracts import Loss, Objective
from gen_models.engine import Training, fit
from gen_models.errors import CheckpointError
from gen_models.noise import Noise

SPEC = {"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 2}
FILES = ("model.yaml", "weights.safetensors", "resume.safetensors", "resume.json", "manifest.json")


class Regression(nn.Linear):
    """A model of one objective with noise, buffers and two optimisers' worth of state."""

    def __init__(self):
        torch.manual_seed(3)
        super().__init__(3, 2)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def objectives(self):
        def loss(x, noise):
            self.seen += 1
            value = (self(x) - noise.normal("target", (len(x), 2), like=x)).square().mean()
            return Loss(value, {"value": value})

        return (Objective("fit", self, loss),)


class Rows:
    def at(self, step):
        return torch.randn(4, 3, generator=torch.Generator().manual_seed(step))


def training(optimiser=torch.optim.Adam, **options) -> Training:
    model = Regression()
    return Training(model, {"fit": optimiser(model.parameters(), **{"lr": 0.05, **options})})


def advance(run: Training, steps: int) -> list:
    return list(fit(run, Rows(), Noise(5), steps=steps, report_every=1))


@pytest.fixture
def folder(tmp_path):
    run = training()
    advance(run, 3)
    checkpoint.save_training(tmp_path / "latest", SPEC, run, {"best": 0.5})
    return tmp_path / "latest"


@pytest.mark.parametrize(
    ("optimiser", "options"),
    [
        (torch.optim.Adam, {}),
        (torch.optim.AdamW, {"amsgrad": True}),
        (torch.optim.SGD, {"momentum": 0.9}),
        (torch.optim.RMSprop, {"centered": True}),
    ],
)
@pytest.mark.parametrize("killed_at", [1, 4])
def test_resumed_equals_straight_bit_for_bit(tmp_path, optimiser, options, killed_at):
    straight = training(optimiser, **options)
    expected = advance(straight, 7)
    killed = training(optimiser, **options)
    advance(killed, killed_at)
    checkpoint.save_training(tmp_path / "latest", SPEC, killed, {})
    torch.manual_seed(99)  # the global generator's state must not matter
    resumed = training(optimiser, **options)
    checkpoint.load_training(tmp_path / "latest", resumed)
    assert resumed.step == killed_at
    assert advance(resumed, 7) == expected[killed_at:]
    for name, tensor in straight.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], tensor), name


def test_notes_come_back(folder):
    assert checkpoint.load_training(folder, training()) == {"best": 0.5}


def test_a_model_is_rebuilt_from_its_folder_alone(tmp_path):
    model = nn.Linear(3, 2)
    checkpoint.save_model(tmp_path / "best", SPEC, model)
    loaded = checkpoint.load_model(tmp_path / "best")
    x = torch.randn(5, 3)
    assert torch.equal(loaded(x), model(x)) and not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    with pytest.raises(CheckpointError, match=r"holds a model but no resume\.json"):
        checkpoint.load_training(tmp_path / "best", training())


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["flip", "truncate", "empty", "remove"])
def test_any_harm_to_any_file_is_an_error_that_names_it(folder, name, harm):
    path = folder / name
    data = path.read_bytes()
    if harm == "flip":
        path.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
    elif harm == "truncate":
        path.write_bytes(data[:-1])
    elif harm == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load_training(folder, training())
    message = str(caught.value)
    assert str(folder) in message and "\n" not in message
    if name != "manifest.json":
        assert name in message


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_loads_as_other_weights(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("c") / "best"
    checkpoint.save_model(folder, SPEC, nn.Linear(3, 2))
    path = folder / data.draw(st.sampled_from(["model.yaml", "weights.safetensors"]))
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        checkpoint.load_model(folder)


def test_another_models_weights_are_refused(tmp_path):
    checkpoint.save_model(tmp_path / "best", {**SPEC, "out_features": 5}, nn.Linear(3, 2))
    with pytest.raises(CheckpointError, match="not the weights of this Linear"):
        checkpoint.load_model(tmp_path / "best")


def test_a_checkpoint_runs_no_code_of_its_own(tmp_path):
    checkpoint.save_model(tmp_path / "best", {"_target_": "os.system", "command": "true"}, nn.Linear(3, 2))
    with pytest.raises(ValueError, match="outside the roots"):
        checkpoint.load_model(tmp_path / "best")


def test_an_unfinished_write_is_not_a_checkpoint_and_the_one_before_it_stays(folder, monkeypatch):
    before = checkpoint.digest(folder)

    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        checkpoint.save_training(folder, SPEC, training(), {})
    assert checkpoint.digest(folder) == before
    checkpoint.verify(folder)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("crash", ["rename", "fsync"])
def test_a_kill_during_a_write_leaves_one_that_loads(folder, monkeypatch, crash):
    """The write is cut at each of its renames and fsyncs in turn; what is then on disk must load."""

    class Killed(BaseException):
        pass

    for survivals in range(12):
        left = [survivals]
        with monkeypatch.context() as patch:
            real = getattr(os, crash) if crash == "fsync" else type(folder).rename

            def dies(*arguments, left=left, real=real):
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return real(*arguments)

            patch.setattr(os if crash == "fsync" else type(folder), crash, dies)
            run = training()
            advance(run, 4)
            try:
                checkpoint.save_training(folder, SPEC, run, {"best": 0.25})
            except Killed:
                finished = False
            else:
                finished = True
        resumed = training()
        notes = checkpoint.load_training(checkpoint.recover(folder), resumed)
        assert (resumed.step, notes) in [(3, {"best": 0.5}), (4, {"best": 0.25})]
        if finished:
            return
    raise AssertionError("the write never finished")


def test_the_manifest_names_every_file(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert sorted(manifest["files"]) == sorted(set(FILES) - {"manifest.json"})
