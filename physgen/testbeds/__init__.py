"""Exact targets that samplers are held to, and how far samples are from them."""

import math

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from physgen.gaussian import GaussianMixture


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


def wasserstein(a: Tensor, b: Tensor) -> float:
    """W2 between equally many samples, by optimal assignment."""
    cost = torch.cdist(a.double(), b.double()).square()
    row, column = linear_sum_assignment(cost.numpy())
    return math.sqrt(cost[row, column].mean().item())


def mode_error(x: Tensor, target: GaussianMixture) -> float:
    """Total variation between the modes' weights and the share of samples nearest to each."""
    share = target.responsibilities(x.to(target.mean), 0.0).mean(0)
    return (share - target.log_weight.softmax(0)).abs().sum().item() / 2
