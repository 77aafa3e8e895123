"""benchmark: measures the default detector of tables, and free baselines, on the public tables of ADBench.

    gen-models benchmark adbench ADBench/adbench/datasets/Classical
    gen-models benchmark adbench tables --tables odd --detectors default,knn5

FOLDER holds tables such as 4_breastw.npz, with rows X and labels y (1 for an anomaly). Detectors are trained on a
shuffled half of the normal rows, without labels; labels only serve to measure them on the other rows. Results go to
adbench/results.json, adbench/tables.csv and adbench/ranks.png. A benchmark that was killed continues.
"""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from gen_models.errors import DataError, unknown
from gen_models.files import replacing
from pipelines import arguments, figures
from pipelines.adbench.detectors import BASELINES
from pipelines.adbench.play import DETECTORS, cases_of, play
from pipelines.adbench.protocol import tables_in
from pipelines.adbench.summary import PARTS, by_table, summary
from pipelines.runtime import paths
from pipelines.runtime.stage import parse, run


def main(argv: Sequence[str]) -> None:
    """Measure detectors on the tables of a folder; argv: the arguments after `benchmark`."""
    asked = parse(argv, "benchmark", __doc__, arguments.benchmark)
    chosen = asked.detectors.split(",") if asked.detectors else [*BASELINES, "default"]
    for name in chosen:
        if name not in DETECTORS:
            raise DataError("--detectors: " + unknown("detector", name, DETECTORS))
    tables = [table for table in tables_in(asked.folder) if table.number % 2 in PARTS[asked.tables]]
    if not tables:
        raise DataError(f"{asked.folder}: no table with an {asked.tables} number; leave --tables out for all")
    results = play(cases_of(tables, range(asked.seeds), chosen))
    found = summary(results)
    folder = paths.root() / "adbench"
    folder.mkdir(exist_ok=True)
    for name, text in (("results.json", json.dumps(found, indent=1) + "\n"), ("tables.csv", _lines(results))):
        with replacing(folder / name) as file:
            file.write(text.encode())
    with replacing(folder / "ranks.png") as file:
        last = found[list(found)[-1]]
        ranks = {name: row["rank"] for name, row in last["detectors"].items()}
        figures.mean_ranks(ranks, last["critical_difference"], file, title=f"mean rank over {last['tables']} tables")
    for part, of in found.items():
        _say(part, of)
    print(f"{folder}: results.json, tables.csv (a line for each table), ranks.png")


def _lines(results: Sequence[dict[str, Any]]) -> str:
    """Return a CSV with a line for each table: its rows and columns, and each detector's AUROC, the mean over seeds.

    The column `copies` counts test rows that are equal to a training row.
    """
    tables, detectors, areas = by_table(results, "auroc")
    first = {row["table"]: row for row in results}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", "training rows", "columns", "anomalies", "copies", *detectors])
    for name, line in zip(tables, areas, strict=True):
        about = [first[name][key] for key in ("rows", "columns", "anomalies", "copies")]
        writer.writerow([name, *about, *(f"{area:.4f}" for area in line)])
    return text.getvalue()


def _say(part: str, found: dict[str, Any]) -> None:
    print(f"{part}: {found['tables']} tables; AUROC, average precision, AUROC without copies, mean rank")
    for name, row in sorted(found["detectors"].items(), key=lambda entry: -entry[1]["auroc"]):
        gain = found["above_neighbours"].get(name, {}).get("auroc")
        above = f"  {gain['gain']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f}) over {gain['over']}" if gain else ""
        numbers = f"{row['auroc']:.4f}  {row['average_precision']:.4f}  {row['auroc_without_copies']:.4f}"
        print(f"  {name:<24} {numbers}  {row['rank']:.2f}{above}")


if __name__ == "__main__":
    run(main)
