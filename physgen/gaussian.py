r"""Exact families: Gaussians and their mixtures, the oracles that everything is held to.

With noise added, :math:`\mathcal N(\mu, \Sigma)` becomes
:math:`\mathcal N(\mu, \Sigma + s^2 I)`; products, conditionals, marginals, posterior means and
normalisers all have closed forms, which is what an oracle needs.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.density import Drawable, Moments
from physgen.energy import Precision
from physgen.kernel import noise_like
from physgen.shapes import Level, PerSample, Sample

Mean = Float[Tensor, "component dimension"]
Covariance = Float[Tensor, "component dimension dimension"]


class GaussianMixture(Drawable):
    r""":math:`\sum_k w_k \mathcal N(\mu_k, \Sigma_k)` on vectors, at every level.

    Arguments:
        log_weight: Logarithms of the weights; their sum is the mass, which need not be one.
        mean: :math:`\mu_k`.
        covariance: :math:`\Sigma_k`, symmetric and positive definite.
    """

    def __init__(
        self, log_weight: Float[Tensor, " component"], mean: Mean, covariance: Covariance
    ) -> None:
        apart = (covariance - covariance.mT).abs().max()
        if not apart <= 1e-3 * covariance.abs().max():
            raise ValueError(
                "covariances must be symmetric and finite, got entries that differ by "
                f"{apart.item():.3g} from those across"
            )
        self.log_weight = log_weight
        self.mean = mean
        self.covariance = covariance
        self.variance, self.axes = torch.linalg.eigh(covariance)
        if not (self.variance > 0).all():
            raise ValueError(
                "covariances must be positive definite, got an eigenvalue of "
                f"{self.variance.min().item():.3g}"
            )

    @property
    def marginal(self) -> bool:
        return True

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        """The widest component decides far out; bounds are exact for isotropic Gaussians."""
        low = torch.full(shape, 1 / (self.variance.max().item() + s**2))
        return Precision(low, torch.full(shape, 1 / (self.variance.min().item() + s**2)))

    def energy(self, z: Sample, s: Level) -> PerSample:
        return -self.component_logs(z, s).logsumexp(1)

    def component_logs(self, z: Sample, s: Level) -> Float[Tensor, "batch component"]:
        """Log mass density of every component with noise added."""
        noise = torch.as_tensor(s, dtype=z.dtype, device=z.device).square()
        variance = self.variance + noise.reshape(-1, 1, 1)
        along = torch.einsum("bkd,kde->bke", z[:, None] - self.mean, self.axes)
        quadratic = (along.square() / variance).sum(-1)
        normaliser = (math.tau * variance).log().sum(-1)
        logs: Tensor = self.log_weight - (quadratic + normaliser) / 2
        return logs

    def responsibilities(self, z: Sample, s: Level) -> Float[Tensor, "batch component"]:
        """The probability of every component, given a noisy sample."""
        return self.component_logs(z, s).softmax(1)

    def posterior(self, z: Sample, s: float) -> GaussianMixture:
        """The density of the clean sample given one noisy sample."""
        if len(z) != 1:
            raise ValueError(f"posterior takes one sample, got {len(z)}")
        identity = torch.eye(self.mean.shape[1], dtype=z.dtype, device=z.device)
        return self.observe(identity, z[0], s**2 * identity).normalised()

    def posterior_covariance(self, z: Sample, s: float) -> Float[Tensor, "batch dim dim"]:
        """The covariance of the clean sample given a noisy one, within and between components."""
        share = self.responsibilities(z, s)
        gain = (self.axes * (self.variance / (self.variance + s**2))[:, None]) @ self.axes.mT
        within = s**2 * gain
        mean = self.mean + torch.einsum("kde,bke->bkd", gain, z[:, None] - self.mean)
        centre = torch.einsum("bk,bkd->bd", share, mean)
        apart = mean - centre[:, None]
        between = torch.einsum("bk,bkd,bke->bde", share, apart, apart)
        return torch.einsum("bk,kde->bde", share, within) + between

    @property
    def log_mass(self) -> Tensor:
        return self.log_weight.logsumexp(0)

    def moments(self) -> Moments:
        """Those of the clean density."""
        weight = self.log_weight.softmax(0)[:, None]
        mean = (weight * self.mean).sum(0)
        within = self.covariance.diagonal(dim1=-2, dim2=-1)
        return Moments(mean, (weight * (within + (self.mean - mean).square())).sum(0))

    def normalised(self) -> GaussianMixture:
        return GaussianMixture(self.log_weight - self.log_mass, self.mean, self.covariance)

    def product(self, other: GaussianMixture) -> GaussianMixture:
        """The product of two densities, whose mass is the normaliser of the product."""
        first, second = torch.meshgrid(
            torch.arange(len(self.mean), device=self.mean.device),
            torch.arange(len(other.mean), device=other.mean.device),
            indexing="ij",
        )
        i, j = first.flatten(), second.flatten()
        total = self.covariance[i] + other.covariance[j]
        gain = torch.linalg.solve(total, self.covariance[i], left=False)
        apart = other.mean[j] - self.mean[i]
        mean = self.mean[i] + (gain @ apart[..., None])[..., 0]
        covariance = self.covariance[i] - gain @ self.covariance[i]
        log_overlap = _log_normal(apart, total)
        log_weight = self.log_weight[i] + other.log_weight[j] + log_overlap
        return GaussianMixture(log_weight, mean, (covariance + covariance.mT) / 2)

    def power(self, exponent: float) -> GaussianMixture:
        """A single Gaussian at another temperature, unnormalised."""
        if len(self.mean) != 1:
            raise ValueError(
                f"only one component has a power in closed form, got {len(self.mean)}"
            )
        peak = self.log_weight + _log_normal(torch.zeros_like(self.mean), self.covariance)
        covariance = self.covariance / exponent
        log_weight = exponent * peak - _log_normal(torch.zeros_like(self.mean), covariance)
        return GaussianMixture(log_weight, self.mean, covariance)

    def observe(
        self,
        operator: Float[Tensor, "observation dimension"],
        observed: Float[Tensor, " observation"],
        noise: Float[Tensor, "observation observation"],
    ) -> GaussianMixture:
        """The density times the likelihood of ``observed = operator @ x + noise``."""
        across = self.covariance @ operator.mT
        total = operator @ across + noise
        gain = torch.linalg.solve(total, across, left=False)
        surprise = observed - self.mean @ operator.mT
        mean = self.mean + (gain @ surprise[..., None])[..., 0]
        covariance = self.covariance - gain @ across.mT
        log_weight = self.log_weight + _log_normal(surprise, total)
        return GaussianMixture(log_weight, mean, (covariance + covariance.mT) / 2)

    def marginalise(self, kept: Tensor) -> GaussianMixture:
        """The density of some of the dimensions."""
        covariance = self.covariance[:, kept][:, :, kept]
        return GaussianMixture(self.log_weight, self.mean[:, kept], covariance)

    def sample(self, count: int, generator: torch.Generator) -> Sample:
        weights = self.log_weight.softmax(0)
        component = torch.multinomial(weights, count, replacement=True, generator=generator)
        unit = noise_like(self.mean[component], generator)
        along = unit * self.variance[component].sqrt()
        drawn: Sample = self.mean[component] + torch.einsum(
            "bde,be->bd", self.axes[component], along
        )
        return drawn


class White(Drawable):
    r"""Independent entries of one variance and mean zero, for samples of any shape.

    Arguments:
        shape: Of a sample, without the batch.
        std: Standard deviation of an entry without noise.
    """

    def __init__(self, shape: tuple[int, ...], std: float = 1.0) -> None:
        if not std > 0:
            raise ValueError(f"the standard deviation must be positive, got {std}")
        self.shape = shape
        self.std = std

    @property
    def marginal(self) -> bool:
        return True

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        bound = torch.full(shape, 1 / (self.std**2 + s**2))
        return Precision(bound, bound)

    def energy(self, z: Sample, s: Level) -> PerSample:
        variance = self.std**2 + torch.as_tensor(s, dtype=z.dtype, device=z.device).square()
        square = z.square().flatten(1).sum(1)
        energy: PerSample = (square / variance + z[0].numel() * (math.tau * variance).log()) / 2
        return energy

    def sample(self, count: int, generator: torch.Generator) -> Sample:
        size = (count, *self.shape)
        return self.std * torch.randn(size, generator=generator, device=generator.device)


def gaussian(
    mean: Float[Tensor, " dimension"], covariance: Float[Tensor, "d d"]
) -> GaussianMixture:
    """One Gaussian, normalised."""
    return GaussianMixture(mean.new_zeros(1), mean[None], covariance[None])


def _log_normal(x: Tensor, covariance: Tensor) -> Tensor:
    """Log density of centred normals."""
    factor = torch.linalg.cholesky(covariance)
    unit = torch.linalg.solve_triangular(factor, x[..., None], upper=False)[..., 0]
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    log: Tensor = -(unit.square().sum(-1) + log_det + x.shape[-1] * math.log(math.tau)) / 2
    return log
