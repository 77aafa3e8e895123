"""The project folder and the folders inside it. Every stage reads and writes there, by absolute paths.

Ray's workers change directory, and so do people. Once the project folder is found, the current directory no longer
matters.
"""

import os
from pathlib import Path

from gen_models.errors import ConfigError

MARK = "params.yaml"


def root() -> Path:
    """Return the project folder: $GEN_MODELS_ROOT, or the current folder or its nearest parent that has params.yaml.

    Raises ConfigError if there is none.
    """
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


def source() -> Path:
    """Return the folder that has conf/ and the code.

    This is the project folder, unless the project's conf/ is a link, as in chapter/: then it is the folder that has the
    real conf/. Projects that share one conf/ thus agree on what a relative path in a conf means.
    """
    return (root() / "conf").resolve().parent


def out(*parts: str) -> Path:
    """Return a path below out/, where stages write their outputs. DVC caches and restores this folder."""
    return root().joinpath("out", *parts)


def work(*parts: str) -> Path:
    """Return a path below work/, which holds the state from which a killed stage resumes.

    git and DVC ignore the folder, and it is safe to delete while nothing runs.
    """
    return root().joinpath("work", *parts)
