"""gc: removes what nothing needs any more, after saying what and how much, and asking.

    gen-models gc --dry-run
    gen-models gc
    gen-models gc --yes --keep 3 --dvc

work/    run logs whose results are in out/; run logs and trials of lines that params.yaml no longer has, or of other
         settings, data or code than now; what killed processes left
MLflow   versions without alias, but for the N newest and the N last champions of each model (--keep N); artifacts of
         deleted runs and models
DVC      with --dvc, what is in its cache and belongs to no workspace, commit or experiment

Never removed: a version that has an alias, that version's files, the MLflow run of any version, an output in out/, a
download.
"""

import sys
from collections.abc import Sequence

from gen_models.errors import GenModelsError
from pipelines import arguments, tracking
from pipelines.config.params import params
from pipelines.garbage import registry, work_folder
from pipelines.garbage.dvc_cache import cache
from pipelines.garbage.item import Item
from pipelines.runtime.stage import StageBusyError, parse
from pipelines.runtime.words import counted

SHOWN = 5


def main(argv: Sequence[str]) -> None:
    """Remove what nothing needs any more; argv: the arguments after `gc`."""
    asked = parse(argv, "gc", __doc__, arguments.gc)
    items = list(work_folder.leftovers(params()))
    with tracking.translated():
        client = tracking.open_store()
        items += [
            *registry.stale_versions(client, asked.keep),
            *registry.unused_uploads(client),
            *registry.orphans(client),
        ]
    items += cache() if asked.dvc else []
    if not items:
        print("nothing to remove")
        return
    for line in told(items):
        print(line, flush=True)
    if asked.dry_run:
        return
    if not asked.yes and not _agreed():
        print("nothing was removed")
        return
    removed, kept = remove(items)
    print(f"removed {counted(len(removed), 'thing')}, {size(sum(item.bytes for item in removed))}")
    for item in kept:
        print(f"kept, because it is in use: {item.what}")


def told(items: Sequence[Item]) -> list[str]:
    """Return lines that say what would be removed: for each kind of item its count, size and first SHOWN names."""
    lines = []
    for kind in dict.fromkeys(item.kind for item in items):
        found = [item for item in items if item.kind == kind]
        total = size(sum(item.bytes for item in found))
        lines.append(f"{len(found):>5}  {total:>9}  {kind}")
        more = [f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        lines += [f"{'':18}{name}" for name in [*(item.what for item in found[:SHOWN]), *more]]
    return [*lines, f"{len(items):>5}  {size(sum(item.bytes for item in items)):>9}  in all"]


def remove(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Remove items; return (those removed, those that turned out to be in use).

    Raises GenModelsError, in one line, for the first item that cannot be removed; the items before it stay removed.
    """
    removed: list[Item] = []
    kept: list[Item] = []
    for item in items:
        try:
            with tracking.translated():
                (removed if item.remove() else kept).append(item)
        except StageBusyError:
            kept.append(item)
        except OSError as error:
            raise GenModelsError(
                f"{error.filename or item.what}: {(error.strerror or 'cannot be removed').lower()}; "
                f"removed before it: {counted(len(removed), 'thing')}"
            ) from None
    return removed, kept


def size(total: int) -> str:
    """Return a number of bytes in words: 12.3 MB."""
    value, units = float(total), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if value < 1000 or unit == units[-1]:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError


def _agreed() -> bool:
    """Ask whether to remove. Raises GenModelsError where nobody can answer."""
    if not sys.stdin.isatty():
        raise GenModelsError(
            "nobody is at the terminal to agree: say --yes to remove this, or --dry-run to see it only"
        )
    try:
        return input("remove all this? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False
