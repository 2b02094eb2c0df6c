"""Drawing samples of inverse problems: a prior, what is seen, and the equation, as one sum."""

import math
import time
from dataclasses import dataclass

import torch
from jaxtyping import Int
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from physgen.consistent import Consistent, Relaxation
from physgen.design_tasks.inverse import STATE, Draws, InverseTask
from physgen.design_tasks.inverse_equation import Equation, Law, Pairs
from physgen.design_tasks.inverse_prior import InversePrior, Standard
from physgen.distillation import Student
from physgen.energy import Score
from physgen.grid import Grid, log_snr
from physgen.predictor import DPMpp2M, Predictor
from physgen.progress import Progress, Silent
from physgen.sampler import sample, unit_noise
from physgen.sensed import Seen, Sensed

LOWEST, HIGHEST = 2e-3, 200.0
"""Noise levels: below what components leave out of the smoothest field, and above all fields."""
CASES_AT_ONCE = 5


class Sweeps(Relaxation):
    """The state of samples is led towards what the solver makes of their first parts, which stay.

    A step of these would blur a coefficient of two values, and they hear of the equation by the levels
    that follow: see :meth:`~physgen.design_tasks.inverse_equation.Law.mended`.

    Where the equation says so, waves of the state that are no shorter than sensors can tell are left as
    they are: these know them better than an equation with a drawn coefficient.

    Arguments:
        law: Of the samples.
        equation: What joins their parts.
        standard: What they are measured by.
        sweeps: Of its residual.
        resolved: Waves along each axis that are known from sensors.
    """

    def __init__(
        self, law: Law, equation: Equation, standard: Standard, sweeps: int, resolved: int = 0
    ) -> None:
        self.law, self.standard, self.sweeps = law, standard, sweeps
        self.state = equation.parts[STATE]
        self.known = [wave[:resolved] for wave in law.smooth]

    def mend(self, x: Pairs) -> Pairs:
        mended = self.standard.sample(self.law.mended(self.standard.physical(x), self.sweeps))
        across, along = (wave.to(x) for wave in self.known)
        change = mended - x
        left = across.mT @ (across @ change @ along.mT) @ along
        return self.state.instead(x, self.state.of(mended - left))


def resolved(seen: Seen, state: Int[Tensor, "row column"], space: tuple[int, int]) -> int:
    """Waves along each axis that sensors of the state can tell: as many as the widest gap between
    them, or the block that one of them means over, goes into the longer axis.

    Arguments:
        seen: What is seen.
        state: Where the state lies in a flattened sample.
        space: Cells along both axes.
    """
    of_state = torch.isin(seen.places, state)
    if not of_state.any():
        return 0
    gaps = []
    for places, here in zip(seen.places, of_state, strict=True):
        free = torch.ones(seen.size, dtype=torch.bool)
        free[places[here]] = False
        gaps.append(float(distance_transform_edt(free[state].numpy()).max()))
    block = math.sqrt(seen.places.shape[2])
    return int(max(space) / max(sum(gaps) / len(gaps), block))


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
    """Exact ones of the equation, for each draw: Darcy's sweeps and flows on a coarser grid are none."""
    seconds: float


def term(prior: InversePrior, seen: Seen, guidance: Guidance) -> Score:
    """The prior, what is seen, and the equation.

    Where the equation says so, sensors of the state are heard after it: what the solver makes of a start
    is held against them, and by the covariance of both corrects the start, as in a Kalman filter.
    """

    def sensed(base: Score) -> Score:
        return Sensed(base, prior.gaussian, seen, prior.share)

    if not guidance.residual:
        return sensed(prior.denoiser)
    equation = prior.equation
    law = equation.data(prior.cells)

    state = equation.parts[STATE].places(seen.size // math.prod(law.space), law.space)
    known = resolved(seen, state, law.space) if equation.keeps_seen else 0
    mend = Sweeps(law, equation, prior.standard, guidance.sweeps, known)

    def heeded(base: Score) -> Score:
        return Consistent(base, mend, guidance.residual, guidance.level)

    if equation.heard_last and torch.isin(seen.places, state).any():
        return sensed(heeded(prior.denoiser))
    return heeded(sensed(prior.denoiser))


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
        noise = unit_noise(len(seen.places) * count, task.mean.shape, generator)
        x = sample(
            term(prior, seen, guidance),
            noise,
            grid,
            predictor,
            generator,
        )
        found.append(prior.standard.physical(x.double()).unflatten(0, (-1, count)))
        progress.share(min(1.0, (first + CASES_AT_ONCE) / cases))
    solutions = grid.steps * task.law.solutions if guidance.residual else 0
    return Drawn(torch.cat(found), grid.steps, solutions, time.perf_counter() - began)
