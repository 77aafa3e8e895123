"""Samples over a training, drawn from one noise at each report: how they came to be, or why they did not."""

from pathlib import Path

from pipelines import figures
from pipelines.evaluation.trained_run import Trained
from pipelines.runtime import paths

TILE_PIXELS = 28  # of an image: a grid of 64 is then some 300 pixels wide


def animation(trained: Trained, to: Path) -> None:
    """A frame for each step whose samples `train` handed on; nothing of a model that draws none."""
    folder = paths.out("train", trained.run.key)
    frames = {}
    for path in sorted(folder.glob("samples/step_*.npy")):
        step = int(path.stem.removeprefix("step_"))
        frame = figures.step_picture(folder, step, trained.data, tile_pixels=TILE_PIXELS)
        if frame is not None:
            frames[f"{trained.run.key}, step {step:,}"] = frame
    if frames:
        figures.animation(frames, to)
