"""Laws of codebooks: nearest, straight through, k-means by moving averages, no code lost for ever."""

from dataclasses import replace

import pytest
import torch

from gen_models.layers.quantiser import Quantiser, perplexity
from gen_models.noise import Noise

NOISE = Noise(seed=17)


def normal(*shape: int, seed: int = 6) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def quantiser(size: int = 4, dim: int = 2, **arguments) -> Quantiser:
    torch.manual_seed(3)
    return Quantiser(size, dim, **arguments).double()


def test_each_vector_becomes_its_nearest_code():
    model, z = quantiser(), normal(5, 2, 3, 3)
    found = model(z, NOISE)
    distances = (z.movedim(1, -1)[..., None, :] - model.codes).square().sum(-1)
    assert torch.equal(found.indices, distances.argmin(-1))
    torch.testing.assert_close(found.straight, model.lookup(found.indices))


def test_the_gradient_at_the_code_reaches_the_vector_unchanged():
    model, z = quantiser(), normal(5, 2, 3).requires_grad_()
    found = model(z, NOISE)
    at_the_code = model.lookup(found.indices).detach().requires_grad_()
    (through,) = torch.autograd.grad(found.straight.sin().sum(), z)
    (expected,) = torch.autograd.grad(at_the_code.sin().sum(), at_the_code)
    torch.testing.assert_close(through, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("decay", [None, 0.99])
def test_commitment_moves_vectors_only_and_the_codebook_loss_codes_only(decay):
    model, z = quantiser(decay=decay), normal(5, 2).requires_grad_()
    model.codes.requires_grad_()
    found = model(z, NOISE)
    assert found.commitment == found.codebook, "one distance, taken before the substitution"
    for loss, moved, kept in ((found.commitment, z, model.codes), (found.codebook, model.codes, z)):
        gradient, nothing = torch.autograd.grad(loss, (moved, kept), allow_unused=True)
        assert gradient.abs().max() > 0
        assert nothing is None


def test_the_losses_do_not_grow_with_the_batch():
    model, z = quantiser(), normal(5, 2, 3)
    assert model(z.repeat(4, 1, 1), NOISE).commitment.item() == pytest.approx(model(z, NOISE).commitment.item())


def test_moving_averages_without_memory_are_a_step_of_k_means():
    model, z = quantiser(decay=0.0, revive_below=0.0).train(), normal(40, 2)
    before = model.codes.clone()
    owners = model(z, NOISE).indices
    model.update()
    for k in range(4):
        mine = z[owners == k]
        torch.testing.assert_close(model.codes[k], mine.mean(0) if len(mine) else before[k])


def test_moving_averages_by_hand():
    """Codes 0 and 10, shares 1; vectors 1, 2, 3 near the first: M = 3, K/M n = (2, 0), sum 2/3 * 6 = 4; decay 1/2."""
    model = quantiser(2, 1, decay=0.5, revive_below=0.0).train()
    model.codes.copy_(torch.tensor([[0.0], [10.0]]))
    model(torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64), NOISE)
    model.update()
    assert model.shares.tolist() == [1.5, 0.5]
    torch.testing.assert_close(model.codes.flatten(), torch.tensor([2 / 1.5, 10.0], dtype=torch.float64))


def test_an_unused_code_stays_in_its_place_however_long():
    """Counts that start at 0 would throw it far away in one step."""
    model = quantiser(2, 1, decay=0.5, revive_below=0.0).float().train()
    model.codes.copy_(torch.tensor([[0.0], [10.0]]))
    for _ in range(400):  # the share is 0 in float32 by then
        model(torch.tensor([[1.0], [-1.0]]), NOISE)
        model.update()
    assert model.codes[1].item() == pytest.approx(10.0)


@pytest.mark.parametrize("decay", [None, 0.5])
def test_a_dead_code_restarts_at_a_vector_of_the_batch_with_an_even_share(decay):
    model = quantiser(3, 1, decay=decay, revive_below=0.7 if decay else 0.995).train()
    with torch.no_grad():
        model.codes.copy_(torch.tensor([[0.0], [100.0], [200.0]]))
    z = torch.tensor([[1.0], [-1.0], [3.0], [0.5]], dtype=torch.float64)
    model(z, NOISE)
    model.update()
    assert all(code in z.flatten() for code in model.codes[1:].flatten())
    assert model.codes[1] != model.codes[2]
    assert model.shares[1:].tolist() == [1.0, 1.0]


def test_update_uses_a_batch_once_and_evaluation_leaves_none():
    model, z = quantiser().train(), normal(30, 2)
    model(z, NOISE)
    model.update()
    once = model.codes.clone()
    model.update()
    model.eval()(z, NOISE)
    model.update()
    assert torch.equal(model.codes, once)


def test_the_start_is_a_fixed_point_of_k_means():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]], dtype=torch.float64)
    z = centres.repeat(50, 1) + 0.1 * normal(200, 2)
    model = quantiser(decay=0.0, revive_below=0.0).train()
    model.start(z, NOISE)
    started = model.codes.clone()
    model(z, NOISE)
    model.update()
    torch.testing.assert_close(model.codes, started)
    assert torch.equal(model.nearest(z.flip(0)), model.nearest(z).flip(0))


@pytest.mark.parametrize(("weights", "expected"), [([3.0] * 7, 7.0), ([0.0, 5.0, 0.0], 1.0), ([1.0, 1.0, 0.0], 2.0)])
def test_perplexity_counts_the_codes_in_use(weights, expected):
    assert perplexity(torch.tensor(weights, dtype=torch.float64)).item() == pytest.approx(expected)


def test_the_perplexity_of_training_is_that_of_its_batches():
    model = quantiser(4, 1, decay=0.9).train()
    model.codes.copy_(torch.tensor([[0.0], [1.0], [2.0], [3.0]]))
    for step in range(200):
        model(torch.tensor([[0.0], [1.0]], dtype=torch.float64), NOISE.at(step))
        model._batch = model._batch._replace(candidates=model.codes.clone())  # the dead stay where nothing comes
        model.update()
    assert 2.0 <= model.perplexity().item() < 3.1


def test_distances_of_half_precision_vectors_are_taken_in_float32():
    model = Quantiser(2, 1).half()
    model.codes.copy_(torch.tensor([[1000.0], [1001.0]]))
    assert model.nearest(torch.tensor([[1000.0], [1001.0]]).half()).tolist() == [0, 1]


def test_two_workers_revive_the_codes_that_one_revives(monkeypatch):
    z = normal(6, 2, 3)

    def updated(rank: int, world: int, message) -> tuple[Quantiser, list[torch.Tensor]]:
        sent: list[torch.Tensor] = []
        monkeypatch.setattr("gen_models.layers.quantiser.sum_over_workers", lambda x: sent.append(x) or message(x))
        model = quantiser(8, 2, decay=0.5, revive_below=0.8).train()
        model(z[rank * 6 // world : (rank + 1) * 6 // world], replace(NOISE, rank=rank, world=world))
        model.update()
        return model, sent

    one, _ = updated(0, 1, lambda x: x)
    (_, [first]), (_, [second]) = (updated(rank, 2, lambda x: x) for rank in range(2))
    assert (one.shares == 1).sum() >= 2, "some code was dead"
    for rank in range(2):
        other, _ = updated(rank, 2, lambda x: first + second)
        torch.testing.assert_close(other.codes, one.codes, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(other.shares, one.shares, rtol=1e-12, atol=1e-12)
