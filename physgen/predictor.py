r"""Predictors: from one noise level to the next.

All work on :math:`z = x + s \varepsilon` with a function that gives the clean estimate, and
all coefficients of a grid are computed once, as floats.
"""

import abc
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from physgen.grid import Grid
from physgen.shapes import Sample

Denoise = Callable[[Tensor, float], Tensor]
"""The clean estimate of samples at a level."""


class Walk(abc.ABC):
    """One walk down a grid; made anew for every draw."""

    @abc.abstractmethod
    def step(self, z: Sample, i: int, denoise: Denoise, generator: torch.Generator) -> Sample:
        """From level ``i`` of the grid to level ``i + 1``."""


class Predictor(abc.ABC):
    """A rule for walking down any grid."""

    @property
    @abc.abstractmethod
    def deterministic(self) -> bool:
        """Whether it follows an ordinary differential equation."""

    @abc.abstractmethod
    def plan(self, grid: Grid) -> Walk:
        """The walk, with its coefficients."""


@dataclass(frozen=True)
class DDIM(Predictor):
    r"""Euler's method for :math:`\dot z = (z - D) / s`: :math:`z' = D + \frac{s'}{s} (z - D)`.

    First order; exact wherever the clean estimate does not change along the way.

    References:
        Denoising Diffusion Implicit Models (Song et al., 2021),
        https://arxiv.org/abs/2010.02502, equation 12.
    """

    @property
    def deterministic(self) -> bool:
        return True

    def plan(self, grid: Grid) -> Walk:
        return _Euler(grid)


class _Euler(Walk):
    def __init__(self, grid: Grid) -> None:
        self.levels = grid.levels
        self.ratios = [b / a for a, b in itertools.pairwise(grid.levels)]

    def step(self, z: Sample, i: int, denoise: Denoise, generator: torch.Generator) -> Sample:
        return torch.lerp(denoise(z, self.levels[i]), z, self.ratios[i])


@dataclass(frozen=True)
class DPMpp2M(Predictor):
    r"""DPM-Solver++ 2M: second order, for one evaluation a step, from the step before.

    With :math:`h = \ln(s / s')` and :math:`r = h_\mathrm{before} / h`,
    :math:`z' = \frac{s'}{s} z + (1 - \frac{s'}{s})
    [(1 + \frac1{2r}) D - \frac1{2r} D_\mathrm{before}]`. The first step and the last, to zero,
    are of first order.

    References:
        DPM-Solver++ (Lu et al., 2022), https://arxiv.org/abs/2211.01095, algorithm 2.
    """

    @property
    def deterministic(self) -> bool:
        return True

    def plan(self, grid: Grid) -> Walk:
        return _Multistep(grid)


class _Multistep(Walk):
    def __init__(self, grid: Grid) -> None:
        self.levels = grid.levels
        self.ratios = [b / a for a, b in itertools.pairwise(grid.levels)]
        steps = [math.log(1 / ratio) if ratio > 0 else math.inf for ratio in self.ratios]
        pairs = itertools.pairwise(steps)
        self.weights = [0.0, *(-h / (2 * before) if h < math.inf else 0.0 for before, h in pairs)]
        self.before: Tensor | None = None

    def step(self, z: Sample, i: int, denoise: Denoise, generator: torch.Generator) -> Sample:
        clean = denoise(z, self.levels[i])
        ahead = clean
        if self.before is not None and self.weights[i]:
            ahead = torch.lerp(clean, self.before, self.weights[i])
        self.before = clean
        return torch.lerp(ahead, z, self.ratios[i])


@dataclass(frozen=True)
class Heun(Predictor):
    r"""Heun's method, with noise added before each step if ``churn`` is positive.

    Second order for two evaluations a step, one for the last. Churn lifts a level by the factor
    :math:`1 + \min(\text{churn} / \text{steps}, \sqrt 2 - 1)`.

    References:
        Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022),
        https://arxiv.org/abs/2206.00364, algorithm 2.
    """

    churn: float = 0.0

    def __post_init__(self) -> None:
        if not self.churn >= 0:
            raise ValueError(f"churn must not be negative, got {self.churn}")

    @property
    def deterministic(self) -> bool:
        return self.churn == 0

    def plan(self, grid: Grid) -> Walk:
        return _Heun(grid, min(self.churn / grid.steps, math.sqrt(2) - 1))


class _Heun(Walk):
    def __init__(self, grid: Grid, lift: float) -> None:
        self.levels = grid.levels
        self.lift = lift

    def step(self, z: Sample, i: int, denoise: Denoise, generator: torch.Generator) -> Sample:
        s, below = self.levels[i], self.levels[i + 1]
        if self.lift:
            noise = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
            z = z + s * math.sqrt((1 + self.lift) ** 2 - 1) * noise
            s = s * (1 + self.lift)
        slope = (z - denoise(z, s)) / s
        ahead = z + (below - s) * slope
        if below == 0:
            return ahead
        return z + (below - s) / 2 * (slope + (ahead - denoise(ahead, below)) / below)


@dataclass(frozen=True)
class Ancestral(Predictor):
    r"""A draw from :math:`q(z' | z, x = D)`, the reverse of adding noise.

    :math:`z' = D + \sqrt{s'^2 - \tau^2}\, (z - D) / s + \tau \xi` with
    :math:`\tau = \eta\, s' \sqrt{1 - s'^2 / s^2}`. At :math:`\eta = 1` this is DDPM's sampler, a
    first-order scheme for the reverse stochastic equation; at 0 it is DDIM.

    References:
        Denoising Diffusion Implicit Models (Song et al., 2021),
        https://arxiv.org/abs/2010.02502, equations 12 and 16.
    """

    eta: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.eta <= 1:
            raise ValueError(f"eta must lie between 0, for DDIM, and 1, got {self.eta}")

    @property
    def deterministic(self) -> bool:
        return self.eta == 0

    def plan(self, grid: Grid) -> Walk:
        return _Ancestral(grid, self.eta)


class _Ancestral(Walk):
    def __init__(self, grid: Grid, eta: float) -> None:
        self.levels = grid.levels
        pairs = list(itertools.pairwise(grid.levels))
        self.fresh = [eta * b * math.sqrt(1 - (b / a) ** 2) for a, b in pairs]
        kept = zip(pairs, self.fresh, strict=True)
        self.ratios = [math.sqrt(max(0.0, b * b - tau * tau)) / a for (a, b), tau in kept]

    def step(self, z: Sample, i: int, denoise: Denoise, generator: torch.Generator) -> Sample:
        out = torch.lerp(denoise(z, self.levels[i]), z, self.ratios[i])
        if not self.fresh[i]:
            return out
        noise = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
        return out.add_(noise, alpha=self.fresh[i])


@dataclass(frozen=True)
class Anew(Predictor):
    r"""The clean estimate with noise drawn anew: :math:`z' = D + s' \xi`.

    For terms whose clean estimate is a sample and not a mean, such as consistency models; what
    a posterior mean lacks in spread is then not made up for.

    References:
        Consistency Models (Song et al., 2023), https://arxiv.org/abs/2303.01469, algorithm 1,
        with :math:`\epsilon = 0`.
    """

    @property
    def deterministic(self) -> bool:
        return False

    def plan(self, grid: Grid) -> Walk:
        return _Anew(grid)


class _Anew(Walk):
    def __init__(self, grid: Grid) -> None:
        self.levels = grid.levels

    def step(self, z: Sample, i: int, denoise: Denoise, generator: torch.Generator) -> Sample:
        out, below = denoise(z, self.levels[i]), self.levels[i + 1]
        if not below:
            return out
        noise = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
        return out + below * noise
