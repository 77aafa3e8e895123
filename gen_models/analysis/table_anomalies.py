"""The anomaly score of a row of a table: a weighted mean of four measures.

    metric     -log p(x) of a kernel density with a full covariance learned by likelihood
    round      -log p(x) of a kernel density with a learned bandwidth, the same in every direction
    local      the squared distance from x to the nearest kernel, in units of the kernel's variance, which is large
               where rows are sparse (mixtures/local_kernels.py); an asinh of each column first shortens heavy tails
    contrast   the log odds that x is a corrupted row (contrast.py)

So that measures of different units can be added, each is centred and scaled by its mean and standard deviation over
training rows. For this, each training row is scored without its own kernel, and by a network that was not trained on
it.

`local` counts as much as the rows speak for kernels of different widths. Its weight is multiplied by 1 - exp(-g), where
g is by how many nats kernels of different widths make a left-out row more likely than kernels of one width do: the
median over training rows, at least 0. Where all rows are about equally dense, g is near 0.

No label is used. A larger score is more anomalous.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gen_models.analysis.contrast import Contrast
from gen_models.errors import DataError
from gen_models.layers.asinh_scale import AsinhScale
from gen_models.mixtures.kernel_density import KernelDensity
from gen_models.mixtures.local_kernels import LocalKernels
from gen_models.noise import Noise

MEASURES = {"metric": 0.5, "round": 1.0, "local": 3.0, "contrast": 0.75}  # weights in the mean
CALIBRATION = 2000  # training rows that give a measure's mean and standard deviation
LEAST_ROWS = 4
LEAST_STD = 1e-9
LEAST_WEIGHT = 1e-6


class TableAnomalies(nn.Module):
    """The four measures of rows of a table, and their weighted mean.

    dim      how many columns a row has
    weights  {measure: its weight in the mean}, that of `local` before it is multiplied; a measure without is left out
    steps    minibatches that each network of the contrast trains on; None: the number that `Contrast` takes
    """

    mean: Tensor
    std: Tensor
    centre: Tensor
    spread: Tensor
    evidence: Tensor

    def __init__(self, dim: int, *, weights: Mapping[str, float] = MEASURES, steps: int | None = None):
        super().__init__()
        self.weights = dict(weights)
        self.mean = nn.Buffer(torch.zeros(dim, dtype=torch.float64))
        self.std = nn.Buffer(torch.ones(dim, dtype=torch.float64))
        self.centre = nn.Buffer(torch.zeros(len(MEASURES)))
        self.spread = nn.Buffer(torch.ones(len(MEASURES)))
        self.evidence = nn.Buffer(torch.ones(()))
        self.drawn_in = AsinhScale(dim)
        self.metric = KernelDensity(dim, covariance="full")
        self.round = KernelDensity(dim, covariance="spherical")
        self.local = LocalKernels(dim)
        self.contrast = Contrast(dim) if steps is None else Contrast(dim, steps=steps)

    def fit(self, x: Float[Tensor, "rows dim"], noise: Noise) -> None:
        """Fit everything on training rows x, in the data's units. Raises DataError for fewer than LEAST_ROWS rows."""
        if len(x) < LEAST_ROWS:
            raise DataError(f"{len(x)} training rows are too few for an anomaly score: give at least {LEAST_ROWS}")
        self.mean, std = x.double().mean(dim=0), x.double().std(dim=0, correction=0)
        self.std = torch.where(std > 0, std, 1.0)
        y = self._standardised(x)
        self.drawn_in.fit(y)
        self.metric.fit(y, noise)
        self.round.fit(y, noise)
        u = self.drawn_in(y)
        self.local.fit(u, noise)
        odds = self.contrast.fit(y, noise)
        rows = noise.permutation("table_anomalies", len(y))[:CALIBRATION].to(y.device)
        own = torch.stack(
            [-self.metric.left_out(rows), -self.round.left_out(rows), self.local.left_out(rows), odds[rows]]
        )
        self.centre, self.spread = own.mean(dim=1), own.std(dim=1).clamp_min(LEAST_STD)
        of_one_width = KernelDensity(u.shape[1], covariance="spherical").to(u)
        of_one_width.fit(u, noise)
        gain = (self.local.left_out_log_density(rows) - of_one_width.left_out(rows)).median()
        self.evidence = 1 - torch.exp(-gain.clamp_min(0))

    @torch.no_grad()
    def measures(self, x: Float[Tensor, "batch dim"]) -> dict[str, Float[Tensor, " batch"]]:
        """Return {measure: its standardised value for each row}; the rows x are in the data's units."""
        y = self._standardised(x)
        found = torch.stack(
            [
                -self.metric.log_density(y),
                -self.round.log_density(y),
                self.local.remoteness(self.drawn_in(y)),
                self.contrast.log_odds(y),
            ]
        )
        return dict(zip(MEASURES, (found - self.centre[:, None]) / self.spread[:, None], strict=True))

    @property
    def effective_weights(self) -> dict[str, float]:
        """{measure: its weight in the mean}, in which that of `local` is multiplied by the evidence for it."""
        return {name: w * (float(self.evidence) if name == "local" else 1.0) for name, w in self.weights.items()}

    def score(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, " batch"]:
        """Return the weighted mean of the standardised measures for each row; larger is more anomalous."""
        found = self.measures(x)
        weights = self.effective_weights
        total = torch.stack([w * found[name] for name, w in weights.items()]).sum(dim=0)
        return total / max(sum(weights.values()), LEAST_WEIGHT)

    def _standardised(self, x: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        return ((x.double() - self.mean) / self.std).to(self.centre.dtype)
