"""evaluate RUN: measures a run's model on the test split, and draws pictures of it, to out/evaluate/RUN.

    gen-models evaluate vae-digits

    metrics.json      the numbers that the files of metrics/ explain; as `criterion` the metric by which the model was
                      chosen; how many rows and dimensions were measured; the hashes of data and checkpoint
    latents.json      which latents or codes are in use, if the model has any
    NAME.png, .gif    the pictures that the files of plots/ draw, and scores.png of the default anomaly score
    anomalous_rows.csv  the test rows with the largest values of the default anomaly score, with the reasons why
    anomalies.json, clusters.json, denoising.json, compression.json and more: see result_files.py

If `gen-models play` has already evaluated the run, its pictures and numbers are only copied.
"""

import json
import shutil

from pipelines.config.params import params
from pipelines.evaluation.evaluation_plan import evaluation_plan
from pipelines.evaluation.result_files import MESSAGES
from pipelines.lineage.audit import run_stage
from pipelines.runtime import paths
from pipelines.runtime.stage import argument, produce


def main(argv: list[str]) -> None:
    key = argument(argv, "evaluate", "RUN", __doc__)
    asked = params()
    asked.run(key)
    with produce(paths.out("evaluate", key)) as folder:
        plan = evaluation_plan(asked, key, paths.out("train", key))
        if not plan.is_played():
            from pipelines.evaluation.measure import measure  # imports torch, scikit-learn and matplotlib

            measure(plan.run, **plan.arguments)
        shutil.copytree(plan.folder, folder, dirs_exist_ok=True)
        (folder / "lineage.json").write_text(json.dumps(plan.lineage, indent=1, sort_keys=True))
    shutil.rmtree(plan.folder)
    for line in paths.out("evaluate", key, MESSAGES).read_text().splitlines():
        print(f"{key}: {line}")


if __name__ == "__main__":
    run_stage("evaluate", main)
