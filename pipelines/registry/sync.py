"""sync: bring the MLflow store up to what the graph's outputs describe; rebuilds a lost one.

DVC does not track the store, so a stage that is up to date may have a store that lags: it was removed,
unreachable during a training, or belongs to another machine. A line for each sweep and run says what was
missing. Where nothing was, this takes seconds.
"""

import sys

from gen_models.errors import GenModelsError
from pipelines import config, tracking
from pipelines.registry.register import register
from pipelines.registry.upload import Replayed, replay, replay_sweep
from pipelines.runtime import paths
from pipelines.runtime.stage import no_argument, run


def main(argv: list[str]) -> None:
    no_argument(argv, "sync", __doc__)
    params = config.params()
    tracking.open_store()
    failed = [name for name in params.sweeps if not _tell(f"sweep {name}", sync_sweep, name)]
    failed += [name for name in params.runs if not _tell(name, sync_run, name)]
    if failed:
        raise SystemExit(1)


def sync_sweep(sweep: str) -> str:
    """What was done for a sweep, in words."""
    if not paths.out("sweep", sweep).is_dir():
        return "not swept yet"
    if not paths.out("sweep", sweep, "lineage.json").is_file():
        return "no lineage.json in its output; nothing to compare"
    return "logged" if replay_sweep(sweep) else "up to date"


def sync_run(run: str) -> str:
    """What was done for a run, in words."""
    if not paths.out("train", run).is_dir():
        return "not trained yet"
    done = replay(run)
    if not paths.out("evaluate", run).is_dir():
        return f"{_words(done)}; not evaluated yet"
    version = register(run)
    aliases = f" ({', '.join(version['aliases'])})" if version["aliases"] else ""
    return f"{_words(done)}; version {version['version']}{aliases}"


def _tell(title: str, act, name: str) -> bool:
    try:
        print(f"{title}: {act(name)}", flush=True)
    except GenModelsError as error:
        print(f"{title}: error: {error}", file=sys.stderr, flush=True)
        return False
    return True


def _words(done: Replayed) -> str:
    if not (done.is_new or done.numbers or done.pictures):
        return "up to date"
    return f"logged {done.numbers} numbers and {done.pictures} pictures"


if __name__ == "__main__":
    run(main)
