"""Laws of bijections and flows: inverse, log-determinant, integral, identity at the start, two workers equal one."""

from itertools import pairwise

import pytest
import torch
from torch.autograd.functional import jacobian

from gen_models.bijections.batch_norm import FlowBatchNorm
from gen_models.bijections.bijection import Compose
from gen_models.bijections.coupling import MAX_LOG_SCALE, AffineCoupling
from gen_models.bijections.histogram import Histogram
from gen_models.bijections.logit import Logit
from gen_models.bijections.partition import partitions
from gen_models.errors import ConfigError
from gen_models.evaluating import evaluating
from gen_models.flows.base import Normal
from gen_models.flows.ffjord import FFJORD
from gen_models.flows.flow import Flow
from gen_models.flows.flow_matching import FlowMatching
from gen_models.flows.realnvp import RealNVP
from gen_models.flows.spline_flow import SplineFlow
from gen_models.layers.levels import grey_levels
from gen_models.library.fitting import fit
from gen_models.noise import Noise
from pipelines.data.sources.two_moons import two_moons
from tests.jacobians import assert_log_det_is_that_of_the_jacobian
from tests.models import TABLE, build, data_of, descend, ready, rows_offering
from tests.nudges import mass_in_the_plane, normal, nudged

NOISE = Noise(seed=11)
FLOWS = [row for row in rows_offering("density") if issubclass(row.model, Flow)]
IDENTITIES = (RealNVP, SplineFlow, FFJORD, FlowMatching)
each_flow = pytest.mark.parametrize("row", FLOWS, ids=str)


def histogram(dimensions: int = 5, levels: int = 7, rows: int = 40) -> Histogram:
    """Of rows most of which are 0, so that the shares of the levels differ by factors of a hundred."""
    bijection = Histogram(dimensions, levels).double()
    bijection.fit((normal(rows, dimensions) * 3).clamp(0, levels - 1).floor())
    return bijection


FIRST, SECOND = partitions(5, 2)
BIJECTIONS = {
    "coupling": (lambda: AffineCoupling(FIRST, [8]), normal(6, 5)),
    "other coupling": (lambda: AffineCoupling(SECOND, [8, 8]), normal(6, 5)),
    "batch norm": (lambda: FlowBatchNorm(5), normal(6, 5)),
    "batch norm of images": (lambda: FlowBatchNorm(2), normal(4, 2, 3, 2)),
    "logit": (lambda: Logit(), normal(6, 5).sigmoid()),
    "logit of images": (lambda: Logit(), normal(4, 1, 2, 3).sigmoid()),
    "histogram": (histogram, normal(6, 5).sigmoid()),
    "histogram beyond its ends": (histogram, 4 * normal(6, 5)),
    "composition": (
        lambda: Compose([Logit(), AffineCoupling(FIRST, [8]), FlowBatchNorm(5), AffineCoupling(SECOND, [8])]),
        normal(6, 5).sigmoid(),
    ),
}
each_bijection = pytest.mark.parametrize(("make", "x"), BIJECTIONS.values(), ids=BIJECTIONS)


