r"""Simulators of the benchmark of simulation-based inference, and its reference posteriors.

Parameters are drawn from a prior, a simulator makes data of them, and a posterior is asked for
given what was observed. Here the likelihoods are known, so that samplers of a given density and
models learned from simulations are held to the same answer, which others have published: the table
beside this module (``sbibm.safetensors``) has 2000 of the 10,000 reference draws of the first three
observations of each problem, as they come with sbibm 1.1.0 (MIT licence, in the table's facts). It was
made by ``python benchmarks/references.py`` with the extra ``sbi``, or sbibm's wheel alone, installed.

Draws and densities are in coordinates without bounds: of a parameter that is uniform between
two ends, the logit of where it is between them, whose prior is a logistic density.

References:
    Benchmarking Simulation-Based Inference (Lueckmann et al., 2021),
    https://arxiv.org/abs/2101.04653, appendix T.
"""

import abc
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from physgen.checkpoint import load_tensors
from physgen.density import Density, Drawable
from physgen.shapes import Level, PerSample, Sample

TABLE = Path(__file__).with_name("sbibm.safetensors")
OBSERVATIONS = 3
"""Of each problem in the table."""
DRAWS = 2000
"""Of the posterior of each observation in the table."""

Parameters = Float[Tensor, "batch parameter"]
Data = Float[Tensor, "batch datum"]
Observed = Float[Tensor, " datum"]


class Prior(Drawable):
    """A prior of parameters in coordinates without bounds."""

    @abc.abstractmethod
    def inside(self, z: Sample) -> Parameters:
        """The parameters at some coordinates."""


@dataclass(frozen=True)
class Uniform(Prior):
    """Every parameter uniform between ``-half`` and ``half``."""

    dimension: int
    half: float

    def inside(self, z: Sample) -> Parameters:
        return self.half * (z / 2).tanh()

    def energy(self, z: Sample, s: Level) -> PerSample:
        return (softplus(z) + softplus(-z)).sum(1)

    def sample(self, count: int, generator: torch.Generator) -> Sample:
        size = (count, self.dimension)
        return torch.rand(size, generator=generator, device=generator.device).logit(1e-7)


@dataclass(frozen=True)
class Normal(Prior):
    """Every parameter normal with a mean of zero."""

    dimension: int
    variance: float

    def inside(self, z: Sample) -> Parameters:
        return math.sqrt(self.variance) * z

    def energy(self, z: Sample, s: Level) -> PerSample:
        return (z.square().sum(1) + self.dimension * math.log(math.tau)) / 2

    def sample(self, count: int, generator: torch.Generator) -> Sample:
        size = (count, self.dimension)
        return torch.randn(size, generator=generator, device=generator.device)


class Problem(abc.ABC):
    """A prior, a simulator, and how likely it makes what."""

    name: str
    """That sbibm has for it."""
    prior: Prior

    @abc.abstractmethod
    def simulate(self, parameters: Parameters, generator: torch.Generator) -> Data:
        """Data of every row of parameters."""

    @abc.abstractmethod
    def surprise(self, parameters: Parameters, observed: Observed) -> PerSample:
        """Minus the logarithm of the likelihood of one observation, up to a constant."""

    def posterior(self, observed: Observed) -> Density:
        """The density of the coordinates given one observation, up to its normaliser."""
        return Density(
            lambda z: self.prior.energy(z, 0.0) + self.surprise(self.prior.inside(z), observed)
        )


class GaussianLinear(Problem):
    """Ten parameters, each observed once; prior and noise have the variance 0.1."""

    name = "gaussian_linear"
    prior = Normal(10, 0.1)

    def simulate(self, parameters: Parameters, generator: torch.Generator) -> Data:
        return parameters + math.sqrt(0.1) * _noise(parameters, generator)

    def surprise(self, parameters: Parameters, observed: Observed) -> PerSample:
        return (parameters - observed).square().sum(1) / 0.2


class GaussianMixture(Problem):
    """A place in the plane, seen as often precisely as not: with noise of 1 or 0.1."""

    name = "gaussian_mixture"
    prior = Uniform(2, 10.0)

    def simulate(self, parameters: Parameters, generator: torch.Generator) -> Data:
        coin = torch.rand(len(parameters), 1, generator=generator, device=parameters.device)
        return parameters + torch.where(coin < 0.5, 1.0, 0.1) * _noise(parameters, generator)

    def surprise(self, parameters: Parameters, observed: Observed) -> PerSample:
        square = (parameters - observed).square().sum(1)
        return -torch.logaddexp(-square / 2, -square / 0.02 + math.log(100))


