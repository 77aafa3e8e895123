"""What a configuration may build, and what it is told when it may not."""

import pytest
import torch
from torch import nn

from gen_models.build import build, build_model, build_optimisers
from gen_models.contracts import Objective
from gen_models.errors import ConfigError


def test_a_spec_is_the_constructor_call():
    layer = build({"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 2})
    assert isinstance(layer, nn.Linear) and layer.weight.shape == (2, 3)


def test_nested_specs_are_built_first():
    inner = {"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 3}
    wrapped = build(
        {
            "_target_": "torch.nn.TransformerEncoder",
            "encoder_layer": inner,
            "num_layers": 2,
            "enable_nested_tensor": False,
        }
    )
    assert [type(layer) for layer in wrapped.layers] == [nn.Linear, nn.Linear]


@pytest.mark.parametrize(
    "target",
    ["os.system", "subprocess.Popen", "builtins.eval", "torch.load", "torch.hub.load", "gen_modelsx.A", ""],
)
def test_nothing_outside_the_roots_is_built(target):
    with pytest.raises(ConfigError, match="outside the roots"):
        build({"_target_": target})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"_target_": "torch.nn.Linaer"}, "did you mean 'Linear'"),
        ({"_target_": "torch.nn.functional.relu"}, "is not a class"),
        ({"_target_": "torch.nn.nowhere.Linear"}, "there is no module torch.nn.nowhere"),
        ({"_target_": "torch.nn.Linear", "in_featurs": 1, "out_features": 1}, "did you mean 'in_features'"),
        ({"_target_": "torch.nn.Linear", "in_features": 1}, "out_features"),
        ({"in_features": 1}, "needs the key _target_"),
    ],
)
def test_a_wrong_spec_is_one_line_with_the_fix(spec, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(spec)
    assert "\n" not in str(caught.value)


def test_a_class_that_another_module_imported_is_not_a_back_door():
    """gen_models.checkpoint imports Path; a target may name only what its module defines or torch re-exports."""
    with pytest.raises(ConfigError, match="outside the roots"):
        build({"_target_": "gen_models.checkpoint.Path"})


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before():
    spec = {"_target_": "torch.nn.Linear", "in_features": 3, "out_features": 2}
    first = build_model(spec, 7).weight
    torch.rand(5)
    assert torch.equal(build_model(spec, 7).weight, first)
    assert not torch.equal(build_model(spec, 8).weight, first)


class Game(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(1, 1), nn.Linear(1, 1)

    def objectives(self):
        return (Objective("critic", self.a, self.a), Objective("generator", self.b, self.b))


SGD = {"_target_": "torch.optim.SGD", "lr": 0.1}


def test_each_objective_has_its_own_optimiser_over_its_own_parameters():
    model = Game()
    optimisers = build_optimisers({"critic": SGD, "generator": SGD}, model)
    held = {name: {id(p) for group in o.param_groups for p in group["params"]} for name, o in optimisers.items()}
    assert held == {"critic": {id(p) for p in model.a.parameters()}, "generator": {id(p) for p in model.b.parameters()}}


def test_optimisers_are_named_after_objectives():
    with pytest.raises(ConfigError, match="did you mean 'critic'"):
        build_optimisers({"critc": SGD, "generator": SGD}, Game())
    with pytest.raises(ConfigError, match=r"optim\.generator: no optimiser"):
        build_optimisers({"critic": SGD}, Game())
