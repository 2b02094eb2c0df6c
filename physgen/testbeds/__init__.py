"""Exact targets that samplers are held to, and how far samples are from them."""

import math
from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from physgen.density import Drawable, Moments
from physgen.gaussian import GaussianMixture, gaussian
from physgen.shapes import Level, PerSample, Sample


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def isotropic(means: Tensor, std: float, weights: Tensor | None = None) -> GaussianMixture:
    count, dimension = means.shape
    weights = torch.full((count,), 1 / count) if weights is None else weights
    covariance = (std**2 * torch.eye(dimension)).expand(count, dimension, dimension)
    return GaussianMixture(weights.to(means).log(), means, covariance.to(means))


def ring(modes: int = 8, std: float = 0.1) -> GaussianMixture:
    angle = torch.arange(modes) * math.tau / modes
    return isotropic(torch.stack([angle.cos(), angle.sin()], 1), std)


def bars() -> GaussianMixture:
    """Two upright bars beside each other."""
    mean = torch.tensor([[-0.7, 0.0], [0.7, 0.0]])
    covariance = torch.diag(torch.tensor([0.3**2, 0.6**2])).expand(2, 2, 2)
    return GaussianMixture(torch.tensor([0.5, 0.5]).log(), mean, covariance)


def some_gaussian(seed: int, dimension: int = 3) -> GaussianMixture:
    """A Gaussian with correlations, in double precision."""
    g = source(seed)
    root = torch.randn(dimension, dimension, generator=g, dtype=torch.float64)
    covariance = root @ root.mT / dimension + 0.3 * torch.eye(dimension, dtype=torch.float64)
    mean = torch.randn(1, dimension, generator=g, dtype=torch.float64)
    return GaussianMixture(torch.zeros(1, dtype=torch.float64), mean, covariance[None])


def correlated(dimension: int = 100, correlation: float = 0.9) -> GaussianMixture:
    r"""A Gaussian whose entries have variances from 0.01 to 1 and remember their neighbours.

    :math:`\Sigma_{ij} = \sigma_i \sigma_j\, \rho^{|i - j|}`, in double precision.
    """
    index = torch.arange(dimension, dtype=torch.float64)
    std = torch.logspace(-1, 0, dimension, dtype=torch.float64)
    covariance = correlation ** (index[:, None] - index).abs() * std * std[:, None]
    return gaussian(torch.zeros(dimension, dtype=torch.float64), covariance)


@dataclass(frozen=True)
class Banana(Drawable):
    r"""Rosenbrock's valley as a density: :math:`x_1 \sim \mathcal N(1, a^2)`,
    :math:`x_2 \mid x_1 \sim \mathcal N(x_1^2, b^2)`.

    With :math:`a^2 = 10,\ b^2 = 0.1` its energy is the function of Rosenbrock (1960) over 20.
    """

    length: float = 0.7
    """:math:`a`."""
    width: float = 0.5
    """:math:`b`."""

    def energy(self, z: Sample, s: Level) -> PerSample:
        x, y = z.unbind(1)
        square = ((x - 1) / self.length).square() + ((y - x.square()) / self.width).square()
        return square / 2 + math.log(math.tau * self.length * self.width)

    def sample(self, count: int, generator: torch.Generator) -> Sample:
        unit = torch.randn(count, 2, generator=generator, device=generator.device)
        x = 1 + self.length * unit[:, 0]
        return torch.stack([x, x.square() + self.width * unit[:, 1]], 1)

    def moments(self) -> Moments:
        a, b = self.length**2, self.width**2
        return Moments(torch.tensor([1.0, 1 + a]), torch.tensor([a, b + 4 * a + 2 * a**2]))


@dataclass(frozen=True)
class Funnel(Drawable):
    r"""Neal's funnel: :math:`v \sim \mathcal N(0, \sigma^2)`, and
    :math:`x_i \mid v \sim \mathcal N(0, e^v)` for the other entries.

    No one step size suits both its mouth and its neck (Neal, 2003, Slice sampling, section 8).
    """

    dimension: int = 10
    spread: float = 3.0
    r""":math:`\sigma`."""

    def energy(self, z: Sample, s: Level) -> PerSample:
        v, x = z[:, 0], z[:, 1:]
        count = self.dimension - 1
        square = (v / self.spread).square() + x.square().sum(1) * (-v).exp()
        normaliser = self.dimension * math.log(math.tau) / 2 + math.log(self.spread)
        return (square + count * v) / 2 + normaliser

    def sample(self, count: int, generator: torch.Generator) -> Sample:
        size = (count, self.dimension)
        unit = torch.randn(size, generator=generator, device=generator.device)
        v = self.spread * unit[:, :1]
        return torch.cat([v, (v / 2).exp() * unit[:, 1:]], 1)

    def moments(self) -> Moments:
        variance = torch.full((self.dimension,), math.exp(self.spread**2 / 2))
        variance[0] = self.spread**2
        return Moments(torch.zeros(self.dimension), variance)


@dataclass(frozen=True)
class Waiting(Drawable):
    r"""Times until the third of events that come once in a unit of time, each entry by itself:
    :math:`p(x) = x^2 e^{-x} / 2`, a gamma density, of positive numbers and log-concave."""

    dimension: int = 2

    def energy(self, z: Sample, s: Level) -> PerSample:
        return (z - 2 * z.log()).sum(1) + self.dimension * math.log(2)

    def sample(self, count: int, generator: torch.Generator) -> Sample:
        size = (count, self.dimension, 3)
        coins = torch.rand(size, generator=generator, device=generator.device)
        return -torch.log1p(-coins).sum(2)

    def moments(self) -> Moments:
        three = torch.full((self.dimension,), 3.0)
        return Moments(three, three)


def wasserstein(a: Tensor, b: Tensor) -> float:
    """W2 between equally many samples, by optimal assignment."""
    cost = torch.cdist(a.double(), b.double()).square()
    row, column = linear_sum_assignment(cost.numpy())
    return math.sqrt(cost[row, column].mean().item())


def mode_error(x: Tensor, target: GaussianMixture) -> float:
    """Total variation between the modes' weights and the share of samples nearest to each."""
    share = target.responsibilities(x.to(target.mean), 0.0).mean(0)
    return (share - target.log_weight.softmax(0)).abs().sum().item() / 2
