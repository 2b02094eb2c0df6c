"""Drawing both fields of inverse problems: a prior, what is seen, and the equation, as one sum."""

import time
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.consistent import Consistent, Relaxation
from physgen.design_tasks.inverse import COEFFICIENT, STATE, Draws, Equation, InverseTask, Pairs
from physgen.design_tasks.inverse_prior import InversePrior, Standard
from physgen.distillation import Student
from physgen.energy import Score
from physgen.grid import Grid, log_snr
from physgen.predictor import DPMpp2M, Predictor
from physgen.progress import Progress, Silent
from physgen.sampler import sample, unit_noise
from physgen.sensed import Seen, Sensed
from physgen.solvers.elliptic import Cells

LOWEST, HIGHEST = 2e-3, 200.0
"""Noise levels: below what components leave out of the smoothest field, and above all fields."""
CASES_AT_ONCE = 5


class Sweeps(Relaxation):
    r"""Sweeps of Richardson's iteration for the state, preconditioned by sines.

    .. math:: u \leftarrow u - P\, R(u, a), \qquad P = (\bar a L - q)^{-1},
        \quad \bar a = \tfrac12 (\min a + \max a)

    for the residual :math:`R = A(a) u - f` and the Laplacian L of the walls, which sines make
    diagonal. For Poisson's and Helmholtz' equations one sweep is exact; for Darcy's each leaves at
    most :math:`(\max a - \min a) / (\max a + \min a)` of the error, 0.6 for 3 and 12. The coefficient
    stays as it is: a step of it would blur what has two values.
    """

    def __init__(self, equation: Equation, standard: Standard, cells: Cells, sweeps: int) -> None:
        self.equation, self.standard, self.sweeps = equation, standard, sweeps
        self.data = equation.data(cells.cells[0])
        self.solver = self.data.equation()
        self.shift = self.data.facts.get("wavenumber", 0.0) ** 2
        self.cells = cells

    def mend(self, x: Pairs) -> Pairs:
        pair = self.standard.physical(x)
        boundary = self.equation.boundary(pair[:, COEFFICIENT])
        state = pair[:, STATE:]
        for _ in range(1 if self.equation.gaussian else self.sweeps):
            owed = self.solver.residual(state, boundary)[:, 0]
            state = state - self._nearly(owed, boundary[:, 0])[:, None]
        mended = torch.cat([pair[:, :STATE], state], 1)
        return torch.cat([x[:, :STATE], self.standard.sample(mended)[:, STATE:].to(x)], 1)

    def _nearly(
        self, owed: Float[Tensor, "batch x y"], coefficient: Float[Tensor, "batch x y"]
    ) -> Float[Tensor, "batch x y"]:
        x, y = (one.to(owed) for one in self.cells.sines)
        eigenvalues = self.cells.eigenvalues.to(owed)
        amplitude = x @ owed @ y.mT
        if self.equation.gaussian:
            # The residual of Helmholtz and Poisson has the other sign.
            return x.mT @ (amplitude / (self.shift - eigenvalues)) @ y
        typical = (coefficient.amin((1, 2)) + coefficient.amax((1, 2)))[:, None, None] / 2
        return x.mT @ (amplitude / (typical * eigenvalues)) @ y


@dataclass(frozen=True)
class Guidance:
    """How the sum is walked down."""

    levels: int = 20
    """Noise levels, one evaluation of the prior each; a distilled prior has its own."""
    residual: float = 0.9
    """Share of the step towards the equation that is taken without noise, from 0 (none) to 1."""
    level: float = 1.0
    """Noise level at which half of that share is taken."""
    sweeps: int = 4
    """Sweeps of Darcy's residual in a step."""

    def __post_init__(self) -> None:
        for name in ("levels", "sweeps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.residual <= 1 or not self.level > 0:
            raise ValueError(
                "a residual needs a weight from 0 to 1 and a positive level, got "
                f"{self.residual} and {self.level}"
            )

    @property
    def grid(self) -> Grid:
        return log_snr(self.levels, LOWEST, HIGHEST)


@dataclass(frozen=True)
class Drawn:
    """What was drawn, and what it cost."""

    draws: Draws
    evaluations: int
    """Of the prior, for each draw."""
    solutions: int
    """Exact ones of the equation, for each draw: Darcy's sweeps are none."""
    seconds: float


def term(prior: InversePrior, seen: Seen, guidance: Guidance, cells: Cells) -> Score:
    """The prior, what is seen, and the equation."""
    found: Score = Sensed(prior.denoiser, prior.gaussian, seen, prior.share)
    if guidance.residual:
        mend = Sweeps(prior.equation, prior.standard, cells, guidance.sweeps)
        found = Consistent(found, mend, guidance.residual, guidance.level)
    return found


def draw(
    prior: InversePrior,
    task: InverseTask,
    count: int,
    generator: torch.Generator,
    guidance: Guidance | None = None,
    predictor: Predictor | None = None,
    progress: Progress | None = None,
) -> Drawn:
    """So many pairs for each case; a distilled prior has levels and a way down of its own."""
    guidance = Guidance() if guidance is None else guidance
    grid, predictor = guidance.grid, DPMpp2M() if predictor is None else predictor
    if isinstance(prior.denoiser, Student):
        grid, predictor = prior.denoiser.grid, prior.denoiser.predictor
    progress = Silent() if progress is None else progress
    began, found, cases = time.perf_counter(), [], len(task.truth)
    for first in range(0, cases, CASES_AT_ONCE):
        seen = task.part(slice(first, first + CASES_AT_ONCE)).seen
        noise = unit_noise(len(seen.places) * count, (2, *prior.gaussian.space), generator)
        x = sample(
            term(prior, seen, guidance, task.cells),
            noise,
            grid,
            predictor,
            generator,
        )
        found.append(prior.standard.physical(x.double()).unflatten(0, (-1, count)))
        progress.share(min(1.0, (first + CASES_AT_ONCE) / cases))
    exact = prior.equation.gaussian and guidance.residual > 0
    solutions = grid.steps if exact else 0
    return Drawn(torch.cat(found), grid.steps, solutions, time.perf_counter() - began)
