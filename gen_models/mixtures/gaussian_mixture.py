"""The Gaussian mixture p(y) = sum_k pi_k N(y; mu_k, Sigma_k), trained by EM and then by gradients.

It is a latent-variable model whose latent z, the component, has few values: p(y) = E_z p(y|z) is an exact finite sum,
and the posterior p(z|y) = pi_z p(y|z) / p(y) is exact too. With a continuous z neither is possible: see
gen_models/autoencoders. y is a row in network units.

The M step is exact under the constraint Sigma_k >= MIN_VARIANCE I: the maximiser of the expected log-likelihood clips
the eigenvalues of the weighted covariance from below. (If the floor were added to the diagonal instead, EM could lower
the likelihood.) Without a floor the likelihood has no maximum: a component on a single row shrinks for ever. Dempster,
Laird and Rubin, 1977; Bishop, 2006, section 9.2.2.

In a table, flags and categories can be taken for numbers, dequantised as in table_scale.py, or have probabilities given
the component, p(y|k) = N(numbers; mu_k, Sigma_k) P(labels|k): see component_labels.py.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gen_models.contracts import Loss, Objective
from gen_models.evaluating import question
from gen_models.layers.arguments import require_choice, require_whole
from gen_models.layers.data_scale import DataScale, dimensions
from gen_models.layers.levels import Levels, is_table
from gen_models.layers.table_scale import MixedScale, scale_of
from gen_models.likelihood import LikelihoodModel
from gen_models.mixtures.component_labels import ComponentLabels
from gen_models.mixtures.kmeans import kmeans_plus_plus
from gen_models.noise import Noise

COVARIANCES = ("full", "diagonal", "spherical")
WEIGHTS = ("learned", "uniform")
LABELS = ("dequantised", "probabilities")
MIN_VARIANCE = 1e-6  # in network units: of standardised data, or of grey levels divided by how many there are


class GaussianMixture(LikelihoodModel):
    """A mixture with Sigma_k = L_k L_k^T, L_k = S_k U_k, S_k = diag exp log_scales_k, U_k unit lower triangular.

    S_k holds the standard deviation of each dimension given the dimensions before it. L_k = S_k U_k multiplies row i of
    U_k by the i-th standard deviation, so a gradient step on U_k changes narrow and wide dimensions by the same
    fraction of their width.

    components  K, the number of components
    covariance  full, diagonal, or spherical: one variance for each component
    em_steps    steps of EM in the warm start; the gradient steps of a training refine the result
    starts      how often the warm start begins, with other rows as means; the likeliest result is kept. EM ends in a
                local maximum, and with few components another start may end in a much better one
    weights     learned, or uniform: pi_k = 1/K throughout
    labels      of a table's flags and categories. dequantised: they are numbers to the Gaussians. probabilities: each
                component has a probability for each of their values
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: Levels,
        *,
        components: int,
        covariance: str = "full",
        em_steps: int = 50,
        weights: str = "learned",
        labels: str = "dequantised",
        starts: int = 1,
    ):
        super().__init__()
        require_whole("components", components)
        require_whole("em_steps", em_steps, least=0)
        require_whole("starts", starts)
        require_choice("covariance", covariance, COVARIANCES)
        require_choice("weights", weights, WEIGHTS)
        require_choice("labels", labels, LABELS)
        D = dimensions(event_shape)
        self.data_scale: DataScale = scale_of(event_shape, levels)
        self.component_labels: ComponentLabels | None = None
        numbers = list(range(D))
        if labels == "probabilities" and is_table(levels):
            self.data_scale = scale = MixedScale(event_shape, levels)
            if scale.columns.labels:
                self.component_labels = ComponentLabels(scale.columns, components)
                numbers = scale.columns.numbers
                D = len(numbers)
        self.numbers = nn.Buffer(torch.tensor(numbers, dtype=torch.int64), persistent=False)
        self.covariance = covariance
        self.em_steps = em_steps
        self.starts = starts
        self.are_weights_learned = weights == "learned"
        zeros = torch.zeros(components)
        self.logits = nn.Parameter(zeros) if self.are_weights_learned else nn.Buffer(zeros)
        self.means = nn.Parameter(torch.randn(components, D))
        self.log_scales = nn.Parameter(torch.zeros(components, 1 if covariance == "spherical" else D))
        if covariance == "full":  # the part of U below its diagonal, row by row
            self.lower = nn.Parameter(torch.zeros(components, D * (D - 1) // 2))

    def objectives(self) -> tuple[Objective, ...]:
        return (Objective("likelihood", self, self.loss, after_step=self.project),)

    def loss(self, x: Float[Tensor, "batch *event"], noise: Noise) -> Loss:
        """Return the loss of maximum likelihood; if labels have probabilities, with their prior, as in `em_step`."""
        loss = super().loss(x, noise)
        labels = self.component_labels
        return loss if labels is None else loss._replace(value=loss.value + labels.penalty())

    def warm_start(self, x: Float[Tensor, "batch *event"], noise: Noise) -> None:
        """Standardise continuous data, choose the means by k-means++ and run em_steps of EM on x, `starts` times."""
        self.data_scale.fit(x)
        y = self.data_scale(x, noise)
        best, kept = -math.inf, None
        for start in range(self.starts):
            self.start_at(kmeans_plus_plus(y.flatten(1), len(self.means), noise.at(noise.step + start)), y)
            for _ in range(self.em_steps):
                self.em_step(y)
            if self.starts > 1 and (reached := self._reached(y)) > best:
                best, kept = reached, {name: value.clone() for name, value in self.state_dict().items()}
        if kept is not None:
            self.load_state_dict(kept)

    @torch.no_grad()
    def start_at(self, means: Float[Tensor, "components dim"], y: Float[Tensor, "batch *event"]) -> None:
        """Set equal weights, the given means, and one variance for all components and dimensions.

        The variance is the mean squared distance of rows y, in network units, to their nearest mean, divided by the
        number of dimensions. Labels that have probabilities start half at the given means', half at the frequencies of
        all rows.
        """
        if self.component_labels is not None:
            self.component_labels.fit_prior(y)
            for k, mean in enumerate(means):
                self.component_labels.set_from(k, mean, 1)
        own = self._numbers(means)
        squares = torch.cdist(self._numbers(y.flatten(1)), own).amin(dim=1).square()
        variance = (squares.mean() / max(own.shape[1], 1)).clamp_min(MIN_VARIANCE)
        self.logits.zero_()
        self.means.copy_(own)
        self.log_scales.fill_(0.5 * math.log(variance.item()))
        if self.covariance == "full":
            self.lower.zero_()

    @torch.no_grad()
    def em_step(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, ""]:
        """Take one step of EM on y, in network units; return mean log p(y) as it was before the step.

        E: r_ik = p(k|y_i).  M: N_k = sum_i r_ik, pi_k = N_k/N, mu_k = sum_i r_ik y_i / N_k,
        Sigma_k = sum_i r_ik (y_i - mu_k)(y_i - mu_k)^T / N_k, whose eigenvalues are raised to MIN_VARIANCE where they
        are smaller. N is the number of rows. A step never lowers the likelihood, or with probabilities of labels the
        likelihood times their prior.
        """
        log_joint = self.log_joint(y)
        log_density = torch.logsumexp(log_joint, dim=1)
        r = (log_joint - log_density[:, None]).exp().double()
        flat = y.flatten(1).double()
        counts = r.sum(dim=0)
        if self.are_weights_learned:
            tiny = torch.finfo(self.logits.dtype).tiny
            self.logits.copy_((counts / len(flat)).clamp_min(tiny).log())
        for k in torch.nonzero(counts > len(flat) * torch.finfo(flat.dtype).eps).flatten().tolist():
            weights = r[:, k] / counts[k]  # a component that owns no row keeps its mean and covariance
            mean = weights @ flat
            self.means[k] = self._numbers(mean)
            self._set_covariance(k, self._numbers(flat - mean), weights)
            if self.component_labels is not None:
                self.component_labels.set_from(k, mean, float(counts[k]))
        return log_density.mean()

    @torch.no_grad()
    def _reached(self, y: Float[Tensor, "batch *event"]) -> float:
        """Return what EM maximises: the mean log-likelihood of y, with probabilities of labels that of their prior."""
        labels = self.component_labels
        return (self.log_density(y).mean() - (0.0 if labels is None else labels.penalty())).item()

    @torch.no_grad()
    def project(self) -> None:
        """Restore Sigma_k >= MIN_VARIANCE I. The engine calls this after each gradient step."""
        if self.covariance != "full":
            self.log_scales.clamp_(min=0.5 * math.log(MIN_VARIANCE))
            return
        L = self.scale_tril().double()
        sigma = L @ L.mT
        if not sigma.isfinite().all():
            return  # the loss is then not finite either, and that stops the training
        floor = (1 - 1e-3) * MIN_VARIANCE * torch.eye(L.shape[-1], dtype=L.dtype, device=L.device)
        for k in torch.nonzero(torch.linalg.cholesky_ex(sigma - floor).info).flatten().tolist():
            self._set_full(k, sigma[k])

    def log_density(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, " batch"]:
        """Return log sum_k p(k, y)."""
        return torch.logsumexp(self.log_joint(y), dim=1)

    def log_joint(self, y: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch components"]:
        """Return log p(k, y) = log pi_k - 1/2 |L_k^-1 (y - mu_k)|^2 - log det L_k - D/2 log(2 pi), in D dimensions.

        If labels have probabilities, D is the number of the other columns, and log P(labels|k) is added.
        """
        flat = y.flatten(1)
        residual = self._numbers(flat).T - self.means[:, :, None]  # (components, dim, batch)
        if self.covariance == "full":
            white = torch.linalg.solve_triangular(self.scale_tril(), residual, upper=False)
        else:
            white = residual * (-self.log_scales).exp()[:, :, None]
        D = self.means.shape[1]
        log_det = self.log_scales.expand(-1, D).sum(dim=1)
        log_normal = -0.5 * white.square().sum(dim=1).T - log_det - 0.5 * D * math.log(2 * math.pi)
        log_joint = torch.log_softmax(self.logits, dim=0) + log_normal
        return log_joint if self.component_labels is None else log_joint + self.component_labels.log_prob(flat)

    def scale_tril(self) -> Float[Tensor, "components dim dim"]:
        """Return the lower triangular L_k of all components, with Sigma_k = L_k L_k^T."""
        D = self.means.shape[1]
        scales = self.log_scales.exp().expand(-1, D)
        L = torch.diag_embed(scales)
        if self.covariance == "full":
            row, column = torch.tril_indices(D, D, offset=-1, device=L.device)
            L[:, row, column] = scales[:, row] * self.lower
        return L

    def draw(self, n: int, noise: Noise) -> Float[Tensor, "batch *event"]:
        """Draw k ~ pi and epsilon ~ N(0, I), n times; return mu_k + L_k epsilon, in network units, and the labels."""
        k = noise.categorical("mixture.component", self.logits, n)
        epsilon = noise.normal("mixture.normal", (n, self.means.shape[1]), like=self.means)
        spread = (self.scale_tril()[k] @ epsilon[:, :, None]).squeeze(2)
        y = self.means[k] + spread
        if self.component_labels is not None:
            wide = y.new_zeros(n, *self.data_scale.event_shape).index_copy(1, self.numbers, y)
            return self.component_labels.draw(wide, k, noise)
        return y.unflatten(1, self.data_scale.event_shape)

    @question
    def encode(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch latent"]:
        """Return the responsibilities p(k|x): the posterior of the discrete latent variable; latent = components."""
        return torch.softmax(self.log_joint(self.data_scale.centre(x)), dim=1)

    @question
    def cluster(self, x: Float[Tensor, "batch *event"]) -> Int[Tensor, " batch"]:
        """Return the component k of largest p(k|x) for each row x; -1 where all densities are 0 in floating point."""
        largest, k = self.log_joint(self.data_scale.centre(x)).max(dim=1)
        return torch.where(largest.isfinite(), k, -1)

    def _numbers(self, rows: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows numbers"]:
        """Return what the Gaussians are of: all numbers of the rows, or those that are no labels."""
        return rows if self.component_labels is None else rows[..., self.numbers]

    def _set_covariance(self, k: int, residual: Float[Tensor, "batch dim"], weights: Float[Tensor, " batch"]) -> None:
        """Do the M step of Sigma_k >= MIN_VARIANCE I, from the rows y_i - mu_k and the weights r_ik / N_k."""
        if not residual.shape[1]:  # a table of labels alone
            return
        if self.covariance == "full":
            self._set_full(k, (residual * weights[:, None]).T @ residual)
            return
        variance = weights @ residual.square()
        if self.covariance == "spherical":
            variance = variance.mean(dim=0, keepdim=True)
        self.log_scales[k] = 0.5 * variance.clamp_min(MIN_VARIANCE).log()

    def _set_full(self, k: int, sigma: Float[Tensor, "dim dim"]) -> None:
        """Set Sigma_k to sigma with its eigenvalues clipped from below. sigma is in float64, which clipping needs."""
        eigenvalues, vectors = torch.linalg.eigh(sigma)
        L = torch.linalg.cholesky((vectors * eigenvalues.clamp_min(MIN_VARIANCE)) @ vectors.T)
        row, column = torch.tril_indices(len(L), len(L), offset=-1, device=L.device)
        self.log_scales[k] = L.diagonal().log()
        self.lower[k] = L[row, column] / L.diagonal()[row]
