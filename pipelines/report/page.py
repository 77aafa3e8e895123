"""Makes the page reports/index.html: fills the templates with results, tables, comparisons and pictures.

Text that comes from a file is never read as markup. The only addresses on the page are MLflow's on this machine.
"""

from collections import Counter
from io import BytesIO
from typing import Any
from urllib.parse import quote

from pipelines import figures
from pipelines.evaluation.metrics.collapse import collapse
from pipelines.report import denoising_and_compression, gallery, leaderboard, versus_baselines
from pipelines.report.columns import COLUMNS, MINUS
from pipelines.report.jinja_environment import environment
from pipelines.report.leaderboard import Cell, Table, decimal
from pipelines.report.read import Results, RunResult, SweepResult

MLFLOW = "http://127.0.0.1:5000"  # where `make ui` serves it


def page(found: Results) -> str:
    """Return the HTML of the page."""
    templates = environment()
    templates.filters |= {
        "decimal": decimal,
        "setting": setting,
        "significant": significant,
        "short": short,
        "commit": commit,
    }
    templates.globals |= {"model_page": model_page}
    tables = {data: leaderboard.table(found, data) for data in found.data if found.runs_on(data)}
    clusters = {
        data: versus_baselines.clustering(found, data) for data in tables if leaderboard.clusters_of(found, data, None)
    }
    return templates.get_template("index.html").render(
        found=found,
        summary=summary(found),
        findings=findings(tables),
        tables=tables,
        collapsed={key: told for key, run in found.runs.items() if (told := collapse(run.metrics))},
        columns=[c for c in COLUMNS if any(c in table.columns for table in tables.values())],
        galleries={data: gallery.gallery(found, data) for data in tables},
        detection={data: versus_baselines.detection(found, data) for data in tables if found.scores_on(data)},
        detection_pictures=gallery.detection_pictures(found),
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
    """Return the words and numbers of the first paragraph, which says what was run."""
    lineages = [run.lineage for run in found.runs.values()]
    steps = [lineage["steps"] for lineage in lineages]
    versions = sorted({", ".join(f"{k} {v}" for k, v in sorted(lineage["versions"].items())) for lineage in lineages})
    trials = [row for result in found.sweeps.values() for row in result.trials]
    return {
        "models": len({run.line.model for run in found.runs.values()}),
        "steps": " to ".join(f"{count:,}" for count in sorted({min(steps), max(steps)})) if steps else "0",
        "trials": len(trials),
        "trial_steps": sum(row["steps"] for row in trials),
        "note": next((note for lineage in lineages if (note := lineage["params"].get("budget.note"))), None),
        "versions": "; ".join(versions),
        "commits": sorted(Counter(lineage["git_commit"] for lineage in lineages).items()),
        "workers": ", ".join(str(count) for count in sorted({lineage["workers"] for lineage in lineages})),
    }


def findings(tables: dict[str, Table]) -> dict[str, list[tuple[str, list[str], Cell]]]:
    """Return {data: [(headline, the best runs, their cell)]} for the columns that have a headline."""
    told: dict[str, list[tuple[str, list[str], Cell]]] = {}
    for data, table in tables.items():
        for column in table.columns:
            best = table.best[column.name]
            cell = table.rows[best[0]][column.name] if best else None
            if column.headline and cell is not None:
                told.setdefault(data, []).append((column.headline, best, cell))
    return told


def sweep(found: Results, result: SweepResult) -> dict[str, Any]:
    """Return the part of the page on a sweep: its picture, its cost, the chosen setting and its trials, best first."""
    finished = [row for row in result.trials if row["value"] is not None]
    first = next((row for row in finished if row["trial"] == 0), None)
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
        "steps": sum(row["steps"] for row in result.trials),
        "diverged": len(result.trials) - len(finished),
        "as_conf": first["value"] if first else None,
        "swept": sorted({key for row in result.trials for key in row["override"]}),
        "trials": sorted(result.trials, key=lambda row: (row["value"] is None, row["value"] or 0.0, row["trial"])),
    }  # fmt: skip


def drawn_trials(result: SweepResult) -> bytes:
    """Return the PNG of a sweep: its metric against each swept key, and a rate-distortion front if the conf asks."""
    file = BytesIO()
    figures.trials(result.trials, result.best["metric"], result.best["trial"], file, front=result.best["front"])
    return file.getvalue()


def model_page(run: RunResult) -> str:
    """Return the address of the run's registered model in MLflow, which lists its versions and their runs."""
    return f"{MLFLOW}/#/models/{quote(run.line.key, safe='')}"


def short(sha256: str) -> str:
    """Return the first twelve digits of a hash, which are enough to recognise it and to search for it."""
    return str(sha256)[:12]


def commit(name: str) -> str:
    """Return a commit, as lineage.json has it, in words."""
    if name == "none":
        return "outside git"
    digits, plus, changes = name.partition("+")
    return digits[:12] + (" with changes that are not committed" if plus and changes else "")


def setting(value: Any) -> str:
    """Return a setting as text, a float with four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def significant(value: float) -> str:
    """Return a measured value with four significant digits, including zeros at the end."""
    return f"{value:#.4g}".rstrip(".").replace("-", MINUS)
