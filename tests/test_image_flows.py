"""Laws of the bijections and flows of images, in float64 with statistics frozen, and of their data-dependent starts."""

from functools import partial
from itertools import pairwise

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file
from torch.autograd.functional import jacobian

from gen_models.bijections.actnorm import MIN_STD, ActNorm
from gen_models.bijections.bijection import Bijection, Compose
from gen_models.bijections.coupling import MAX_LOG_SCALE
from gen_models.bijections.histogram import Histogram
from gen_models.bijections.image_coupling import ChannelCoupling, MaskedCoupling, checkerboard
from gen_models.bijections.invertible_conv import InvertibleConv
from gen_models.bijections.multi_scale import MultiScale
from gen_models.bijections.squeeze import Squeeze, pyramid
from gen_models.errors import ConfigError
from gen_models.flows.flow import Flow
from gen_models.flows.glow import Glow, ThreeConvolutions
from gen_models.flows.image_realnvp import ImageRealNVP, OfSquares
from gen_models.layers.batch_norm import BatchNorm
from gen_models.layers.resnet import NORMS, ResNet
from gen_models.noise import Noise
from tests.jacobians import assert_log_det_is_that_of_the_jacobian
from tests.nudges import normal, nudged

NOISE = Noise(seed=11)


def resnet(norm: str = "weight", blocks: int = 1):
    return partial(ResNet, width=6, blocks=blocks, norm=norm)


def two_scales() -> MultiScale:
    first = Compose([Squeeze(), InvertibleConv(8), ChannelCoupling(8, resnet())])
    last = MaskedCoupling(4, checkerboard(2, 2, 0), resnet())
    return MultiScale([first, last], [(8, 2, 2), (4, 2, 2)])


BIJECTIONS = {
    "squeeze": (Squeeze, normal(3, 2, 4, 2)),
    "even checkerboard": (lambda: MaskedCoupling(2, checkerboard(3, 4, 0), resnet("batch")), normal(3, 2, 3, 4)),
    "odd checkerboard": (lambda: MaskedCoupling(1, checkerboard(3, 3, 1), resnet("none")), normal(3, 1, 3, 3)),
    "checkerboard of squares": (
        lambda: MaskedCoupling(2, checkerboard(2, 4, 1), partial(OfSquares, network=resnet())),
        normal(3, 2, 2, 4),
    ),
    "channels": (lambda: ChannelCoupling(4, resnet()), normal(3, 4, 2, 2)),
    "other channels": (lambda: ChannelCoupling(3, resnet(blocks=0), is_first_kept=False), normal(3, 3, 2, 3)),
    "three convolutions": (lambda: ChannelCoupling(4, partial(ThreeConvolutions, width=5)), normal(3, 4, 2, 2)),
    "actnorm": (lambda: ActNorm(3), normal(3, 3, 2, 3)),
    "actnorm of vectors": (lambda: ActNorm(4), normal(3, 4)),
    "convolution": (lambda: InvertibleConv(4), normal(3, 4, 2, 3)),
    "convolution of vectors": (lambda: InvertibleConv(5), normal(3, 5)),
    "two scales": (two_scales, normal(3, 2, 4, 4)),
}
each_bijection = pytest.mark.parametrize(("make", "x"), BIJECTIONS.values(), ids=BIJECTIONS)


