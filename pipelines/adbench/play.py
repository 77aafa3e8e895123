"""Plays the benchmark: a job for each table, seed and detector, as many at once as the cluster has CPUs.

The place of a result is a hash of all that decides it: the table's file, the seed, the detector and its code. So a
benchmark that was killed continues, and an edited detector is measured anew and no other.
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
    """What is measured: a detector on a table, with a seed. place: the file of its result, which appears at its end"""

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
    """The cases in play, handed out one by one; see `tune`."""

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
    """Return all cases, those of the slowest detectors first, so that no long one is left at the end."""
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
    """Measure the cases that have no result yet, and return the results of all. Raises GenModelsError if one failed."""
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
    """Measure one case, and write its result. The arguments are those of `Case.configuration`."""
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
