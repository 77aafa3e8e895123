"""promote: makes a version of a registered model its champion by hand, the version that commands use by default.

    gen-models promote vae-digits 4 --reason "the new split is the one to use"
    gen-models promote vae-digits@candidate --reason "looked at its samples"

The version's stored files are verified, and the move is recorded with who made it and why. The next `gen-models
register` keeps the choice, unless it registers a model that is new since then and better on the same data.
"""

from collections.abc import Sequence

from pipelines import arguments, tracking
from pipelines.registry.by_hand import promote
from pipelines.runtime.stage import parse


def main(argv: Sequence[str]) -> None:
    """Make a version champion; argv: the arguments after `promote`."""
    asked = parse(argv, "promote", __doc__, arguments.promote)
    with tracking.translated():
        for line in promote(tracking.open_store(must_exist=True), asked.name, asked.version, asked.reason):
            print(line)
