"""server: an MLflow server on this machine, for several projects to keep their runs and models in one store.

    gen-models server
    gen-models server --port 5001 --store postgresql://me@127.0.0.1/mlflow
    gen-models server --host 0.0.0.0 --users      # for other machines, with users and passwords

A project uses the server if its MLFLOW_TRACKING_URI is the server's address. The server alone reads and writes the
database and the files; a project sends both by HTTP. Without --store and --artifacts, the database is server/mlflow.db
and the files are in server/artifacts, in the project folder. `gen-models ui` needs no server: it serves a project's own
store.
"""

import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from gen_models.errors import GenModelsError, one_line
from pipelines import arguments
from pipelines.commands import mlflow_server, served_users
from pipelines.runtime import paths
from pipelines.runtime.stage import parse

KINDS = ("postgresql", "mysql")
PACKAGES = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}  # of drivers
FOLDER = "server"
ANSWER_SECONDS = 5


class ServedStoreError(GenModelsError):
    """The database that is asked for cannot be served."""


def main(argv: Sequence[str]) -> None:
    asked = parse(argv, "server", __doc__, arguments.server)
    folder = paths.root() / FOLDER
    store = asked.store or f"sqlite:///{folder / 'mlflow.db'}"
    check_store(store)
    mlflow_server.check_port(asked.port, "server", asked.host)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o700)
    users = served_users.environment(folder) if asked.users else None
    is_local = mlflow_server.is_loopback(asked.host)
    name = asked.host if is_local else (asked.name or mlflow_server.names_of(asked.host))[0]
    address = f"http://{name}:{asked.port}"
    log = folder / "server.log"
    if users is None and not is_local:
        warning = f"warning: all who reach {address} can read, change and delete everything there; see --users"
        print(warning, file=sys.stderr, flush=True)
    print(f"a project sends its runs and models there after `export MLFLOW_TRACKING_URI={address}`", flush=True)
    print(f"there in some seconds; Ctrl-C ends it; the server's own messages: {log}", flush=True)
    artifacts = asked.artifacts or str(folder / "artifacts")
    mlflow_server.start(store, artifacts, asked.port, log, host=asked.host, names=asked.name, users=users)


def check_store(uri: str) -> None:
    """Raise ServedStoreError unless the URI names a database of SQLite, or one of PostgreSQL or MySQL that answers."""
    kind = urlsplit(uri).scheme.partition("+")[0]
    if kind == "sqlite":
        return
    if kind not in KINDS:
        shown = mlflow_server.without_password(uri)
        raise ServedStoreError(
            f"--store {shown}: not a database; say --store sqlite:////absolute/mlflow.db, or leave --store out"
        )
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

    try:
        create_engine(uri, connect_args={"connect_timeout": ANSWER_SECONDS}).connect().close()
    except ModuleNotFoundError as error:
        package = PACKAGES.get(error.name or "", error.name)
        raise ServedStoreError(
            f"--store {kind}://...: the driver {error.name} is not installed; run `pip install {package}` in .venv"
        ) from None
    except (NoSuchModuleError, ArgumentError, ValueError):  # ValueError: a port that is no number
        raise ServedStoreError(
            f"--store {urlsplit(uri).scheme}://...: no driver of that name is known; say {kind}://USER@HOST/DATABASE"
        ) from None
    except OperationalError as error:
        raise ServedStoreError(
            f"--store {kind}://...: {one_line(error.orig)}; start the database, or correct --store"
        ) from None