@each_bijection
def test_inverse_of_forward_is_the_identity(make, x):
    bijection = nudged(make())
    y, log_det = bijection(x)
    back, log_det_back = bijection.inverse(y)
    torch.testing.assert_close(back, x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(log_det_back, -log_det, rtol=1e-10, atol=1e-10)


@each_bijection
def test_log_det_is_that_of_the_autograd_jacobian(make, x):
    bijection = nudged(make())
    assert_log_det_is_that_of_the_jacobian(bijection.forward, x)
    assert_log_det_is_that_of_the_jacobian(bijection.inverse, bijection(x)[0].detach())


# Histogram


def test_under_a_histogram_the_levels_of_each_coordinate_have_its_shares():
    """A cell holds (1 - w) of its level's share of the coordinate's rows, and w of that of all coordinates."""
    x = (normal(400, 3) * 2).clamp(0, 6).floor()
    bijection = Histogram(3, 7).double()
    bijection.fit(x)
    counts = torch.stack([(x == level).sum(0) for level in range(7)]).double()
    pooled = (counts.sum(1) + 1) / (counts.sum() + 7)
    shares = 0.99 * counts / 400 + 0.01 * pooled[:, None]
    places = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    for level in range(7):
        y = ((level + places) / 7)[:, None].expand(-1, 3)
        for d in range(3):
            log_p = one_coordinate(bijection, y, d)
            assert log_p.exp().mean().item() / 7 == pytest.approx(shares[level, d].item(), rel=1e-3)


def one_coordinate(bijection: Histogram, y: torch.Tensor, d: int) -> torch.Tensor:
    """log p of coordinate d alone."""
    alone = Histogram(1, bijection.levels).double()
    alone.below.copy_(bijection.below[d : d + 1])
    alone.above.copy_(bijection.above[d : d + 1])
    z, log_det = alone(y[:, d : d + 1])
    return Normal().log_density(z) + log_det


def test_a_histogram_tells_places_in_the_rarest_cell_in_float32():
    """A level that no row has, between two that share all: its cell comes back from both sides."""
    x = torch.tensor([0.0, 200.0]).repeat(500)[:, None].expand(-1, 4)
    bijection = Histogram(4, 256)
    bijection.fit(x)
    y = ((torch.arange(256) + 0.5) / 256)[:, None].expand(-1, 4)
    back = bijection.inverse(bijection(y)[0])[0]
    assert torch.equal((256 * back).floor(), (256 * y).floor())


# Partitions


@pytest.mark.parametrize("dimensions", [2, 3, 5, 16])
def test_partitions_split_all_coordinates_and_neighbours_differ(dimensions):
    found = partitions(dimensions, 7)
    assert len(found) == 7
    for kept, moved in found:
        assert sorted([*kept.tolist(), *moved.tolist()]) == list(range(dimensions))
        assert len(kept) > 0
        assert len(moved) > 0
    for before, after in pairwise(found):
        assert before.kept.tolist() != after.kept.tolist()
    assert torch.equal(found[6].kept, partitions(dimensions, 7)[6].kept)


def test_every_coordinate_of_z_sees_every_coordinate_of_x():
    parts = [nudged(AffineCoupling(partition, [8])) for partition in partitions(8, 6)]
    J = jacobian(lambda r: Compose(parts)(r[None])[0][0], normal(8))
    assert (J.abs() > 1e-8).all()


def test_a_coupling_changes_only_the_moved_and_by_a_bounded_slope():
    coupling = nudged(AffineCoupling(FIRST, [8]), scale=30.0)
    x = normal(50, 5)
    y, _ = coupling(x)
    assert torch.equal(y[:, FIRST.kept], x[:, FIRST.kept])
    s, _ = coupling._s_and_t(x)
    assert s.abs().max() <= MAX_LOG_SCALE
    assert s.max() > 0.9 * MAX_LOG_SCALE, "the bound is symmetric: scales stretch"
    assert s.min() < -0.9 * MAX_LOG_SCALE, "and shrink"


# Batch norm


def test_batch_norm_weights_the_old_statistics_by_rho_and_starts_at_variance_one():
    layer, x = FlowBatchNorm(5, rho=0.75).double().train(), 2 + 3 * normal(40, 5)
    y, log_det = layer(x)
    mean = 0.25 * x.mean(0)
    variance = 0.75 + 0.25 * x.var(0, correction=0)
    torch.testing.assert_close(layer.recent_mean, mean)
    torch.testing.assert_close(layer.recent_variance, variance)
    torch.testing.assert_close(y, (x - mean) / (variance + layer.eps).sqrt())
    torch.testing.assert_close(log_det, (-0.5 * (variance + layer.eps).log().sum()).expand(40))


def test_batch_norm_of_images_counts_every_position():
    layer = FlowBatchNorm(2).double().eval()
    layer.variance.copy_(torch.tensor([4.0, 9.0]))
    _, log_det = layer(normal(3, 2, 5, 7))
    torch.testing.assert_close(log_det, (-0.5 * 35 * (layer.variance + layer.eps).log().sum()).expand(3))


def test_gradients_flow_through_the_current_batch_only():
    """d y / d x with the old statistics as constants: by finite differences of the formula."""
    layer, x = FlowBatchNorm(2, rho=0.5).double().train(), normal(4, 2)
    weights = normal(4, 2).flip(0)
    layer(3 * normal(9, 2) + 1)
    old_mean, old_variance = layer.recent_mean.clone(), layer.recent_variance.clone()

    def value(x):
        mean = 0.5 * old_mean + 0.5 * x.mean(0)
        variance = 0.5 * old_variance + 0.5 * x.var(0, correction=0)
        return (weights * (x - mean) / (variance + layer.eps).sqrt()).sum() - 2 * (variance + layer.eps).log().sum()

    x.requires_grad_()
    y, log_det = layer(x)
    (gradient,) = torch.autograd.grad((weights * y).sum() + log_det.sum(), x)
    (expected,) = torch.autograd.grad(value(x), x)
    torch.testing.assert_close(gradient, expected)
    assert not layer.mean.requires_grad and not layer.recent_mean.requires_grad


def test_evaluation_normalises_by_the_mean_over_batches_whose_weights_sum_to_one():
    layer, batches = FlowBatchNorm(2).double().train(), (1 + 2 * normal(28, 2)).split(7)
    for batch in batches:
        layer(batch)
    weights = 0.9 ** torch.arange(3, -1, -1, dtype=torch.float64)
    weights /= weights.sum()
    mean = sum(w * batch.mean(0) for w, batch in zip(weights, batches, strict=True))
    variance = sum(w * batch.var(0, correction=0) for w, batch in zip(weights, batches, strict=True))
    y, _ = layer.eval()(batches[0])
    torch.testing.assert_close(y, (batches[0] - mean) / (variance + layer.eps).sqrt())


def test_the_density_of_a_trained_flow_hardly_depends_on_the_last_batches():
    """With frozen weights, only the statistics change; two or three batches would move the nats by some tenths."""
    x = torch.from_numpy(two_moons(Noise(0), rows=3000).x)
    model, nats = fit(RealNVP([2], None, couplings=6, hidden=[32, 32]), x, steps=150).model.train(), []
    for batch in x[:2000].split(100):
        with torch.no_grad():
            model.objectives()[0].loss(batch, NOISE)
        with evaluating(model):
            nats.append(-model.log_prob(x[2000:]).mean())
    assert torch.stack(nats).std() < 0.006  # .014 with the weights of training


def test_a_state_of_an_earlier_release_loads_and_scores_the_same():
    layer, other = nudged(FlowBatchNorm(3)), FlowBatchNorm(3).double().eval()
    other.load_state_dict({name: layer.state_dict()[name] for name in ("mean", "variance")})
    x = normal(4, 3)
    torch.testing.assert_close(other(x)[0], layer(x)[0], rtol=0, atol=0)
    torch.testing.assert_close(other.recent_mean, layer.mean)


def test_evaluation_and_inverse_leave_the_statistics_alone():
    layer = FlowBatchNorm(3).double()
    before = layer.mean.clone(), layer.variance.clone()
    layer.train().inverse(normal(4, 3))
    layer.eval()(normal(4, 3))
    assert torch.equal(layer.mean, before[0])
    assert torch.equal(layer.variance, before[1])


# Flows


@pytest.mark.parametrize("row", [row for row in FLOWS if row.model in IDENTITIES], ids=str)
def test_a_flow_starts_as_the_identity_where_it_says_so(row):
    """Up to the scaling and the logit; batch norm starts at mean 0 and variance 1."""
    model, x = build(row), data_of(row)
    model.warm_start(x, NOISE)
    y = model.data_scale.centre(x).flatten(1)
    expected = y if grey_levels(row.data[1]) is None else torch.logit(0.05 + 0.9 * y)
    torch.testing.assert_close(model.encode(x), expected, rtol=1e-4, atol=1e-4)  # eps of batch norm


@each_flow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-2)], ids=str)
def test_forward_undoes_inverse_on_draws_from_the_prior(row, dtype, tolerance):
    """In float32 the logit of a saturated sigmoid limits it: 1e-2 absolute at |z| up to 5."""
    model = ready(row, dtype)
    z = model.base.from_normal(NOISE.normal("z", (200, data_of(row)[0].numel()), like=model.data_scale.scale))
    y, _ = model.bijection.inverse(z)
    assert y.isfinite().all()
    torch.testing.assert_close(model.bijection(y)[0], z, rtol=tolerance, atol=tolerance)


