"""Laws that every model obeys; which of them apply follows from its capabilities. See tests/models.py."""

import pickle
from dataclasses import replace
from functools import cache

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils.parametrize import is_parametrized

from gen_models.contracts import WarmStart, capabilities
from gen_models.errors import ConfigError
from gen_models.evaluating import evaluating
from gen_models.layers.levels import is_table
from gen_models.noise import Noise
from tests.models import ROWS, assert_legal, build, data_of, descend, ready, rows_offering

NOISE = Noise(seed=5, step=7)
SCORES = {
    "log_prob": ("density", lambda model, x: model.log_prob(x)),
    "elbo": ("bound", lambda model, x: model.elbo(x, NOISE.shared())),
    "iwae": ("bound", lambda model, x: model.elbo(x, NOISE.shared(), samples=3)),
    "encode": ("encoder", lambda model, x: model.encode(x)),
    "reconstruct": ("reconstructor", lambda model, x: model.reconstruct(x)),
    "criticise": ("critic", lambda model, x: model.criticise(x)),
}
SCORED = [
    pytest.param(row, score, id=f"{row}-{name}")
    for row in ROWS
    for name, (capability, score) in SCORES.items()
    if capability in row.offers
]
QUESTIONS = SCORES | {
    "log_prob of its own draws": ("density", lambda model, x: model.log_prob(x, NOISE)),
    "cluster": ("clusterer", lambda model, x: model.cluster(x)),
    "sample": ("sampler", lambda model, x: model.sample(5, NOISE)),
    "sample_at": ("temperature", lambda model, x: model.sample_at(5, NOISE, 0.7)),
    "decode": ("decoder", lambda model, x: model.decode(model.encode(x))),
}
ASKED = [
    pytest.param(row, ask, id=f"{row}-{name}")
    for row in ROWS
    for name, (capability, ask) in QUESTIONS.items()
    if capability in row.offers
]
UNDRAWN = [
    pytest.param(row, SCORES[name][1], id=f"{row}-{name}")
    for row in ROWS
    for name in ("log_prob", "encode", "reconstruct", "criticise")
    if SCORES[name][0] in row.offers and not (name == "log_prob" and row.data[1] is not None)
]
# torch does not pickle a module with parametrised layers, such as a normalised convolution, but only its state_dict
PICKLED = [row for row in ROWS if not any(map(is_parametrized, build(row).modules()))]
PLAYERS = [pytest.param(row, i, id=f"{row}-{o.name}") for row in ROWS for i, o in enumerate(build(row).objectives())]

each_model = pytest.mark.parametrize("row", ROWS, ids=str)
each_score = pytest.mark.parametrize(("row", "score"), SCORED)
each_player = pytest.mark.parametrize(("row", "player"), PLAYERS)
each_sampler = pytest.mark.parametrize("row", rows_offering("sampler"), ids=str)
each_tempered = pytest.mark.parametrize("row", rows_offering("temperature"), ids=str)
each_decoder = pytest.mark.parametrize("row", rows_offering("decoder"), ids=str)


