"""The users of `gen-models server --users`: MLflow's own plugin, with its files in the server's folder.

users.db holds the users, with hashes of their passwords, and who may do what; secret.txt the key of the pages' forms.
"""

import os
import secrets
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from gen_models.errors import GenModelsError
from gen_models.files import replacing

PASSWORD, LEAST_LENGTH = "MLFLOW_AUTH_ADMIN_PASSWORD", 12
SETTINGS = """\
[mlflow]
default_permission = MANAGE
database_uri = sqlite:///{database}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


class UsersError(GenModelsError):
    """The server cannot ask for users and passwords."""


def environment(folder: Path) -> Mapping[str, str]:
    """Write the plugin's settings into the server's folder, and return the variables that the server needs.

    Raises UsersError if the plugin is not installed, or if there is no user yet and no password for the first one.
    """
    if find_spec("flask_wtf") is None:
        raise UsersError(
            f"--users: a package is missing; run `pip install 'mlflow[auth]=={version('mlflow')}'` in .venv"
        )
    database = folder / "users.db"
    if not database.exists() and len(os.environ.get(PASSWORD, "")) < LEAST_LENGTH:
        raise UsersError(
            f"--users: there is no user yet; set {PASSWORD} to a password of at least {LEAST_LENGTH} characters for "
            "the user admin, and start again"
        )
    secret = folder / "secret.txt"
    if not secret.exists():
        _write(secret, secrets.token_hex(32))
    settings = folder / "users.ini"
    _write(settings, SETTINGS.format(database=str(database).replace("%", "%%")))
    return {"MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_FLASK_SERVER_SECRET_KEY": secret.read_text()}


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text.encode())
