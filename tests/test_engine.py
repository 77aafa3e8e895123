"""The orders of play, where the answer is known; and what a step may and may not touch."""

import math

import pytest
import torch
from torch import nn

from gen_models.contracts import Loss, Objective
from gen_models.engine import Training, fit
from gen_models.errors import ConfigError, DivergedError
from gen_models.noise import Noise

ALPHA = 0.1


class Point(nn.Module):
    def __init__(self, value: float):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value, dtype=torch.float64))


class Bilinear(nn.Module):
    """min over x, max over y of x y: the game whose behaviour under each order of play is known."""

    def __init__(self, every: int = 1):
        super().__init__()
        self.x, self.y, self.every = Point(1.0), Point(0.5), every

    def objectives(self):
        return (
            Objective("ascent", self.y, lambda batch, noise: self._loss(-1)),
            Objective("descent", self.x, lambda batch, noise: self._loss(+1), every=self.every),
        )

    def _loss(self, sign: int) -> Loss:
        value = sign * self.x.value * self.y.value
        return Loss(value, {"value": value})

    def point(self) -> tuple[float, float]:
        return self.x.value.item(), self.y.value.item()


class NoBatches:
    """Batches of a deterministic game: the step's number, for those who look."""

    def __init__(self):
        self.asked = []

    def at(self, step: int) -> torch.Tensor:
        self.asked.append(step)
        return torch.tensor([float(step)], dtype=torch.float64)


def training(model, lr=ALPHA) -> Training:
    return Training(model, {o.name: torch.optim.SGD(o.module.parameters(), lr=lr) for o in model.objectives()})


def play(model, steps: int, order: str, batches=None):
    return list(fit(training(model), batches or NoBatches(), Noise(0), steps=steps, report_every=steps, order=order))


def test_simultaneous_play_of_the_bilinear_game_grows_by_sqrt_1_plus_alpha_squared_a_step():
    model = Bilinear()
    before = math.hypot(*model.point())
    play(model, 50, "simultaneous")
    assert math.hypot(*model.point()) == pytest.approx(before * (1 + ALPHA**2) ** 25, rel=1e-12)


def test_alternating_play_of_the_bilinear_game_conserves_x2_plus_y2_plus_alpha_xy():
    model = Bilinear()

    def form() -> float:
        x, y = model.point()
        return x * x + y * y + ALPHA * x * y

    before = form()
    for _ in range(7):
        play(model, 13, "alternating")
        assert form() == pytest.approx(before, rel=1e-12)


def test_extragradient_play_of_the_bilinear_game_shrinks_by_sqrt_1_minus_alpha2_plus_alpha4_a_step():
    model = Bilinear()
    before = math.hypot(*model.point())
    play(model, 50, "extragradient")
    assert math.hypot(*model.point()) == pytest.approx(before * (1 - ALPHA**2 + ALPHA**4) ** 25, rel=1e-12)


def test_extragradient_looks_ahead_on_the_same_minibatch_and_moves_each_player_once():
    batches = NoBatches()
    (report,) = play(Bilinear(), 4, "extragradient", batches)
    assert batches.asked == [1, 2, 3, 4]
    assert report.moves == {"ascent": 4, "descent": 4}


def test_multi_ascent_with_one_ascent_is_alternating_play():
    """y <- y + alpha x, then x <- x - alpha y with the moved y, written out."""
    model = Bilinear(every=1)
    x, y = model.point()
    play(model, 20, "alternating")
    for _ in range(20):
        y += ALPHA * x
        x -= ALPHA * y
    assert model.point() == pytest.approx((x, y), rel=1e-12)


def test_multi_ascent_makes_n_dis_ascents_on_fresh_batches_then_one_descent():
    x, y = 1.0, 0.5
    for _ in range(2):
        for _ in range(3):
            y += ALPHA * x
        x -= ALPHA * y
    model, batches = Bilinear(every=3), NoBatches()
    (report,) = play(model, 6, "alternating", batches)
    assert model.point() == pytest.approx((x, y), rel=1e-12)
    assert batches.asked == [1, 2, 3, 4, 5, 6]
    assert report.moves == {"ascent": 6, "descent": 2}


@pytest.mark.parametrize("order", ["alternating", "simultaneous"])
def test_the_second_player_sees_the_moved_first_one_only_in_alternating_play(order):
    model = Bilinear()
    x, y = model.point()
    play(model, 1, order)
    seen = y + ALPHA * x if order == "alternating" else y
    assert model.point() == pytest.approx((x - ALPHA * seen, y + ALPHA * x), rel=1e-12)


def test_after_step_runs_after_its_players_own_move_and_no_other():
    model, calls = Bilinear(every=2), []
    ascent, descent = model.objectives()
    model.objectives = lambda: (
        Objective("ascent", ascent.module, ascent.loss, after_step=lambda: calls.append(("ascent", model.point()[1]))),
        Objective("descent", descent.module, descent.loss, every=2, after_step=lambda: calls.append(("descent", None))),
    )
    play(model, 2, "alternating")
    assert [name for name, _ in calls] == ["ascent", "ascent", "descent"]
    assert calls[0][1] == pytest.approx(0.5 + ALPHA * 1.0)


def test_a_projection_holds_after_every_step():
    model = Bilinear()
    ascent, descent = model.objectives()

    def clip() -> None:
        with torch.no_grad():
            model.y.value.clamp_(max=0.52)

    model.objectives = lambda: (Objective("ascent", ascent.module, ascent.loss, after_step=clip), descent)
    for _ in fit(training(model), NoBatches(), Noise(0), steps=9, report_every=1):
        assert model.point()[1] <= 0.52