def snapshot(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


@each_model
def test_offers_exactly_the_capabilities_of_its_row(row):
    model = build(row)
    assert capabilities(model) == row.offers
    assert isinstance(model, WarmStart)


@each_model
def test_a_shape_that_is_no_list_is_told_in_one_line(row):
    with pytest.raises(ConfigError, match=r"event_shape = 2 cannot be used: give a list .* such as \[2\]"):
        row.model(2, row.data[1], **row.arguments)


# Training


@each_model
def test_objectives_partition_the_parameters(row):
    model = build(row)
    owned = [id(p) for objective in model.objectives() for p in objective.module.parameters()]
    assert sorted(owned) == sorted(id(p) for p in model.parameters())
    assert len({objective.name for objective in model.objectives()}) == len(model.objectives())


@each_player
def test_gradients_reach_every_parameter_of_the_player(row, player):
    objective = ready(row).train().objectives()[player]
    parameters = dict(objective.module.named_parameters())
    gradients = torch.autograd.grad(objective.loss(data_of(row), NOISE).value, list(parameters.values()))
    for name, gradient in zip(parameters, gradients, strict=True):
        assert gradient.isfinite().all(), name
        assert gradient.abs().max() > 0 or gradient.numel() == 0, name


@each_player
def test_terms_can_be_watched_where_no_gradients_are_kept(row, player):
    """What every report does on validation rows."""
    model = ready(row)
    with evaluating(model):
        terms = model.objectives()[player].loss(data_of(row), NOISE).terms
    assert terms
    assert all(term.isfinite() for term in terms.values())


@each_player
def test_a_step_leaves_the_other_players_bit_identical(row, player):
    model = ready(row).train()
    objective = model.objectives()[player]
    own = {id(p) for p in objective.module.parameters()}
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    descend(objective, data_of(row), NOISE)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == (id(parameter) not in own), name


@each_player
def test_a_small_step_lowers_the_loss_of_the_player(row, player):
    model = ready(row)
    objective = model.objectives()[player]
    x = data_of(row)
    before = objective.loss(x, NOISE).value
    descend(replace(objective, after_step=lambda: None), x, NOISE, rate=1e-7)
    assert objective.loss(x, NOISE).value < before


@each_player
def test_the_loss_is_a_mean_over_the_workers_rows(row, player):
    objective = ready(row).objectives()[player]
    x = data_of(row)
    whole = objective.loss(x, NOISE)
    halves = [objective.loss(half, replace(NOISE, rank=rank, world=2)) for rank, half in enumerate(x.chunk(2))]
    torch.testing.assert_close((halves[0].value + halves[1].value) / 2, whole.value, rtol=1e-11, atol=1e-11)
    for name, term in whole.terms.items():
        assert term.ndim == 0
        torch.testing.assert_close((halves[0].terms[name] + halves[1].terms[name]) / 2, term, rtol=1e-11, atol=1e-11)


@each_player
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_the_loss_is_finite_in_the_dtype_of_the_data(row, player, dtype):
    loss = ready(row, dtype).train().objectives()[player].loss(data_of(row, dtype), NOISE)
    assert loss.value.dtype == dtype
    assert all(value.isfinite() for value in (loss.value, *loss.terms.values()))


@each_player
def test_a_batch_of_one_has_a_loss(row, player):
    assert ready(row).train().objectives()[player].loss(data_of(row)[:1], NOISE).value.isfinite()


# Randomness


@each_model
def test_nothing_touches_the_global_generator_or_the_input(row):
    model = build(row).train()
    x = data_of(row)
    state, before = torch.get_rng_state(), x.clone()
    model.warm_start(x, NOISE)
    for objective in model.objectives():
        descend(objective, x, NOISE)
    model.eval()
    for capability, score in SCORES.values():
        if capability in row.offers:
            score(model, x)
    if "sampler" in row.offers:
        model.sample(3, NOISE)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(x, before)


@each_model
def test_a_training_is_a_function_of_seed_and_data(row):
    def trained(model_seed):
        model = build(row, model_seed).train()
        model.warm_start(data_of(row), Noise(2))
        for step in range(2):
            for objective in model.objectives():
                descend(objective, data_of(row), NOISE.at(step))
        return snapshot(model)

    first, second, other = trained(0), trained(0), trained(1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(first[name], other[name]) for name in first) == row.is_seedless


# Scores


@cache
def scored(row, score):
    return score(ready(row), data_of(row))


@each_score
def test_a_score_does_not_depend_on_the_rest_of_the_batch(row, score):
    model, x = ready(row), data_of(row)
    split = torch.cat([score(model, part) for part in x.split([1, 7, len(x) - 8])])
    torch.testing.assert_close(split, scored(row, score), rtol=1e-12, atol=1e-12)


@each_score
def test_a_score_follows_its_row_through_a_permutation(row, score):
    model, x = ready(row), data_of(row)
    order = NOISE.permutation("order", len(x))
    torch.testing.assert_close(score(model, x[order]), scored(row, score)[order], rtol=1e-12, atol=1e-12)


@each_score
def test_a_score_survives_saving_and_loading(row, score, tmp_path):
    save_file(ready(row).state_dict(), tmp_path / "weights.safetensors")
    loaded = build(row, seed=9)
    loaded.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(score(loaded, data_of(row)), scored(row, score))


@pytest.mark.parametrize("row", PICKLED, ids=str)
def test_a_pickled_model_answers_as_before(row):
    model = ready(row)
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    for capability, score in SCORES.values():
        if capability in row.offers:
            assert torch.equal(score(again, data_of(row)), score(model, data_of(row)))


@each_score
def test_a_score_in_float32_is_finite(row, score):
    x = data_of(row, torch.float32)
    value = score(ready(row, torch.float32), x)
    is_a_row_of_a_table = is_table(row.data[1]) and score is SCORES["reconstruct"][1]
    assert value.dtype == (torch.float64 if is_a_row_of_a_table else torch.float32)
    assert value.isfinite().all()


@pytest.mark.parametrize(("row", "score"), UNDRAWN)
def test_a_score_without_draws_is_the_same_in_float32(row, score):
    value, exact = score(ready(row).float(), data_of(row).float()), score(ready(row), data_of(row))
    torch.testing.assert_close(value.double(), exact, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("row", "ask"), ASKED)
def test_a_question_leaves_the_model_as_it_was_and_its_answer_does_not_depend_on_the_mode(row, ask):
    model, x = ready(row), data_of(row)
    expected = ask(model.eval(), x)
    before = snapshot(model.train())
    assert torch.equal(ask(model, x), expected)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())


@each_score
def test_no_rows_have_no_scores(row, score):
    assert score(ready(row), data_of(row)[:0]).shape == (0, *scored(row, score).shape[1:])


# Samples


@each_sampler
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_samples_are_data_as_stored(row, dtype):
    event_shape, levels = row.data
    x = ready(row, dtype).sample(50, NOISE)
    assert x.shape == (50, *event_shape)
    assert x.dtype == (torch.float64 if is_table(levels) else dtype)
    assert x.isfinite().all()
    if is_table(levels):
        assert_legal(x, levels, data_of(row))
    elif levels is not None:
        assert torch.equal(x, x.round())
        assert x.min() >= 0
        assert x.max() <= levels - 1


@each_sampler
def test_the_same_noise_gives_the_same_samples(row):
    model = ready(row)
    assert torch.equal(model.sample(9, NOISE), model.sample(9, NOISE))
    assert not torch.equal(model.sample(9, NOISE), model.sample(9, NOISE.at(8)))


@each_sampler
def test_two_workers_draw_the_samples_of_one(row):
    model = ready(row)
    halves = [model.sample(5, replace(NOISE, rank=rank, world=2)) for rank in range(2)]
    torch.testing.assert_close(torch.cat(halves), model.sample(10, NOISE), rtol=1e-12, atol=1e-12)


@each_tempered
def test_the_temperature_one_is_the_sampler_bit_for_bit(row):
    model = ready(row)
    assert torch.equal(model.sample_at(9, NOISE, 1.0), model.sample(9, NOISE))
    assert not torch.equal(model.sample_at(9, NOISE, 0.5), model.sample(9, NOISE))


@each_decoder
def test_a_decoded_latent_is_a_datum(row):
    model, x = ready(row), data_of(row)
    assert model.decode(model.encode(x)).shape == x.shape
