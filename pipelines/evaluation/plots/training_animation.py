"""An animation of a model's samples over its training.

A training reports from time to time, and keeps samples at each report. All are drawn with the same noise, so that only
the model changes from frame to frame.
"""

from pathlib import Path

from pipelines import figures
from pipelines.evaluation.trained_run import Trained

TILE_PIXELS = 28  # the size of an image in a frame: a grid of 64 images is then some 300 pixels wide


def animation(trained: Trained, to: Path) -> None:
    """Draw a frame for each step of the training whose samples were kept; do nothing if there are none."""
    frames = {}
    for path in sorted(trained.folder.glob("samples/step_*.npy")):
        step = int(path.stem.removeprefix("step_"))
        frame = figures.step_picture(trained.folder, step, trained.data, tile_pixels=TILE_PIXELS)
        if frame is not None:
            frames[f"{trained.run.key}, step {step:,}"] = frame
    if frames:
        figures.animation(frames, to)