@each_bijection
def test_inverse_of_forward_is_the_identity(make, x):
    bijection = nudged(make(), 0.3)
    y, log_det = bijection(x)
    back, log_det_back = bijection.inverse(y)
    torch.testing.assert_close(back, x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(log_det_back, -log_det, rtol=1e-10, atol=1e-10)


@each_bijection
def test_forward_of_inverse_is_the_identity_far_from_the_data(make, x):
    bijection = nudged(make(), 0.3)
    y = 5 * bijection(x)[0].detach().flip(0)
    torch.testing.assert_close(bijection(bijection.inverse(y)[0])[0], y, rtol=1e-10, atol=1e-10)


@each_bijection
def test_log_det_is_that_of_the_autograd_jacobian(make, x):
    bijection = nudged(make(), 0.3)
    assert_log_det_is_that_of_the_jacobian(bijection.forward, x)
    assert_log_det_is_that_of_the_jacobian(bijection.inverse, bijection(x)[0].detach())


@each_bijection
def test_no_rows_are_no_rows_and_one_is_one(make, x):
    bijection = nudged(make(), 0.3)
    y, log_det = bijection(x)
    for rows in (0, 1):
        part, log_det_of_part = bijection(x[:rows])
        torch.testing.assert_close(part, y[:rows], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(log_det_of_part, log_det[:rows], rtol=1e-12, atol=1e-12)
        assert bijection.inverse(part)[0].shape == x[:rows].shape


# Squeeze


def test_a_squeeze_gathers_squares_place_before_colour():
    x = torch.arange(2 * 4 * 6.0).reshape(1, 2, 4, 6)
    y, _ = Squeeze()(x)
    assert y.shape == (1, 8, 2, 3)
    for i in range(2):
        for j in range(2):
            for c in range(2):
                assert torch.equal(y[0, (2 * i + j) * 2 + c], x[0, c, i::2, j::2])


def test_a_pyramid_keeps_half_of_the_channels_after_each_squeeze():
    assert pyramid([3, 32, 32], 4, squeezes=3) == [(3, 32, 32), (6, 16, 16), (12, 8, 8), (24, 4, 4)]


# Couplings


@pytest.mark.parametrize(("height", "width"), [(1, 2), (3, 3), (4, 6)])
def test_checkerboards_alternate_and_their_colours_are_opposite(height, width):
    black, white = checkerboard(height, width, 0)[0], checkerboard(height, width, 1)[0]
    assert torch.equal(black + white, torch.ones(height, width))
    assert (black[:, 1:] + black[:, :-1] == 1).all()
    assert (black[1:] + black[:-1] == 1).all()


@pytest.mark.parametrize("colour", [0, 1])
def test_a_masked_coupling_keeps_its_colour_and_moves_the_rest(colour):
    kept = checkerboard(4, 4, colour)
    coupling, x = nudged(MaskedCoupling(2, kept, resnet()), 0.3), normal(5, 2, 4, 4)
    same = coupling(x)[0] == x
    assert torch.equal(same, kept.bool().expand_as(x))


@pytest.mark.parametrize("is_first_kept", [True, False])
def test_a_channel_coupling_keeps_its_half_and_moves_the_other(is_first_kept):
    coupling, x = nudged(ChannelCoupling(4, resnet(), is_first_kept=is_first_kept), 0.3), normal(5, 4, 3, 3)
    first, second = (coupling(x)[0] == x).chunk(2, dim=1)
    assert first.all() == is_first_kept
    assert second.all() != is_first_kept
    assert not (second if is_first_kept else first).any()


def test_log_scales_are_bounded_symmetrically():
    torch.manual_seed(0)
    coupling = MaskedCoupling(1, checkerboard(4, 4, 0), resnet()).double()
    with torch.no_grad():
        coupling.net.last.weight += 100 * normal(*coupling.net.last.weight.shape)
    s, _ = coupling._s_and_t(normal(50, 1, 4, 4))
    assert s.abs().max() <= MAX_LOG_SCALE + 1e-6  # log c is kept in float32
    assert s.max() > 0.9 * MAX_LOG_SCALE, "scales stretch"
    assert s.min() < -0.9 * MAX_LOG_SCALE, "and shrink"


@pytest.mark.parametrize("norm", NORMS)
def test_couplings_start_as_the_identity(norm):
    x = normal(5, 4, 4, 4)
    for coupling in (MaskedCoupling(4, checkerboard(4, 4, 0), resnet(norm)), ChannelCoupling(4, resnet(norm))):
        y, log_det = coupling.double()(x)
        assert torch.equal(y, x)
        assert not log_det.any()


# ActNorm


@pytest.mark.parametrize("shape", [(50, 3, 4, 2), (50, 3)], ids=["images", "vectors"])
def test_actnorm_starts_at_mean_0_and_variance_1_of_each_channel(shape):
    x = normal(*shape) * 7 + 3
    layer = ActNorm(3).double()
    y = layer.start(x).transpose(0, 1).flatten(1)
    torch.testing.assert_close(y.mean(1), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(y.var(1, correction=0), torch.ones(3, dtype=torch.float64), rtol=1e-12, atol=0)
    assert layer.initialised


def test_only_a_start_starts_actnorm_and_only_once():
    layer = ActNorm(3).double()
    for mode in (True, False):
        layer.train(mode)
        layer(normal(9, 3))
        layer.inverse(normal(9, 3))
        assert not layer.initialised
        assert not layer.log_scale.any()
    layer.start(3 * normal(9, 3))
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    for mode in (True, False):
        layer.train(mode)
        layer(5 * normal(9, 3))
        layer.inverse(5 * normal(9, 3))
        layer.start(5 * normal(9, 3) + 1)
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())


def test_a_constant_channel_has_a_finite_scale():
    layer = ActNorm(2).double()
    y = layer.start(torch.ones(9, 2, dtype=torch.float64))
    assert not y.any()
    torch.testing.assert_close(layer.log_scale.exp(), torch.full((2,), 1 / MIN_STD, dtype=torch.float64))


def test_a_flow_starts_layer_by_layer():
    """Each ActNorm of a Glow sees what those before it made of the rows; a restored flow does not start again."""
    model = Glow([1, 4, 4], None, scales=2, steps=2, channels=4).double()
    x = 3 + 2 * normal(40, 1, 4, 4)
    model.warm_start(x, NOISE)
    layers = [part for part in model.modules() if isinstance(part, ActNorm)]
    assert len(layers) == 4
    assert all(layer.initialised for layer in layers)
    seen: list[torch.Tensor] = []
    for layer in layers:
        layer.register_forward_hook(lambda _module, _x, out: seen.append(out[0]))
    model.encode(x)
    for y in seen:
        torch.testing.assert_close(y.mean((0, 2, 3)), y.new_zeros(y.shape[1]), rtol=0, atol=1e-10)
        torch.testing.assert_close(y.var((0, 2, 3), correction=0), y.new_ones(y.shape[1]), rtol=1e-10, atol=0)


# The 1x1 convolution


def test_a_convolution_starts_as_a_rotation_and_is_one_matrix_at_each_position():
    layer, x = InvertibleConv(4).double(), normal(3, 4, 2, 3)
    y, log_det = layer(x)
    torch.testing.assert_close(log_det, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-5)  # drawn in float32
    torch.testing.assert_close(y.square().sum(1), x.square().sum(1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(layer(x[:, :, 1, 2])[0], y[:, :, 1, 2])


def test_permutation_and_signs_are_fixed():
    layer = InvertibleConv(4)
    assert {name for name, _ in layer.named_parameters()} == {"log_diagonal", "triangles"}
    assert torch.equal(layer.sign.abs(), torch.ones(4))
    assert torch.equal(layer.permutation.sum(0), torch.ones(4))


# Scales


def test_factored_out_latents_come_first_and_all_are_counted():
    flow, x = MultiScale([Squeeze(), Squeeze()], [(4, 2, 2), (8, 1, 1)]), normal(2, 1, 4, 4)
    z, _ = flow(x)
    assert z.shape == (2, 16)
    assert torch.equal(z[:, :8], Squeeze()(x)[0][:, :2].flatten(1)), "half of the channels of the first scale"
    assert torch.equal(z[:, 8:], Squeeze()(Squeeze()(x)[0][:, 2:])[0].flatten(1)), "the rest, squeezed again"


# Networks


def test_batch_norm_normalises_by_the_batch_in_training_and_by_running_means_after():
    layer, x = BatchNorm(3, momentum=0.25).double().train(), 2 + 3 * normal(40, 3, 2, 2)
    y = layer(x)
    exact = torch.nn.functional.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(y, exact)
    torch.testing.assert_close(layer.mean, 0.25 * x.mean((0, 2, 3)))
    torch.testing.assert_close(layer.variance, 0.75 + 0.25 * x.var((0, 2, 3), correction=0))
    before = layer.mean.clone()
    layer.eval()(x)
    assert torch.equal(layer.mean, before)


def half_of_the_batch(rank: int, file: str, out: str) -> None:
    """One of two workers: the gradient of its half of the loss, and the start that it takes from its half."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)
    gradient, start = of_rows(normal(8, 3, 2, 2).chunk(2)[rank])
    dist.all_reduce(gradient)
    save_file({"gradient": gradient / 2, "start": start}, f"{out}{rank}")
    dist.destroy_process_group()


def of_rows(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """d loss/d weight through batch norm in training mode; ActNorm's scale after its start."""
    layer, actnorm = BatchNorm(3).double().train(), ActNorm(3).double()
    weight = (torch.eye(3, dtype=torch.float64) + 0.1 * normal(3, 3)).requires_grad_()
    loss = layer(torch.einsum("bchw,cd->bdhw", x, weight)).pow(4).sum(dim=(1, 2, 3)).mean()
    actnorm.start(x)
    return torch.autograd.grad(loss, weight)[0], actnorm.log_scale.detach()


@pytest.mark.filterwarnings("ignore:.*torch.distributed.nn.functional.all_reduce:FutureWarning")
def test_two_workers_have_the_statistics_of_one(tmp_path):
    how = "spawn" if torch.cuda.is_available() else "fork"  # a fork imports nothing; with a GPU it may not use autograd
    where = (str(tmp_path / "rendezvous"), str(tmp_path / "rank"))
    mp.start_processes(half_of_the_batch, where, nprocs=2, start_method=how)
    gradient, start = of_rows(normal(8, 3, 2, 2))
    for rank in range(2):
        found = load_file(tmp_path / f"rank{rank}")
        torch.testing.assert_close(found["gradient"], gradient, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(found["start"], start, rtol=1e-12, atol=1e-12)


# Flows

FLOWS = {
    "realnvp": lambda: ImageRealNVP([1, 4, 4], 17, scales=2, channels=4, blocks=1),
    "realnvp of colours": lambda: ImageRealNVP([3, 2, 4], None, scales=2, channels=4, blocks=0, batch_norm=False),
    "realnvp of one scale": lambda: ImageRealNVP([1, 3, 5], 17, scales=1, channels=4, blocks=1, norm="none"),
    "realnvp with batch norm": lambda: ImageRealNVP([2, 4, 4], 17, scales=2, channels=4, blocks=1, norm="batch"),
    "glow": lambda: Glow([1, 4, 4], 17, scales=2, steps=2, channels=4),
    "glow of colours": lambda: Glow([3, 2, 4], None, scales=1, steps=2, channels=4),
}
each_flow = pytest.mark.parametrize("make", FLOWS.values(), ids=FLOWS)


def rows_of(model: Flow, rows: int = 24, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Data as stored: on levels, or correlated and off centre."""
    shape, levels = model.data_scale.event_shape, model.data_scale.levels
    generator = torch.Generator().manual_seed(1)
    if levels is not None:
        return torch.randint(0, levels, (rows, *shape), generator=generator).to(dtype)
    x = torch.randn(rows, *shape, generator=generator, dtype=dtype)
    return 3 + 2 * x + x.roll(1, dims=-1)


def ready(make, dtype: torch.dtype = torch.float64) -> Flow:
    """After its warm start and a nudge; its weights are a function of nothing but `make`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = make().to(dtype)
    model.warm_start(rows_of(model, dtype=dtype), NOISE)
    return nudged(model, 0.1, dtype)


@each_flow
def test_the_flow_undoes_itself_both_ways(make):
    model = ready(make)
    y = model.data_scale(rows_of(model), NOISE)
    z, log_det = model.bijection(y)
    back, log_det_back = model.bijection.inverse(z)
    torch.testing.assert_close(back, y, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(log_det_back, -log_det, rtol=1e-10, atol=1e-10)
    z = NOISE.normal("z", (200, z.shape[1]), like=z)
    torch.testing.assert_close(model.bijection(model.bijection.inverse(z)[0])[0], z, rtol=1e-10, atol=1e-10)


@each_flow
def test_float32_undoes_draws_from_the_prior_to_a_hundredth(make):
    """At |z| up to 5; what limits it is the logit of a sigmoid near 0 or 1."""
    model = ready(make, torch.float32)
    z = NOISE.normal("z", (200, model.data_scale.scale.numel()), like=model.data_scale.scale)
    torch.testing.assert_close(model.bijection(model.bijection.inverse(z)[0])[0], z, rtol=1e-2, atol=1e-2)


@each_flow
def test_the_log_det_of_a_flow_is_that_of_the_autograd_jacobian(make):
    model = ready(make)
    assert_log_det_is_that_of_the_jacobian(model.bijection.forward, model.data_scale(rows_of(model, 2), NOISE))


@each_flow
def test_the_density_counts_every_coordinate(make):
    """log p(x) = log N(z; 0, I) over all D latents + log |det dz/dx|, both from scratch."""
    model = ready(make)
    y = model.data_scale(rows_of(model, 2), NOISE)
    for row, found in zip(y, model.log_density(y), strict=True):
        J = jacobian(lambda r: model.bijection(r[None])[0][0], row).reshape(row.numel(), row.numel())
        z = model.bijection(row[None])[0][0]
        exact = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum() + torch.linalg.slogdet(J).logabsdet
        torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-9)


@each_flow
def test_a_row_is_scored_alone(make):
    model = ready(make)
    y = model.data_scale(rows_of(model), NOISE)
    alone = torch.cat([model.log_density(part) for part in y.split([1, 7, len(y) - 8])])
    torch.testing.assert_close(alone, model.log_density(y), rtol=1e-12, atol=1e-12)
    assert model.log_density(y[:0]).shape == (0,)


@each_flow
def test_gradients_reach_every_parameter(make):
    model = ready(make).train()
    model.loss(rows_of(model), NOISE).value.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@each_flow
def test_every_coordinate_of_z_hears_of_the_image(make):
    """Each of z is moved by more than one pixel, each pixel moves more than one of z."""
    model = ready(make)
    row = model.data_scale(rows_of(model, 1), NOISE)[0]
    moves = jacobian(lambda r: model.bijection(r[None])[0][0], row).reshape(row.numel(), -1).abs() > 1e-9
    assert (moves.sum(0) > 1).all()
    assert (moves.sum(1) > 1).all()


@pytest.mark.parametrize("batch_norm", [True, False])
def test_image_realnvp_starts_as_a_permutation(batch_norm):
    """Of the logits; the tolerance is the eps of flow batch norm."""
    model = ImageRealNVP([1, 4, 4], 17, scales=2, channels=4, blocks=1, batch_norm=batch_norm).double().eval()
    x = rows_of(model)
    model.warm_start(x, NOISE)
    expected = torch.logit(0.05 + 0.9 * model.data_scale.centre(x)).flatten(1)
    torch.testing.assert_close(model.encode(x).sort().values, expected.sort().values, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("levels", [4, 17])
def test_image_realnvp_from_histograms_starts_as_the_density_of_independent_pixels(levels):
    """log p(x) = sum_d log share_d(x_d), every level's cell of volume 1; the tolerance is eps's."""
    model = ImageRealNVP([1, 4, 4], levels, scales=2, channels=4, blocks=1, batch_norm=False, to_line="histogram")
    model.double().eval()
    x = (6 * normal(300, 1, 4, 4)).clamp(0, levels - 1).floor()
    model.warm_start(x, NOISE)
    (histogram,) = (part for part in model.modules() if isinstance(part, Histogram))
    shares = histogram.below.diff(dim=1)
    expected = shares.log().gather(1, x.flatten(1).long().T).sum(0)
    torch.testing.assert_close(model.log_prob(x), expected, rtol=0, atol=1e-3)


def test_neighbouring_couplings_keep_opposite_halves():
    model = ImageRealNVP([1, 8, 8], None, scales=2, channels=4, blocks=0)
    couplings = [part for part in model.modules() if isinstance(part, MaskedCoupling | ChannelCoupling)]
    assert [type(part) for part in couplings] == [MaskedCoupling] * 3 + [ChannelCoupling] * 3 + [MaskedCoupling] * 4
    for before, after in pairwise(couplings):
        if isinstance(before, MaskedCoupling) and isinstance(after, MaskedCoupling):
            if before.moved.shape == after.moved.shape:
                assert torch.equal(before.moved, 1 - after.moved)
        elif isinstance(before, ChannelCoupling) and isinstance(after, ChannelCoupling):
            assert before.is_first_kept != after.is_first_kept


@pytest.mark.parametrize(
    ("make", "event_shape"),
    [
        (partial(ImageRealNVP, scales=3, channels=2, blocks=0), [1, 28, 28]),
        (partial(ImageRealNVP, scales=4, channels=2, blocks=0), [3, 32, 32]),
        (partial(ImageRealNVP, scales=3, channels=2, blocks=0), [1, 8, 8]),
        (partial(Glow, scales=2, steps=1, channels=2), [1, 28, 28]),
        (partial(Glow, scales=3, steps=1, channels=2), [3, 32, 32]),
        (partial(Glow, scales=3, steps=1, channels=2), [1, 8, 8]),
    ],
)
def test_sizes_of_data_sets_can_be_used(make, event_shape):
    model = make(event_shape, 17)
    x = rows_of(model, 2, torch.float32)
    model.warm_start(x, NOISE)
    model.eval()
    assert torch.equal(model.decode(model.encode(x)), x)
    assert model.sample(2, NOISE).shape == x.shape


REALNVP = partial(ImageRealNVP, levels=17)
GLOW = partial(Glow, levels=17)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: REALNVP([1, 7, 8], scales=2, channels=4, blocks=1), "scales = 2 .* 7x8 does not halve 1 times"),
        (lambda: REALNVP([1, 4, 4], scales=3, channels=4, blocks=1), "scales = 3 .* 1x1"),
        (lambda: REALNVP([64], scales=1, channels=4, blocks=1), r"event_shape = \[64\]"),
        (lambda: REALNVP([1, 8, 8], scales=0, channels=4, blocks=1), "scales = 0"),
        (lambda: REALNVP([1, 8, 8], scales=2, channels=0, blocks=1), "channels = 0"),
        (lambda: REALNVP([1, 8, 8], scales=2, channels=4, blocks=-1), "blocks = -1"),
        (lambda: REALNVP([1, 8, 8], scales=2, channels=4, blocks=1, norm="weigth"), "did you mean 'weight'"),
        (lambda: GLOW([1, 28, 28], scales=3, steps=1, channels=4), "scales = 3 .* 28x28 does not halve 3 times"),
        (lambda: GLOW([2], scales=1, steps=1, channels=4), r"event_shape = \[2\]"),
        (lambda: GLOW([1, 8, 8], scales=1, steps=0, channels=4), "steps = 0"),
        (lambda: GLOW([1, 8, 8], scales=1, steps=1, channels=0), "channels = 0"),
    ],
)
def test_what_cannot_be_built_says_why_in_one_line(make, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


@each_flow
def test_a_flow_survives_saving_and_loading(make, tmp_path):
    model = ready(make)
    y = model.data_scale(rows_of(model), NOISE)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    loaded = make().double().eval()
    loaded.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(loaded.log_density(y), model.log_density(y))


@each_flow
def test_sampling_and_scoring_leave_a_flow_as_it_is(make):
    model = make().double().eval()  # before its start: nothing but a start starts it
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.sample(3, NOISE)
    model.log_prob(rows_of(model, 3))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["realnvp", "glow"])
def test_training_beats_independent_pixels(name):
    """Stripes, all rows of an image alike: pixels alone cost what one row costs, four times."""
    torch.manual_seed(0)
    model = FLOWS[name]()
    generator = torch.Generator().manual_seed(2)
    x = torch.randint(0, 17, (256, 1, 1, 4), generator=generator).float().expand(-1, 1, 4, 4).contiguous()
    model.warm_start(x, NOISE)
    optimiser = torch.optim.Adam(model.train().parameters(), lr=1e-2)
    for step in range(30):
        optimiser.zero_grad()
        model.loss(x, NOISE.at(step)).value.backward()
        optimiser.step()
    independent = -16 * torch.tensor(17.0).log()
    assert model.eval().log_prob(x).mean() > independent + 10  # of 34 that there are to gain


def test_bijections_chain_their_starts():
    """A part without a start passes its rows on, transformed."""

    class Double(Bijection):
        def forward(self, x):
            return 2 * x, x.new_zeros(len(x))

        def inverse(self, y):
            return y / 2, y.new_zeros(len(y))

    actnorm = ActNorm(3).double()
    x = normal(30, 3)
    Compose([Double(), actnorm]).start(x)
    torch.testing.assert_close(actnorm.log_scale.exp(), 0.5 / x.std(0, correction=0))
