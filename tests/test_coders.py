"""Laws of an autoencoder's two networks: shapes that come back, no coupling of rows, the perceptron as it was."""

import pytest
import torch

from gen_models.errors import ConfigError
from gen_models.layers.coder import by_vectors, decoder, encoder
from gen_models.layers.mlp import mlp

SIZES = [([1, 8, 8], [3, 5]), ([1, 28, 28], [3, 4, 5]), ([3, 32, 32], [4, 6]), ([2, 5, 9], [3, 4]), ([1, 2, 7], [3])]


@pytest.mark.parametrize(("event_shape", "channels"), SIZES, ids=str)
def test_a_code_has_the_size_that_is_asked_for_and_decodes_to_a_row(event_shape, channels):
    n = event_shape[0] * event_shape[1] * event_shape[2]
    y = torch.rand(2, n, generator=torch.Generator().manual_seed(0))
    z = encoder(event_shape, [7], 4, channels=channels)(y)
    assert z.shape == (2, 4)
    assert decoder(event_shape, [7], 4, channels=channels)(z).shape == (2, n)


def test_without_channels_it_is_the_perceptron_of_the_same_seed():
    torch.manual_seed(0)
    ours = encoder([1, 4, 4], [8, 6], 3), decoder([1, 4, 4], [8, 6], 3)
    torch.manual_seed(0)
    plain = mlp(16, [8, 6], 3), mlp(3, [6, 8], 16)
    for a, b in zip(ours, plain, strict=True):
        assert all(torch.equal(a.state_dict()[name], value) for name, value in b.state_dict().items())


def test_every_pixel_of_a_decoded_image_is_reached_equally_often():
    """A transposed convolution of equal weights draws no checkerboard: away from the edge all pixels are equal."""
    network = decoder([1, 16, 16], [], 2, channels=[1, 1])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.1)
    image = network(torch.ones(1, 2)).unflatten(1, (16, 16)).detach()[0]
    torch.testing.assert_close(image[4:12, 4:12], image[5, 5].expand(8, 8))


def test_leading_axes_do_not_matter_to_a_decoder():
    network = decoder([1, 8, 8], [], 2, channels=[2])
    z = torch.rand(3, 4, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(by_vectors(network, z)[1], network(z[1]))


@pytest.mark.parametrize(
    ("event_shape", "arguments", "message"),
    [
        ([64], {"channels": [4]}, "event_shape = \\[64\\] is no image"),
        ([1, 8, 8], {"channels": [4] * 4}, "8x8 halves fewer times"),
        ([1, 8, 8], {"channels": [0]}, "channels\\[0\\] = 0"),
        ([1, 8, 8], {"activation": "tahn"}, "did you mean 'tanh'"),
    ],
)
def test_what_cannot_be_built_says_why(event_shape, arguments, message):
    for network in (encoder, decoder):
        with pytest.raises(ConfigError, match=message) as raised:
            network(event_shape, [], 2, **arguments)
        assert "\n" not in str(raised.value)
