"""games FOLDER: draws games of two numbers under each order of play, and prints which orders converge.

    gen-models games work/games

    bilinear.png, quadratic.png   trajectories in the plane, and the distance to the equilibrium by step

In such a game one player changes a number x to make L(x, y) small, and the other changes y to make it large. The
command also prints the factor by which a step changes the distance, predicted and measured. The same pictures are in
reports/games.html and in docs/games.md. They have the same bytes each time.
"""

from pathlib import Path

from gen_models.errors import DataError
from pipelines import arguments
from pipelines.commands.output_file import whole
from pipelines.report.games_page import drawn
from pipelines.report.toy_game_plays import toys
from pipelines.runtime.stage import parse, run


def main(argv: list[str]) -> None:
    folder: Path = parse(argv, "games", __doc__, arguments.games).folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror
        raise DataError(f"{folder}: no folder can be made there ({reason}); name another, such as work/games") from None
    for toy in toys():
        with whole(folder / f"{toy.name}.png") as file:
            file.write(drawn(toy))
        for play in toy.plays:
            print(
                f"{toy.name}, {play.order}: {play.outcome}, factor {play.predicted:.4f}, measured {play.measured:.4f}"
            )


if __name__ == "__main__":
    run(main)
