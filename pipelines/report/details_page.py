"""Makes the page reports/details.html: all numbers, every comparison with baselines, sweeps and provenance."""

import math
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from pipelines.config import yaml_file
from pipelines.config.params import Run
from pipelines.data import anomalies
from pipelines.report import (
    denoising_and_compression,
    gallery,
    kinds_of_anomaly,
    leaderboard,
    sweep_pictures,
    unusual_rows,
    versus_baselines,
)
from pipelines.report.jinja_environment import environment
from pipelines.report.leaderboard_columns import COLUMNS
from pipelines.report.read import Results, Row, RunResult, SweepResult
from pipelines.runtime import paths
from pipelines.training.ranking import decided, undecided


def details_page(found: Results) -> str:
    """Return the HTML of reports/details.html."""
    tables = {data: leaderboard.table(found, data) for data in found.data if found.runs_on(data)}
    clusters = {
        data: versus_baselines.clustering(found, data) for data in tables if leaderboard.clusters_of(found, data, None)
    }
    template = environment().get_template("details.html")
    return template.render(
        found=found,
        summary=summary(found),
        tables=tables,
        columns=[c for c in COLUMNS if any(c in table.columns for table in tables.values())],
        detection={data: versus_baselines.detection(found, data) for data in tables if found.scores_on(data)},
        kinds={data: table for data in tables if (table := kinds_of_anomaly.table(found, data))},
        unmeasured={data: why for data in tables if (why := anomalies.unmeasured(found.data[data]))},
        held_out={data: held_out(manifest) for data, manifest in found.data.items()},
        detection_pictures=gallery.detection_pictures(found),
        unusual=unusual_rows.unusual(found),
        clustering=clusters,
        unclustered={
            data: [
                run.line.key for run in found.runs_on(data) if not leaderboard.clusters_of(found, data, run.line.key)
            ]
            for data in clusters
        },
        sheets={data: gallery.clustering_pictures(found, data, comparison) for data, comparison in clusters.items()},
        denoising=denoising_and_compression.denoising(found),
        compression=denoising_and_compression.compression(found),
        sweeps=[sweep(found, result) for result in found.sweeps.values()],
    )


def summary(found: Results) -> dict[str, Any]:
    """Return the words and numbers of the page's first paragraph, which says what was run."""
    lineages = [run.lineage for run in found.runs.values()]
    steps = [lineage["steps"] for lineage in lineages]
    versions = sorted({", ".join(f"{k} {v}" for k, v in sorted(lineage["versions"].items())) for lineage in lineages})
    trials = [row for result in found.sweeps.values() for row in result.trials]
    return {
        "models": len({run.line.model for run in found.runs.values()}),
        "steps": " to ".join(f"{count:,}" for count in sorted({min(steps), max(steps)})) if steps else "0",
        "trials": len(trials),
        "trial_steps": sum(row["steps"] for row in trials),
        "versions": "; ".join(versions),
        "commits": sorted(Counter(lineage["git_commit"] for lineage in lineages).items()),
        "workers": ", ".join(str(count) for count in sorted({lineage["workers"] for lineage in lineages})),
    }


def held_out(manifest: Row) -> str:
    """Return which classes are held out, in words: "no class", "class 8" or "classes bent, scratch"."""
    count, words = len(anomalies.names(manifest)), anomalies.held_out(manifest)
    if count > anomalies.MOST_NAMES:
        return words
    return f"{'class' if count == 1 else 'classes'} {words}" if count else "no class"


def sweep(found: Results, result: SweepResult) -> dict[str, Any]:
    """Return what the page shows of a sweep: its picture, its cost, the best setting and its trials, the best first."""
    finished = [row for row in result.trials if row["value"] is not None]
    runs = [run for run in found.runs.values() if run.line.setting == result.line.key]
    return {
        "result": result,
        "runs": runs,
        "picture": gallery.picture(
            drawn_trials(result),
            f"Trials of {result.line.key}",
            runs,
            result.line.data,
            "Each trial's best.",
            is_wide=True,
        ),
        "samples": sample_picture(found, result, runs),
        "steps": sum(row["steps"] for row in result.trials),
        "diverged": len(result.trials) - len(finished),
        "as_conf": None if _is_grid(result.line) else _as_conf(finished, result.best),
        "chosen": {key: value for key, value in result.best["override"].items() if key not in result.line.fixed},
        "undecided": undecided(result.trials),
        "decided": decided(result.trials),
        "mean": result.best.get("mean"),
        "has_seeds": any("mean" in row for row in result.trials),
        "swept": sorted({key for row in result.trials for key in row["override"]}),
        "front": [name for axis in ("rate", "distortion") if (name := (result.best["front"] or {}).get(axis))],
        "trials": sorted(result.trials, key=lambda row: (row["value"] is None, row["value"] or 0.0, row["trial"])),
    }  # fmt: skip


def _is_grid(line: Run) -> bool:
    """Return whether a sweep tries every combination of values, so that trial 0 has no settings of the conf."""
    conf = paths.root() / "conf"
    files = [
        yaml_file.read(path, dotted_keys=True) for path in (conf / "model" / f"{line.model}.yaml", conf / "config.yaml")
    ]
    of_files = [(file.get("sweep") or {}).get("searcher") for file in files]
    return line.grid is not None or next(filter(None, [line.fixed.get("sweep.searcher"), *of_files]), "") == "grid"


def _as_conf(trials: Sequence[Row], best: Row) -> Row | None:
    """Return the value of trial 0, which has the settings of the conf, or None if it was chosen or has none.

    trials: those with a value; best: the row of the chosen one in best.json

    If a scheduler stopped trial 0 early, `cut` is the step, and `chosen` the best number of the chosen trial up to it.
    """
    by_trial = {row["trial"]: row for row in trials}
    if best["trial"] == 0 or 0 not in by_trial or best["trial"] not in by_trial:
        return None
    first, chosen = by_trial[0], by_trial[best["trial"]]
    if first["steps"] >= chosen["steps"]:
        return {"value": first["value"], "mean": first.get("mean"), "sd": first.get("sd")}
    name = f"validation.{best['metric']}"
    until = [
        line["metrics"][name]
        for line in chosen.get("history", ())
        if line["step"] <= first["steps"] and name in line["metrics"]
    ]
    return {"value": first["value"], "cut": first["steps"], "chosen": min(until, default=math.nan)}


def sample_picture(found: Results, result: SweepResult, runs: list[RunResult]) -> gallery.Picture | None:
    """Return a picture of the trials' samples side by side, each under its setting; None if there are none."""
    content = sweep_pictures.samples(result.trials, result.samples, found.data[result.line.data]["levels"])
    if content is None:
        return None
    about = "Samples of the trials, of one noise, under their settings."
    return gallery.picture(
        content, f"Samples of the trials of {result.line.key}", runs, result.line.data, about, is_wide=True
    )


def drawn_trials(result: SweepResult) -> bytes:
    """Return the PNG of a sweep: its metric against each swept key and, if the conf asks, the rate-distortion front."""
    from pipelines import figures  # matplotlib takes a third of a second to import

    file = BytesIO()
    figures.trials(result.trials, result.best["metric"], result.best["trial"], file, front=result.best["front"])
    return file.getvalue()
