"""The command `gen-models`: tables of its stages and tools, and the function that runs one of them.

In `gen-models VERB ARGUMENTS`, the verb names a stage or a tool. The arguments are parsed before the module that does
the verb's work is imported. That import may take seconds; so --help, and the error for a wrong argument, appear without
waiting for it. The imported module parses the arguments again, because `python -m MODULE` starts it without cli.py.
"""

import argparse
import ast
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from gen_models import __version__
from gen_models.errors import unknown
from pipelines import arguments
from pipelines.runtime.stage import nothing, one_key, parse, run, run_keys


class Command(NamedTuple):
    """A stage or a tool of the command line.

    module: the dotted name of the module that does the work; its function `main(argv)` is called, and its docstring is
    what `gen-models VERB --help` prints
    about: a line about the verb for `gen-models --help`; add: a function that adds the verb's arguments to a parser
    """

    module: str
    about: str
    add: Callable[[argparse.ArgumentParser], None] = nothing


STAGES = {
    "code": Command("pipelines.lineage.code", "the code that each stage runs on, as hashes, out/code"),
    "prepare": Command(
        "pipelines.data.prepare", "DATA: source -> verified arrays and a manifest, out/data/DATA", one_key("DATA")
    ),
    "sweep": Command(
        "pipelines.training.sweep", "SWEEP: Ray Tune over a model's search space, out/sweep/SWEEP", one_key("SWEEP")
    ),
    "train": Command(
        "pipelines.training.train", "RUN: Ray Train with the sweep's best setting, out/train/RUN", one_key("RUN")
    ),
    "evaluate": Command(
        "pipelines.evaluation.evaluate",
        "RUN: metrics, anomaly scores, clusters, denoising, compression, out/evaluate/RUN",
        one_key("RUN"),
    ),
    "baselines": Command(
        "pipelines.comparison.baselines", "DATA: the same without a network, out/baselines/DATA", one_key("DATA")
    ),
    "compare": Command("pipelines.comparison.compare", "all runs side by side, beside the baselines, out/compare"),
    "register": Command(
        "pipelines.registry.register", "[RUN ...]: log runs and register models in MLflow, once", run_keys
    ),
    "report": Command("pipelines.commands.report_of_runs", "[RUN ...]: pages to look at, reports/index.html", run_keys),
}
TOOLS = {
    "play": Command(
        "pipelines.training.play",
        "[RUN ...]: train all that is stale at once, for `dvc repro` to collect",
        run_keys,
    ),
    "preflight": Command("pipelines.commands.preflight", "whether the cluster can do what params.yaml asks of it"),
    "check": Command("pipelines.commands.check", "whether params.yaml and the conf files can be used"),
    "estimate": Command(
        "pipelines.commands.estimate",
        "[RUN ...]: how long the steps of params.yaml will take, by timing some",
        run_keys,
    ),
    "inspect": Command(
        "pipelines.data.inspect", "PATH: what a file or folder of data holds, and how to add it", arguments.inspect
    ),
    "add-data": Command("pipelines.data.add_data", "NAME PATH: write conf/data/NAME.yaml for it", arguments.add_data),
    "remove-data": Command("pipelines.data.remove_data", "NAME: take back what add-data wrote", arguments.remove_data),
    "list": Command("pipelines.commands.listing", "models, data sets and runs that there are"),
    "games": Command(
        "pipelines.commands.games", "FOLDER: pictures of games of two numbers under each order of play", arguments.games
    ),
    "score": Command(
        "pipelines.commands.score", "MODEL[@ALIAS] FILE: which rows are anomalous, how surely, and why", arguments.score
    ),
    "drift": Command(
        "pipelines.commands.drift", "MODEL[@ALIAS] FILE: whether new rows score as calibration rows do", arguments.drift
    ),
    "stability": Command(
        "pipelines.commands.stability",
        "RUN: trains it with other seeds: how far do its numbers and the rows that it flags depend on chance?",
        arguments.stability,
    ),
    "benchmark": Command(
        "pipelines.commands.benchmark",
        "adbench FOLDER: the default detector of tables beside free ones",
        arguments.benchmark,
    ),
    "predict": Command(
        "pipelines.commands.predict",
        "MODEL[@ALIAS] FILE: score, encode, decode, reconstruct or cluster rows",
        arguments.predict,
    ),
    "sample": Command("pipelines.commands.sample", "MODEL[@ALIAS]: draw rows", arguments.sample),
    "denoise": Command(
        "pipelines.commands.denoise", "MODEL[@ALIAS] FILE: clean rows for corrupted ones", arguments.denoise
    ),
    "compress": Command(
        "pipelines.commands.compress", "MODEL[@ALIAS] FILE: rows into a small file", arguments.compress
    ),
    "decompress": Command(
        "pipelines.commands.decompress", "MODEL[@ALIAS] FILE: the rows of such a file", arguments.decompress
    ),
    "lineage": Command(
        "pipelines.commands.lineage",
        "MODEL@ALIAS: where a version comes from, and each part of it checked again",
        arguments.lineage,
    ),
    "promote": Command(
        "pipelines.commands.promote", "MODEL VERSION: make a version champion by hand, with a reason", arguments.promote
    ),
    "rollback": Command(
        "pipelines.commands.rollback", "MODEL: make the champion before champion again", arguments.rollback
    ),
    "versus": Command(
        "pipelines.commands.versus", "A B: two versions or runs on the same test rows, paired", arguments.versus
    ),
    "gc": Command("pipelines.commands.gc", "remove what no champion and no lineage needs; asks first", arguments.gc),
    "ui": Command(
        "pipelines.commands.ui", "MLflow's pages on http://127.0.0.1:5000, and which to look at first", arguments.ui
    ),
    "server": Command(
        "pipelines.commands.server", "an MLflow server for several projects, on http://127.0.0.1:5000", arguments.server
    ),
}


def main() -> None:
    """Run the console script `gen-models`."""
    run(_main)


def _verb(word: str) -> str:
    if word not in (verbs := [*STAGES, *TOOLS]):
        raise argparse.ArgumentTypeError(unknown("stage or tool", word, verbs))
    return word


def _main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="gen-models",
        description="Deep unsupervised models behind one interface. `dvc repro` runs all stages; each also runs alone.",
        epilog="stages:\n" + _table(STAGES) + "\n\ntools:\n" + _table(TOOLS),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gen-models {__version__}")
    parser.add_argument("verb", metavar="VERB", type=_verb, help="a stage or a tool, see below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="its arguments; VERB --help tells")
    asked = parser.parse_args(argv)
    command = (STAGES | TOOLS)[asked.verb]
    parse(asked.arguments, asked.verb, _docstring(command.module), command.add)
    importlib.import_module(command.module).main(asked.arguments)


def _docstring(module: str) -> str | None:
    """Return a module's docstring without importing it."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, module
    return ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8")), clean=False)


def _table(commands: dict[str, Command]) -> str:
    return "\n".join(f"  {verb:<11} {command.about}" for verb, command in commands.items())


if __name__ == "__main__":
    main()
