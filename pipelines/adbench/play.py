"""Runs the benchmark on a Ray cluster: a job for each case, as many at once as the cluster has CPUs.

A case is a detector on a table, with a seed. The file name of its result holds a hash of all that decides the result:
the table's file, the seed, the detector and its code. So a benchmark that was killed continues where it ended, and if
the code of a detector is edited, only the cases that use this code are measured again.
"""

import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gen_models.errors import GenModelsError
from gen_models.files import replacing
from gen_models.measures.ranking import auroc, average_precision
from pipelines.adbench.default import DEFAULTS
from pipelines.adbench.detectors import BASELINES
from pipelines.adbench.protocol import MOST_ROWS, TableFile, sha256, split
from pipelines.lineage.facts import key
from pipelines.lineage.fingerprint import fingerprint_of
from pipelines.runtime import paths
from pipelines.runtime.progress import Progress
from pipelines.training.in_play import Job
from pipelines.training.ray_cluster import cluster
from pipelines.training.ray_tune import tune

KIND = "benchmark"
BASELINE_CODE, DEFAULT_CODE = "pipelines.adbench.detectors", "pipelines.adbench.default"
DETECTORS = {**BASELINES, **DEFAULTS}


@dataclass(frozen=True)
class Case:
    """A detector on a table, with a seed. place: the file of the result, which appears when the case is measured"""

    table: TableFile
    seed: int
    detector: str
    place: Path

    @property
    def configuration(self) -> dict[str, Any]:
        return {
            KIND: {
                "path": str(self.table.path), "number": self.table.number, "seed": self.seed,
                "detector": self.detector, "place": str(self.place),
            }
        }  # fmt: skip

    def result(self) -> dict[str, Any]:
        return json.loads(self.place.read_text())


@dataclass
class Cases:
    """Hands out cases one by one as jobs, for pipelines.training.ray_tune.tune to do.

    waiting: cases that no job has yet; running: {path of the result: case}; failed: {name of the case: its error}
    """

    waiting: deque[Case]
    running: dict[str, Case] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return not self.waiting and not self.running

    def next_job(self) -> Job | None:
        if not self.waiting:
            return None
        case = self.waiting.popleft()
        self.running[str(case.place)] = case
        name = f"{case.table.name} {case.detector}, seed {case.seed}"
        return Job(KIND, name, str(case.place), case.configuration, case.place.is_file)

    def ended(self, job: Job, error: str | None = None) -> None:
        self.running.pop(job.folder)
        if error or not job.is_done():
            self.failed[job.owner] = error or "it left no result"


def cases_of(tables: Sequence[TableFile], seeds: Sequence[int], detectors: Sequence[str]) -> list[Case]:
    """Return a case for each detector, table and seed.

    The cases of the default detector, which is slower than the baselines, come first, so that no long job is left for
    the end. Raises DataError if a table's file cannot be read.
    """
    hashes = {table.name: sha256(table) for table in tables}
    code = {module: fingerprint_of([module, "pipelines.adbench.protocol"]) for module in (BASELINE_CODE, DEFAULT_CODE)}
    found = []
    for detector in sorted(detectors, key=lambda name: name in BASELINES):
        own = code[BASELINE_CODE if detector in BASELINES else DEFAULT_CODE]
        for table in tables:
            for seed in seeds:
                decides = {"table": hashes[table.name], "seed": seed, "detector": detector, "most_rows": MOST_ROWS}
                name = f"{table.name}-{detector}-{seed}-{key(**decides, code=own)[:12]}.json"
                found.append(Case(table, seed, detector, paths.work("adbench", name)))
    return found


def play(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Measure the cases that have no result yet, and return the results of all cases, in the order of `cases`.

    Raises GenModelsError if one of them failed.
    """
    paths.work("adbench").mkdir(parents=True, exist_ok=True)
    stale = [case for case in cases if not case.place.is_file()]
    if stale:
        game, progress = Cases(deque(stale)), Progress("adbench", len(cases), "case")

        def watch() -> None:
            done = len(cases) - len(game.waiting) - len(game.running)
            progress.show(done, "; ".join(f"{c.table.name} {c.detector}" for c in list(game.running.values())))

        with cluster() as ray:
            tune(ray, game, meanwhile=watch)
        watch()
        progress.close()
        if game.failed:
            name, error = next(iter(game.failed.items()))
            raise GenModelsError(f"{len(game.failed)} of {len(cases)} cases failed, {name} first: {error}")
    return [case.result() for case in cases]


def measure(path: str, number: int, seed: int, detector: str, place: str) -> None:
    """Measure one case, and write its result as JSON to the file `place`.

    path, number: the table's file, and its number in the benchmark; detector: a key of DETECTORS

    A copy is a test row that equals a training row. The result has the area under the ROC curve with and without
    copies; if no anomaly or no normal row would be left without copies, both areas are with copies.
    """
    table = TableFile(Path(path), number)
    rows = split(table, seed)
    began = time.process_time()
    score: Callable[[np.ndarray], np.ndarray] = DETECTORS[detector](rows.train, seed)
    scores = np.asarray(score(rows.test), dtype=np.float64)
    seconds = time.process_time() - began
    fresh = ~rows.is_copy
    if not (fresh[rows.is_anomaly].any() and fresh[~rows.is_anomaly].any()):
        fresh = np.ones_like(fresh)
    result = {
        "table": table.name,
        "number": number,
        "seed": seed,
        "detector": detector,
        "rows": len(rows.train),
        "columns": rows.train.shape[1],
        "anomalies": int(rows.is_anomaly.sum()),
        "copies": int(rows.is_copy.sum()),
        "auroc": auroc(scores, rows.is_anomaly),
        "average_precision": average_precision(scores, rows.is_anomaly),
        "auroc_without_copies": auroc(scores[fresh], rows.is_anomaly[fresh]),
        "seconds": seconds,
    }
    with replacing(Path(place)) as file:
        file.write(json.dumps(result).encode())