@each_flow
def test_decoding_a_latent_returns_the_datum(row):
    model, x = ready(row), data_of(row)
    torch.testing.assert_close(model.decode(model.encode(x)), x, rtol=1e-9, atol=1e-9)


@each_flow
def test_samples_are_decoded_draws_from_the_prior(row):
    model = ready(row)
    normal = NOISE.normal("flow.z", (7, data_of(row)[0].numel()), like=model.data_scale.scale)
    z = model.base.from_normal(normal)
    decoded = model.decode(z) if row.data is not TABLE else model.data_scale.drawn(model.draw(7, NOISE))
    torch.testing.assert_close(model.sample(7, NOISE), decoded, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("has_batch_norm", [True, False])
def test_density_in_the_plane_integrates_to_one(has_batch_norm):
    torch.manual_seed(0)
    model = RealNVP([2], None, couplings=4, hidden=[8], batch_norm=has_batch_norm)
    assert abs(mass_in_the_plane(nudged(model, scale=0.15), reach=25, points=900) - 1) < 1e-3


def test_log_prob_by_hand():
    """At the start, on two standardised columns: log N(x; mean, diag var) exactly."""
    x = 3 + 2 * normal(30, 2)
    model = RealNVP([2], None, couplings=2, hidden=[4], batch_norm=False).double()
    model.warm_start(x, NOISE)
    exact = torch.distributions.Normal(x.mean(0), x.std(0, correction=0))
    torch.testing.assert_close(model.log_prob(x), exact.log_prob(x).sum(1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("row", [row for row in FLOWS if row.data[1] is None], ids=str)
def test_the_latents_of_draws_have_the_standard_deviation_of_the_temperature(row):
    """In normal scores, which are the latents themselves under the normal base: T times those at 1, draw by draw."""
    model = ready(row)

    def scores(temperature):
        z = model.encode(model.sample_at(50, NOISE, temperature))
        return Normal().quantile(*model.base.log_cdf(z))

    for temperature in (0.5, 1.2):
        torch.testing.assert_close(scores(temperature), temperature * scores(1.0), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("has_batch_norm", [True, False])
def test_training_beats_the_best_gaussian_on_a_curve(has_batch_norm):
    """x2 = x1^2 + noise: no Gaussian comes near, a few couplings do."""
    noise = normal(512, 2)
    x = torch.stack([noise[:, 0], noise[:, 0].square() + 0.2 * noise[:, 1]], dim=1)
    torch.manual_seed(0)
    model = RealNVP([2], None, couplings=4, hidden=[16], batch_norm=has_batch_norm).double().train()
    model.warm_start(x, NOISE)
    gaussian = torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T)).log_prob(x).mean()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(150):
        optimiser.zero_grad()
        model.loss(x, NOISE.at(step)).value.backward()
        optimiser.step()
    assert model.eval().log_prob(x).mean() > gaussian + 0.5


def test_one_dimension_has_no_coupling():
    with pytest.raises(ConfigError, match="1 dimension"):
        RealNVP([1], None, couplings=2, hidden=[4])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"couplings": 0, "hidden": [4]}, "couplings = 0"), ({"couplings": 2, "hidden": [4, 0]}, r"hidden\[1\] = 0")],
)
def test_what_cannot_be_built_says_why(arguments, message):
    with pytest.raises(ConfigError, match=message):
        RealNVP([2], None, **arguments)


def test_training_moves_the_statistics_and_scores_do_not():
    row = FLOWS[0]
    model, x = ready(row).train(), data_of(row)
    before = model.state_dict()["bijection.parts.2.mean"].clone()
    descend(model.objectives()[0], x, NOISE)
    assert not torch.equal(model.state_dict()["bijection.parts.2.mean"], before)
