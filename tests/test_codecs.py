"""Laws of codecs: back comes what went in, or the model's own quantised reconstruction; rates are the model's."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.datasets import load_digits

from gen_models import save
from gen_models.autoencoders.autoencoder import Autoencoder
from gen_models.autoencoders.iwae import IWAE
from gen_models.autoencoders.vae import VAE
from gen_models.autoencoders.vq_vae import VQVAE
from gen_models.autoencoders.vq_vae2 import VQVAE2
from gen_models.codecs import bits_back, codes, container, latents
from gen_models.codecs.entropy import Stack
from gen_models.codecs.latent_channel import LatentChannel, interval_mass
from gen_models.errors import CheckpointError, DataError
from gen_models.evaluating import elbo
from gen_models.noise import Noise
from tests.models import TINY_VQ

NOISE = Noise(seed=3)
DIGITS = torch.from_numpy(load_digits().images[:, None]).float()
TEST = DIGITS[1500:1540]


@pytest.fixture(scope="module")
def vae() -> VAE:
    """A VAE of the digits after some seconds of training: far from its best, but no longer noise."""
    torch.manual_seed(0)
    model = VAE([1, 8, 8], 17, latent=6, hidden=[64], sigma=0.15)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(300):
        optimiser.zero_grad()
        rows = Noise(1).permutation("rows", 1500)[torch.arange(128 * step, 128 * (step + 1)) % 1500]
        model.loss(DIGITS[rows], Noise(1).at(step)).value.backward()
        optimiser.step()
    return model.eval().requires_grad_(False)


def tiny_coded(two_levels: bool) -> VQVAE | VQVAE2:
    torch.manual_seed(1)
    model = (VQVAE2 if two_levels else VQVAE)([1, 8, 8], 17, **TINY_VQ)
    with torch.no_grad():
        model.warm_start(DIGITS[:200], NOISE)
    return model.eval().requires_grad_(False)


# The stack


def test_a_stack_gives_back_what_went_on_last_first():
    stack, p = Stack(), np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7]])
    stack.push(np.array([2, 0]), p)  # a probability of 0 costs 24 bits, not the file
    stack.push(np.array([1, 1, 0]), np.array([3.0, 1.0]))
    stack.push_even(np.array([9, 4]), 10)
    stack.push(np.array([0, 0]), np.ones((2, 1)))  # what must come costs nothing
    again = Stack(stack.words())
    assert again.pop(np.ones((2, 1))).tolist() == [0, 0]
    assert again.pop_even(2, 10).tolist() == [9, 4]
    assert again.pop(np.array([3.0, 1.0]), 3).tolist() == [1, 1, 0]
    assert again.pop(p).tolist() == [2, 0]
    assert again.bits() == 0


def test_a_pop_under_other_probabilities_is_undone_by_a_push():
    words = np.array([12345, 67890, 1 << 31 | 7], dtype=np.uint32)
    stack, p = Stack(words), np.array([[0.2, 0.3, 0.5]] * 20)
    symbols = stack.pop(p)
    stack.push(symbols, p)
    assert np.array_equal(stack.words(), words)


def test_symbols_cost_their_entropy():
    p = np.array([0.9, 0.08, 0.02])
    symbols = np.random.default_rng(0).choice(3, 20_000, p=p)
    stack = Stack()
    stack.push(symbols, p)
    ideal = -np.log2(p[symbols]).sum()
    assert ideal - 1 <= stack.bits() <= 1.001 * ideal + 64


# Bits back


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_byte_comes_back(vae, dtype):
    x = TEST[:12].to(dtype)
    model = vae if dtype == torch.float32 else _double(vae)
    compressed, _ = bits_back.compress(model, x, NOISE)
    found = bits_back.decompress(model, compressed)
    assert found.dtype == dtype
    assert torch.equal(found, x)


@pytest.mark.parametrize("given", [torch.uint8, torch.int64, torch.float16, torch.float64, np.uint8])
def test_rows_of_any_type_of_numbers_come_back(vae, given):
    rows = TEST[:5].numpy().astype(given) if given is np.uint8 else TEST[:5].to(given)
    assert torch.equal(bits_back.expected_bits(vae, rows, NOISE), bits_back.expected_bits(vae, TEST[:5], NOISE))
    compressed, _ = bits_back.compress(vae, rows, NOISE)
    torch.testing.assert_close(bits_back.decompress(vae, compressed), TEST[:5], rtol=0, atol=0)
    grid = latents.grid_of(vae, rows, 0.5)
    back = latents.decompress(vae, latents.compress(vae, rows, grid))
    torch.testing.assert_close(back, latents.quantised(vae, TEST[:5], grid), rtol=0, atol=0)


def test_the_page_runs(vae, tmp_path, monkeypatch, capsys):
    page = Path(__file__).parent.parent / "docs" / "codec.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("out/train").mkdir(parents=True)
    save(vae, "out/train/vae-digits")
    np.save("rows.npy", TEST[:3].numpy().astype(np.uint8))
    exec(compile(block, "docs/codec.md", "exec"), {"__name__": "page"})
    assert re.fullmatch(r"\d\.\d+ True\n", capsys.readouterr().out)


def test_rows_without_a_cell_are_refused(vae):
    grid = latents.grid_of(vae, TEST, 0.5)
    with pytest.raises(DataError, match="VAE encodes a row as nan: check that rows are finite"):
        latents.compress(vae, TEST[:2] * torch.nan, grid)


@pytest.mark.parametrize("likelihood", [{"variance": "learned"}, {"variance": "optimal"}, {"channels": [4]}, {}])
def test_every_byte_comes_back_whatever_the_decoder(likelihood):
    torch.manual_seed(2)
    model = IWAE([1, 8, 8], 17, latents=[2], hidden=[[8]], samples=2)
    if likelihood:
        model = VAE([1, 8, 8], 17, latent=2, hidden=[8], sigma=0.3, **likelihood)
    assert torch.equal(bits_back.decompress(model, bits_back.compress(model, TEST[:5], NOISE)[0]), TEST[:5])


def test_binary_pixels_cost_what_the_bernoulli_bound_says():
    torch.manual_seed(2)
    model = VAE([1, 8, 8], 2, latent=2, hidden=[8], likelihood="bernoulli")
    x = (DIGITS[:250] > 8).float()
    with torch.no_grad():
        model.warm_start(x, NOISE)
    compressed, rate = bits_back.compress(model, x, NOISE)
    assert torch.equal(bits_back.decompress(model, compressed), x)
    with torch.no_grad():
        nats = -elbo(model, x, NOISE, draws=50).double().sum().item()
    assert rate.net == pytest.approx(nats / math.log(2), rel=0.02)


def test_the_net_rate_is_the_negative_elbo(vae):
    compressed, rate = bits_back.compress(vae, TEST, NOISE)
    assert rate.net == pytest.approx(rate.ideal, rel=2e-3), "coding itself costs next to nothing"
    assert rate.initial == 32 * (6 * 24 // 32 + 2) - 1, "once a file; the last bit is the stack's mark"
    assert 32 * len(compressed.words) - rate.initial == pytest.approx(rate.net, abs=33)
    expected = bits_back.expected_bits(vae, TEST, NOISE, draws=50).sum().item()
    assert rate.net == pytest.approx(expected, rel=0.02)
    with torch.no_grad():
        nats = -elbo(vae, TEST, NOISE, draws=8).double().sum().item()
    assert rate.net < nats / math.log(2), "of dequantised data the model's own bound is looser"


def test_the_initial_bits_do_not_grow_with_the_rows(vae):
    few, many = (bits_back.compress(vae, TEST[:n], NOISE)[1] for n in (2, 8))
    assert few.initial == many.initial


def test_no_rows_are_a_file_too(vae):
    compressed, rate = bits_back.compress(vae, TEST[:0], NOISE)
    assert rate.net == 0
    assert bits_back.decompress(vae, compressed).shape == (0, 1, 8, 8)


def test_the_probabilities_of_levels_and_bins_sum_to_one_and_are_the_gaussian_ones(vae):
    channel = LatentChannel(vae, 2**10)
    posterior = channel.posterior(TEST[0].flatten())
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0, rtol=1e-12)
    bins = posterior.argmax(axis=1)
    likelihood = channel.level_probabilities(bins)
    assert likelihood.shape == (64, 17)
    np.testing.assert_allclose(likelihood.sum(axis=1), 1.0, rtol=1e-12)
    z = torch.special.ndtri((torch.from_numpy(bins).double() + 0.5) / 2**10).float()
    normal = scipy.stats.norm(vae.decoder(z[None])[0].double().numpy(), vae.sigma)
    inner = normal.cdf(6 / 17) - normal.cdf(5 / 17)
    np.testing.assert_allclose(likelihood[:, 5], inner, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(likelihood[:, 0], normal.cdf(1 / 17), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(likelihood[:, 16], normal.sf(16 / 17), rtol=1e-9, atol=1e-15)


def test_a_mass_far_in_either_tail_keeps_its_digits():
    upper = interval_mass(torch.tensor(20.0).double(), torch.tensor(21.0).double())
    lower = interval_mass(torch.tensor(-21.0).double(), torch.tensor(-20.0).double())
    assert upper == lower
    assert math.log(upper) == pytest.approx(-203.917, abs=1e-3)


@pytest.mark.parametrize(("value", "message"), [(3.5, "3.5 is none of the levels"), (17.0, "17 is none of the levels")])
def test_rows_off_the_levels_are_refused(vae, value, message):
    x = TEST[:3].clone()
    x[1, 0, 2, 2] = value
    with pytest.raises(DataError, match=f"row 1: {message}"):
        bits_back.compress(vae, x, NOISE)


def test_decoding_that_goes_astray_is_said(vae):
    """As on a machine that rounds differently: the same digest, another decoder."""
    compressed, _ = bits_back.compress(vae, TEST[:3], NOISE)
    other = _copy(vae)
    with torch.no_grad():
        other.decoder[-1].bias += 0.05
    compressed.header["model"] = container.model_digest(other)
    with pytest.raises(CheckpointError, match="did not decode"):
        bits_back.decompress(other, compressed)


# Lossy


@pytest.mark.parametrize("step", [0.02, 0.5, 4.0])
def test_latents_decompress_to_the_quantised_reconstruction(vae, step):
    grid = latents.grid_of(vae, DIGITS[:200], step)
    found = latents.decompress(vae, latents.compress(vae, TEST, grid))
    assert torch.equal(found, latents.quantised(vae, TEST, grid))


def test_a_finer_step_costs_bits_and_comes_nearer_to_the_reconstruction(vae):
    plain = vae.reconstruct(TEST)
    sizes, errors = [], []
    for step in (1.0, 0.25, 0.0625):
        grid = latents.grid_of(vae, DIGITS[:200], step)
        sizes.append(len(latents.compress(vae, TEST, grid).words))
        errors.append((latents.quantised(vae, TEST, grid) - plain).square().mean().item())
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 0.02 * errors[0]


def test_any_encoder_with_a_decoder_will_do():
    torch.manual_seed(0)
    model = Autoencoder([5], None, latent=2, hidden=[8])
    x = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    grid = latents.grid_of(model, x, 0.1)
    assert torch.equal(latents.decompress(model, latents.compress(model, x, grid)), latents.quantised(model, x, grid))


@pytest.mark.parametrize("table", codes.TABLES)
@pytest.mark.parametrize("two_levels", [False, True], ids=["vq_vae", "vq_vae2"])
def test_codes_decompress_to_the_reconstruction(two_levels, table, monkeypatch):
    monkeypatch.setattr(codes, "ROWS_AT_ONCE", 16)  # of 40: the last is a part
    model = tiny_coded(two_levels)
    found = codes.decompress(model, codes.compress(model, TEST, table=table))
    assert torch.equal(found, model.reconstruct(TEST))


@pytest.mark.parametrize("two_levels", [False, True], ids=["vq_vae", "vq_vae2"])
def test_codes_under_the_prior_cost_what_the_prior_says(two_levels):
    model = tiny_coded(two_levels)
    with pytest.raises(DataError, match="'priors' does not exist"):
        codes.compress(model, TEST, table="priors")
    compressed = codes.compress(model, TEST, table="prior")
    nats = len(TEST) * model.prior_loss(TEST, NOISE).terms["nats"].item()
    assert Stack(compressed.words).bits() == pytest.approx(nats / math.log(2), abs=64, rel=1e-3)


# The file


@pytest.fixture
def file(vae, tmp_path):
    path = tmp_path / "rows.gmc"
    container.write(path, bits_back.compress(vae, TEST[:4], NOISE)[0])
    return path


def test_a_file_holds_what_was_written(vae, file):
    assert torch.equal(bits_back.decompress(vae, container.read(file)), TEST[:4])
    assert [path.name for path in file.parent.iterdir()] == ["rows.gmc"], "nothing is left beside it"


def test_every_changed_byte_and_every_cut_is_one_line(file):
    data = file.read_bytes()
    changed = [data[:k] + bytes([data[k] ^ 1]) + data[k + 1 :] for k in range(0, len(data), 7)]
    cut = [data[:k] for k in range(0, len(data), 11)]
    for torn in (*changed, *cut, data + b"\0", data.replace(b"\r\n", b"\n")):
        with pytest.raises(DataError, match=r"rows\.gmc: ") as raised:
            container.parse(torn, "rows.gmc")
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n" + bytes(40), b"a,b\n1,2\n", bytes(100)])
def test_a_foreign_file_is_one_line(content, tmp_path):
    path = tmp_path / "rows.gmc"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a file of `gen-models compress`"):
        container.read(path)


def test_a_missing_file_and_a_missing_folder_are_one_line(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        container.read(tmp_path / "none.gmc")
    with pytest.raises(DataError, match="cannot be written"):
        container.write(tmp_path / "none" / "rows.gmc", container.Compressed({}, np.zeros(0, dtype=np.uint32)))


def test_another_model_is_refused_by_its_weights_and_its_settings(vae, file):
    compressed = container.read(file)
    for change in ("weights", "sigma"):
        other = _copy(vae)
        if change == "sigma":
            other.likelihood.sigma = 0.2
        else:
            other.decoder[0].bias += 1e-3
        with pytest.raises(CheckpointError, match="give the checkpoint that compressed them"):
            bits_back.decompress(other, compressed)


HEADERS = [
    ({"method": "latents"}, "compressed by 'latents'"),
    ({"rows": -1}, "rows is -1"),
    ({"rows": 1 << 40}, "rows is 1099511627776"),
    ({"rows": True}, "rows is True"),
    ({"latent_bits": 60}, "latent_bits 60"),
    ({"dtype": "object"}, "dtype 'object'"),
    ({"seed": None}, "seed is None"),
]


@pytest.mark.parametrize(("change", "message"), HEADERS, ids=lambda value: str(value))
def test_a_header_that_cannot_be_is_one_line(vae, file, change, message):
    """Well-formed to the last checksum, but of nobody's writing."""
    compressed = container.read(file)
    forged = container.Compressed({**compressed.header, **change}, compressed.words)
    again = container.parse(forged.as_bytes(), "forged")
    with pytest.raises(DataError, match=message) as raised:
        bits_back.decompress(vae, again)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "change",
    [{"middle": [0.0]}, {"step": ["a"] * 6}, {"tables": [{}] * 6}, {"tables": [{"low": 0, "counts": [0]}] * 6}],
)
def test_a_header_of_latents_that_does_not_fit_is_one_line(vae, change):
    compressed = latents.compress(vae, TEST, latents.grid_of(vae, TEST, 0.5))
    with pytest.raises(DataError, match="do not fit one another"):
        latents.decompress(vae, container.Compressed({**compressed.header, **change}, compressed.words))


