"""The steps that are taken by one call are torch's own, bit for bit, and leave torch's own state."""

import copy

import pytest
import torch
from torch import nn

from gen_models.fused import _FusedAdam, clip_gradients, fused_step

STEPS = 12
OPTIONS = [{}, {"betas": (0.0, 0.9)}, {"weight_decay": 0.1, "eps": 1e-4}, {"maximize": True}]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.SiLU(), nn.Linear(7, 3))


def give_gradients(net: nn.Module, step: int, without: int | None = None) -> None:
    generator = torch.Generator().manual_seed(step)
    for index, parameter in enumerate(net.parameters()):
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = None if index == without else gradient


def state_of(optimiser: torch.optim.Optimizer) -> list[torch.Tensor]:
    state = optimiser.state_dict()["state"]
    return [state[index][key] for index in sorted(state) for key in sorted(state[index])]


def assert_same(one: tuple[nn.Module, torch.optim.Optimizer], two: tuple[nn.Module, torch.optim.Optimizer]) -> None:
    for a, b in zip(one[0].parameters(), two[0].parameters(), strict=True):
        assert torch.equal(a, b)
    assert len(state_of(one[1])) == len(state_of(two[1])) > 0
    for left, right in zip(state_of(one[1]), state_of(two[1]), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("late", [0, 3], ids=["all have gradients", "one gets its gradient late"])
def test_the_steps_of_a_plain_fused_adam_are_torchs(options, late):
    nets = network(), network()
    ours, torchs = (torch.optim.Adam(net.parameters(), lr=1e-2, fused=True, **options) for net in nets)
    step = fused_step(ours)
    assert isinstance(step, _FusedAdam)
    for k in range(STEPS):
        for net, optimiser in zip(nets, (ours, torchs), strict=True):
            give_gradients(net, k, without=2 if k < late or k == 8 else None)
            optimiser.param_groups[0]["lr"] = 1e-2 / (k + 1)
        step()
        torchs.step()
        assert_same((nets[0], ours), (nets[1], torchs))
    assert ours.state_dict()["param_groups"] == torchs.state_dict()["param_groups"]


def test_the_state_that_is_left_goes_on_under_either_step_and_in_another_optimiser():
    nets = [network() for _ in range(3)]
    quick, mixed, loaded = (torch.optim.Adam(net.parameters(), lr=1e-2, fused=True) for net in nets)
    steps = [fused_step(quick), fused_step(mixed)]
    for k in range(5):
        for net, step in zip(nets, steps, strict=False):
            give_gradients(net, k)
            step()
    nets[2].load_state_dict(nets[0].state_dict())
    loaded.load_state_dict(copy.deepcopy(quick.state_dict()))
    steps = [steps[0], mixed.step, fused_step(loaded)]
    for k in range(5, STEPS):
        for net, step in zip(nets, steps, strict=True):
            give_gradients(net, k)
            step()
    assert_same((nets[0], quick), (nets[1], mixed))
    assert_same((nets[0], quick), (nets[2], loaded))


@pytest.mark.parametrize(
    "made",
    [
        lambda net: torch.optim.SGD(net.parameters(), lr=0.1),
        lambda net: torch.optim.AdamW(net.parameters(), fused=True),
        lambda net: torch.optim.Adam(net.parameters()),
        lambda net: torch.optim.Adam(net.parameters(), fused=True, amsgrad=True),
        lambda net: torch.optim.Adam([{"params": [p]} for p in net.parameters()], fused=True),
    ],
)
def test_every_other_optimiser_takes_its_own_step(made):
    optimiser = made(network())
    assert fused_step(optimiser) == optimiser.step


def test_hooks_of_an_optimiser_are_called():
    net, called = network(), []
    optimiser = torch.optim.Adam(net.parameters(), fused=True)
    optimiser.register_step_post_hook(lambda *_: called.append(1))
    give_gradients(net, 0)
    fused_step(optimiser)()
    assert called == [1]


@pytest.mark.parametrize("largest", [1e-3, 1.0, 1e9])
def test_gradients_are_clipped_as_torch_clips_them(largest):
    ours, torchs = network(), network()
    for net in (ours, torchs):
        give_gradients(net, 0, without=1)
    clip_gradients(list(ours.parameters()), largest)
    nn.utils.clip_grad_norm_(torchs.parameters(), largest)
    for a, b in zip(ours.parameters(), torchs.parameters(), strict=True):
        assert (a.grad is b.grad is None) or torch.equal(a.grad, b.grad)


def test_nothing_to_clip_is_no_error():
    clip_gradients(list(network().parameters()), 1.0)
