"""Checks, after a stage has run, that its fingerprint covers all modules that it imported.

DVC would not notice an edit of a module that the fingerprint leaves out.
"""

import sys
from collections.abc import Callable

from pipelines.config.params import params
from pipelines.lineage.fingerprint import OF_A_MODEL, unexpected
from pipelines.runtime.stage import run


def run_stage(stage: str, main: Callable[[list[str]], None]) -> None:
    """Run a stage's main on the arguments of the command line, then warn of modules that its fingerprint leaves out."""

    def audited(argv: list[str]) -> None:
        main(argv)
        model = None
        if stage in OF_A_MODEL:
            asked = params()
            model = (asked.sweeps if stage == "sweep" else asked.runs)[argv[0]].model
        for name in unexpected(stage, model):
            print(f"warning: {name} was imported, and out/code leaves it out of what {stage} runs on", file=sys.stderr)

    run(audited)
