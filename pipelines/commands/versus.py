"""versus: compares two versions, or two trained runs, on the same test rows: which is better, and how surely.

    gen-models versus models:/vae-digits@champion models:/vae-digits/3
    gen-models versus vae-digits gmm-digits
    gen-models versus models:/vae-digits@champion vae-digits --metric mse

Both models are measured on each test row. The printed interval is for the mean difference; it is much narrower than the
intervals of the two means. Two models are refused if they were evaluated on different data, or on other data than those
that are prepared now. (The stage `compare` puts all runs side by side; `versus` compares two.)
"""

import json
from collections.abc import Sequence

from gen_models.checkpoint import load_model
from gen_models.errors import DataError, unknown
from pipelines import arguments
from pipelines.commands.stored_model import open_stored
from pipelines.evaluation.versus import Contender, caveat, compare, contender, sentence, unequal
from pipelines.registry import origins, versions
from pipelines.registry.names import SCHEME
from pipelines.runtime import paths
from pipelines.runtime.stage import parse


def main(argv: Sequence[str]) -> None:
    """Compare two models and print which is better; argv: the arguments after `versus`."""
    asked = parse(argv, "versus", __doc__, arguments.versus)
    a, b = opened(asked.a), opened(asked.b)
    found = compare(a, b, asked.metric)
    d = found.difference
    width = max(len(a.title), len(b.title), len("difference"))
    print(f"{found.metric} on {d.rows} test rows of {a.data}, lower is better")
    for one, value in zip((a, b), found.values, strict=True):
        print(f"  {one.title:<{width}}  {value:.6g}")
    print(f"  {'difference':<{width}}  {d.value:+.6g}, 95% interval {d.low:+.4g} to {d.high:+.4g}")
    if found.left_out:
        print(f"{found.left_out} rows are left out: one of the two gives no finite number for them.")
    print(sentence(a, b, found))
    for said in filter(None, (caveat(a, b, found.metric), unequal(a, b))):
        print(said)


def opened(name: str) -> Contender:
    """Open the registered version, or the trained run, called `name`.

    Raises RegistryError if there is no such version or the run is not trained yet, DataError if there is no such run.
    """
    if name.startswith(SCHEME) or "@" in name:
        stored = open_stored(name)
        return contender(stored.title, stored.model, stored.lineage)
    folder = paths.out("train", name)
    trained = [path.name for path in paths.out("train").glob("*") if (path / "lineage.json").is_file()]
    if name not in trained:
        versions.refuse_untrained(name)
        raise DataError(f"{unknown('trained run', name, trained)}; a version is named {SCHEME}NAME@champion")
    lineage = json.loads((folder / "lineage.json").read_text())
    return contender(name, load_model(folder / "checkpoint"), {**lineage, **origins.rows(lineage)})
