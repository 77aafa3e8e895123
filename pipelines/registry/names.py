"""How people name a version: models:/NAME@ALIAS, models:/NAME/3, NAME@ALIAS, NAME@3, or NAME for its champion."""

from typing import Any

from gen_models.errors import RegistryError
from pipelines.registry import versions
from pipelines.registry.versions import Version

SCHEME, DEFAULT = "models:/", "champion"


def parsed(name: str) -> tuple[str, str]:
    """Return (registered model, alias or number) for a name of one of the module docstring's forms.

    Raises RegistryError if the name has none of these forms.
    """
    bare = name.removeprefix(SCHEME)
    separator = "/" if name.startswith(SCHEME) and "@" not in bare else "@"
    model, _, which = bare.partition(separator)
    if not model or "/" in model + which or "@" in which or (separator in bare and not which):
        raise RegistryError(
            f"{name!r} names no version: expected models:/NAME@champion, models:/NAME/3, NAME@champion or NAME@3"
        )
    return model, which or DEFAULT


def find(client: Any, name: str) -> Version:
    """Return the version that a name means. Raises RegistryError, which lists what exists, if there is no version."""
    return versions.find(client, *parsed(name))
