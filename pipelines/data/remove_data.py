"""remove-data NAME: takes back what add-data wrote: conf/data/NAME.yaml, and its lines in params.yaml.

    gen-models remove-data flowers

The data themselves, and what was prepared and trained from them, stay. A data set that other lines of params.yaml use
is kept, and these lines are named.
"""

from collections.abc import Sequence

from gen_models.errors import ConfigError
from pipelines import arguments
from pipelines.config.conf_files import slug
from pipelines.config.params_edit import removing
from pipelines.runtime import paths
from pipelines.runtime.stage import parse, run


def main(argv: Sequence[str]) -> None:
    """Take back what `add-data` wrote for a data set; argv: the words after `remove-data`."""
    name = slug(parse(argv, "remove-data", __doc__, arguments.remove_data).name, "conf/data")
    edit = removing(name)
    edit.write()
    conf_path = paths.root() / "conf" / "data" / f"{name}.yaml"
    try:
        conf_path.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{conf_path}: cannot be removed ({error.strerror})") from None
    print(f"{conf_path}: removed. The lines of {paths.MARK}:")
    print(edit.diff(), end="")


if __name__ == "__main__":
    run(main)
