"""Makes the page reports/index.html: a card for each run, then a small table for each question.

The page needs no other file: its pictures are inside it, and it has no scripts. Its links lead to the other pages.
"""

import math

from pipelines.report.cards import SHOWN, Card, grouped, most_bytes
from pipelines.report.descriptions import description
from pipelines.report.jinja_environment import environment
from pipelines.report.key_numbers import key_numbers
from pipelines.report.leaderboard import default_score, has_levels, is_bound, numbers_of
from pipelines.report.questions import asked
from pipelines.report.read import Results, RunResult
from pipelines.report.thumbnails import Thumbnail, thumbnail


def page(found: Results) -> str:
    """Return the HTML of reports/index.html."""
    cards = [card(found, run) for run in found.runs.values()]
    return environment().get_template("index.html").render(
        groups=grouped(cards, {name: description("data", name) for name in found.data}),
        questions=asked(found),
        runs=len(found.runs),
        models=len({run.line.model for run in found.runs.values()}),
        budget=found.params.budget,
        note=found.budget_note,
        seed=found.params.seed,
    )  # fmt: skip


def card(found: Results, run: RunResult) -> Card:
    """Return the card of a run."""
    key = run.line.key
    bounded = is_bound(run, has_levels(found.data[run.line.data])) or "binary_nats_iw50" in run.metrics
    return Card(
        key,
        run.line.model,
        run.line.data,
        _about(run),
        _picture(found, run),
        key_numbers(numbers_of(found, key) | _uses(found, key), is_bound=bounded),
        failures=run.failures,
        note=" ".join(_notes(found, run)),
    )


def _about(run: RunResult) -> str:
    """Return what the model is, and what the run's line of params.yaml sets or tries."""
    line, said = run.line, [description("model", run.line.model)]
    if line.fixed:
        said.append(f"Set: {', '.join(f'{key} {value}' for key, value in line.fixed.items())}.")
    if line.grid:
        tried = ", ".join(f"{key} {values}" for key, values in line.grid.items())
        chosen = ", ".join(f"{key} {run.lineage['params'].get(key)}" for key in line.grid)
        said.append(f"A grid of {tried}; this run has {chosen}.")
    return " ".join(said)


def _notes(found: Results, run: RunResult) -> list[str]:
    """Return warnings for a run's card: which numbers are not finite, and if its anomaly score adds nothing new."""
    notes = [f"Not finite: {', '.join(run.not_finite)}."] if run.not_finite else []
    scored, lamp = default_score(found, run.line.key, run.line.data), found.lamp(run.line.key)
    return notes + ([f"Its anomaly score {scored['score']} {lamp}."] if scored and lamp else [])


def _uses(found: Results, key: str) -> dict[str, float]:
    """Return the numbers of a run as a denoiser and as a compressor, which the stage `compare` gathered."""
    used: dict[str, float] = {}
    for row in found.denoising.rows:
        if row["run"] == key and row["factor"] == 1.0:
            used |= {"denoised": row["denoised"], "wiener": row["wiener"]}
    rows = [row for row in found.compression.rows if row["run"] == key]
    if not rows:
        return used
    best = min(rows, key=lambda row: (row["mse"] / (row["mse_pca"] or math.inf), row["bytes_a_row"]))  # as in the table
    return used | {"bytes_a_row": best["bytes_a_row"], "bytes_error": best["mse"]}


def _picture(found: Results, run: RunResult) -> Thumbnail | None:
    for name, words in SHOWN.items():
        if name in run.pictures:
            alt = f"{words} of {run.line.key}"
            return thumbnail(run.pictures[name], alt, most_bytes=most_bytes(len(found.runs)))
    return None
