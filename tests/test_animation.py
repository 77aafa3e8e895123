"""Samples over a training as a moving picture: which frames, how large, the same bytes."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageSequence

from pipelines import figures
from pipelines.config.params import Run
from pipelines.evaluation.plots import training_animation
from pipelines.evaluation.trained_run import Trained
from pipelines.figures.animation import MOST_BYTES

RNG = np.random.default_rng(0)


def data_of(shape: tuple[int, ...], levels: int | None) -> SimpleNamespace:
    """As much of a data set as a picture of samples asks for."""
    rows = RNG.normal(size=(50, *shape)).astype(np.float32)
    return SimpleNamespace(event_shape=shape, levels=levels, x=lambda split: rows)


def frames_of(path) -> list[Image.Image]:
    with Image.open(path) as image:
        return [frame.convert("RGB") for frame in ImageSequence.Iterator(image)]


@pytest.mark.parametrize(
    ("shape", "levels"), [((1, 8, 8), 17), ((3, 8, 8), 256), ((2,), None), ((1,), None), ((5,), None)], ids=str
)
def test_a_sampler_s_training_has_a_frame_a_step_twice_the_same(tmp_path, shape, levels):
    folder = tmp_path / "samples"
    folder.mkdir()
    for step in (0, 10, 20):
        samples = RNG.normal(size=(64, *shape)) if levels is None else RNG.integers(0, levels, (64, *shape))
        np.save(folder / f"step_{step:08d}.npy", samples.astype(np.float32))
    trained = Trained(Run("run", "m", "d", "s"), None, data_of(shape, levels), tmp_path)
    for name in ("first.gif", "second.gif"):
        training_animation.animation(trained, tmp_path / name)
    assert len(frames_of(tmp_path / "first.gif")) == 3
    assert (tmp_path / "first.gif").read_bytes() == (tmp_path / "second.gif").read_bytes()


def test_a_model_whose_training_kept_no_samples_has_no_animation(tmp_path):
    trained = Trained(Run("run", "m", "d", "s"), None, data_of((2,), None), tmp_path)
    training_animation.animation(trained, tmp_path / "none.gif")
    assert not list(tmp_path.iterdir())


def test_frames_stand_in_order_and_the_last_stands_longest(tmp_path):
    shades = {f"step {k}": np.full((20, 30, 3), 10 * k, dtype=np.uint8) for k in range(1, 6)}
    figures.animation(shades, tmp_path / "a.gif")
    found = [frame.getpixel((20, 25)) for frame in frames_of(tmp_path / "a.gif")]
    assert [pixel[0] for pixel in found] == pytest.approx([10, 20, 30, 40, 50], abs=3)
    with Image.open(tmp_path / "a.gif") as image:
        times = [frame.info["duration"] for frame in ImageSequence.Iterator(image)]
        assert image.info["loop"] == 0
    assert times == [800, 350, 350, 350, 2500]


def test_many_steps_of_noise_are_thinned_until_they_fit_their_ends_kept(tmp_path):
    noise = {f"{k}": RNG.integers(0, 255, (200, 200, 3)).astype(np.uint8) for k in range(40)}
    noise["0"][:], noise["39"][:] = 255, 0
    figures.animation(noise, tmp_path / "a.gif")
    frames = frames_of(tmp_path / "a.gif")
    assert (tmp_path / "a.gif").stat().st_size <= MOST_BYTES
    assert 4 <= len(frames) < 40
    assert frames[0].getpixel((100, 100))[0] > 240
    assert frames[-1].getpixel((100, 100))[0] < 15
