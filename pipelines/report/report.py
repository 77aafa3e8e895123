"""report: writes pages with the pictures and numbers of all runs, to reports/index.html.

    gen-models report

    index.html           a card for each run, and a small table for each question
    details.html         all numbers, comparisons with baselines, sweeps, and where each run comes from
    pictures-DATA.html   all pictures of the runs on a data set
    games.html           a page on games of two numbers under each order of play
    leaderboard.json     the numbers for programs

Each page needs no other file: pictures are inside it, it has no scripts, and it links only to the other pages and to
MLflow's. No file holds a time, so the same outputs of the graph give the same bytes.
"""

import json
from pathlib import Path

from pipelines.config.params import params
from pipelines.lineage.audit import run_stage
from pipelines.report import leaderboard, read
from pipelines.report.details_page import details_page
from pipelines.report.page import page
from pipelines.report.pictures_page import name_of, pictures_page
from pipelines.report.read import Results
from pipelines.report.stored_games_page import stored_games_page
from pipelines.runtime import paths
from pipelines.runtime.stage import no_argument, produce


def main(argv: list[str]) -> None:
    no_argument(argv, "report", __doc__)
    found = read.read(params())
    with produce(paths.root() / "reports") as folder:
        write_pages(found, folder)
    print(f"reports/index.html, reports/leaderboard.json: runs {', '.join(found.runs)}")


def write_pages(found: Results, folder: Path) -> None:
    """Write all pages, and leaderboard.json, into a folder."""
    pages = {"index.html": page(found), "details.html": details_page(found), "games.html": stored_games_page()}
    pages |= {name_of(data): pictures_page(found, data) for data in found.data if found.runs_on(data)}
    for name, html in pages.items():
        (folder / name).write_text(html, encoding="utf-8")
    numbers = json.dumps(leaderboard.machine(found), indent=1, allow_nan=False)
    (folder / "leaderboard.json").write_text(numbers + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_stage("report", main)
