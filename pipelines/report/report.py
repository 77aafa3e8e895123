"""report: one page to look at, reports/index.html, and the same numbers for machines, reports/leaderboard.json.

Beside it reports/games.html, of games of two numbers under each order of play. The pages need nothing but themselves:
pictures are in them, there are no scripts, and the only addresses are MLflow's on this machine. All files are functions
of the graph's outputs, without times: the same outputs give the same bytes.
"""

import json

from pipelines import config
from pipelines.report import leaderboard, read
from pipelines.report.games_page import games_page
from pipelines.report.page import page
from pipelines.runtime import paths
from pipelines.runtime.stage import no_argument, produce, run


def main(argv: list[str]) -> None:
    no_argument(argv, "report", __doc__)
    found = read.read(config.params())
    with produce(paths.root() / "reports") as folder:
        (folder / "index.html").write_text(page(found), encoding="utf-8")
        (folder / "games.html").write_text(games_page(), encoding="utf-8")
        numbers = json.dumps(leaderboard.machine(found), indent=1, allow_nan=False)
        (folder / "leaderboard.json").write_text(numbers + "\n", encoding="utf-8")
    print(f"reports/index.html, reports/leaderboard.json: runs {', '.join(found.runs)}")


if __name__ == "__main__":
    run(main)
