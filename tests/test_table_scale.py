"""Tables with discrete columns: their likelihoods are bounded, their samples are legal rows, and no digit is lost."""

import copy
import math
from decimal import Decimal
from itertools import pairwise, product

import pytest
import torch

from gen_models.adversarial.dcgan import DCGAN
from gen_models.autoencoders.autoencoder import Autoencoder
from gen_models.autoencoders.mixed_likelihood import MixedLikelihood
from gen_models.autoencoders.vae import VAE
from gen_models.autoencoders.vq_vae import VQVAE
from gen_models.build import build_model
from gen_models.checkpoint import load_model, save_model
from gen_models.engine import Training, fit
from gen_models.errors import ConfigError
from gen_models.evaluating import elbo, log_prob
from gen_models.flows.affine_flow import AffineFlow
from gen_models.flows.glow import Glow
from gen_models.flows.realnvp import RealNVP
from gen_models.layers.levels import Levels, coordinates
from gen_models.layers.table_scale import MixedScale, TableScale, scale_of
from gen_models.loader import Batches
from gen_models.mixtures.gaussian_mixture import COVARIANCES, GaussianMixture
from gen_models.noise import Noise
from tests.models import ROWS, TABLE, Row, assert_legal, build, data_of, ready

NOISE = Noise(seed=4, step=3)
TABLES = [row for row in ROWS if row.data is TABLE]
each_table = pytest.mark.parametrize("row", TABLES, ids=str)
each_flow_of_tables = pytest.mark.parametrize("row", [row for row in TABLES if "temperature" in row.offers], ids=str)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gmm(levels: Levels, dim: int, **others) -> GaussianMixture:
    return GaussianMixture([dim], levels, components=4, em_steps=40, **others)


def realnvp(levels: Levels, dim: int) -> RealNVP:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return RealNVP([dim], levels, couplings=6, hidden=[32], batch_norm=False, activation="relu")


# The likelihood is bounded


@pytest.mark.parametrize("make", [gmm, realnvp])
def test_the_dequantised_density_is_a_bound_on_probabilities_of_cells(make):
    """Over all cells, s E_u p(x + u) sums to 1, so that s exp E_u log p(x + u), which is smaller, sums to less."""
    columns, s = ["flag", 0.5], 0.5
    x = torch.stack([torch.randint(0, 2, (200,), generator=draws()), torch.randint(0, 5, (200,), generator=draws(1))])
    x = x.T.double() * torch.tensor([1, s])
    model = make(columns, 2).double()
    model.warm_start(x, NOISE)
    cells = torch.cartesian_prod(torch.arange(-4.0, 6.0), s * torch.arange(-16.0, 22.0)).double()
    nats = torch.stack([model.log_prob(cells, NOISE.at(k)) for k in range(400)]).detach()
    assert float(s * nats.exp().mean(dim=0).sum()) == pytest.approx(1, abs=0.02)
    assert 0.02 < float(s * nats.mean(dim=0).exp().sum()) <= 1


@pytest.mark.parametrize("make", [gmm, realnvp])
def test_nats_of_held_out_discrete_rows_stay_above_their_entropy_however_long_training_goes_on(make):
    """P of all cells sums to at most 1, so that by Gibbs' inequality no model needs fewer nats than the rows' entropy.

    s exp(-nats) is at most P(x), so that the nats are at least H + log s. As continuous data the same rows cost ever
    less: the density on a line through the rows has no bound.
    """
    columns, s = ["flag", 0.5, {"category": 2}], 0.5
    flag, count, kind = (torch.randint(0, most, (600,), generator=draws(most)) for most in (2, 4, 2))
    x = torch.stack([flag, s * count, kind, 1 - kind], dim=1).double()
    x, test = x[:400], x[400:]
    shares = torch.unique(test, dim=0, return_counts=True)[1] / len(test)
    least = float(-(shares * shares.log()).sum()) + math.log(s)
    told, untold = (trained(make(levels, 4).double(), x, test) for levels in (columns, None))
    assert least < told < least + 5
    assert untold < least - 5


