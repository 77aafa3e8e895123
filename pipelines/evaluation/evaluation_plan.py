"""What decides an evaluation, and its folder in work/, whose name holds a hash of that.

Nothing here imports torch: a stage whose evaluation has ended only collects it.
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
    """An evaluation of a run. trained: the folder of its training; folder: where the evaluation is made"""

    run: Run
    seed: int
    lineage: dict[str, Any]
    trained: Path
    folder: Path

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `measure`, apart from the run."""
        data = paths.out("data", self.run.data)
        return {"trained": self.trained, "data": data, "seed": self.seed, "to": self.folder}

    @property
    def collected(self) -> Path:
        """The stage's output, which may be that of another plan."""
        return paths.out("evaluate", self.run.key)

    def is_played(self) -> bool:
        """Return whether the evaluation has ended; its folder appears only then."""
        return self.folder.is_dir()

    def is_collected(self) -> bool:
        """Return whether out/evaluate/KEY has the result of this plan."""
        return facts.key_of(self.collected) == self.lineage["key"]


def evaluation_plan(asked: Params, key: str, trained: Path) -> EvaluationPlan:
    """Return the evaluation of a run. trained: the folder of its training, which has its lineage

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
