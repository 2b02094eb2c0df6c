r"""The evidence bound of a denoiser that goes down a grid in Gaussian steps, in nats.

Going down from :math:`s` to :math:`s'`, what is left of the noise is
:math:`q(z' | z, x) = \mathcal N(x + \tfrac{s'^2}{s^2} (z - x),\, \tau^2)` with
:math:`\tau^2 = s'^2 (1 - s'^2 / s^2)` if the clean sample is known; the model puts its estimate
:math:`D` in place of :math:`x`, and a variance :math:`v` in place of :math:`\tau^2`. Then

.. math:: -\log p(x) \le \mathrm{KL}\bigl(q(z_S | x) \,\|\, p(z_S)\bigr)
    + \sum_{s' > 0} \mathbb{E}\, \tfrac12 \Bigl[\frac{\tau^2 + (1 - s'^2 / s^2)^2 (x - D)^2}{v}
    - 1 + \ln \frac{v}{\tau^2}\Bigr]
    - \mathbb{E} \log \mathcal N(x; D, v),

the last for the step to no noise. For data without spread :math:`v = \tau^2` is right; for white
data of spread :math:`\sigma_d` it is :math:`\tau^2 + (1 - s'^2 / s^2)^2\, s^2 \sigma_d^2 /
(s^2 + \sigma_d^2)`. Fixed variances are one or the other, learned ones lie between their
logarithms.

References:
    Denoising Diffusion Probabilistic Models (Ho et al., 2020), https://arxiv.org/abs/2006.11239,
    equation 5 and section 3.2 for the two variances.
    Improved Denoising Diffusion Probabilistic Models (Nichol & Dhariwal, 2021),
    https://arxiv.org/abs/2102.09672, equations 15 and 16.
"""

import abc
import math
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor, nn

from physgen.denoiser import Adapted, Denoiser, per_sample
from physgen.energy import Score, check_score, wide
from physgen.gaussian import White
from physgen.grid import Grid
from physgen.kernel import noise_like
from physgen.path import Path
from physgen.predictor import Denoise, Predictor, Walk
from physgen.shapes import Level, PerSample, Sample


def _bounds(above: Tensor, below: Tensor, sigma_data: float) -> tuple[Tensor, Tensor]:
    """Logarithms of the variance for data without spread, and for white data.

    At the step to no noise the former is zero, and the latter stands for both.
    """
    kept = 1 - (below / above).square()
    small = below.square() * kept
    clean = above.square() * sigma_data**2 / (above.square() + sigma_data**2)
    large = small + kept.square() * clean
    return torch.where(below > 0, small, large).log(), large.log()


class Variance(abc.ABC):
    """How wide the steps down a grid are believed to be."""

    @abc.abstractmethod
    def step(
        self, z: Sample, above: float, below: float, denoise: Denoise
    ) -> tuple[Sample, Sample]:
        """The clean estimate of samples at a level, and the log variance of a step from there."""


class Fixed(Variance):
    """The same whatever the sample."""

    @abc.abstractmethod
    def log(self, above: Tensor, below: Tensor) -> Tensor:
        """The log variance of a step."""

    def step(
        self, z: Sample, above: float, below: float, denoise: Denoise
    ) -> tuple[Sample, Sample]:
        levels = torch.tensor([above, below], dtype=torch.float64)
        return denoise(z, above), torch.full_like(z, self.log(*levels).item())


@dataclass(frozen=True)
class Smallest(Fixed):
    r"""Right for data without spread: DDPM's :math:`\tilde\beta`, and ancestral steps."""

    sigma_data: float = 1.0
    """Spread of the data, for the step to no noise only."""

    def log(self, above: Tensor, below: Tensor) -> Tensor:
        return _bounds(above, below, self.sigma_data)[0]


@dataclass(frozen=True)
class Largest(Fixed):
    r"""Right for white data: DDPM's :math:`\beta`, if their spread is one."""

    sigma_data: float = 1.0
    """Spread of the data."""

    def log(self, above: Tensor, below: Tensor) -> Tensor:
        return _bounds(above, below, self.sigma_data)[1]


class TwoHeaded(Denoiser):
    """A network along a path that says how wide its steps are, too.

    Arguments:
        network: Of a noisy sample and a time; its answer has twice the channels of a sample: what
            is predicted, and then where the log variance lies, from -1 for the smallest to 1 for
            the largest.
        kind: What is predicted.
        path: The path.
        sigma_data: Spread of the data.
    """

    def __init__(
        self, network: nn.Module, kind: type[Adapted], path: Path, sigma_data: float = 1.0
    ) -> None:
        super().__init__(sigma_data)
        self.network = network
        self.adapted = kind(network, path, sigma_data)

    def both(self, z: Sample, s: Level) -> tuple[Sample, Sample]:
        """The clean estimate, and where the variance lies."""
        t = self.adapted.path.t_of(per_sample(s, z))
        x_t = wide(self.adapted.path.at(t).alpha, z) * z
        predicted, place = self.network(x_t, t).chunk(2, 1)
        return self.adapted.read(predicted, z, t), place

    def clean(self, z: Sample, s: Level) -> Sample:
        return self.both(z, s)[0]


