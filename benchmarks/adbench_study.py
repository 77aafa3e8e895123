"""Anomalies in the tables of ADBench, no label used: each measure, their mean, and one and five neighbours.

    python -m benchmarks.adbench_study run TABLES.../ out.json [--tables odd|even|all] [--seeds 0 1 2] [--cap 10000]
    python -m benchmarks.adbench_study means out.json [...]

TABLES holds NUMBER_name.npz with X and y, y = 1 for anomalies. A shuffled half of the normal rows trains; the other
half and all anomalies are the test, at most `cap` rows of each kind. Areas are of the ROC curve; `ap` is average
precision, `fresh` leaves test rows out that equal a training row. Scores are kept beside out.json, in out/, so a table
that is there is not run again. The interval is the bootstrap's over tables, of paired differences.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from gen_models.analysis.table_anomalies import MEASURES, TableAnomalies
from gen_models.mixtures.kernels import by_blocks, squared_distances
from gen_models.noise import Noise

COMBINED = {
    "default": MEASURES,
    **{f"without {one}": {name: w for name, w in MEASURES.items() if name != one} for one in MEASURES},
    "metric, contrast": {"metric": 1.0, "contrast": 1.0},
    "round, contrast": {"round": 1.0, "contrast": 1.0},
    "metric, round": {"metric": 1.0, "round": 1.0},
    "equal weights": dict.fromkeys(MEASURES, 1.0),
}
NEIGHBOURS = (1, 5)
DRAWS = 20_000


def number(path: Path) -> int:
    """The number that a table's file name begins with."""
    return int(path.stem.split("_")[0])


