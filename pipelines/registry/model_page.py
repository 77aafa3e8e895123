"""Writes the pages of a registered model and of its versions in MLflow, as Markdown.

A version's page has, in this order: what is wrong with the model, if anything is; the at most five numbers that matter,
with what they mean; a link to the training; how to use the version and decide on new rows; all other numbers; the
lineage.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from gen_models.anomalies.conformal import least_rows, rounded_up
from pipelines.evaluation.metrics.collapse import collapse
from pipelines.evaluation.metrics.meanings import Meaning, not_finite, of_parts, that_matter
from pipelines.evaluation.metrics.standard_errors import NORMAL_95, standard_errors
from pipelines.registry import moves, versions
from pipelines.registry.moves import CHAMPION
from pipelines.registry.promotion import Standing, standing_of
from pipelines.runtime import paths

HEAD = "| number | this model | better | beside it | what it means |\n|---|---|---|---|---|\n"
BAR = "&#124;"  # in a table of Markdown
SHOWN_MOVES = 10
BELOW = "\n### All numbers\n"


def version_page(
    model: str, number: str, lineage: Mapping[str, Any], evaluation: Mapping[str, float], trained_by: tuple[str, str]
) -> str:
    """Return the page of a version.

    model, number: the registered model and the version's number; lineage: the content of its training's lineage.json
    evaluation: the numbers of out/evaluate/RUN/metrics.json
    trained_by: the ids of the experiment and of the run in MLflow
    """
    extra, latents = more_numbers(model), _read(model, "latents.json", {})
    wrong = warnings(evaluation, latents)
    known = {**standard_errors(evaluation), **evaluation, **extra}
    score = next((row for row in _read(model, "scores.json", []) if row["is_default"]), None)
    unpraised = {"auroc"} if score and score["lamp"] else set()
    rows = "".join(
        _row(meaning, known, is_praised=not wrong and meaning.name not in unpraised) for meaning in that_matter(known)
    )
    every = "".join(f"| {name} | {value:.6g} |\n" for name, value in evaluation.items() if math.isfinite(value))
    facts = {name: lineage.get(name) for name in ("key", "git_commit", "conf_sha256", "data_sha256", "seed", "steps")}
    return (
        f"`{lineage['model']}` on `{lineage['data']}`, {evaluation.get('rows', 0):.0f} test rows that it was not "
        "trained on.\n\n"
        + "".join(f"> **{line}**\n\n" for line in wrong)
        + (HEAD + rows if rows else "")
        + f"\n[The run that trained it](#/experiments/{trained_by[0]}/runs/{trained_by[1]}): its curves, settings, "
        "pictures and checkpoint. All models side by side, after `make repro`: `reports/index.html` in the project's "
        "folder.\n"
        + f"\n{_use_table(model, number) if _is_of_table(model) else _use(model, number, evaluation)}"
        + (f"\n{_score(model, number, score)}" if score else "")
        + BELOW
        + f"\n| metric | value |\n|---|---|\n{every}"
        + "\n### Where it comes from\n\n| fact | value |\n|---|---|\n"
        + "".join(f"| {name} | {value} |\n" for name, value in facts.items() if value is not None)
    )


def describe_model(client: Any, model: str) -> None:
    """Write the page of a registered model in MLflow, with its champion and the last moves of the alias `champion`."""
    number = versions.aliases(client, model).get(CHAMPION)
    held = versions.versions(client, model)
    champion = next((version for version in held if version.number == number), None)
    made_here = next((version.tags for version in held if {"model", "data"} <= set(version.tags)), None)
    if made_here is None:  # all versions were registered by hand
        return
    page = model_page(
        made_here, number, standing_of(champion.tags) if champion else None, moves.moves_of(client, model)
    )
    client.update_registered_model(model, description=page)


def model_page(
    lineage: Mapping[str, Any],
    champion: str | None,
    standing: Standing | None,
    moved: Sequence[Mapping[str, Any]] = (),
) -> str:
    """Return the page of a registered model.

    lineage: the tags of one of its versions; champion: the number of its champion, or None
    standing: what the gate compares of the champion, or None; moved: all moves of the model's aliases, the newest last
    """
    served = (
        "No version is champion: the last ones have no finite metric on test rows or are collapsed, or someone took it "
        "away."
    )
    if standing and math.isfinite(standing.value):
        served = (
            f"The champion, the version to use, is **version {champion}**: {standing.metric} {standing.value:.4g} on "
            "test rows (lower is better). Its page says what that means and how to load it."
        )
    elif standing:
        served = f"The champion is **version {champion}**, whose metric on test rows is not known."
    return (
        f"`{lineage['model']}` on `{lineage['data']}`. {about(lineage['model'])}\n\n{served}\n\n"
        "`candidate` is the version that the project's outputs describe now. `champion` moves only to a version that "
        "is not worse on the same test rows, or by a person: `gen-models promote` and `gen-models rollback`.\n"
        + _moves_table(moved)
    )


def _moves_table(moved: Sequence[Mapping[str, Any]]) -> str:
    last = [row for row in moved if row["alias"] == CHAMPION][-SHOWN_MOVES:]
    if not last:
        return ""
    told = [(row, moves.said(row).replace("|", BAR)) for row in reversed(last)]
    rows = "".join(f"| {row['from'] or ''} | {row['to'] or ''} | {words} |\n" for row, words in told)
    return f"\n| champion was | became | by whom, when and why |\n|---|---|---|\n{rows}"


def warnings(evaluation: Mapping[str, float], latents: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a model, a line each: it diverged, or its samples or its latents collapsed.

    evaluation: the numbers of metrics.json; latents: the content of latents.json, or {}
    """
    found = [f"Diverged: {sentence}." for sentence in not_finite(evaluation)]
    finite = {name: value for name, value in evaluation.items() if math.isfinite(value)}
    found += [f"Collapsed: {sentence}." for sentence in collapse(finite)]
    if latents.get("is_collapsed"):
        found.append(f"Collapsed: {latents['sentence']}.")
    return found


