"""The importance-weighted autoencoder (Burda, Grosse and Salakhutdinov, 2016): a VAE trained on a tighter bound.

    L_K(y) = E log 1/K sum_k w_k,   w_k = p(y, z_k) / q(z_k|y),   z_k ~ q(.|y);   ELBO = L_1 <= L_K <= log p(y)

y is a row in network units, z_1 .. z_K are K draws of its latents, theta the parameters of p, phi those of q.

The signal-to-noise ratio of L_K's gradient with respect to phi falls as 1/sqrt(K) (Rainforth et al., 2018). One term of
this gradient is the derivative of log q(z_k|y) with respect to phi at fixed z_k, weighted by wbar_k = w_k / sum_j w_j.
At K = 1 this term is noise of mean 0. Reparameterising it once more gives the doubly reparameterised gradient (Tucker,
Lawson, Gu and Maddison, 2019, equation 8):

    grad_phi L_K = E sum_k wbar_k^2 (d log w_k / d z_k) (d z_k / d phi)

Here log q depends on phi through z_k only. With either gradient for phi, the gradient for theta is
E sum_k wbar_k grad_theta log p(y, z_k).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.autoencoders.gaussian import mean_and_log_var
from gen_models.autoencoders.gradients import with_gradient_of
from gen_models.autoencoders.latent_variable import LatentVariableModel, importance_bound, log_q, require_layers
from gen_models.contracts import Loss, Objective
from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_choice, require_whole
from gen_models.layers.levels import Levels
from gen_models.noise import Noise

GRADIENTS = ("plain", "doubly_reparameterised")


class IWAE(LatentVariableModel):
    """A latent-variable model trained on the importance-weighted bound.

    latents   the number of latents in each layer, from the data up
    hidden    a list of hidden widths for each layer; latents = [50], hidden = [[200, 200]] is the paper's first model
    samples   K, the number of draws in the training bound; `elbo` takes any K
    gradient  for phi: plain or doubly_reparameterised
    channels, activation, likelihood, sigma, variance   see LatentVariableModel
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        latents: Sequence[int],
        hidden: Sequence[Sequence[int]],
        samples: int,
        gradient: str = "plain",
        channels: Sequence[int] = (),
        activation: str = "silu",
        likelihood: str = "gaussian",
        sigma: float = 1.0,
        variance: str = "fixed",
    ):
        require_layers(latents, hidden)
        require_whole("samples", samples)
        require_choice("gradient", gradient, GRADIENTS)
        if variance == "optimal":
            raise ConfigError(
                "variance = 'optimal' is the ELBO's optimum, not that of this bound: use learned or fixed"
            )
        super().__init__(
            event_shape,
            levels,
            latents=latents,
            hidden=hidden,
            channels=channels,
            activation=activation,
            likelihood=likelihood,
            sigma=sigma,
            variance=variance,
        )
        self.samples = samples
        self.gradient = gradient

    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("iwae", self, self.loss),)

    def loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """Return -L_K in nats for x in the data's units, a mean over the batch, with these terms.

        nats               -L_K
        elbo_nats          -ELBO, from the same K draws
        effective_samples  1 / sum_k wbar_k^2, at most K; near 1, one draw carries nearly all the weight
        """
        y = self.data_scale(x, noise).flatten(1)
        draws = self.draws(y, noise, self.samples)
        if self.gradient == "doubly_reparameterised" and torch.is_grad_enabled():
            log_weights, surrogate = self._doubly_reparameterised(y, draws)
        else:
            log_weights, surrogate = self.log_weights(y, draws), None
        log_det = self.data_scale.log_det()
        nats = -importance_bound(log_weights).mean() - log_det
        wbar = torch.softmax(log_weights, dim=1)
        terms = {
            "nats": nats,
            "elbo_nats": -log_weights.mean() - log_det,
            "effective_samples": (1 / wbar.square().sum(dim=1)).mean(),
        }
        return Loss(nats if surrogate is None else with_gradient_of(nats, surrogate), terms)

    def _doubly_reparameterised(self, y: Float[Tensor, "batch dim"], draws: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return log w, and a scalar whose gradient estimates the gradient of -L_K.

        For theta the gradient is the plain one, for phi the doubly reparameterised one. The latents of all layers are
        treated as one vector. log w is differentiated with respect to detached copies of the latents, each layer by
        itself; that gradient is then carried to phi through the reparameterised draws.
        """
        latents, moments = self.infer(y, draws)
        copies = [z.detach().requires_grad_() for z in latents]
        above = [mean_and_log_var(network(z)) for network, z in zip(self.upper_encoders, copies, strict=False)]
        log_p = self.log_joint(y, copies)
        log_weights = log_p - log_q(copies, [moments[0], *above])
        slopes = torch.autograd.grad(log_weights.sum(), copies, retain_graph=True)
        wbar = torch.softmax(log_weights.detach(), dim=1)
        surrogate = (wbar * log_p).sum(dim=1)
        for z, slope in zip(latents, slopes, strict=True):
            surrogate = surrogate + (wbar.square()[:, :, None] * slope * z).sum(dim=(1, 2))
        return log_weights, -surrogate.mean()
