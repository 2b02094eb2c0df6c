r"""Decoupled annealing: clean samples are drawn, and only then noise is added.

Other predictors move a noisy sample a little. Here each level draws a clean sample that has seen
the observation, and forgets the noise it came from:

.. math:: x \sim \mathcal N\bigl(x;\, \hat x(z, s),\, r_s^2\bigr)\, p(y | x), \qquad
    z' = x + s' \varepsilon, \qquad r_s^2 = \frac{s^2 \sigma_d^2}{s^2 + \sigma_d^2}

with :math:`\hat x` where the flow of probability ends that begins at :math:`z`. Consecutive levels
may be far apart, so that decisions made at high noise are taken back; no gradient passes through
the network, and what was observed need not be linear in the sample. The draw is biased as far as
:math:`p(x | z)` is not that Gaussian.

References:
    Improving Diffusion Inverse Problem Solving with Decoupled Noise Annealing (Zhang et al.,
    2024), https://arxiv.org/abs/2407.01521, algorithm 1.
    Conditioning by Kriging (Matheron; Hoffman & Ribak, 1991), for the exact draw where
    observations are linear.
"""

import abc
import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.energy import Energy
from physgen.grid import Grid, log_snr
from physgen.guidance import Cost, priced
from physgen.kernel import Kernel, noise_like
from physgen.observed import (
    TOLERANCE,
    Operator,
    check_observed,
    clean_variance,
    conjugate_gradients,
)
from physgen.predictor import DDIM, Denoise, Predictor, Walk
from physgen.shapes import Level, PerSample, Sample

STUCK = 0.01
"""Mean probability of acceptance below which a walk has not drawn anything."""


class Local(abc.ABC):
    """How to draw near a place what agrees with an observation."""

    @abc.abstractmethod
    def draw(self, centre: Sample, spread: float, generator: torch.Generator) -> Sample:
        r"""From :math:`\mathcal N(x; \text{centre}, \text{spread}^2)\, p(y | x)`."""


@dataclass(frozen=True)
class Linear(Local):
    r"""Exact for :math:`y = A x + n`: a draw without the observation, moved by what it misses.

    :math:`x = x_0 + r^2 A^\top (r^2 A A^\top + \sigma_y^2)^{-1} (y + \sigma_y \xi - A x_0)`.
    """

    operator: Operator
    observed: Float[Tensor, "batch observation"]
    noise: float
    iterations: int
    """Conjugate gradients; one is enough for an operator that selects entries."""
    tolerance: float = TOLERANCE
    """Relative residual above which they are refused."""

    def __post_init__(self) -> None:
        if not self.noise >= 0:
            raise ValueError(f"the noise of observations must not be negative, got {self.noise}")
        check_observed(self.observed)

    def draw(self, centre: Sample, spread: float, generator: torch.Generator) -> Sample:
        free = centre + spread * noise_like(centre, generator)
        with torch.enable_grad():
            x = free.detach().requires_grad_()
            seen = self.operator(x)

        def back(v: Tensor) -> Sample:
            (each,) = torch.autograd.grad(seen, x, v, retain_graph=True)
            return each

        def system(v: Tensor) -> Tensor:
            return spread**2 * self.operator(back(v)) + self.noise**2 * v

        error = self.noise * noise_like(self.observed, generator)
        surprise = self.observed + error - seen.detach()
        moved = back(conjugate_gradients(system, surprise, self.iterations, self.tolerance))
        return free + spread**2 * moved


@dataclass(frozen=True)
class Walked(Local):
    """By moves of a kernel from the place, for any cost of clean samples.

    Step sizes of the kernel are in units of the spread: a cost that is sharper than that needs
    shorter ones. Where next to no move would be accepted a draw raises a ``RuntimeError``.
    """

    cost: Cost
    """Minus the log likelihood."""
    kernel: Kernel
    moves: int

    def draw(self, centre: Sample, spread: float, generator: torch.Generator) -> Sample:
        near = _Near(self.cost, centre, spread)
        chain = self.kernel.init(near, centre, spread)
        chance = 0.0
        for _ in range(self.moves):
            chain, info = self.kernel.step(chain, near, spread, generator)
            chance += info.probability.mean().item() / self.moves
        if chance < STUCK:
            raise RuntimeError(
                f"moves near clean estimates are accepted with probability {chance:.2g} at the "
                f"spread {spread:.4g}: the cost is sharper than that, take a smaller step"
            )
        return chain.z


class _Near(Energy):
    """A cost near a place."""

    def __init__(self, cost: Cost, centre: Sample, spread: float) -> None:
        self.cost = cost
        self.centre = centre
        self.spread = spread

    def energy(self, z: Sample, s: Level) -> PerSample:
        apart = (z - self.centre) / self.spread
        return apart.square().flatten(1).sum(1) / 2 + priced(self.cost, z)


@dataclass(frozen=True)
class Decoupled(Predictor):
    """The predictor; what was observed is part of it.

    Arguments:
        local: How to draw near a clean estimate.
        sigma_data: :math:`\\sigma_d`, measured from the data.
        flow: Levels of the flow from a noisy sample to its clean end, each an evaluation.
    """

    local: Local
    sigma_data: float
    flow: int = 4

    @property
    def deterministic(self) -> bool:
        """Between its draws: every clean estimate is where an equation leads."""
        return True

    def plan(self, grid: Grid) -> Walk:
        return _Decoupled(self, grid)


class _Decoupled(Walk):
    def __init__(self, rule: Decoupled, grid: Grid) -> None:
        self.rule = rule
        self.levels = grid.levels
        lowest = grid.levels[-2]
        self.flows = [
            log_snr(rule.flow if s > lowest else 1, min(lowest, s / 2), s)
            for s in grid.levels[:-1]
        ]

    def step(self, z: Sample, i: int, denoise: Denoise, generator: torch.Generator) -> Sample:
        flow = DDIM().plan(self.flows[i])
        centre = z
        for k in range(self.flows[i].steps):
            centre = flow.step(centre, k, denoise, generator)
        spread = math.sqrt(float(clean_variance(self.levels[i], self.rule.sigma_data)))
        x = self.rule.local.draw(centre, spread, generator)
        below = self.levels[i + 1]
        return x + below * noise_like(x, generator) if below > 0 else x
