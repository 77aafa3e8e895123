"""add-data NAME PATH: writes conf/data/NAME.yaml for a file or folder of data, and adds it to params.yaml.

    gen-models add-data more_digits out/data/digits/test.x.npy
    gen-models add-data flowers ~/flowers.csv
    gen-models add-data clients clients.csv --label churned --kind region=category --ignore comment
    gen-models add-data screws screws/ --normal good

conf/data/NAME.yaml gives each column of a table a role and a kind; read it, and edit it. params.yaml gets the path, so
that `dvc repro` notices an edit of the data, and a run for each model that suits the data; the comments in params.yaml
stay. Data that prepare would refuse are refused here already. Only --force replaces a conf/data/NAME.yaml that exists.
"""

from collections.abc import Sequence
from pathlib import Path

from gen_models.errors import ConfigError
from gen_models.files import replacing
from pipelines import arguments
from pipelines.config.data_files import watched
from pipelines.config.params import params
from pipelines.config.params_edit import adding, data_name
from pipelines.data.asked import image_options_of, reading_of, wishes_of
from pipelines.data.describe import describe
from pipelines.data.look import collection_in, look
from pipelines.data.proposal import advice, check, conf_text, models_for, propose
from pipelines.data.sources.files import require_there, shown
from pipelines.runtime import paths
from pipelines.runtime.stage import parse, run


def main(argv: Sequence[str]) -> None:
    """Write conf/data/NAME.yaml and lines in params.yaml; argv: the command-line arguments after `add-data`."""
    asked = parse(argv, "add-data", __doc__, arguments.add_data)
    conf_path = paths.root() / "conf" / "data" / f"{data_name(asked.name)}.yaml"
    if conf_path.exists() and not asked.force:
        raise ConfigError(f"{conf_path}: is there already; choose another name, or replace it with --force")
    path = asked.path.expanduser().absolute()
    require_there(path)
    if (known := collection_in(path)) is not None:
        raise ConfigError(
            f"{shown(path)}: these are the files of {known}, which conf/data/{known}.yaml reads; "
            f"set GEN_MODELS_DATA={shown(path)}"
        )
    found = look(path, wishes=wishes_of(asked), reading=reading_of(asked), images=image_options_of(asked))
    assert found.arrays is not None
    conf = propose(found, asked.name, anomaly=asked.anomaly, normal=asked.normal)
    told = advice(found, check(found, conf, seed=0), conf)
    edit = adding(asked.name, watched(conf["options"]), models_for(found.arrays))
    was_there = conf_path.exists()
    _write(conf_path, conf_text(conf, found))
    try:
        edit.write()
    except ConfigError:
        if not was_there:  # nothing is half added
            conf_path.unlink()
        raise
    print(describe(found))
    print("\n" + "\n".join(told))
    to_see = "columns, split and anomaly" if conf.get("columns") else "split and anomaly"
    print(f"\n{conf_path}: written; look at {to_see}. The lines of {paths.MARK}:")
    print(edit.diff(), end="")
    runs = _runs_on(asked.name)
    alone = f"; `make repro RUNS={runs[0]}` trains only that run" if runs else ""
    print(f"\n`gen-models check` looks for errors. `make repro` prepares the data and trains all runs{alone}.")


def _runs_on(name: str) -> list[str]:
    """Return the keys of the runs on a data set; none if params.yaml has a fault, which `gen-models check` names."""
    try:
        return [key for key, line in params().runs.items() if line.data == name]
    except ConfigError:
        return []


def _write(path: Path, text: str) -> None:
    """Write a file in one step, so that a kill leaves either the old file or the new one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror})") from None


if __name__ == "__main__":
    run(main)
