"""What evaluate says of latents: rates, codes in use, annealing beside the bounds, a collapse where there is one."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gen_models.analysis.latent_usage import watch
from gen_models.autoencoders.iwae import IWAE
from gen_models.autoencoders.vq_vae import VQVAE
from gen_models.autoencoders.vq_vae2 import VQVAE2
from gen_models.noise import Noise
from pipelines.config.params import Run
from pipelines.data.store import Dataset
from pipelines.evaluation.metrics import annealed_likelihood
from pipelines.evaluation.metrics.active_latents import Latents, codebooks, is_watched, latents, rate_by_draws
from pipelines.evaluation.metrics.annealed_likelihood import annealed
from pipelines.evaluation.plots import latent_plots as portraits
from pipelines.evaluation.trained_run import Trained
from pipelines.figures import latent_charts as figures_of_latents
from tests.linear_gaussian import exact_evidence, linear_vae, normal, set_encoder
from tests.models import QUANTISED, ROWS, SCANS, TINY_VQ, data_of, ready

NOISE = Noise(seed=17)
VQ = {row.name: row for row in ROWS if row.offers == QUANTISED}


def trained(model: torch.nn.Module, x: torch.Tensor, levels: int | None = None) -> Trained:
    """A model beside test rows; nobody held out."""
    manifest = {"anomaly": None, "classes": [], "event_shape": list(x.shape[1:]), "levels": levels, "source": "none"}
    arrays = {"test": {"x": x.numpy(), "y": np.zeros(len(x), dtype=int)}}
    return Trained(Run("a-b", "a", "b", "a-b"), model.eval(), Dataset("b", manifest, arrays), Path())


def wrong_by(shift: float) -> tuple[torch.nn.Module, torch.Tensor]:
    """The linear-Gaussian model with orthogonal columns, an encoder that is off by so much, and rows of the model."""
    model = linear_vae(torch.linalg.qr(normal(6, 2)).Q * torch.tensor([2.0, 0.7]), 0.6)
    W, v = model.decoder[0].weight.detach(), 0.6**2
    precision = W.square().sum(0) / v + 1
    set_encoder(model, W.T / v / precision[:, None], 1 / precision)
    with torch.no_grad():
        model.encoder[0].bias[:2] += shift
    return model, model.sample(40, Noise(1)).detach()


# Annealing


@pytest.mark.parametrize("shift", [0.5, pytest.param(0.0, marks=pytest.mark.slow)])
def test_annealing_is_the_evidence_whatever_the_encoder_and_the_bounds_are_above_it(shift):
    """At shift 0 all three are -log p; off by d the ELBO is above it by 1/2 d'P d, P the posterior's precision."""
    model, y = wrong_by(shift)
    with torch.no_grad():
        found = annealed(trained(model, y), NOISE)
    exact = -exact_evidence(model).log_prob(y)
    precision = model.decoder[0].weight.detach().square().sum(0) / 0.6**2 + 1
    gap = 0.5 * shift**2 * precision.sum().item()
    assert found["nats_ais"] == pytest.approx(exact.mean().item(), abs=0.05)
    assert found["nats_ais_elbo"] == pytest.approx(exact.mean().item() + gap, abs=0.1 + 0.1 * gap)
    assert found["nats_ais_error"] == pytest.approx(exact.std().item() / 40**0.5, rel=0.05)
    assert exact.mean().item() - 0.05 < found["nats_ais_iw50"] < exact.mean().item() + 0.05 + 0.5 * gap
    assert found["ais_rows"] == 40
    assert 0.4 < found["ais_accepted"] < 0.9


def test_annealing_takes_few_rows_of_a_large_decoder_and_none_of_a_larger(monkeypatch):
    model, y = wrong_by(0.0)
    cost = annealed_likelihood.decoding_flops(model)
    assert cost == 2 * 6 * 2
    monkeypatch.setattr(annealed_likelihood, "SETTING", {"temperatures": 3, "chains": 1, "leapfrogs": 1})
    with torch.no_grad():
        for limit, rows in ((1000 * cost, 40), (20.5 * cost, 20), (15.5 * cost, None)):
            monkeypatch.setattr(annealed_likelihood, "FLOPS", limit)
            assert annealed(trained(model, y), NOISE).get("ais_rows") == rows


def test_binary_pixels_have_names_of_their_own(monkeypatch):
    monkeypatch.setattr(annealed_likelihood, "SETTING", {"temperatures": 3, "chains": 1, "leapfrogs": 1})
    row = next(row for row in ROWS if row.arguments.get("likelihood") == "bernoulli" and row.model.__name__ == "VAE")
    with torch.no_grad():
        found = annealed(trained(ready(row).float(), data_of(row), row.data[1]), NOISE)
    names = {"nats_ais", "nats_ais_error", "nats_ais_elbo", "nats_ais_iw50", "nats_prior"}
    gaps = {"amortisation_gap", "approximation_gap"}
    assert set(found) == gaps | {f"binary_{name}" for name in names} | {"ais_rows", "ais_accepted"}


# Gaussian latents


def test_the_rate_by_draws_is_the_rate_in_closed_form():
    model, y = wrong_by(0.3)
    with torch.no_grad():
        found = latents(trained(model, y), NOISE)
        draws = rate_by_draws(model, y, NOISE, samples=20_000).mean().item()
    assert draws == pytest.approx(found.numbers["rate_nats"], abs=0.02)
    assert found.numbers["rate_nats"] == pytest.approx(sum(found.each["kl_nats"]))
    assert found.numbers["latents"] == found.numbers["active_latents"] == 2
    assert found.numbers["collapsed_latents"] == 0


def test_a_collapse_is_noticed_and_said():
    model = linear_vae(0 * normal(6, 3), 1.0)  # whose encoder says N(0, I) of every row
    with torch.no_grad():
        found = latents(trained(model, normal(50, 6)), NOISE)
    assert found.is_collapsed
    assert found.numbers == {"latents": 3, "active_latents": 0, "collapsed_latents": 3, "rate_nats": 0.0}
    assert found.sentence.startswith("0 of 3 latents are active, 0.00 nats a row; the posterior has collapsed in all")
    assert json.loads(json.dumps(found.as_json()))["kl_nats"] == [0.0, 0.0, 0.0]


def test_latents_that_say_the_same_of_every_row_count_as_collapsed_whatever_their_kl():
    model = linear_vae(0 * normal(6, 2), 1.0)
    set_encoder(model, torch.zeros(2, 6, dtype=torch.float64), torch.tensor([0.5, 0.5], dtype=torch.float64))
    with torch.no_grad():
        found = latents(trained(model, normal(50, 6)), NOISE)
    assert found.numbers["rate_nats"] == pytest.approx(np.log(2) - 0.5)
    assert (found.numbers["active_latents"], found.numbers["collapsed_latents"]) == (0, 0)
    assert found.is_collapsed


def test_two_layers_have_a_rate_and_the_sentence_says_what_is_not_measured():
    torch.manual_seed(0)
    model = IWAE([6], None, latents=[4, 2], hidden=[[8], [8]], samples=1).double()
    with torch.no_grad():
        found = latents(trained(model, normal(300, 6)), NOISE)
        assert annealed(trained(model, normal(300, 6)), NOISE) == {}
    assert set(found.numbers) == {"rate_nats"}
    assert found.sentence.startswith("layers of 4 and 2 latents, ")
    assert found.sentence.endswith("which are active is told of one layer only")
    assert not found.is_collapsed
    with torch.no_grad():
        for networks in (model.encoder, model.upper_encoders, model.upper_decoders):
            for parameter in networks.parameters():
                parameter.zero_()
        found = latents(trained(model, normal(300, 6)), NOISE)
    assert found.is_collapsed and found.numbers["rate_nats"] == pytest.approx(0)
    assert "; the posterior has collapsed; " in found.sentence


# Codes


@pytest.mark.parametrize("name", VQ)
def test_codes_in_use_are_counted_over_test_rows(name):
    row = VQ[name]
    with torch.no_grad():
        found = latents(trained(ready(row), data_of(row)), NOISE)
    perplexities = [value for key, value in found.numbers.items() if key.startswith("perplexity")]
    assert len(perplexities) == len(codebooks(ready(row)))
    assert all(1 <= value <= found.numbers["codes"] == 5 for value in perplexities)


@pytest.mark.parametrize(("constructor", "level"), [(VQVAE, ""), (VQVAE2, "_top"), (VQVAE2, "_bottom")])
def test_a_codebook_of_which_one_code_is_used_has_collapsed(constructor, level):
    torch.manual_seed(0)
    model, x = constructor(*SCANS, **TINY_VQ), torch.randint(0, 17, (30, 1, 8, 8)).float()
    model.warm_start(x, NOISE)
    for book in codebooks(model)[:: -1 if level == "_bottom" else 1][:1]:
        book.codes[1:] += 1e6  # no vector is near
    with torch.no_grad():
        found = latents(trained(model, x, 17), NOISE)
    assert found.numbers[f"perplexity{level}"] == pytest.approx(1)
    assert found.is_collapsed
    assert found.sentence.split("; ")[1] == f"collapsed: {level[1:] or 'the codebook'}"


def test_a_level_that_the_decoder_does_not_see_is_said_to_be_without_effect(monkeypatch):
    """Rows that are what known codes stand for, but for a little noise."""
    torch.manual_seed(0)
    model = VQVAE2(*SCANS, **TINY_VQ)
    grids = tuple(torch.randint(0, 5, (30, *grid)) for grid in (model.top_grid, model.grid))
    monkeypatch.setattr(model, "codes", lambda rows: grids)

    def seen() -> Latents:
        x = model.decode_codes(grids)
        return latents(trained(model, x + 1e-4 * torch.randn_like(x), 17), NOISE)

    with torch.no_grad():
        both = seen()
        model.upsample.weight.zero_()
        bottom_alone = seen()
    assert min(both.numbers["worth_top"], both.numbers["worth_bottom"]) > 2
    assert not both.is_collapsed
    assert bottom_alone.numbers["worth_top"] == 1
    assert bottom_alone.is_collapsed
    assert bottom_alone.sentence.endswith("; without effect on the picture: top")


def test_a_model_without_latents_of_either_kind_has_nothing_to_say():
    row = next(row for row in ROWS if row.name == "ae digits")
    with torch.no_grad():
        assert latents(trained(ready(row), data_of(row), 17), NOISE) is None


# Pictures


def test_what_has_walks_is_a_bottleneck_of_numbers():
    found = {row.name for row in ROWS if portraits.has_walks(ready(row))}
    assert found == {row.name for row in ROWS if "reconstructor" in row.offers and row.name not in VQ}
    assert "realnvp digits" not in found and "ae digits" in found


@pytest.mark.parametrize("name", ["vae digits", "ae digits"])
def test_a_walk_changes_one_latent_and_passes_by_the_image_itself(name):
    row = next(row for row in ROWS if row.name == name)
    model, x = ready(row), data_of(row)
    with torch.no_grad():
        z = model.encode(x[:1])
        values = z[0, 1] + torch.tensor([-2.0, -1.0, 0.0, 1.0], dtype=z.dtype)
        found = portraits.walk(model, z, 1, values)
        assert found.own == 2
        torch.testing.assert_close(found.images[2:3], model.decode(z))
        for image, value in zip(found.images, values, strict=True):
            moved = z.clone()
            moved[0, 1] = value
            torch.testing.assert_close(image[None], model.decode(moved))
    assert found.change == pytest.approx(found.images.var(dim=0, correction=0).mean().item())
    assert found.change > 0


def test_the_map_has_cells_of_equal_mass_and_leaves_the_other_latents():
    centre = normal(1, 5)
    z = portraits.grid(centre, 1, 3).unflatten(0, (portraits.SIDE, portraits.SIDE))
    mass = torch.special.ndtr(z[:, :, [1, 3]])
    middles = (torch.arange(portraits.SIDE, dtype=torch.float64) + 0.5) / portraits.SIDE
    torch.testing.assert_close(mass[:, :, 0], middles.expand(portraits.SIDE, -1))  # to the right
    torch.testing.assert_close(mass[:, :, 1], middles.flip(0)[:, None].expand(-1, portraits.SIDE))  # upwards
    assert torch.equal(z[:, :, [0, 2, 4]], centre[0, [0, 2, 4]].expand(portraits.SIDE, portraits.SIDE, 3))


def test_bars_are_in_the_order_of_kl_and_coloured_by_use(monkeypatch):
    model = linear_vae(torch.diag(torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)), 0.5)
    set_encoder(model, torch.diag(torch.tensor([0.8, 0.0, 1.0]).double()), torch.tensor([0.2, 1.0, 0.06]).double())
    drawn = {}
    monkeypatch.setattr(
        portraits.figures, "latent_kl", lambda names, kl, uses, to, title: drawn.update(names=names, uses=uses, kl=kl)
    )
    with torch.no_grad():
        portraits.latent_kl(trained(model, normal(200, 3)), NOISE, None)
    assert drawn["names"] == ["2", "0", "1"]
    assert drawn["uses"] == ["active", "active", "collapsed to the prior"]
    assert (np.diff(drawn["kl"]) < 0).all()
    assert set(drawn["uses"]) <= set(figures_of_latents.USES)


def test_the_latents_that_say_most_are_walked_along_first(monkeypatch):
    row = next(row for row in ROWS if row.name == "vae digits")
    model, drawn = ready(row).float(), {}
    assert is_watched(model)
    monkeypatch.setattr(portraits.figures, "traversal", lambda rows, *_, **__: drawn.update(rows))
    with torch.no_grad():
        portraits.traversal(trained(model, data_of(row).float(), 17), NOISE, None)
        kl = watch(model, data_of(row).float(), NOISE).kl_nats
    assert [int(name.split()[1].rstrip(":")) for name in drawn] == kl.argsort(descending=True).tolist()
