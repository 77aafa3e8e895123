"""baselines DATA: measures methods without a network on a data set's test rows, to out/baselines/DATA.

    gen-models baselines digits

anomalies.json, anomaly_scores.npz   PCA, nearest neighbours and an isolation forest, if classes are held out
clusters.json                        k-means on the rows themselves, if there are classes
compression.json                     PCA and, for images, JPEG and PNG
"""

from pathlib import Path

from pipelines.comparison.anomaly_baselines import anomaly_baselines
from pipelines.comparison.compression_baselines import compression_baselines
from pipelines.config.params import params
from pipelines.data.store import open_data
from pipelines.evaluation.latent_clusters import cluster, flat_data
from pipelines.evaluation.prepared_rows import PreparedRows, fix_threads
from pipelines.evaluation.result_files import SHEETS, write_parts
from pipelines.lineage.audit import run_stage
from pipelines.runtime import paths
from pipelines.runtime.stage import argument, produce


def main(argv: list[str]) -> None:
    name = argument(argv, "baselines", "DATA", __doc__)
    seed = params().seed
    with produce(paths.out("baselines", name)) as folder:
        fix_threads()
        rows = PreparedRows(open_data(name))
        (folder / SHEETS).mkdir()
        write_parts(
            folder,
            scored=anomaly_baselines(rows, seed),
            clusters=_clusters(rows, seed, folder / SHEETS),
            compression=compression_baselines(rows),
        )
    print(f"baselines of {name}: anomaly scores, clusters and compression as far as its rows allow")


def _clusters(rows: PreparedRows, seed: int, sheets: Path) -> list[dict]:
    """Cluster the rows themselves by k-means; return one record, or [] if there are fewer than two classes."""
    return [cluster(rows, "k-means", "data", flat_data(rows), seed, sheets)] if rows.classes >= 2 else []


if __name__ == "__main__":
    run_stage("baselines", main)
