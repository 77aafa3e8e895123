"""Where things lie: every stage reads and writes below one project folder, by absolute paths.

Ray's workers change directory, and so do people; nothing here depends on the current directory once
the project is found.
"""

import os
from pathlib import Path

from gen_models.errors import ConfigError

MARK = "params.yaml"


def root() -> Path:
    """The project folder: $GEN_MODELS_ROOT, or the nearest folder upwards that holds params.yaml."""
    named = os.environ.get("GEN_MODELS_ROOT")
    if named:
        folder = Path(named).resolve()
        if not (folder / MARK).is_file():
            raise ConfigError(f"GEN_MODELS_ROOT={named}: no {MARK} in that folder; set it to the project's folder")
        return folder
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if (folder / MARK).is_file():
            return folder
    raise ConfigError(f"no {MARK} in {here} or above it: change to the project's folder, or set GEN_MODELS_ROOT")


def out(*parts: str) -> Path:
    """A stage's output, moved and cached by DVC."""
    return root().joinpath("out", *parts)


def work(*parts: str) -> Path:
    """State that a killed stage resumes from; ignored by git and DVC, safe to delete when nothing runs."""
    return root().joinpath("work", *parts)
