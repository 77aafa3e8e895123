"""remove-data NAME: undoes add-data: it removes conf/data/NAME.yaml and the lines that add-data wrote to params.yaml.

    gen-models remove-data flowers

The data themselves stay, and so does what was prepared and trained from them. If other lines of params.yaml use the
data set, nothing is removed, and the error names these lines.
"""

from collections.abc import Sequence

from gen_models.errors import ConfigError
from pipelines import arguments
from pipelines.config.conf_files import slug
from pipelines.config.params_edit import removing
from pipelines.runtime import paths
from pipelines.runtime.stage import parse, run


def main(argv: Sequence[str]) -> None:
    """Remove what `add-data` wrote for a data set; argv: the command-line arguments after `remove-data`."""
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
    print(f"what was made of it stays: out/*/{name}, trainings in out/ and work/, registered models")


if __name__ == "__main__":
    run(main)
