"""ui: serves MLflow's pages on this machine. MLflow's own server replaces this process."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pipelines.runtime import paths


def main(argv: Sequence[str]) -> None:
    argparse.ArgumentParser(
        prog="gen-models ui", description="Serve MLflow's pages on http://127.0.0.1:5000; Ctrl-C ends it."
    ).parse_args(argv)
    root = paths.root()
    command = ["mlflow", "server", "--backend-store-uri", f"sqlite:///{root}/mlflow.db"]
    command += ["--artifacts-destination", f"{root}/mlartifacts", "--host", "127.0.0.1", "--port", "5000"]
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    print("http://127.0.0.1:5000, Ctrl-C ends it", flush=True)
    os.execvp(str(Path(sys.executable).parent / "mlflow"), command)