def more_numbers(run: str) -> dict[str, float]:
    """Return the numbers that matter and are not in metrics.json: of anomalies, denoising and clusters."""
    return of_parts(*(_read(run, f"{part}.json", []) for part in ("anomalies", "denoising", "clusters")))


def about(model: str) -> str:
    """Return the first sentence of the comment at the top of conf/model/MODEL.yaml, or ""."""
    path = paths.root() / "conf" / "model" / f"{model}.yaml"
    lines = path.read_text().splitlines() if path.is_file() else []
    words = []
    for line in lines:
        if not line.startswith("#"):
            break
        words += [] if "@package" in line else line.lstrip("# ").split()
    sentence = " ".join(words).partition(". ")[0].rstrip(".")
    return f"{sentence}." if sentence else ""


def _row(meaning: Meaning, numbers: Mapping[str, float], *, is_praised: bool) -> str:
    value, baseline = numbers[meaning.name], numbers.get(meaning.baseline, math.nan)
    beside = ""
    if math.isfinite(baseline):
        beside = f"{_shown(baseline)}: {meaning.beside}"
        verdict = meaning.verdict(value, baseline, NORMAL_95 * numbers.get(f"{meaning.name}_error", 0.0))
        if not meaning.is_ceiling and (is_praised or verdict == "worse than"):
            words = "about as good as" if verdict == "as" else verdict
            beside = f"{words} {_shown(baseline)}, {meaning.beside}"
    better = meaning.better if meaning.better in ("lower", "higher") else f"nearest to {meaning.better}"
    return f"| {meaning.title} | **{_shown(value)}** | {better} | {beside} | {meaning.words} |\n"


def _use(model: str, number: str, evaluation: Mapping[str, float]) -> str:
    """Return Markdown on how to load a version and use it, in Python and in the shell.

    The example computes scores or, if the model's evaluation has neither a likelihood nor a reconstruction error,
    samples.
    """
    dims = int(evaluation.get("dims", 1))
    if {"nats", "binary_nats", "mse"} & set(evaluation):
        call, verb = "rows", f"predict {model}@{number} rows.npy --task score"
        told = f"`rows` are float32, (n, {dims}), in the units of the data; a larger score is more anomalous"
    else:
        call, verb = (
            f'np.zeros((0, {dims}), "float32"), {{"task": "sample", "n": 16}}',
            f"sample {model}@{number} --n 16",
        )
        told = f"these are 16 samples of {dims} numbers"
    return (
        f'```python\nimport mlflow, numpy as np\nmodel = mlflow.pyfunc.load_model("models:/{model}/{number}")\n'
        f"print(model.predict({call}))\n```\n\n"
        f"Run it in the project's folder: {told}. In a shell: `gen-models {verb}`\n"
    )


def _is_of_table(run: str) -> bool:
    path = paths.out("train", run, "checkpoint", "data.json")
    return path.is_file() and "table" in json.loads(path.read_text())


def _use_table(model: str, number: str) -> str:
    """Return Markdown on how to load a version of a table's model and use it, in Python and in the shell."""
    return (
        f'```python\nimport mlflow, pandas as pd\nmodel = mlflow.pyfunc.load_model("models:/{model}/{number}")\n'
        f'print(model.predict(pd.read_csv("rows.csv")))\n```\n\n'
        "Run it in the project's folder: `rows.csv` has the columns of the table that the model was trained on; a "
        f"larger score is more anomalous. In a shell: `gen-models predict {model}@{number} rows.csv --task score`\n"
    )


def _score(model: str, number: str, score: Mapping[str, Any]) -> str:
    """Return Markdown on how to find unusual rows with a version, and at which false-positive rates that is possible.

    It warns if the training added next to nothing to the score. score: the row of scores.json for the default score
    """
    rows, name = score["calibration_rows"], score["score"]
    rate = "0.01" if rows >= least_rows(0.01) else rounded_up(1 / (rows + 1)) if rows else ""
    line = f"gen-models score {model}@{number} FILE {f'--fpr {rate} ' if rate else ''}--out scores.csv"
    told = f"To find unusual rows in a file or folder: `{line}`. Its score is `{name}`; "
    if rows:
        told += (
            f"a row's p-value compares it with the scores of {rows:,} calibration rows, so the smallest false-positive "
            f"rate that can be stated is 1/{rows + 1} (`--fpr {rounded_up(1 / (rows + 1))}`).\n"
        )
    else:
        told += "the data had no calibration rows, so rows are ranked and have no p-values.\n"
    lamp = f"\n> **The score {name} {score['lamp']}: the training added next to nothing to it.**\n"
    return told + (lamp if score["lamp"] else "")


def _shown(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e6 else f"{value:.3g}"


def _read(run: str, name: str, otherwise: Any) -> Any:
    path = paths.out("evaluate", run, name)
    return json.loads(path.read_text()) if path.is_file() else otherwise
