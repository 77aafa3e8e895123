"""The Wasserstein GAN with a spectrally normalised critic, as a projected game.

    minimise over G, maximise over T:  E T(Y) - E T(G(Z))   subject to  sigma_max(A_l) <= 1 for T's layers

By the Kantorovich-Rubinstein duality the maximum over all 1-Lipschitz T is W1(p, p_G) (Arjovsky, Chintala
and Bottou, 2017); a constraint on each layer suffices for T to be one of them (Miyato et al., 2018). The
constraint is kept by projection after each ascent step, so the critic's value never exceeds W1 of the same
finite samples.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.contracts import Loss, Objective
from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_choice, require_whole, require_widths
from gen_models.layers.data_scale import DataScale, dimensions
from gen_models.layers.lipschitz import LipschitzMLP, MaxMin
from gen_models.layers.mlp import mlp
from gen_models.noise import Noise

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"maxmin": MaxMin, "relu": nn.ReLU}


class SNWGAN(nn.Module):
    """A critic on y, a generator of y; distances are in network units.

    hidden         the generator's widths
    critic_hidden  the critic's, the same if not given
    n_dis          ascent steps of the critic, each on a fresh batch, for each step of the generator
    activation     of the critic: maxmin keeps gradient norms, relu is what the first papers used
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int | None,
        *,
        latent: int,
        hidden: Sequence[int],
        critic_hidden: Sequence[int] | None = None,
        n_dis: int = 1,
        activation: str = "maxmin",
    ):
        super().__init__()
        critic_hidden = hidden if critic_hidden is None else critic_hidden
        require_whole("latent", latent)
        require_widths("hidden", hidden)
        require_widths("critic_hidden", critic_hidden)
        require_whole("n_dis", n_dis)
        require_choice("activation", activation, ACTIVATIONS)
        for i, width in enumerate(critic_hidden):
            if activation == "maxmin" and width % 2:
                raise ConfigError(f"critic_hidden[{i}] = {width} cannot be used: maxmin sorts pairs, give an even one")
        n = dimensions(event_shape)
        self.data_scale = DataScale(event_shape, levels)
        self.critic = LipschitzMLP(n, critic_hidden, activation=ACTIVATIONS[activation])
        self.generator = mlp(latent, hidden, n)
        if levels is not None:  # dequantised data fill [0, 1]
            self.generator.append(nn.Sigmoid())
        self.latent = latent
        self.n_dis = n_dis

    def objectives(self) -> tuple[Objective, ...]:
        """The critic first: alternating play has the generator answer the critic's step."""
        return (
            Objective("critic", self.critic, self.critic_loss, after_step=self.critic.project),
            Objective("generator", self.generator, self.generator_loss, every=self.n_dis),
        )

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None:
        """Standardise continuous data."""
        self.data_scale.fit(x)

    def critic_loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """-(1/B sum_i T(y_i) - 1/B sum_i T(G(z_i))); the term "wasserstein" is what is inside, <= W1."""
        y = self.data_scale(x, noise).flatten(1)
        with torch.no_grad():  # the critic's step needs no gradient of G
            fakes = self.generator(noise.normal("critic.z", (len(y), self.latent), like=y))
        wasserstein = self.critic(y).mean() - self.critic(fakes).mean()
        return Loss(-wasserstein, {"wasserstein": wasserstein})

    def generator_loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """-1/B sum_i T(G(z_i)), on fakes of its own: as many as x has rows."""
        fakes = self.generator(noise.normal("generator.z", (len(x), self.latent), like=x))
        value = -self.critic(fakes).mean()
        return Loss(value, {"generator": value})

    def criticise(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
        """T(y), defined up to a constant."""
        return self.critic(self.data_scale.centre(x).flatten(1))

    def sample(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        """G(z), z ~ N(0, I), as stored."""
        y = self.generator(noise.normal("prior", (n, self.latent), like=self.data_scale.scale))
        return self.data_scale.quantise(y.unflatten(1, self.data_scale.event_shape))