def test_reports_come_at_multiples_and_at_the_end_with_means_of_their_window():
    model = Bilinear()
    seen = []

    def loss(x, noise):
        seen.append(x.item())
        return Loss(model.y.value * 0 + x.sum() * 0, {"batch": x.mean()})

    model.objectives = lambda: (Objective("ascent", model.y, loss),)
    reports = list(fit(training(model), NoBatches(), Noise(0), steps=7, report_every=3))
    assert [report.step for report in reports] == [3, 6, 7]
    assert [report.terms["ascent.batch"] for report in reports] == [2.0, 5.0, 7.0]


def test_a_fit_that_is_stopped_and_continued_takes_every_step_once():
    straight, stopped = training(Bilinear()), training(Bilinear())
    list(fit(straight, NoBatches(), Noise(0), steps=10, report_every=2))
    batches = NoBatches()
    next(fit(stopped, batches, Noise(0), steps=10, report_every=4))
    assert stopped.step == 4
    list(fit(stopped, batches, Noise(0), steps=10, report_every=2))
    assert batches.asked == list(range(1, 11))
    assert stopped.model.point() == straight.model.point()


def test_a_loss_that_is_not_finite_stops_with_its_step_and_objective():
    model = Bilinear()

    def loss(x, noise):
        return Loss(model.y.value / 0.0, {})

    model.objectives = lambda: (Objective("ascent", model.y, loss),)
    with pytest.raises(DivergedError, match=r"step 1: the loss of objective 'ascent' is inf"):
        play(model, 3, "alternating")


@pytest.mark.parametrize(("bad", "read"), [(5, 100), (100, 100), (101, 101), (2500, 3000)])
def test_a_divergence_is_told_with_its_own_step_though_values_are_read_later(bad, read):
    """Values stay on the device until a report, or for LONG steps; reports of good steps come first."""
    model, batches = Bilinear(), NoBatches()

    def loss(x, noise):
        return Loss(model.y.value * 0 + (torch.nan if x.item() == bad else 1.0), {"one": torch.ones(())})

    model.objectives = lambda: (Objective("ascent", model.y, loss),)
    every = 100 if bad <= 100 else read
    with pytest.raises(DivergedError, match=rf"step {bad}: the loss of objective 'ascent' is nan"):
        list(fit(training(model), batches, Noise(0), steps=4000, report_every=every))
    assert max(batches.asked) == read


def test_an_error_that_a_divergence_causes_later_is_told_as_the_divergence():
    model = Bilinear()

    def loss(x, noise):
        if x.item() > 3:
            raise RuntimeError("a decomposition of nan")
        return Loss(model.y.value * 0 + (torch.nan if x.item() == 2 else 1.0), {})

    model.objectives = lambda: (Objective("ascent", model.y, loss),)
    with pytest.raises(DivergedError, match="step 2: the loss of objective 'ascent' is nan"):
        play(model, 9, "alternating")
    model.objectives = lambda: (Objective("ascent", model.y, lambda x, noise: 1 / 0),)
    with pytest.raises(ZeroDivisionError):
        play(model, 9, "alternating")


def test_the_terms_of_a_long_window_are_its_means():
    model = Bilinear()

    def loss(x, noise):
        return Loss(model.y.value * 0, {"batch": x.mean()})

    model.objectives = lambda: (Objective("ascent", model.y, loss),)
    (report,) = fit(training(model), NoBatches(), Noise(0), steps=2500, report_every=2500)
    assert report.terms["ascent.batch"] == pytest.approx(2501 / 2)


def test_an_unknown_order_of_play_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'alternating'"):
        play(Bilinear(), 1, "alternate")


class Slope(nn.Module):
    """A loss whose gradient is 1 everywhere: a step of SGD moves by its rate."""

    def __init__(self):
        super().__init__()
        self.point = Point(0.0)

    def objectives(self):
        return (Objective("slope", self.point, lambda batch, noise: Loss(self.point.value, {"at": self.point.value})),)


def test_the_rates_of_a_cosine_fall_from_the_optimisers_own_to_nothing_at_the_horizon():
    run = training(Slope())
    rates, last = [], 0.0
    for _ in fit(run, NoBatches(), Noise(0), steps=8, report_every=1, schedule="cosine"):
        rates.append(last - run.model.point.value.item())
        last = run.model.point.value.item()
    assert rates == pytest.approx([ALPHA * (1 + math.cos(math.pi * k / 8)) / 2 for k in range(8)], rel=1e-12)
    assert sum(rates) == pytest.approx(ALPHA * (8 + 1) / 2, rel=1e-12)


def test_a_training_that_is_cut_short_of_its_horizon_and_goes_on_takes_the_steps_of_the_straight_one():
    straight, cut = training(Slope()), training(Slope())
    list(fit(straight, NoBatches(), Noise(0), steps=9, report_every=9, schedule="cosine"))
    for until in (3, 9):
        list(fit(cut, NoBatches(), Noise(0), steps=until, report_every=9, schedule="cosine", horizon=9))
    assert cut.model.point.value.item() == straight.model.point.value.item()


def test_an_unknown_schedule_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'cosine'"):
        list(fit(training(Slope()), NoBatches(), Noise(0), steps=1, report_every=1, schedule="cosin"))


def test_clipping_bounds_the_gradient_norm():
    model = Bilinear()
    run = training(model, lr=1.0)
    list(fit(run, NoBatches(), Noise(0), steps=1, report_every=1, order="simultaneous", clip_norm=0.25))
    assert model.point() == pytest.approx((0.75, 0.75), rel=1e-5)
