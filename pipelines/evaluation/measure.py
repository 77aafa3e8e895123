"""Measures a trained run on the test split, draws pictures of it, and writes both into a folder.

What is measured depends on what the model can do. Rows of classes that are held out as anomalies are used for the
anomaly scores and for nothing else. All noise comes from the seed of params.yaml, so a second evaluation writes the
same bytes.
"""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from gen_models import checkpoint
from gen_models.evaluating import evaluating
from gen_models.measures.sweep_metrics import validation
from gen_models.noise import Noise
from pipelines.config.params import Run
from pipelines.evaluation.anomalous_rows import write_anomalous_rows
from pipelines.evaluation.anomaly_assessment import anomaly_scores
from pipelines.evaluation.compression_rates import compression_rates
from pipelines.evaluation.denoising_errors import denoising_errors
from pipelines.evaluation.latent_clusters import latent_clusters
from pipelines.evaluation.metrics import all_metrics
from pipelines.evaluation.metrics.collapse import collapse
from pipelines.evaluation.metrics.meanings import (
    below_baselines,
    in_short,
    not_finite,
    of_parts,
    rests_on_one_row,
    unlike_the_data,
)
from pipelines.evaluation.metrics.standard_errors import standard_errors
from pipelines.evaluation.plots import all_plots, training_animation
from pipelines.evaluation.result_files import MESSAGES, SHEETS, write_part, write_parts
from pipelines.evaluation.row_scores import score_rows, write_calibration
from pipelines.evaluation.score_facts import score_facts
from pipelines.evaluation.score_sheet import draw_scored
from pipelines.evaluation.trained_run import Trained, open_folders
from pipelines.training.validation_metrics import ruler_of


def measure(run: Run, *, trained: Path, data: Path, seed: int, to: Path) -> None:
    """Evaluate a run, and write the results into the folder `to`, which appears when all its files are written.

    trained: the folder that the training wrote, with checkpoint/, lineage.json and samples/
    data: the folder of the prepared data set; seed: of params.yaml
    """
    folder = to.with_name(f".{to.name}.unfinished")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / SHEETS).mkdir(parents=True)
    opened, noise = open_folders(run, trained, data), Noise(seed)
    with evaluating(opened.model):
        numbers = origin(opened) | criterion(opened) | all_metrics.numbers(opened, noise)
        (folder / "metrics.json").write_text(json.dumps(numbers, indent=1) + "\n")
        if seen := all_metrics.latents(opened, noise):
            (folder / "latents.json").write_text(json.dumps(seen.as_json(), indent=1) + "\n")
        all_plots.pictures(opened, noise, folder)
    training_animation.animation(opened, folder / "training.gif")
    scored = score_rows(opened, seed)
    calibration = write_calibration(opened, scored, folder)
    scores = score_facts(opened, scored, calibration)
    write_part(folder, "scores", scores)
    draw_scored(opened, scored, calibration, folder / "scores.png")
    write_anomalous_rows(opened, scores, folder)
    anomalies = anomaly_scores(opened, scored, seed)
    clusters = latent_clusters(opened, seed, folder / SHEETS)
    denoising = denoising_errors(opened, seed, folder / SHEETS)
    write_parts(
        folder,
        scored=anomalies,
        scores={(run.key, name): values for name, values in scored.test.items()},
        clusters=clusters,
        denoising=denoising,
        compression=compression_rates(opened, seed),
    )
    known = {name: value for name, value in numbers.items() if not isinstance(value, str)}
    of_rows = of_parts([record for record, _ in anomalies], denoising, clusters)
    lines = ["; ".join(filter(None, [in_short(known | of_rows), "all numbers are in metrics.json"]))]
    lines += [f"warning: {sentence}" for sentence in (*not_finite(known), *collapse(known))]
    lines += [f"warning: {sentence}" for sentence in below_baselines({**standard_errors(known), **known})]
    lines += [f"warning: {sentence}" for sentence in (*rests_on_one_row(known), *unlike_the_data(known))]
    lines += [f"warning: its score {row['score']} {row['lamp']}" for row in scores if row["lamp"]]
    lines += [f"warning: its score {name} is no number for some rows, so it is left out" for name in scored.left_out]
    if seen:
        lines.append(f"{'COLLAPSED: ' if seen.is_collapsed else ''}{seen.sentence}")
    (folder / MESSAGES).write_text("".join(f"{line}\n" for line in lines))
    folder.rename(to)


def criterion(trained: Trained) -> dict[str, float]:
    """Return {"criterion": value}: the metric by which the sweep chose the model's setting, measured on test rows.

    Registered versions of a model are compared by it.
    """
    lineage, is_normal = lineage_of(trained), ~trained.is_anomaly("test")
    ruler = ruler_of(trained.data, "test", lineage["front"])
    if ruler.factors is not None:
        ruler = replace(ruler, factors=ruler.factors[is_normal])
    (value,) = validation(trained.model, trained.normal("test"), [lineage["metric"]], ruler).values()
    return {"criterion": value}


def lineage_of(trained: Trained) -> dict[str, Any]:
    return json.loads((trained.folder / "lineage.json").read_text())


def origin(trained: Trained) -> dict[str, int | str]:
    """Return what was measured: how many test rows of how many dimensions, and the hashes of data and checkpoint."""
    x = trained.normal("test")
    return {
        "rows": len(x),
        "dims": math.prod(trained.data.event_shape),
        "data_sha256": trained.data.sha256,
        "checkpoint_sha256": checkpoint.digest(trained.folder / "checkpoint"),
    }
