"""inspect PATH: prints what a file or folder of data holds, a role for each column, and how to add it to the project.

    gen-models inspect out/data/digits/test.x.npy
    gen-models inspect flowers.csv
    gen-models inspect photos/

PATH is a folder of images, a table (CSV, TSV, Parquet, .npz or .npy), an array of images (.npy, .npz, IDX), or the
folder with the four files of MNIST or Fashion-MNIST. Nothing is added to the project; a picture of the data is written
to work/inspect. Of a table larger than 128 MB only the first rows are read.
"""

import itertools
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gen_models.errors import GenModelsError
from gen_models.noise import Noise
from pipelines import arguments
from pipelines.config.conf_files import names
from pipelines.config.params_edit import LONGEST_NAME
from pipelines.config.yaml_file import needs_quotes_of_pyyaml_only
from pipelines.data.asked import image_options_of, reading_of, wishes_of
from pipelines.data.describe import describe
from pipelines.data.look import COLLECTIONS, Found, collection_in, look
from pipelines.data.picture import draw
from pipelines.data.proposal import advice, check, conf_text, propose
from pipelines.data.source_table import SOURCES
from pipelines.data.sources import mnist
from pipelines.data.sources.files import require_there, shown
from pipelines.runtime import paths
from pipelines.runtime.stage import parse, run


def main(argv: Sequence[str]) -> None:
    """Print and draw what a file or folder of data holds; argv: the command-line arguments after `inspect`."""
    asked = parse(argv, "inspect", __doc__, arguments.inspect)
    path = asked.path.expanduser().absolute()
    require_there(path)
    if (name := collection_in(path)) is not None:
        print(_collection_lines(name, path))
        return
    found = look(path, wishes=wishes_of(asked), reading=reading_of(asked), images=image_options_of(asked), in_part=True)
    name = _free_name(path.stem)
    print(describe(found))
    picture = draw(found, paths.root() / "work" / "inspect" / f"{name}.png")
    print(f"  picture     {picture}" if picture else "")
    print(f"\nTo add it: gen-models add-data {name} {shlex.join(argv)}")
    if found.arrays is None:
        return
    conf = propose(found, name)
    try:
        print("\n".join(advice(found, check(found, conf, seed=0), conf)))
    except GenModelsError as error:
        print(f"prepare would refuse it: {error}")
    print(f"\nconf/data/{name}.yaml would be:")
    print("\n".join(f"  {line}" for line in conf_text(conf, found).rstrip().splitlines()))


def _free_name(stem: str) -> str:
    """Return a name that add-data accepts and that no data set has yet, as close to a file's name as possible."""
    name = "".join(c if c.isalnum() and c.isascii() else "_" for c in stem).strip("_")[: LONGEST_NAME - 5] or "mine"
    name = f"{name}_data" if needs_quotes_of_pyyaml_only(name) else name
    taken = names("data")
    others = (f"{name}_{k}" for k in itertools.count(2))
    return next(free for free in itertools.chain([name], others) if free not in taken)


def _collection_lines(name: str, folder: Path) -> str:
    arrays = SOURCES[name](Noise(0), folder=str(folder))
    content = {part: mnist.find(COLLECTIONS[name], part, str(folder)) for part in mnist.BYTES}
    total = sum(path.stat().st_size for path in content.values() if path is not None)
    origin = {"files": len(content), "bytes": total, "sha256": "as pinned, those"}
    found = Found(folder, name, {}, replace(arrays, origin=origin))
    return "\n".join(
        [
            describe(found),
            f"\nconf/data/{name}.yaml reads it, with {mnist.VARIABLE}={shown(folder)} in the environment, or with "
            f"options: {{folder: {shown(folder)}}}. Put {name} into data: of {paths.MARK}.",
        ]
    )


if __name__ == "__main__":
    run(main)