def trained(model, x: torch.Tensor, test: torch.Tensor) -> float:
    """Train on rows x and return the nats of the test rows."""
    model.warm_start(x, NOISE)
    training = Training(model, {"likelihood": torch.optim.Adam(model.parameters(), lr=5e-3)})
    list(fit(training, Batches(x, 200, seed=0, dtype=x.dtype), NOISE, steps=400, report_every=400))
    return -float(log_prob(model, test, NOISE, draws=16).detach().mean())


def test_probabilities_and_densities_of_a_mixed_row_sum_to_one():
    columns = [None, "flag", {"category": 3}]
    model = VAE([5], columns, latent=2, hidden=[8], likelihood="mixed", sigma=0.4).double()
    rows = 40 + 7 * torch.randn(100, 1, generator=draws(), dtype=torch.float64)
    labels = torch.tensor([[a, *(float(k == b) for k in range(3))] for a, b in product((0.0, 1.0), range(3))]).double()
    model.warm_start(torch.cat([rows, labels[torch.randint(0, 6, (100,), generator=draws())]], dim=1), NOISE)
    line = torch.linspace(-200, 300, 4001, dtype=torch.float64)
    x = torch.cat([line.repeat_interleave(6)[:, None], labels.repeat(len(line), 1)], dim=1)
    f = model.decoder(torch.randn(1, 2, generator=draws(1), dtype=torch.float64))
    nats = model.likelihood.log_prob(model.data_scale(x, NOISE), f) + model.data_scale.log_det()
    assert float(nats.detach().exp().sum() * (line[1] - line[0])) == pytest.approx(1, abs=1e-9)


def test_numbers_beyond_an_end_are_reflected_at_the_border_of_its_cell():
    """In the cells 2 .. 5, what falls into 1, 0, -1 is 2, 3, 4; flags and constant columns have no mirror images."""
    scale = scale_of([3], [1, "flag", 0.5])
    scale.fit(torch.tensor([[2.0, 0.0, 1.5], [5.0, 1.0, 1.5]]))
    drawn = torch.arange(-4, 12, dtype=torch.float64)[:, None].expand(-1, 3)
    y = (drawn + scale.step / 2 - scale.shift) / scale.exact_scale
    found, moved = scale.drawn(y), scale.quantise(y)
    assert moved[:, 0].tolist() == drawn[:, 0].clamp(2, 5).tolist(), "an odd row that is decoded stays at the end"
    assert scale.drawn(torch.tensor([[torch.inf] * 3, [-torch.inf] * 3]))[:, 0].tolist() == [5, 2]
    assert found[:, 0].tolist() == [4, 5, 5, 4, 3, 2, 2, 3, 4, 5, 5, 4, 3, 2, 2, 3]
    assert found[:, 1].tolist() == [0] * 5 + [1] * 11
    assert found[:, 2].tolist() == [1.5] * 16


