"""Laws of randomness: a draw is a function of (seed, stream, step, row), and has the distribution that it says."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gen_models import noise as module
from gen_models.noise import Noise

LIKE = torch.empty(0, dtype=torch.float64)
KINDS = {"normal": Noise.normal, "uniform": Noise.uniform}
DTYPES = [torch.float32, torch.float64]
shapes = st.lists(st.integers(0, 9), max_size=3)
cuts = st.lists(st.integers(0, 23), max_size=5).map(sorted)

each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@each_kind
@each_dtype
@given(event=shapes, cuts=cuts, seed=st.integers(0, 2**63), step=st.integers(0, 2**40))
def test_a_row_has_the_same_draws_however_rows_are_split(kind, dtype, event, cuts, seed, step):
    noise, like = Noise(seed, step), LIKE.to(dtype)
    whole = kind(noise, "a", (24, *event), like)
    edges = [0, *cuts, 24]
    parts = [kind(noise.rows_from(a), "a", (b - a, *event), like) for a, b in pairwise(edges)]
    assert torch.equal(torch.cat(parts), whole)
    assert whole.dtype == dtype


@each_kind
@pytest.mark.parametrize("world", [1, 2, 3, 64])
def test_workers_draw_the_rows_of_one_and_nobody_draws_another_s(kind, world, monkeypatch):
    whole = kind(Noise(3), "a", (192, 5), LIKE)
    drawn, random = [], module._Philox.random

    def counted(self, count, counts, shape, dtype):
        drawn.append(shape[0])
        return random(self, count, counts, shape, dtype)

    monkeypatch.setattr(module._Philox, "random", counted)
    parts = [kind(Noise(3, rank=rank, world=world), "a", (192 // world, 5), LIKE) for rank in range(world)]
    assert torch.equal(torch.cat(parts), whole)
    assert drawn == [192 // world] * world


@each_kind
@pytest.mark.parametrize("stride", [1, 3])
def test_what_is_drawn_ahead_is_what_is_drawn_when_asked(kind, stride):
    """Steps in a row, one asked for twice, one skipped, another shape in between; the caller may change what it got."""
    steps = [stride * k for k in range(1, 90)]
    asked = [*steps[:40], steps[39], *steps[41:]]
    noise, found = Noise(7), []
    for step in asked:
        found.append(kind(noise.at(step), "ahead", (3, 5), LIKE).clone())
        kind(noise.at(step), "ahead", (3, 5), LIKE).fill_(2.0)
        if step == steps[60]:
            kind(noise.at(step), "ahead", (2, 5), LIKE)
    for step, draws in zip(asked, found, strict=True):
        module._stream.cache_clear()
        assert torch.equal(kind(noise.at(step), "ahead", (3, 5), LIKE), draws)


@each_kind
def test_numbers_are_drawn_ahead_only_for_small_batches_asked_for_step_by_step(kind, monkeypatch):
    drawn, numbers = [], module._Philox.numbers
    monkeypatch.setattr(module._Philox, "numbers", lambda self, *asked: drawn.append(asked[0]) or numbers(self, *asked))
    for step in (1, 2, 3):
        kind(Noise(9, step), "few", (4, 8), LIKE)
    assert drawn == [1, *range(2, 2 + module.AHEAD_STEPS)]
    drawn.clear()
    for step in (1, 2, 3):
        kind(Noise(9, step), "many", (64, 300), LIKE)
        kind(Noise(9, 1), "once", (4, 8), LIKE)
    assert drawn == [1, 1, 2, 1, 3, 1]


@each_kind
def test_seed_stream_step_and_row_each_make_another_draw(kind):
    noise = Noise(1, 2)
    draws = [
        kind(noise, "a", (4, 8), LIKE),
        kind(replace(noise, seed=2), "a", (4, 8), LIKE),
        kind(noise, "b", (4, 8), LIKE),
        kind(noise.at(3), "a", (4, 8), LIKE),
        kind(noise.rows_from(4), "a", (4, 8), LIKE),
    ]
    assert torch.cat(draws).unique().numel() == 5 * 32
    assert torch.equal(kind(noise, "a", (4, 8), LIKE), draws[0]), "draws between leave no trace"


@each_kind
def test_shared_draws_are_those_of_the_first_row_of_all(kind):
    noise = Noise(1, 2, rank=1, world=2).rows_from(7).shared()
    first = kind(Noise(1, 2), "a", (1, 3), LIKE)
    assert torch.equal(kind(noise, "a", (5, 3), LIKE), first.expand(5, 3))
    assert kind(noise, "a", (0, 3), LIKE).shape == (0, 3)


@each_dtype
def test_uniform_draws_are_uniform_and_normal_draws_are_their_quantiles(dtype):
    like = LIKE.to(dtype)
    u, z = (kind(Noise(5), "a", (40_000, 3), like).double() for kind in (Noise.uniform, Noise.normal))
    assert u.min() >= 0 and u.max() < 1
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 0.01
    assert stats.kstest(z.flatten().numpy(), "norm").pvalue > 0.01
    torch.testing.assert_close(torch.special.ndtr(z), u, rtol=0, atol=1e-6)
    assert torch.corrcoef(torch.cat([z, z.roll(1, dims=0)], dim=1).T).triu(1).abs().max() < 0.03


@each_dtype
def test_the_ends_of_the_uniform_draws_are_finite_normal_ones(dtype, monkeypatch):
    step = module.HALF_A_STEP[dtype]
    ends = torch.tensor([[0.0, step, 1 - step]], dtype=dtype)
    monkeypatch.setattr(Noise, "_draw", lambda *_: ends.clone())
    found = Noise(0).normal("a", (1, 3), ends)
    assert found.isfinite().all() and found[0, 0] == -found[0, 2]
    assert (found.diff() > 0).all()


def test_half_precision_is_drawn_in_float32():
    like = LIKE.to(torch.float16)
    assert Noise(0).normal("a", (9, 2), like).dtype == torch.float16


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_bernoulli_draws_are_one_with_probability_p(p):
    assert Noise(0).bernoulli("a", p, (20_000, 2), LIKE).mean().item() == pytest.approx(p, abs=0.015)


def test_categorical_draws_have_their_weights_and_follow_their_rows():
    log_weights = torch.tensor([0.1, 0.6, 0.3], dtype=torch.float64).log()
    found = Noise(0).categorical("a", log_weights, 20_000)
    torch.testing.assert_close(torch.bincount(found) / 20_000, log_weights.exp().float(), rtol=0, atol=0.015)
    assert torch.equal(Noise(0).rows_from(5).categorical("a", log_weights, 7), found[5:12])


def test_a_permutation_is_one_of_all_rows_for_every_worker():
    found = Noise(4, 9, rank=1, world=3).permutation("a", 100)
    assert torch.equal(found.sort().values, torch.arange(100))
    assert torch.equal(found, Noise(4, 9).permutation("a", 100))
    assert not torch.equal(found, Noise(4, 10).permutation("a", 100))