class TwoMoons(Problem):
    r"""A half ring of radius :math:`r \sim \mathcal N(0.1, 0.01^2)`, moved by the parameters.

    :math:`x = r (\cos a, \sin a) + (0.25, 0) + (-|\theta_1 + \theta_2|, \theta_2 - \theta_1) / \sqrt 2`
    with :math:`a \sim \mathcal U(-\pi/2, \pi/2)`: two crescents, one the image of the other.
    """

    name = "two_moons"
    prior = Uniform(2, 1.0)

    def simulate(self, parameters: Parameters, generator: torch.Generator) -> Data:
        size, like = (len(parameters),), {"generator": generator, "device": parameters.device}
        angle = math.pi * (torch.rand(size, **like) - 0.5)  # type: ignore[call-overload]
        radius = 0.1 + 0.01 * torch.randn(size, **like)  # type: ignore[call-overload]
        ring = torch.stack([radius * angle.cos() + 0.25, radius * angle.sin()], 1)
        return ring + _moved(parameters)

    def surprise(self, parameters: Parameters, observed: Observed) -> PerSample:
        x, y = (observed - _moved(parameters)).unbind(1)
        radius = torch.hypot(x - 0.25, y)
        behind = torch.where(x < 0.25, torch.inf, 0.0)
        return ((radius - 0.1) / 0.01).square() / 2 + radius.log() + behind


def _moved(parameters: Parameters) -> Data:
    first, second = (parameters / math.sqrt(2)).unbind(1)
    return torch.stack([-(first + second).abs(), second - first], 1)


class SLCP(Problem):
    r"""Four draws of the plane's Gaussian that five parameters describe.

    Mean :math:`(\theta_1, \theta_2)`, deviations :math:`\theta_3^2` and :math:`\theta_4^2`,
    correlation :math:`\tanh \theta_5`: a simple likelihood and a posterior with four modes and sharp
    edges.
    """

    name = "slcp"
    prior = Uniform(5, 3.0)

    def simulate(self, parameters: Parameters, generator: torch.Generator) -> Data:
        unit = _noise(parameters[:, None, :2].expand(-1, 4, -1), generator)
        factor = torch.linalg.cholesky(self._covariance(parameters))
        drawn: Data = (parameters[:, None, :2] + unit @ factor.mT).flatten(1)
        return drawn

    def surprise(self, parameters: Parameters, observed: Observed) -> PerSample:
        covariance = self._covariance(parameters)
        (a, b), (_, d) = covariance.movedim(0, -1)
        x, y = (observed.view(4, 2) - parameters[:, None, :2]).unbind(-1)
        determinant = a * d - b.square()
        square = d[:, None] * x.square() - 2 * b[:, None] * x * y + a[:, None] * y.square()
        surprise: Tensor = square.sum(1) / (2 * determinant) + 2 * determinant.log()
        return surprise

    def _covariance(self, parameters: Parameters) -> Float[Tensor, "batch 2 2"]:
        """With the millionth that sbibm adds to variances."""
        first, second = parameters[:, 2].square(), parameters[:, 3].square()
        across = parameters[:, 4].tanh() * first * second
        ends = first.square() + 1e-6, second.square() + 1e-6
        return torch.stack([ends[0], across, across, ends[1]], 1).view(-1, 2, 2)


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


PROBLEMS: tuple[Problem, ...] = (GaussianLinear(), GaussianMixture(), TwoMoons(), SLCP())


@dataclass(frozen=True)
class Reference:
    """What was observed, and draws of the parameters given that."""

    observed: Observed
    draws: Float[Tensor, "draw parameter"]


@cache
def reference(name: str, number: int) -> Reference:
    """The reference of an observation, counted from one as sbibm does.

    Raises:
        ValueError: there is no such observation in the table.
    """
    tensors, _ = load_tensors(TABLE)
    place = f"{name}.{number}"
    if f"{place}.draws" not in tensors:
        names = ", ".join(problem.name for problem in PROBLEMS)
        raise ValueError(
            f"the table has observations 1 to {OBSERVATIONS} of {names}; got {number} of {name}"
        )
    return Reference(tensors[f"{place}.observed"], tensors[f"{place}.draws"])