@dataclass(frozen=True)
class Said(Variance):
    """What a network with two heads says of its steps."""

    model: TwoHeaded

    def log(self, place: Sample, above: PerSample, below: PerSample) -> Sample:
        """The log variance from where it lies."""
        ends = _bounds(above, below, self.model.sigma_data)
        small, large = (wide(end, place) for end in ends)
        return torch.lerp(*torch.broadcast_tensors(small, large, (place + 1) / 2))

    def step(
        self, z: Sample, above: float, below: float, denoise: Denoise
    ) -> tuple[Sample, Sample]:
        clean, place = self.model.both(z, above)
        if denoise != self.model.denoise:  # something guides it
            clean = denoise(z, above)
        return clean, self.log(place, per_sample(above, z), per_sample(below, z))


@dataclass(frozen=True)
class Wide(Predictor):
    """Ancestral steps of a given variance; :class:`Smallest` is the ancestral step itself.

    The step to no noise adds none.
    """

    variance: Variance

    @property
    def deterministic(self) -> bool:
        return False

    def plan(self, grid: Grid) -> Walk:
        return _Steps(grid, self.variance)


class _Steps(Walk):
    def __init__(self, grid: Grid, variance: Variance) -> None:
        self.levels = grid.levels
        self.variance = variance

    def step(self, z: Sample, i: int, denoise: Denoise, generator: torch.Generator) -> Sample:
        above, below = self.levels[i], self.levels[i + 1]
        clean, log_variance = self.variance.step(z, above, below, denoise)
        if below == 0:
            return clean
        mean = torch.lerp(clean, z, (below / above) ** 2)
        return mean + (log_variance / 2).exp() * noise_like(z, generator)


@dataclass(frozen=True)
class Evidence:
    """An upper bound on minus the log density, in nats, and what it is made of."""

    start: PerSample
    """What the noisiest level still tells of the sample."""
    steps: PerSample
    """What the steps between levels are off."""
    end: PerSample
    """Minus the log density of the sample, given the least noisy one."""

    @property
    def nats(self) -> PerSample:
        return self.start + self.steps + self.end


@torch.no_grad()
def evidence(
    term: Score,
    variance: Variance,
    base: White,
    x: Sample,
    grid: Grid,
    generator: torch.Generator,
) -> Evidence:
    """The bound for clean samples, with one draw of noise for each step: right on average.

    Arguments:
        term: The denoiser.
        variance: Of its steps.
        base: What samples at the first level are taken to be, once noise is added.
        x: Clean samples.
        grid: The steps.
        generator: Source of noise.
    """
    check_score(term)
    first, width = grid.levels[0] ** 2, grid.levels[0] ** 2 + base.std**2
    per_entry = first / width - 1 + math.log(width / first)
    start = (x.square() / width + per_entry).flatten(1).sum(1) / 2
    costs = []
    for above, below in zip(grid.levels, grid.levels[1:], strict=False):
        z = x + above * noise_like(x, generator)
        clean, log_variance = variance.step(z, above, below, term.denoise)
        levels = (per_sample(above, z), per_sample(below, z))
        costs.append(_cost(x - clean, log_variance, *levels))
    return Evidence(start, torch.stack([torch.zeros_like(start), *costs[:-1]]).sum(0), costs[-1])


def _cost(error: Sample, log_variance: Sample, above: PerSample, below: PerSample) -> PerSample:
    """What one step adds to the bound."""
    kept = 1 - (below / above).square()
    small = below.square() * kept
    last = below == 0
    fixed = torch.where(last, math.log(math.tau), -1 - torch.where(last, 1.0, small).log())
    spread = wide(small, error) + (wide(kept, error) * error).square()
    each = wide(fixed, error) + log_variance + spread * (-log_variance).exp()
    return each.flatten(1).sum(1) / 2


@dataclass(frozen=True)
class Hybrid:
    """The loss of a network with two heads: the usual one, and the bound for its variances alone.

    The bound's gradient does not reach what is predicted, which the usual loss trains better.
    """

    kind: type[Adapted]
    path: Path
    grid: Grid
    """The steps whose variances are learned."""
    sigma_data: float = 1.0
    weight: float = 1e-3
    """Of the bound, in nats an entry over all steps."""

    def draw(
        self, x: Sample, generator: torch.Generator
    ) -> tuple[Sample, Sample, Int[Tensor, " batch"]]:
        """Clean samples, noise, and the number of a step for each."""
        steps = torch.randint(self.grid.steps, (len(x),), generator=generator, device=x.device)
        return x, noise_like(x, generator), steps

    def __call__(
        self, network: nn.Module, x: Sample, noise: Sample, step: Int[Tensor, " batch"]
    ) -> PerSample:
        levels = torch.tensor(self.grid.levels, dtype=x.dtype, device=x.device)
        above, below = levels[step], levels[step + 1]
        t = self.path.t_of(above)
        alpha, sigma, *_ = (wide(scale, x) for scale in self.path.at(t))
        predicted, place = network(alpha * x + sigma * noise, t).chunk(2, 1)
        model = TwoHeaded(network, self.kind, self.path, self.sigma_data)
        asked = model.adapted.asked(x, noise, t)
        usual = (predicted - asked).square().flatten(1).mean(1)
        with torch.no_grad():
            z = x + wide(above, x) * noise
            clean = model.adapted.read(predicted.detach(), z, t)
        bound = _cost(x - clean, Said(model).log(place, above, below), above, below)
        loss: PerSample = usual + self.weight * self.grid.steps * bound / x[0].numel()
        return loss
