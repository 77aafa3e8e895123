"""report: writes a page with the numbers and pictures of all runs, to reports/index.html.

    index.html         the page
    leaderboard.json   the same numbers for programs
    games.html         a page on games of two numbers under each order of play

The pages need no other files: pictures are inside them, they have no scripts, and the only addresses are MLflow's on
this machine. No file holds a time, so the same outputs of the graph give the same bytes.
"""

import json

from pipelines.config.params import params
from pipelines.lineage.audit import run_stage
from pipelines.report import leaderboard, read
from pipelines.report.games_page import games_page
from pipelines.report.page import page
from pipelines.runtime import paths
from pipelines.runtime.stage import no_argument, produce


def main(argv: list[str]) -> None:
    no_argument(argv, "report", __doc__)
    found = read.read(params())
    with produce(paths.root() / "reports") as folder:
        (folder / "index.html").write_text(page(found), encoding="utf-8")
        (folder / "games.html").write_text(games_page(), encoding="utf-8")
        numbers = json.dumps(leaderboard.machine(found), indent=1, allow_nan=False)
        (folder / "leaderboard.json").write_text(numbers + "\n", encoding="utf-8")
    print(f"reports/index.html, reports/leaderboard.json: runs {', '.join(found.runs)}")


if __name__ == "__main__":
    run_stage("report", main)
