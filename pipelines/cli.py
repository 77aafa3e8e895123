"""`gen-models`: every stage as a verb, and what one does with the result. Each verb imports only what it needs."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from gen_models import __version__
from pipelines.runtime.stage import run

STAGES = {
    "prepare": "DATA: source -> verified arrays and a manifest, out/data/DATA",
    "sweep": "SWEEP: Ray Tune over a model's search space, out/sweep/SWEEP",
    "train": "RUN: Ray Train with the sweep's best setting, out/train/RUN",
    "evaluate": "RUN: what the model's capabilities allow on test data, out/evaluate/RUN",
    "register": "RUN: a version in MLflow's registry, out/register/RUN",
    "detect": "anomaly scores of all runs on data with a held-out class, out/detect",
    "cluster": "clusters of all runs' latents, out/cluster",
    "denoise": "errors of all denoisers, out/denoise; with MODEL[@ALIAS] FILE: rows that a registered model denoises",
    "compress": "bytes and errors of all codecs, out/compress; with MODEL[@ALIAS] FILE: rows into a small file",
    "report": "one page to look at, reports/index.html",
}
TOOLS = {
    "inspect": "PATH: what a file or folder of data holds, and the lines that put it into the graph",
    "add-data": "NAME PATH: write conf/data/NAME.yaml for it",
    "list": "models, data sets, sweeps and runs that there are",
    "games": "FOLDER: pictures of games of two numbers under each order of play",
    "sync": "bring the MLflow store up to what the graph's outputs describe; rebuilds a lost one",
    "predict": "MODEL[@ALIAS] FILE: score, encode, decode or reconstruct rows with a registered model",
    "sample": "MODEL[@ALIAS]: draw from a registered model",
    "decompress": "MODEL[@ALIAS] FILE: the rows of such a file",
    "ui": "MLflow's pages on http://127.0.0.1:5000",
}
MODULES = {
    "prepare": "pipelines.data.prepare",
    "sweep": "pipelines.training.sweep",
    "train": "pipelines.training.train",
    "evaluate": "pipelines.evaluation.evaluate",
    "register": "pipelines.registry.register",
    "detect": "pipelines.comparison.anomalies",
    "cluster": "pipelines.comparison.clusters",
    "denoise": "pipelines.commands.denoise",
    "compress": "pipelines.commands.compress",
    "report": "pipelines.report.report",
    "inspect": "pipelines.data.inspect",
    "add-data": "pipelines.data.add_data",
    "list": "pipelines.commands.listing",
    "games": "pipelines.commands.games",
    "sync": "pipelines.registry.sync",
    "predict": "pipelines.commands.predict",
    "sample": "pipelines.commands.predict",
    "decompress": "pipelines.commands.compress",
}
OF_ALL_RUNS = {  # if no argument is given
    "denoise": "pipelines.comparison.denoising",
    "compress": "pipelines.comparison.compression",
}
ACTS = ("sample", "decompress")  # that share a module with another verb, whose main is that one's


def main() -> None:
    """The console script."""
    run(_main)


def _main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="gen-models",
        description="Deep unsupervised models behind one interface. `dvc repro` runs all stages; each also runs alone.",
        epilog="stages:\n" + _table(STAGES) + "\n\ntools:\n" + _table(TOOLS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gen-models {__version__}")
    parser.add_argument("verb", metavar="VERB", choices=[*STAGES, *TOOLS], help="a stage or a tool, see below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments; VERB --help tells")
    chosen = parser.parse_args(argv)
    if chosen.verb == "ui":
        _ui()
    modules = MODULES if chosen.arguments else MODULES | OF_ALL_RUNS
    module = importlib.import_module(modules[chosen.verb])
    act = getattr(module, chosen.verb) if chosen.verb in ACTS else module.main
    act(chosen.arguments)


def _ui() -> None:
    """MLflow's own server, on loopback, in place of this process."""
    from pipelines.runtime import paths

    root = paths.root()
    command = ["mlflow", "server", "--backend-store-uri", f"sqlite:///{root}/mlflow.db"]
    command += ["--artifacts-destination", f"{root}/mlartifacts", "--host", "127.0.0.1", "--port", "5000"]
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    print("http://127.0.0.1:5000, Ctrl-C ends it", flush=True)
    os.execvp(os.path.join(os.path.dirname(sys.executable), "mlflow"), command)  # noqa: PTH118, PTH120


def _table(rows: dict[str, str]) -> str:
    return "\n".join(f"  {name:<10} {text}" for name, text in rows.items())


if __name__ == "__main__":
    main()