def split(path: Path, seed: int, cap: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training rows, test rows, and whether a test row is an anomaly."""
    with np.load(path) as file:
        x, y = file["X"].astype(np.float64), file["y"].ravel()
    draw = np.random.default_rng(seed)
    normal, odd = draw.permutation(np.flatnonzero(y == 0)), draw.permutation(np.flatnonzero(y == 1))
    half = len(normal) // 2
    train, held, odd = normal[:half][:cap], normal[half:][:cap], odd[:cap]
    return x[train], x[np.concatenate([held, odd])], np.arange(len(held) + len(odd)) >= len(held)


def scored(path: Path, seed: int, cap: int) -> dict[str, np.ndarray]:
    """Each measure of each test row, the neighbours' distances, and which rows are anomalies or copies."""
    train, test, is_odd = split(path, seed, cap)
    began = time.monotonic()
    torch.manual_seed(seed)
    model = TableAnomalies(train.shape[1])
    model.fit(torch.from_numpy(train), Noise(seed))
    found = {name: values.numpy() for name, values in model.measures(torch.from_numpy(test)).items()}
    found["seconds"] = np.array(time.monotonic() - began)
    mean, std = train.mean(axis=0), train.std(axis=0)
    std[std == 0] = 1
    rows, queries = ((torch.from_numpy((x - mean) / std).float()) for x in (train, test))
    nearest = by_blocks(_nearest, lambda block: squared_distances(block, rows), queries)
    found |= {f"knn{i}": nearest[:, :i].mean(dim=1).numpy() for i in NEIGHBOURS}
    known = {row.tobytes() for row in train + 0.0}
    found["is_copy"] = np.array([row.tobytes() in known for row in test + 0.0])
    found["is_odd"] = is_odd
    return found


def _nearest(squares: torch.Tensor) -> torch.Tensor:
    return squares.topk(max(NEIGHBOURS), largest=False)[0].sqrt()


def areas(found: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """{score: auroc, ap, fresh auroc, fresh ap} for every measure, combination and neighbour."""
    values = {name: found[name] for name in (*MEASURES, *(f"knn{k}" for k in NEIGHBOURS))}
    for name, weights in COMBINED.items():
        values[name] = sum(w * found[one] for one, w in weights.items())
    is_odd, fresh = found["is_odd"], ~found["is_copy"]
    both = fresh[is_odd].any() and fresh[~is_odd].any()
    fresh = fresh if both else np.ones_like(fresh)
    return {
        name: {
            "auroc": auroc(v, is_odd),
            "ap": average_precision(v, is_odd),
            "fresh": auroc(v[fresh], is_odd[fresh]),
            "fresh_ap": average_precision(v[fresh], is_odd[fresh]),
        }
        for name, v in values.items()
    }


def auroc(scores: np.ndarray, is_odd: np.ndarray) -> float:
    """The share of pairs in the right order, ties as half."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    n, m = is_odd.sum(), (~is_odd).sum()
    return float((ranks[is_odd].sum() - n * (n + 1) / 2) / (n * m))


def average_precision(scores: np.ndarray, is_odd: np.ndarray) -> float:
    """The mean over anomalies of the precision at their score, ties together."""
    values, place = np.unique(-scores, return_inverse=True)
    hits = np.bincount(place, weights=is_odd, minlength=len(values))
    precision = hits.cumsum() / np.bincount(place, minlength=len(values)).cumsum()
    return float((precision * hits).sum() / is_odd.sum())


def run(folder: Path, out: Path, which: str, seeds: list[int], cap: int) -> None:
    """Score every table with every seed, and write the areas."""
    kept = out.with_suffix("")
    kept.mkdir(parents=True, exist_ok=True)
    parts = {"odd": (1,), "even": (0,), "all": (0, 1)}[which]
    paths = [path for path in sorted(folder.glob("*.npz"), key=number) if number(path) % 2 in parts]
    results = json.loads(out.read_text()) if out.exists() else []
    for seed in seeds:
        for path in paths:
            file = kept / f"{path.stem}_{seed}.npz"
            if not file.exists():
                np.savez(file, **scored(path, seed, cap))
            with np.load(file) as stored:
                found = dict(stored)
            results = [r for r in results if (r["table"], r["seed"]) != (path.stem, seed)]
            results.append(
                {"table": path.stem, "seed": seed, "seconds": float(found["seconds"]), "areas": areas(found)}
            )
            out.write_text(json.dumps(results, indent=1))
            said = " ".join(
                f"{s}={results[-1]['areas'][s]['auroc']:.3f}" for s in ("default", *MEASURES, "knn1", "knn5")
            )
            print(f"{path.stem} {seed} {found['seconds']:.0f}s {said}", flush=True)


def means(files: list[Path]) -> None:
    """Print means over tables with the paired interval above the better of one and five neighbours."""
    results = [row for file in files for row in json.loads(file.read_text())]
    tables = sorted({row["table"] for row in results}, key=lambda name: int(name.split("_")[0]))
    for part, keep in (("odd", (1,)), ("even", (0,)), ("all", (0, 1))):
        chosen = [name for name in tables if int(name.split("_")[0]) % 2 in keep]
        if not chosen:
            continue
        print(f"\n{part}: {len(chosen)} tables; auroc, ap, auroc and ap without copies; gain over neighbours, 95%")
        table = {
            (score, what): np.array(
                [np.mean([r["areas"][score][what] for r in results if r["table"] == name]) for name in chosen]
            )
            for score in results[0]["areas"]
            for what in ("auroc", "ap", "fresh", "fresh_ap")
        }
        for score in results[0]["areas"]:
            line = " ".join(f"{table[score, what].mean():.4f}" for what in ("auroc", "ap", "fresh", "fresh_ap"))
            gains = ""
            for what in ("auroc", "fresh"):
                best = max((f"knn{k}" for k in NEIGHBOURS), key=lambda one: table[one, what].mean())
                gain = table[score, what] - table[best, what]
                draws = gain[np.random.default_rng(0).integers(len(gain), size=(DRAWS, len(gain)))].mean(axis=1)
                low, high = np.quantile(draws, [0.025, 0.975])
                gains += f"  {what} over {best} {gain.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
            print(f"{score:24s} {line} {gains}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    study = commands.add_parser("run")
    study.add_argument("folder", type=Path)
    study.add_argument("out", type=Path)
    study.add_argument("--tables", choices=("odd", "even", "all"), default="all")
    study.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    study.add_argument("--cap", type=int, default=10_000)
    commands.add_parser("means").add_argument("files", type=Path, nargs="+")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "run":
        run(given.folder, given.out, given.tables, given.seeds, given.cap)
    else:
        means(given.files)


if __name__ == "__main__":
    main()
