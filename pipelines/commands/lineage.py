"""lineage: says where a registered version comes from, and checks again each part that is still on this machine.

    gen-models lineage models:/vae-digits@champion
    gen-models lineage vae-digits@3

It checks the files that the registry and the version's run in MLflow store, the outputs of train and evaluate, the run
log, the prepared data and the files they were prepared from, and the code and libraries as they are now. Each is
`equal`, `differs since` (for example, the code was edited, which is no error), `not here`, or BROKEN: it is here and
does not agree with what was recorded. Then the file is named, and the exit code is 1.
"""

from collections.abc import Sequence

from gen_models.errors import RegistryError
from pipelines import arguments, tracking
from pipelines.registry import moves, names, verification, version_facts, versions
from pipelines.runtime import paths
from pipelines.runtime.stage import parse


def main(argv: Sequence[str]) -> None:
    """Print the lineage of a version and the results of the checks; argv: the arguments after `lineage`."""
    asked = parse(argv, "lineage", __doc__, arguments.lineage)
    with tracking.translated():
        client = tracking.open_store(must_exist=True)
        version = names.find(client, asked.version)
        held = [alias for alias, number in versions.aliases(client, version.model).items() if number == version.number]
        for line in version_facts.lines(version, held, moves.moves_of(client, version.model)):
            print(line)
        print("checked again", flush=True)
        broken, here = [], f"{paths.root()}/"
        for found in verification.findings(client, version):
            print(f"  {found.state:<14}{found.thing}: {found.words.replace(here, '')}", flush=True)
            broken += [found.thing] if found.state == verification.BROKEN else []
    if broken:
        raise RegistryError(
            f"{version.model} version {version.number}: {', '.join(broken)} {'does' if len(broken) == 1 else 'do'} not "
            "agree with what was recorded, see BROKEN above"
        )
