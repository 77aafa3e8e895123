"""Orders of play where the answer is known: the rate of each, on games of two numbers; and optimistic optimisers."""

import math

import pytest
import torch

from gen_models import checkpoint
from gen_models.adversarial.optimistic import OptimisticAdam, OptimisticSGD
from gen_models.analysis.toy_games import BilinearGame, QuadraticGame, contraction, step_of
from gen_models.build import build, build_optimisers
from gen_models.engine import Training, fit
from gen_models.errors import ConfigError
from gen_models.noise import Noise

ALPHA = 0.2
GAMES = {
    "bilinear": {"a": 0.0, "b": 0.0},
    "weakly curved": {"a": 0.1, "b": 0.1},
    "uneven": {"a": 0.5, "b": 0.05, "c": 0.7},
}


class NoBatches:
    def at(self, step: int) -> torch.Tensor:
        return torch.zeros(1)


def training(game: QuadraticGame, optimiser=torch.optim.SGD, **options) -> Training:
    options = {"lr": ALPHA, **options}
    return Training(game, {o.name: optimiser(o.module.parameters(), **options) for o in game.objectives()})


def play(run: Training, steps: int, order: str) -> Training:
    """`steps` more steps. Optimistic play is simultaneous play of optimistic players."""
    engine_order = "simultaneous" if order == "optimistic" else order
    list(fit(run, NoBatches(), Noise(0), steps=run.step + steps, report_every=10**6, order=engine_order))
    return run


def started(game: QuadraticGame, order: str) -> Training:
    return training(game, OptimisticSGD if order == "optimistic" else torch.optim.SGD)


@pytest.mark.parametrize("name", GAMES)
def test_neither_player_gains_by_leaving_the_solution(name):
    """L(0, y) <= L(0, 0) <= L(x, 0)."""
    for away in (-2.0, -0.1, 0.3, 5.0):
        ascent = QuadraticGame(**GAMES[name], start=(0.0, away)).value().item()
        descent = QuadraticGame(**GAMES[name], start=(away, 0.0)).value().item()
        assert ascent <= 0 <= descent


@pytest.mark.parametrize("order", ["simultaneous", "alternating", "extragradient", "optimistic"])
@pytest.mark.parametrize("arguments", GAMES.values(), ids=GAMES)
def test_play_is_the_linear_map_written_out(arguments, order):
    game = QuadraticGame(**arguments)
    matrix = step_of(game, order, ALPHA)
    state = torch.tensor([*game.point(), *game.point()], dtype=torch.float64)[: len(matrix)]
    run = started(game, order)
    for _ in range(4):
        state = matrix @ state
        play(run, 1, order)
        assert game.point() == pytest.approx(tuple(state[:2].tolist()), rel=1e-12)


@pytest.mark.parametrize("order", ["simultaneous", "alternating", "extragradient", "optimistic"])
def test_the_error_shrinks_in_the_long_run_by_the_spectral_radius(order):
    game = QuadraticGame(**GAMES["weakly curved"])
    run = play(started(game, order), 50, order)
    before = math.hypot(*game.point())
    play(run, 100, order)
    measured = (math.hypot(*game.point()) / before) ** (1 / 100)
    assert measured == pytest.approx(contraction(game, order, ALPHA), abs=4e-3)  # an orbit is no circle


def test_the_radii_of_the_bilinear_game_in_closed_form():
    game = BilinearGame()
    assert contraction(game, "simultaneous", ALPHA) == pytest.approx(math.sqrt(1 + ALPHA**2), rel=1e-12)
    assert contraction(game, "alternating", ALPHA) == pytest.approx(1, rel=1e-12)
    assert contraction(game, "extragradient", ALPHA) == pytest.approx(math.sqrt(1 - ALPHA**2 + ALPHA**4), rel=1e-12)
    z = 1 - 2j * ALPHA
    root = (z + (z * z + 4j * ALPHA) ** 0.5) / 2
    assert contraction(game, "optimistic", ALPHA) == pytest.approx(abs(root), rel=1e-12)
    assert contraction(game, "optimistic", 0.57) < 1 < contraction(game, "optimistic", 0.58)  # 1/sqrt(3) = 0.577


def test_curvature_brings_simultaneous_play_home_at_small_rates_only():
    game = QuadraticGame(a=0.5, b=0.5)
    edge = 2 * 0.5 / (0.5**2 + 1)
    assert contraction(game, "simultaneous", 0.1) == pytest.approx(math.hypot(1 - 0.05, 0.1), rel=1e-12)
    assert contraction(game, "simultaneous", 0.99 * edge) < 1 < contraction(game, "simultaneous", 1.01 * edge)


def test_more_ascents_than_descents():
    game = QuadraticGame(a=0.1, b=0.3, n_dis=3)
    x, y = game.point()
    for _ in range(2):
        for _ in range(3):
            y += ALPHA * (x - 0.3 * y)
        x -= ALPHA * (0.1 * x + y)
    play(training(game), 6, "alternating")
    assert game.point() == pytest.approx((x, y), rel=1e-12)
    expected = torch.linalg.matrix_power(step_of(game, "alternating", ALPHA), 2) @ torch.tensor([1.0, 0.5]).double()
    assert game.point() == pytest.approx(tuple(expected.tolist()), rel=1e-12)


