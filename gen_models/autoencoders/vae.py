"""The variational autoencoder (Kingma and Welling, 2014), with every constant of its bound kept.

    z ~ N(0, I_r),  y|z ~ N(f(z), sigma^2 I_n) or Bernoulli(sigmoid f(z)),  q(z|y) = N(mu(y), diag exp log_var(y))
    log p(y) >= ELBO(y) = E_q log p(y|z) - KL(q(z|y) || p(z))

y is a row of n numbers in network units, z its r latents; mu and log_var are the encoder's outputs, f the decoder's.
Sums run over dimensions, means over the batch. sigma is an argument: at sigma = 1 on data in [0, 1] the KL term
dominates and the posterior collapses. beta (Higgins et al., 2017) weighs the KL in training only. It has the same
effect as a change of sigma: beta-ELBO(beta, sigma) = beta ELBO(1, sigma sqrt(beta)) + constant.

The encoder's gradient either passes through the reparameterised draws z = mu + exp(log_var/2) epsilon,
epsilon ~ N(0, I), or is the score function estimator of gradients.py.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from gen_models.autoencoders.gaussian import gaussian_log_density, kl_to_standard_normal
from gen_models.autoencoders.gradients import CONTROL_VARIATES, RunningMean, leave_one_out, with_gradient_of
from gen_models.autoencoders.latent_variable import LatentVariableModel, Moments, in_pieces, joined, reparameterised
from gen_models.contracts import Loss, Objective
from gen_models.errors import ConfigError
from gen_models.layers.arguments import require_choice, require_positive, require_whole
from gen_models.layers.coder import by_vectors
from gen_models.layers.levels import Levels
from gen_models.noise import Noise

GRADIENTS = ("reparameterised", "score_function")


class VAE(LatentVariableModel):
    """A variational autoencoder with r = `latent` latents.

    hidden           widths of the encoder's hidden layers; the decoder has them in reverse order
    sigma            standard deviation of y|z, in network units
    beta             weight of the KL term in training
    samples          draws of z for each row and step
    gradient         reparameterised or score_function
    control_variate  for the score function: none, leave_one_out (needs samples >= 2) or running_mean
    channels, activation, likelihood, variance   see LatentVariableModel
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        latent: int,
        hidden: Sequence[int],
        sigma: float = 1.0,
        beta: float = 1.0,
        channels: Sequence[int] = (),
        activation: str = "silu",
        likelihood: str = "gaussian",
        variance: str = "fixed",
        samples: int = 1,
        gradient: str = "reparameterised",
        control_variate: str = "none",
    ):
        require_whole("latent", latent)
        require_positive("beta", beta)
        require_whole("samples", samples)
        require_choice("gradient", gradient, GRADIENTS)
        require_choice("control_variate", control_variate, CONTROL_VARIATES)
        if control_variate == "leave_one_out" and samples < 2:
            raise ConfigError(f"samples = {samples} leaves nothing when one is left out: give at least 2")
        super().__init__(
            event_shape,
            levels,
            latents=[latent],
            hidden=[hidden],
            channels=channels,
            activation=activation,
            likelihood=likelihood,
            sigma=sigma,
            variance=variance,
        )
        self.latent = latent
        self.beta = beta
        self.samples = samples
        self.gradient = gradient
        self.control_variate = control_variate
        if control_variate == "running_mean":
            self.running_mean = RunningMean()

    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("vae", self, self.loss),)

    def loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """Return -E_q log p(x|z) + beta KL(q(z|y) || p(z)) in nats, for x in the data's units, with the terms below.

        E_q is a mean over `samples` draws of z; the KL is computed in closed form.

        nats            -ELBO: the bound at beta = 1, whatever beta is used in training
        rate_nats       KL(q(z|y) || p(z))
        distortion_mse  |y - E(y|z)|^2 / n, in network units
        """
        y = self.data_scale(x, noise).flatten(1)
        mu, log_var = self.posterior(y)
        moments = self._per_sample(mu), self._per_sample(log_var)
        epsilon = self.draws(y, noise, self.samples)[0]
        z = reparameterised(moments, epsilon if self.samples > 1 else epsilon[:, 0])
        if self.gradient == "score_function":
            z = z.detach()
        log_likelihood, mse = self._decoded(y, z)
        distortion = -log_likelihood.mean() - self.data_scale.log_det()
        rate = kl_to_standard_normal(mu, log_var).mean()
        terms = {"nats": distortion + rate, "rate_nats": rate, "distortion_mse": mse}
        value = distortion + self.beta * rate
        if self.gradient == "score_function":
            value = with_gradient_of(value, self._score_surrogate(z, moments, log_likelihood))
        return Loss(value, terms)

    def _per_sample(self, tensor: Float[Tensor, "batch n"]) -> Float[Tensor, "batch *samples n"]:
        """Insert an axis for the samples, unless there is a single sample: each view costs a step some time."""
        return tensor if self.samples == 1 else tensor[:, None]

    def _decoded(
        self, y: Float[Tensor, "batch dim"], z: Float[Tensor, "batch *samples latent"]
    ) -> tuple[Float[Tensor, "batch *samples"], Float[Tensor, ""]]:
        """Return log p(y|z) for each sample, and the mean squared error of E(y|z) over all samples."""
        if self.samples == 1:
            return self._compared(y, z)
        pieces = in_pieces(z)
        log_likelihoods, errors = zip(*(self._compared(y[:, None], piece) for piece in pieces), strict=True)
        weighted = [error * piece.shape[1] for error, piece in zip(errors, pieces, strict=True)]
        return joined(log_likelihoods), sum(weighted[1:], start=weighted[0]) / self.samples

    def _compared(self, y: Tensor, z: Tensor) -> tuple[Tensor, Float[Tensor, ""]]:
        """Return log p(y|z), and the mean squared error of E(y|z), which is only reported."""
        f = by_vectors(self.decoder, z)
        with torch.no_grad():
            error = (y - self.likelihood.location(f)).square().mean()
        return self.likelihood.log_prob(y, f), error

    def _score_surrogate(self, z: Tensor, moments: Moments, log_likelihood: Tensor) -> Float[Tensor, ""]:
        """Return a scalar with the score function's gradient, averaged over the batch.

        The gradient is -1/K sum_k [grad_theta log p(y|z_k) + grad_phi log q(z_k|y) (l_k - b)], where theta and phi are
        the decoder's and the encoder's parameters, b is the control variate, and
        l_k = log p(y|z_k) + beta (log p(z_k) - log q(z_k|y)). At beta = 1, l_k is log p(y, z_k)/q(z_k|y).
        """
        log_q = gaussian_log_density(z, *moments)
        values = (log_likelihood + self.beta * (gaussian_log_density(z, 0.0, 0.0) - log_q)).detach()
        centred = values
        if self.control_variate == "leave_one_out":
            centred = values - leave_one_out(values)
        if self.control_variate == "running_mean":
            centred = values - self.running_mean.mean
            if self.training:
                self.running_mean.add(values)
        return -(log_likelihood + log_q * centred).mean()
