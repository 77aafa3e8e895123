"""code: writes the code that each stage runs on, as hashes, to out/code/STAGE.json and out/code/STAGE/MODEL.json.

    gen-models code

Each of these files holds the hash of every source file that decides the stage's result, and the versions of the
libraries that compute it. DVC compares the files. When a source file changes, the files that hold its hash change, and
DVC runs their stages again. The other files keep their bytes, and DVC skips their stages.
"""

import json
from pathlib import Path

from pipelines.config.params import params
from pipelines.lineage.fingerprint import ENTRIES, OF_A_MODEL, fingerprint
from pipelines.runtime import paths
from pipelines.runtime.stage import no_argument, produce, run


def main(argv: list[str]) -> None:
    no_argument(argv, "code", __doc__)
    models = sorted({line.model for line in params().runs.values()})
    with produce(paths.out("code")) as folder:
        for stage in ENTRIES:
            if stage in OF_A_MODEL:
                for model in models:
                    _write(folder / stage / f"{model}.json", fingerprint(stage, model))
            else:
                _write(folder / f"{stage}.json", fingerprint(stage))
    print(f"out/code: {len(ENTRIES)} stages, {len(models)} models")


def _write(path: Path, found: dict[str, dict[str, str]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    run(main)
