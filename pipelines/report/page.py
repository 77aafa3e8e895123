"""The page: templates filled with results, tables, comparisons and pictures.

Whatever comes from a file is text, never markup. The only addresses are MLflow's on this machine.
"""

from collections import Counter
from typing import Any
from urllib.parse import quote

from pipelines.evaluation.metrics.collapse import collapse
from pipelines.report import applications, gallery, leaderboard, versus_baselines
from pipelines.report.columns import COLUMNS, MINUS
from pipelines.report.environment import environment
from pipelines.report.leaderboard import Cell, Table, decimal
from pipelines.report.read import Results, RunResult, SweepResult

MLFLOW = "http://127.0.0.1:5000"  # where `make ui` serves it


def page(found: Results) -> str:
    """The page's HTML."""
    templates = environment()
    templates.filters |= {
        "decimal": decimal,
        "setting": setting,
        "significant": significant,
        "short": short,
        "commit": commit,
    }
    templates.globals |= {"run_page": run_page, "version_page": version_page}
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
        denoising=applications.denoising(found),
        compression=applications.compression(found),
        sweeps=[sweep(found, result) for result in found.sweeps.values()],
    )


def summary(found: Results) -> dict[str, Any]:
    """What was run, in the words and numbers of the first paragraph."""
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


def findings(tables: dict[str, Table]) -> dict[str, list[tuple[str, list[str], Cell]]]:
    """{data: [(what, the best runs, their cell)]} of the columns that have a headline."""
    told: dict[str, list[tuple[str, list[str], Cell]]] = {}
    for data, table in tables.items():
        for column in table.columns:
            best = table.best[column.name]
            cell = table.rows[best[0]][column.name] if best else None
            if column.headline and cell is not None:
                told.setdefault(data, []).append((column.headline, best, cell))
    return told


def sweep(found: Results, result: SweepResult) -> dict[str, Any]:
    """A sweep's part of the page: picture, cost, chosen setting, and its trials, the best first."""
    finished = [row for row in result.trials if row["value"] is not None]
    first = next((row for row in finished if row["trial"] == 0), None)
    runs = [run for run in found.runs.values() if run.line.setting == result.line.key]
    return {
        "result": result,
        "runs": runs,
        "picture": gallery.picture(
            result.picture, f"Trials of {result.line.key}", runs, result.line.data, "Each trial's best.", is_wide=True
        ),
        "steps": sum(row["steps"] for row in result.trials),
        "diverged": len(result.trials) - len(finished),
        "as_conf": first["value"] if first else None,
        "swept": sorted({key for row in result.trials for key in row["override"]}),
        "trials": sorted(result.trials, key=lambda row: (row["value"] is None, row["value"] or 0.0, row["trial"])),
    }  # fmt: skip


def run_page(run: RunResult) -> str:
    """The run's page in MLflow."""
    experiment, run_id = (quote(str(run.version[name]), safe="") for name in ("experiment_id", "run_id"))
    return f"{MLFLOW}/#/experiments/{experiment}/runs/{run_id}"


def version_page(run: RunResult) -> str:
    """The model version's page in MLflow."""
    name, number = (quote(str(run.version[name]), safe="") for name in ("model", "version"))
    return f"{MLFLOW}/#/models/{name}/versions/{number}"


def short(sha256: str) -> str:
    """The first twelve digits: enough to tell, and to find."""
    return str(sha256)[:12]


def commit(name: str) -> str:
    """A commit as lineage.json has it, in words."""
    if name == "none":
        return "outside git"
    digits, plus, changes = name.partition("+")
    return digits[:12] + (" with changes that are not committed" if plus and changes else "")


def setting(value: Any) -> str:
    """A swept value in four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def significant(value: float) -> str:
    """A measured value in four digits, zeros at the end included."""
    return f"{value:#.4g}".rstrip(".").replace("-", MINUS)
