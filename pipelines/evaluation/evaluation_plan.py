"""Plans the evaluation of a run: what decides its result, and the folder in work/ in which it is made.

The folder's name holds a hash of all that decides the result (training, data, code and seed). If the folder is there,
the evaluation has ended, and the stage only copies it to its output; therefore nothing here imports torch.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gen_models.errors import ConfigError
from pipelines.config.params import Params, Run
from pipelines.lineage import facts
from pipelines.lineage.fingerprint import code_sha256
from pipelines.runtime import paths


@dataclass(frozen=True)
class EvaluationPlan:
    """The plan of an evaluation.

    run, seed   the run, and the seed of params.yaml
    lineage     the hashes that decide the result, and the key that is made from them
    trained     the folder of the run's training
    folder      the folder in work/ in which the evaluation is made
    """

    run: Run
    seed: int
    lineage: dict[str, Any]
    trained: Path
    folder: Path

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `measure` (measure.py), apart from the run."""
        data = paths.out("data", self.run.data)
        return {"trained": self.trained, "data": data, "seed": self.seed, "to": self.folder}

    @property
    def collected(self) -> Path:
        """The output folder of the stage, out/evaluate/KEY; it may still hold the result of another plan."""
        return paths.out("evaluate", self.run.key)

    def is_played(self) -> bool:
        """Return whether the evaluation has ended: its folder appears only when all files in it are written."""
        return self.folder.is_dir()

    def is_collected(self) -> bool:
        """Return whether out/evaluate/KEY already holds the result of this plan."""
        return facts.key_of(self.collected) == self.lineage["key"]


def evaluation_plan(asked: Params, key: str, trained: Path) -> EvaluationPlan:
    """Return the plan of a run's evaluation.

    asked: the content of params.yaml; key: the run's name there
    trained: the folder of the run's training; it holds lineage.json once the training has ended

    Raises ConfigError if the training has not ended.
    """
    run, path = asked.run(key), trained / "lineage.json"
    if not path.is_file():
        raise ConfigError(f"{path} is not there: run `dvc repro train@{key}` first")
    training = json.loads(path.read_text())
    decides = {
        "train": training["key"],
        "data_sha256": training["data_sha256"],
        "code_sha256": code_sha256("evaluate", run.model),
        "seed": asked.seed,
    }
    lineage = {**decides, "key": facts.key(stage="evaluate", **decides)}
    return EvaluationPlan(run, asked.seed, lineage, trained, paths.work("evaluate", f"{key}-{lineage['key'][:12]}"))