def test_what_a_model_cannot_do_is_said(vae):
    torch.manual_seed(0)
    plain = Autoencoder([1, 8, 8], 17, latent=3, hidden=[])
    continuous = VAE([4], None, latent=2, hidden=[])
    binary = VAE([1, 8, 8], 17, latent=2, hidden=[], likelihood="bernoulli")
    deep = IWAE([1, 8, 8], 17, latents=[3, 2], hidden=[[8], [6]], samples=2)
    with pytest.raises(DataError, match="cannot compress without loss"):
        bits_back.compress(plain, TEST, NOISE)
    with pytest.raises(DataError, match="continuous numbers"):
        bits_back.compress(continuous, torch.zeros(2, 4), NOISE)
    with pytest.raises(DataError, match="its pixels are binary"):
        bits_back.compress(binary, TEST, NOISE)
    with pytest.raises(DataError, match="2 layers"):
        bits_back.compress(deep, TEST, NOISE)
    with pytest.raises(DataError, match="has no codes"):
        codes.compress(vae, TEST)
    with pytest.raises(DataError, match="has no encoder"):
        latents.grid_of(torch.nn.Linear(2, 2), TEST, 0.5)


def test_the_header_is_json_that_a_stranger_can_read(file):
    data = file.read_bytes()
    length = int.from_bytes(data[10:14], "little")
    header = json.loads(data[22 : 22 + length])
    assert (header["method"], header["rows"], header["event_shape"]) == ("bits_back", 4, [1, 8, 8])


def _copy(model: VAE) -> VAE:
    other = VAE([1, 8, 8], 17, latent=6, hidden=[64], sigma=0.15)
    other.load_state_dict(model.state_dict())
    return other.eval().requires_grad_(False)


def _double(model: VAE) -> VAE:
    return _copy(model).double()


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_masses_of_given_levels_are_those_among_all_levels(likelihood):
    levels = 2 if likelihood == "bernoulli" else 17
    model = VAE([1, 4, 4], levels, latent=3, hidden=[8], sigma=0.3, likelihood=likelihood).eval()
    channel, noise = LatentChannel(model, 2), Noise(3)
    z = noise.normal("z", (5, 3), like=torch.zeros(()))
    x = (noise.uniform("x", (5, 16), like=z) * levels).floor()
    x[0], x[1] = 0, levels - 1
    with torch.no_grad():
        everywhere = channel.level_masses(z).gather(2, x.long()[..., None])[..., 0]
        assert torch.equal(channel.masses_at(z, x), everywhere)