def test_noise_in_the_gradient_has_mean_0_and_the_stated_spread():
    game = QuadraticGame(noise_std=0.3)
    gradients = []
    for step in range(500):
        loss = game.objectives()[1].loss(torch.zeros(1), Noise(1, step=step))
        gradients.append(torch.autograd.grad(loss.value, game.x.value)[0] - 1.5)  # a x + c y
    errors = torch.stack(gradients)
    assert abs(errors.mean()) < 4 * 0.3 / 500**0.5
    assert errors.std().item() == pytest.approx(0.3, rel=0.15)


def test_under_noise_extragradient_play_of_the_bilinear_game_stays_near():
    """It ends in a ball around the solution, whose radius falls with the noise; simultaneous play leaves it."""
    run = play(started(BilinearGame(noise_std=0.05), "extragradient"), 300, "extragradient")
    assert math.hypot(*run.model.point()) < 0.5
    run = play(started(BilinearGame(noise_std=0.05), "simultaneous"), 300, "simultaneous")
    assert math.hypot(*run.model.point()) > 100


# Optimistic optimisers


@pytest.mark.parametrize(
    ("optimistic", "plain", "options"),
    [
        (OptimisticSGD, torch.optim.SGD, {"lr": 0.2}),
        (OptimisticAdam, torch.optim.Adam, {"lr": 0.05, "betas": (0.0, 0.99)}),
    ],
    ids=["sgd", "adam"],
)
def test_optimistic_players_converge_on_the_bilinear_game_where_plain_ones_spiral_out(optimistic, plain, options):
    game, other = BilinearGame(), BilinearGame()
    play(training(game, optimistic, **options), 400, "simultaneous")
    play(training(other, plain, **options), 400, "simultaneous")
    assert math.hypot(*game.point()) < 0.01
    assert math.hypot(*other.point()) > math.hypot(1.0, 0.5)


def test_steps_by_hand():
    p = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    sgd = OptimisticSGD([p], lr=0.5)
    for gradient, expected in ((1.0, 0.5), (3.0, 0.5 - 0.5 * (2 * 3 - 1)), (3.0, -2.0 - 0.5 * 3)):
        p.grad = torch.tensor([gradient], dtype=torch.float64)
        sgd.step()
        assert p.item() == pytest.approx(expected, rel=1e-12)


def test_an_optimistic_adam_takes_twice_adams_step_less_the_one_before():
    p, q = (torch.nn.Parameter(torch.zeros(3, dtype=torch.float64)) for _ in range(2))
    optimistic, adam = OptimisticAdam([p], lr=0.1, betas=(0.5, 0.9)), torch.optim.Adam([q], lr=0.1, betas=(0.5, 0.9))
    expected, last = torch.zeros(3, dtype=torch.float64), None
    for step in range(5):
        p.grad = q.grad = torch.randn(3, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        before = q.detach().clone()
        adam.step()
        optimistic.step()
        moved = q.detach() - before
        expected += 2 * moved - (moved if last is None else last)
        last = moved
        torch.testing.assert_close(p.detach(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("target", ["OptimisticSGD", "OptimisticAdam"])
@pytest.mark.parametrize("killed_at", [1, 4])
def test_resumed_equals_straight_bit_for_bit(tmp_path, target, killed_at):
    spec = {"_target_": "gen_models.analysis.toy_games.BilinearGame", "noise_std": 0.1}
    optim = {"_target_": f"gen_models.adversarial.optimistic.{target}", "lr": 0.1}

    def fresh() -> Training:
        game = build(spec)
        return Training(game, build_optimisers({"ascent": optim, "descent": optim}, game))

    straight = play(fresh(), 9, "simultaneous")
    killed = play(fresh(), killed_at, "simultaneous")
    checkpoint.save_training(tmp_path / "latest", spec, killed, {})
    resumed = fresh()
    checkpoint.load_training(tmp_path / "latest", resumed)
    play(resumed, 9 - killed_at, "simultaneous")
    assert resumed.model.point() == straight.model.point()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OptimisticSGD([torch.nn.Parameter(torch.zeros(1))], lr=-1.0), "lr = -1.0"),
        (lambda: OptimisticAdam([torch.nn.Parameter(torch.zeros(1))], betas=[0.5, 1.0]), r"betas\[1\] = 1.0"),
        (lambda: QuadraticGame(a=-1.0), "a = -1.0"),
        (lambda: QuadraticGame(start=[1.0]), r"start = \[1.0\]"),
        (lambda: contraction(QuadraticGame(), "alternate", 0.1), "did you mean 'alternating'"),
        (lambda: contraction(QuadraticGame(n_dis=2), "simultaneous", 0.1), "n_dis = 2"),
    ],
)
def test_what_cannot_be_built_says_why(call, message):
    with pytest.raises(ConfigError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)
