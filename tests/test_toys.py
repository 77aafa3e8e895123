"""The page of games of two numbers: what is played is what linear algebra predicts, and what is said is what is so."""

import math
from pathlib import Path

import numpy as np
import pytest

from gen_models.analysis.toy_games import BilinearGame, QuadraticGame, step_of
from pipelines.commands import games
from pipelines.report.games_page import drawn, games_page, told
from pipelines.report.toy_game_plays import CURVATURE, N_DIS, ORDERS, RATE, STEPS, Play, toys
from tests.test_report import Page

OUTCOMES = {
    "bilinear": {"simultaneous": "diverges", "alternating": "circles", "multi-ascent": "circles"},
    "quadratic": {"simultaneous": "converges", "alternating": "converges", "multi-ascent": "converges"},
}

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("toy", toys(), ids=lambda toy: toy.name)
def test_the_measured_factor_is_the_predicted_one_and_the_outcome_follows_from_it(toy):
    assert tuple(play.order for play in toy.plays) == ORDERS
    expected = OUTCOMES[toy.name] | {"optimistic": "converges", "extragradient": "converges"}
    for play in toy.plays:
        assert play.measured == pytest.approx(play.predicted, abs=5e-4), play.order
        assert play.outcome == expected[play.order]
        assert play.points.shape == (STEPS + 1, 2)
        assert tuple(play.points[0]) == (1.0, 0.5)


def test_the_factors_in_closed_form():
    bilinear, quadratic = ({play.order: play for play in toy.plays} for toy in toys())
    assert bilinear["simultaneous"].predicted == pytest.approx(math.sqrt(1 + RATE**2), rel=1e-12)
    assert bilinear["extragradient"].predicted == pytest.approx(math.sqrt(1 - RATE**2 + RATE**4), rel=1e-12)
    factor = math.hypot(1 - RATE * CURVATURE, RATE)
    assert quadratic["simultaneous"].predicted == pytest.approx(factor, rel=1e-12)
    growth = bilinear["simultaneous"].distances  # of every step, not in the long run alone
    np.testing.assert_allclose(growth[1:] / growth[:-1], math.sqrt(1 + RATE**2), rtol=1e-12)


@pytest.mark.parametrize("game", [BilinearGame(n_dis=N_DIS), QuadraticGame(a=CURVATURE, b=CURVATURE, n_dis=N_DIS)])
def test_a_round_of_multi_ascent_is_its_map(game):
    toy = toys()[0 if isinstance(game, BilinearGame) else 1]
    points = next(play for play in toy.plays if play.order == "multi-ascent").points
    matrix = step_of(game, "alternating", RATE).numpy()
    np.testing.assert_allclose(points[N_DIS::N_DIS], points[:-N_DIS:N_DIS] @ matrix.T, rtol=1e-12)


def test_a_factor_is_measured_of_an_orbit_that_turns():
    angle, radius = np.linspace(0, 40, 401), 0.99 ** np.arange(401)
    orbit = radius[:, None] * np.stack([np.cos(angle), 3 * np.sin(angle)], axis=1)
    assert Play("spiral", orbit, 0.99).measured == pytest.approx(0.99, abs=2e-4)


def test_what_is_said_is_what_each_order_does():
    said = told(toys()[0])
    assert said.startswith("Optimistic and extragradient play converge; alternating and multi-ascent play circle; ")
    assert "simultaneous play diverges." in said
    assert said.endswith("= 1.0198 a step, measured 1.0198.")
    assert told(toys()[1]).startswith(
        "Simultaneous, alternating, multi-ascent, optimistic and extragradient play converge."
    )


def test_the_page_needs_nothing_but_itself_and_leads_back():
    page = Page(games_page())
    assert not page.all("script") and not page.all("link")
    assert [attributes["href"] for attributes in page.all("a")] == ["index.html"]
    assert all(attributes["src"].startswith("data:image/png;base64,") for attributes in page.all("img"))
    assert len(page.all("img")) == len(toys())
    assert page.text.count("1.0198") == 4


def test_the_command_writes_the_pictures_the_same_bytes_each_time(tmp_path, capsys):
    games.main([str(tmp_path / "first")])
    said = capsys.readouterr().out
    assert "bilinear, simultaneous: diverges, factor 1.0198, measured 1.0198" in said
    for toy in toys():
        assert (tmp_path / "first" / f"{toy.name}.png").read_bytes() == drawn(toy)
    assert len(list((tmp_path / "first").iterdir())) == len(toys())


def test_the_documents_table_has_the_numbers_of_the_page():
    """docs/games.md: of each line the last two numbers, what is predicted and what was measured."""
    lines = [line for line in (ROOT / "docs" / "games.md").read_text().splitlines() if line.startswith("| ")]
    told = [line.strip("| ").split(" | ") for line in lines if line.split()[1].rstrip(",") in ORDERS]
    plays = [play for toy in toys() for play in toy.plays]
    assert len(told) == len(plays)
    for cells, play in zip(told, plays, strict=True):
        assert cells[0].startswith(play.order)
        assert cells[1] == play.outcome
        assert [cells[-2].split()[-1], cells[-1]] == [f"{play.predicted:.4f}", f"{play.measured:.4f}"]
