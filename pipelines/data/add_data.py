"""add-data NAME PATH: writes conf/data/NAME.yaml for a file or folder of data, and prints the lines for params.yaml.

    gen-models add-data flowers ~/flowers.csv --label species

A conf file that exists is replaced only with --force. Data that prepare would refuse are refused here already. The conf
holds the path and the sha256 of the data. If the data change later, prepare refuses them until
`add-data NAME PATH --force` has written the new sha256.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from gen_models.errors import ConfigError
from gen_models.files import replacing
from pipelines.config.conf_files import slug
from pipelines.data.checks import check_conf
from pipelines.data.inspect import check, collection_in, conf_text, describe, look, params_lines, propose
from pipelines.data.sources.files import require_there, shown
from pipelines.runtime import paths
from pipelines.runtime.stage import run


def main(argv: Sequence[str]) -> None:
    """add-data NAME PATH [--label COLUMN] [--force]"""
    parser = argparse.ArgumentParser(
        prog="gen-models add-data", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="what to call it: conf/data/NAME.yaml")
    parser.add_argument("path", type=Path, help="a file or folder of data")
    parser.add_argument("--label", help="the column of a table that holds the labels")
    parser.add_argument("--force", action="store_true", help="replace the conf that is there")
    asked = parser.parse_args(argv)
    conf_path = paths.root() / "conf" / "data" / f"{slug(asked.name, 'add-data')}.yaml"
    if conf_path.exists() and not asked.force:
        raise ConfigError(f"{conf_path}: is there already; choose another name, or replace it with --force")
    path = asked.path.expanduser().absolute()
    require_there(path)
    if (known := collection_in(path)) is not None:
        raise ConfigError(
            f"{shown(path)}: these are the files of {known}, which conf/data/{known}.yaml reads; "
            f"set GEN_MODELS_DATA={shown(path)}"
        )
    found = look(path, label=asked.label)
    conf = propose(found, asked.name)
    check_conf(conf, asked.name, str(conf_path))
    check(found, conf)
    _write(conf_path, conf_text(conf, found))
    print(describe(found))
    print(f"\n{conf_path}: written; look at split and anomaly. Put into params.yaml:")
    print(params_lines(asked.name, found.arrays))


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
