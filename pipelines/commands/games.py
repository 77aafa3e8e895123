"""games FOLDER: draws games of two numbers under each order of play, and prints which orders converge.

    gen-models games work/games

    bilinear.png, quadratic.png   trajectories in the plane, and the distance to the equilibrium by step

In such a game one player changes a number x to make L(x, y) small, and the other changes y to make it large. The
command also prints the factor by which a step changes the distance, predicted and measured. The same pictures are in
reports/games.html and in docs/games.md. They have the same bytes each time.
"""

from pathlib import Path

from pipelines import arguments
from pipelines.report.games_page import drawn
from pipelines.report.toy_game_plays import toys
from pipelines.runtime.stage import parse, run


def main(argv: list[str]) -> None:
    folder: Path = parse(argv, "games", __doc__, arguments.games).folder
    folder.mkdir(parents=True, exist_ok=True)
    for toy in toys():
        (folder / f"{toy.name}.png").write_bytes(drawn(toy))
        for play in toy.plays:
            print(
                f"{toy.name}, {play.order}: {play.outcome}, factor {play.predicted:.4f}, measured {play.measured:.4f}"
            )


if __name__ == "__main__":
    run(main)
