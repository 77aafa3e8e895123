"""Checks that DVC has the git repository that it needs. A project that was copied, or came as a ZIP file, has none."""

import configparser

from gen_models.errors import ConfigError
from pipelines.runtime import paths


def require_repository() -> None:
    """Raise ConfigError if the project is in no git repository and DVC is not told to work without one."""
    root = paths.root()
    if any((folder / ".git").exists() for folder in (root, *root.parents)):
        return
    config = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        config.read([root / ".dvc" / "config", root / ".dvc" / "config.local"])
        works_without = config.getboolean("core", "no_scm", fallback=False)
    except (configparser.Error, ValueError):
        return  # DVC says what is wrong with its own file
    if not works_without:
        raise ConfigError(
            f"{root}: not in a git repository, which DVC needs: run `git init`, "
            "or `dvc config --local core.no_scm true` to work without git"
        )
