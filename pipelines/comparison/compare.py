"""compare: gathers anomaly scores, clusters, denoising and compression of all runs and baselines, to out/compare.

    gen-models compare

`evaluate` computes them for each run, `baselines` for each data set. This stage only gathers them, and draws the
pictures that need all runs. So one more run costs only that run's evaluation.

    scores/        scores.json: each anomaly score of each run, described without labels (score_facts.py); if it is the
                   run's default score and the data are a table, with the columns of the most anomalous test rows
                   agreement.json: how far the scores on a data set agree (score_agreement.py)
                   distributions-DATA.png: each run's default score on test rows; most-DATA.png: the most anomalous
                   test images
    anomalies/     for data with held-out classes: scores.json, roc.png, extremes-DATA.png
    clusters/      scores.json, clusters-RUN.png
    denoising/     scores.json, denoised-RUN.png
    compression/   scores.json, rates-DATA.png
    metrics/, curves/   the few numbers of each run that `dvc metrics` shows, and its curve for `dvc plots`

Each scores.json is a list of records, one for each result of a run or baseline. The report's pages show them all; here
one line for each data set and part is printed.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from pipelines import figures
from pipelines.comparison.anomalies import compare_anomalies
from pipelines.comparison.compression_baselines import reached
from pipelines.comparison.dvc_files import write_curves, write_metrics
from pipelines.comparison.gather import Row, gather, sheets, tell_range
from pipelines.comparison.scores import compare_scores
from pipelines.config.params import Params, params
from pipelines.lineage.audit import run_stage
from pipelines.runtime import paths
from pipelines.runtime.stage import no_argument, produce


def main(argv: list[str]) -> None:
    no_argument(argv, "compare", __doc__)
    with produce(paths.out("compare")) as folder:
        compare(params(), folder)


def compare(asked: Params, folder: Path) -> None:
    """Write all of out/compare, for the runs and data sets of `asked`, into a folder."""
    for name, part in COMPARISONS.items():
        (folder / name).mkdir(parents=True)
        rows = part(asked, folder / name)
        (folder / name / "scores.json").write_text(json.dumps(rows, indent=1) + "\n")
    write_metrics(asked, folder / "metrics")
    write_curves(asked, folder / "curves")


def compare_clusters(params: Params, folder: Path) -> list[Row]:
    """Return the records of the clusters in each run's latents and in the data themselves, and copy their pictures."""
    rows = gather(params, "clusters")
    _copy(params, "clusters-*.png", folder)
    tell_range(rows, "clustering", "acc_mean", "accuracy")
    return rows


def compare_denoising(params: Params, folder: Path) -> list[Row]:
    """Return the records of each denoiser beside the best linear one, and copy their pictures."""
    rows = gather(params, "denoising")
    _copy(params, "denoised-*.png", folder)
    tell_range(rows, "denoising", "denoised", "squared error", ".5f")
    return rows


def compare_compression(params: Params, folder: Path) -> list[Row]:
    """Return the records of rate and distortion of all runs and baselines, and draw rates-DATA.png for each data set.

    Adds to each run's record the lowest error of PCA and of JPEG in at most as many bytes.
    """
    rows = gather(params, "compression", baselines_first=True)
    for index, row in enumerate(rows):
        if row["run"] in params.runs:
            rows[index] = row | reached([other for other in rows if other["data"] == row["data"]], row["bytes"])
    for data in dict.fromkeys(row["data"] for row in rows):
        mine = [row for row in rows if row["data"] == data]
        figures.rate_distortion(mine, folder / f"rates-{data}.png", title=f"{data}: {mine[0]['rows']:,} test rows")
    tell_range(rows, "compressed file", "bytes_a_row", "bytes a row", ".2f")
    return rows


COMPARISONS: dict[str, Callable[[Params, Path], list[Row]]] = {
    "scores": compare_scores,
    "anomalies": compare_anomalies,
    "clusters": compare_clusters,
    "denoising": compare_denoising,
    "compression": compare_compression,
}


def _copy(params: Params, pattern: str, folder: Path) -> None:
    for path in sheets(params, pattern):
        shutil.copy(path, folder / path.name)


if __name__ == "__main__":
    run_stage("compare", main)