def test_shares_and_means_stay_where_prices_pile_up_at_the_edge():
    """Rows that are rejected as a whole would take mass from the components at the edge: the flag's share, .30 to .27.

    Of many counts nearly each row has one beyond its end.
    """
    n = 4000
    flag = (torch.rand(n, generator=draws()) < 0.3).double()
    mean = 40 + 80 * flag
    price = (mean * torch.rand(n, generator=draws(1), dtype=torch.float64).log().neg()).mul(100).round() / 100
    many = torch.poisson(mean[:, None].expand(-1, 30) / 40, generator=draws(2))
    x = torch.cat([price[:, None], flag[:, None], many], dim=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GaussianMixture([32], [0.01, "flag", *[1] * 30], components=10, labels="probabilities").double()
    model.warm_start(x, NOISE)
    with torch.no_grad():
        sampled = model.sample(20_000, NOISE)
    off = (sampled.mean(dim=0) - x.mean(dim=0)).abs() / x.std(dim=0)
    assert off.max() < 0.1


@pytest.mark.parametrize(
    "make",
    [
        lambda: VAE([2], [0.01, 1], latent=1, hidden=[8], likelihood="mixed", sigma=0.9),
        lambda: GaussianMixture([2], [0.01, 1], components=2, covariance="diagonal"),
    ],
    ids=["vae", "gmm"],
)
def test_no_samples_pile_up_at_the_least_value_of_a_skewed_column(make):
    """Prices near 0 and counts: a Gaussian puts a third of its draws below their least value."""
    amounts = (5 * torch.rand(2000, generator=draws(), dtype=torch.float64).log().neg() + 1).mul(100).round() / 100
    counts = torch.poisson(torch.full((2000,), 1.5, dtype=torch.float64), generator=draws(1))
    x = torch.stack([amounts, counts], dim=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make().double()
    model.warm_start(x, NOISE)
    with torch.no_grad():
        sampled, fewer = model.sample(4000, NOISE), model.sample(50, NOISE)
    assert torch.equal(sampled[:50], fewer), "a row's draws do not depend on how many rows there are"
    assert sampled.amin(0).ge(x.amin(0)).all() and sampled.amax(0).le(x.amax(0)).all()
    assert (sampled[:, 0] == x[:, 0].min()).double().mean() < 0.01
    assert (sampled[:, 1] == 0).double().mean() < (x[:, 1] == 0).double().mean() + 0.1


def labelled(n: int = 2000) -> torch.Tensor:
    """Rows of a number, a rare flag and a category, whose shares differ between three clusters of the number."""
    z = torch.randint(0, 3, (n,), generator=draws())
    number = 4.0 * z + torch.randn(n, generator=draws(1))
    flag = torch.rand(n, generator=draws(2)) < torch.tensor([0.02, 0.06, 0.1])[z]
    kind = torch.where(torch.rand(n, generator=draws(3)) < 0.8, z, torch.randint(0, 3, (n,), generator=draws(4)))
    return torch.cat([number[:, None], flag[:, None], torch.nn.functional.one_hot(kind, 3)], dim=1).double()


MIXED = [None, "flag", {"category": 3}]


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_a_mixture_with_probabilities_of_labels_sums_to_one_and_draws_labels_as_often_as_the_data(covariance):
    """A normal that has to cover a dequantised flag reaches over its edge: it would draw a rare flag twice as often."""
    x = labelled()
    model = gmm(MIXED, 5, covariance=covariance, labels="probabilities").double()
    model.warm_start(x, NOISE)
    line = torch.linspace(-60, 80, 2001, dtype=torch.float64)
    labels = torch.tensor([[a, *(float(k == b) for k in range(3))] for a, b in product((0.0, 1.0), range(3))]).double()
    cells = torch.cat([line.repeat_interleave(6)[:, None], labels.repeat(len(line), 1)], dim=1)
    with torch.no_grad():
        assert float(model.log_prob(cells).exp().sum() * (line[1] - line[0])) == pytest.approx(1, abs=1e-9)
        shares = model.sample(40_000, NOISE)[:, 1:].mean(dim=0)
        probabilities, dequantised = model, gmm(MIXED, 5, covariance=covariance).double()
        dequantised.warm_start(x, NOISE)
        assert probabilities.log_prob(x).mean() > dequantised.log_prob(x).mean() + 0.2
    torch.testing.assert_close(shares, x[:, 1:].mean(dim=0), rtol=0, atol=0.01)


def test_em_of_labels_never_lowers_the_likelihood_times_the_prior():
    """The prior of each p_k is Dirichlet: a row more, with the labels of all rows, in each component."""
    x = labelled()
    model = gmm(MIXED, 5, labels="probabilities").double()
    model.data_scale.fit(x)
    y = model.data_scale(x, NOISE)
    model.start_at(y[:4], y)
    values = []
    for _ in range(40):
        penalty = float(model.component_labels.penalty().detach())
        values.append(float(model.em_step(y)) - penalty)
    assert values[-1] > values[0] + 1e-3
    assert min(b - a for a, b in pairwise(values)) > -1e-12


def test_a_value_that_a_component_has_not_seen_keeps_a_probability_that_grows_with_its_share_of_all_rows():
    x = torch.tensor([[0.0, 1, 0, 0]] * 50 + [[9.0, 0, 1, 0]] * 50 + [[9.0, 0, 0, 1]] * 5).double()
    model = GaussianMixture([4], [None, {"category": 3}], components=2, em_steps=9, labels="probabilities").double()
    model.warm_start(x, NOISE)
    seen, common, rare = model.log_prob(torch.cat([x[:1, :1].repeat(3, 1), torch.eye(3)], dim=1).double()).detach()
    assert seen > common + 3 and common > rare + 1 and rare.isfinite()


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_a_mixture_of_a_table_without_numbers_has_the_probabilities_of_its_cells(covariance):
    x = labelled()[:, 1:]
    model = gmm(MIXED[1:], 4, covariance=covariance, labels="probabilities").double()
    model.warm_start(x, NOISE)
    model.project()
    cells, counts = x.unique(dim=0, return_counts=True)
    shares = (counts / len(x)).double()
    torch.testing.assert_close(model.log_prob(cells).exp().detach(), shares, rtol=0, atol=0.02)
    model.loss(x, NOISE).value.backward()
    assert all(p.isfinite().all() and p.grad.isfinite().all() for p in model.parameters())


def test_gradient_steps_keep_the_prior_of_labels():
    """Without it, each step would lower the logits of values that a component has not seen, whatever the rows say."""
    x = labelled(400)
    model = gmm(MIXED, 5, labels="probabilities").double()
    model.warm_start(x, NOISE)
    for _ in range(300):
        model.em_step(model.data_scale(x, NOISE))
    model.loss(x, NOISE).value.backward()
    assert model.component_labels.logits.min() < -5, "some value is rare in some component"
    assert model.component_labels.logits.grad.abs().max() < 1e-4


def test_flags_and_categories_are_drawn_with_their_probabilities_which_start_at_the_data_s():
    columns = coordinates(["flag", 1, {"category": 3}], [5])
    likelihood = MixedLikelihood(columns, sigma=1.0, variance="fixed").double()
    mean = torch.tensor([0.2, 7.0, 0.7, 0.3, 0.0], dtype=torch.float64)
    likelihood.start(mean, rows=10**6)
    f = torch.zeros(20000, 5, dtype=torch.float64)
    expected = torch.tensor([0.2, 0.0, 0.7, 0.3, 0.0], dtype=torch.float64)
    torch.testing.assert_close(likelihood.mean(f)[0], expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(likelihood.draw(f, NOISE).mean(dim=0), expected, rtol=0, atol=0.02)


def test_a_mixed_reconstruction_holds_probabilities():
    row = next(row for row in TABLES if row.name == "vae mixed table")
    back = ready(row).reconstruct(data_of(row)).detach()
    assert ((back[:, 2] > 0) & (back[:, 2] < 1)).all()
    torch.testing.assert_close(back[:, 3:6].sum(dim=1), torch.ones(len(back)).double())


# Units


@pytest.mark.parametrize("row", [row for row in TABLES if {"density", "bound"} & set(row.offers)], ids=str)
def test_a_change_of_the_unit_of_a_column_changes_the_nats_by_the_logarithm_of_its_factor(row):
    x, factor = data_of(row), 1000.0
    changed = x * torch.tensor([factor, *[1.0] * 7])

    def nats(rows):
        model = build(row)
        model.warm_start(rows, NOISE)
        return (log_prob if "density" in row.offers else elbo)(model, rows, NOISE).detach()

    torch.testing.assert_close(
        nats(x) - nats(changed), torch.full((len(x),), math.log(factor)).double(), atol=1e-7, rtol=0
    )


def test_a_table_of_continuous_columns_is_continuous_data():
    x = 5 + 3 * torch.randn(50, 3, generator=draws(), dtype=torch.float64)
    told, untold = gmm([None, None, None], 3).double(), gmm(None, 3).double()
    told.load_state_dict(told.state_dict() | {k: v for k, v in untold.state_dict().items() if "data_scale" not in k})
    for model in (told, untold):
        model.warm_start(x, NOISE)
    torch.testing.assert_close(told.log_prob(x), untold.log_prob(x))


def test_dequantised_columns_have_mean_0_and_variance_1_and_a_constant_one_has_a_scale():
    columns = [0.25, "flag", 1, {"category": 2}]
    constant = torch.tensor([0.75, 0, 12, 0, 1]).double().repeat(4000, 1)
    scale = TableScale([5], columns)
    scale.fit(constant)
    torch.testing.assert_close(scale.exact_scale, torch.tensor([0.25, 1, 1, 1, 1]).double() / math.sqrt(12))
    y = scale.double()(constant, NOISE)
    assert y.mean(dim=0).abs().max() < 0.06 and (y.std(dim=0) - 1).abs().max() < 0.04


# Legal rows


@each_flow_of_tables
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_a_row_of_a_table_survives_the_latents(row, dtype):
    model, x = ready(row, dtype), data_of(row)
    back = model.decode(model.encode(x)).detach()
    assert torch.equal(back[:, 1:7], x[:, 1:7])
    torch.testing.assert_close(back, x, rtol=0, atol=1e-3)


@pytest.mark.parametrize("step", ["0.01", "0.05", "0.3", "2.5", "1e-7", "1", "3", "86400", "0.3333333333333333"])
def test_multiples_of_a_step_are_the_numbers_that_were_read(step):
    """7 * 0.01 is not 0.07; a sample must equal what a file says."""
    x = torch.tensor([float(k * Decimal(step)) for k in range(-50, 200)], dtype=torch.float64)[:, None]
    scale = TableScale([1], [float(step)]).double()
    scale.fit(x)
    back = scale.quantise(scale.centre(x))
    assert torch.equal(back, x) if len(step) < 16 else torch.allclose(back, x, rtol=1e-15, atol=0)
    assert torch.equal(scale.quantise(scale.centre(back)), back)


def test_any_number_becomes_a_legal_row():
    model = AffineFlow([8], TABLE[1]).double()
    x = data_of(TABLES[0])
    model.warm_start(x, NOISE)
    assert_legal(model.decode(20 * torch.randn(300, 8, generator=draws(), dtype=torch.float64)).detach(), TABLE[1], x)


def test_masking_leaves_the_mean():
    model = Autoencoder([8], TABLE[1], latent=2, hidden=[], corruption="masking", corruption_level=1.0)
    x = data_of(TABLES[0])
    model.warm_start(x, NOISE)
    assert model.data_scale.centre(model.corrupt(x, NOISE)).abs().max() < 1e-6


# Digits


def long_rows() -> torch.Tensor:
    """Seconds since 1970, one apart, a pressure in hundredths, and a pressure as it comes."""
    k = torch.arange(400, dtype=torch.float64)
    return torch.stack([1_700_000_000 + k, (10132502 + k % 43) / 100, 101325.02 + 0.43 * k / 399], dim=1)


def test_numbers_with_more_digits_than_float32_stay_apart():
    x = long_rows()
    model = AffineFlow([3], [1, 0.01, None])
    model.warm_start(x, NOISE)
    y = model.data_scale.centre(x)
    assert y.dtype == torch.float32
    assert [len(column.unique()) for column in y.T] == [400, 43, 400]
    assert torch.equal(model.decode(model.encode(x))[:, :2], x[:, :2])
    drawn = model.sample(1000, NOISE)
    assert len(drawn[:, 0].unique()) > 200 and len(drawn[:, 1].unique()) == 43
    assert_legal(drawn, [1, 0.01, None], x)


def test_the_dtype_of_the_network_does_not_change_the_scale():
    scale = TableScale([3], [1, 0.01, None])
    scale.fit(long_rows())
    before = copy.deepcopy(scale.state_dict())
    scale.double().float()
    assert all(torch.equal(before[key], value) for key, value in scale.state_dict().items())
    assert scale.scale.dtype == torch.float32 and scale.shift.dtype == torch.float64


@pytest.mark.parametrize("row", [row for row in TABLES if {"density", "bound"} & set(row.offers)], ids=str)
def test_a_checkpoint_keeps_the_scale_exactly(row, tmp_path):
    columns = [1, 0.01, "flag", {"category": 3}, None, None]
    spec = {"_target_": f"{row.model.__module__}.{row.model.__name__}", "event_shape": [8], "levels": columns}
    spec |= row.arguments
    model, x = build_model(spec, 0), data_of(row)
    x[:, :2] = long_rows()[: len(x), :2]
    x[:, 2:6] = data_of(row)[:, 2:6]
    model.warm_start(x, NOISE)
    save_model(tmp_path / "checkpoint", spec, model)
    loaded = load_model(tmp_path / "checkpoint")
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value) and loaded.state_dict()[key].dtype == value.dtype, key
    assert loaded.data_scale.shift.dtype == torch.float64
    score = log_prob if "density" in row.offers else elbo
    assert torch.equal(score(loaded, x, NOISE), score(model, x, NOISE).detach())


@each_table
def test_a_network_of_float32_trains_on_rows_of_float64(row: Row):
    model, x = build(row, dtype=torch.float32), data_of(row)
    x[:, 0] += 1.7e9
    model.warm_start(x, NOISE)
    optimisers = {o.name: torch.optim.Adam(o.module.parameters(), lr=1e-3) for o in model.objectives()}
    batches = Batches(x, 24, seed=0, dtype=torch.float64)
    reports = list(fit(Training(model, optimisers), batches, NOISE, steps=6, report_every=3))
    assert all(math.isfinite(term) for report in reports for term in report.terms.values())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


# What is refused


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([None], r"levels lists columns of 1 numbers, and event_shape = \[4\]"),
        ([None, {"category": 4}], "columns of 5 numbers"),
        ([None, None, None, "flg"], r"levels\[3\] = 'flg' cannot be used: give null"),
        ([None, None, None, 0], r"levels\[3\] = 0 cannot be used"),
        ([None, None, None, True], r"levels\[3\] = True cannot be used"),
        ([None, None, None, math.inf], r"levels\[3\] = inf cannot be used"),
        ([{"category": 1}, None, None, None], r"levels\[0\].category = 1 cannot be used"),
        ([{"categories": 4}], r"levels\[0\] = \{'categories': 4\} cannot be used: give \{category: k\}"),
    ],
)
@pytest.mark.parametrize("scale", [scale_of, MixedScale])
def test_columns_that_cannot_be_say_why(scale, columns, message):
    with pytest.raises(ConfigError, match=message) as caught:
        scale([4], columns)
    assert "\n" not in str(caught.value)


IMAGE = [1, 8, 8]
COLUMNS = [None] * 64


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: scale_of(IMAGE, COLUMNS), "levels lists the columns of a table"),
        (lambda: Glow(IMAGE, COLUMNS, scales=2, steps=1, channels=4), "levels lists the columns of a table"),
        (lambda: DCGAN(IMAGE, COLUMNS, latent=2, channels=4), "levels lists the columns of a table"),
        (
            lambda: VQVAE(IMAGE, COLUMNS, **next(row for row in ROWS if row.model is VQVAE).arguments),
            "levels lists the columns of a table",
        ),
        (lambda: VAE([64], COLUMNS, latent=2, hidden=[], likelihood="discretised"), "use mixed"),
        (lambda: VAE([64], COLUMNS, latent=2, hidden=[], likelihood="bernoulli"), "use mixed"),
        (lambda: VAE([64], None, latent=2, hidden=[], likelihood="mixed"), "use likelihood: gaussian"),
        (lambda: VAE([64], 17, latent=2, hidden=[], likelihood="mixed"), "levels = 17: use likelihood: gaussian"),
    ],
)
def test_a_model_that_cannot_take_the_data_says_why(make, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)
