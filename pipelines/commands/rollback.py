"""rollback: makes the champion before the present one champion again.

    gen-models rollback vae-digits --reason "misses the sevens"
    gen-models rollback vae-digits --to 2 --reason "the last one that the app can load"

The version's stored files are verified, and the move is recorded with who made it and why. A second rollback goes one
champion further back. The next `make repro` or `gen-models register` does not undo it.
"""

from collections.abc import Sequence

from pipelines import arguments, tracking
from pipelines.registry.by_hand import rollback
from pipelines.runtime.stage import parse


def main(argv: Sequence[str]) -> None:
    """Make an earlier champion champion again; argv: the arguments after `rollback`."""
    asked = parse(argv, "rollback", __doc__, arguments.rollback)
    with tracking.translated():
        for line in rollback(tracking.open_store(must_exist=True), asked.name, asked.reason, asked.to):
            print(line)
