"""The page reports/games.html: what each order of play does in games of two numbers.

It shows pictures, sentences and numbers. toy_game_plays.py says what these games are.
"""

from functools import cache
from io import BytesIO
from typing import Any

from pipelines import figures
from pipelines.report.as_text import MINUS
from pipelines.report.gallery import picture
from pipelines.report.jinja_environment import environment
from pipelines.report.toy_game_plays import CURVATURE, N_DIS, RATE, STEPS, Play, Toy, toys

VERBS = ("converges", "circles", "diverges")
ALPHA = "\N{GREEK SMALL LETTER ALPHA}"
CLOSED = {  # {order of play: by which factor a step changes the distance in the bilinear game}
    "simultaneous": f"√(1 + {ALPHA}²)",
    "alternating": "1",
    "multi-ascent": "1",
    "optimistic": f"largest |z|, z² {MINUS} (1 {MINUS} 2i{ALPHA}) z {MINUS} i{ALPHA} = 0",
    "extragradient": f"√(1 {MINUS} {ALPHA}² + {ALPHA}⁴)",
}


@cache
def games_page() -> str:
    """Return the HTML of reports/games.html. It depends on the code only, not on the graph's outputs."""
    shown = [
        {
            "toy": toy,
            "told": told(toy),
            "picture": picture(drawn(toy), f"Orders of play of {toy.title.lower()}", [], [], is_wide=True),
            "closed": CLOSED if toy.name == "bilinear" else {},
        }
        for toy in toys()
    ]
    return environment().get_template("games.html").render(shown=shown, rate=RATE, steps=STEPS, n_dis=N_DIS)


def told(toy: Toy) -> str:
    """Return a text that says which orders of play converge, circle and diverge in a game."""
    parts = []
    for verb in VERBS:
        orders = [play.order for play in toy.plays if play.outcome == verb]
        if orders:
            listed = " and ".join(part for part in (", ".join(orders[:-1]), orders[-1]) if part)
            parts.append(f"{listed} play {verb if len(orders) == 1 else verb.removesuffix('s')}")
    sentence = "; ".join(parts)
    simultaneous = next(play for play in toy.plays if play.order == "simultaneous")
    return f"{sentence[0].upper()}{sentence[1:]}. {_simultaneous(toy, simultaneous)}"


def _simultaneous(toy: Toy, play: Play) -> str:
    if toy.name == "bilinear":
        form, where = CLOSED["simultaneous"], ""
    else:
        form, where = f"√((1 {MINUS} {ALPHA}a)² + {ALPHA}²)", f" at the curvature a = {CURVATURE:g}"
    factors = f"{form} = {play.predicted:.4f} a step{where}, measured {play.measured:.4f}"
    return f"Simultaneous play changes the distance by {factors}."


def drawn(toy: Toy) -> bytes:
    """Return the PNG of a game: the path of each order of play."""
    file = BytesIO()
    plays: dict[str, Any] = {play.order: play.points for play in toy.plays}
    title = f"{toy.title}, L(x, y) = {toy.equation}: rate {RATE:g}, from (1, 0.5)"
    figures.orders_of_play(plays, file, title=title)
    return file.getvalue()
