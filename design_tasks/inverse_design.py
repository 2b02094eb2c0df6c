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
        known: Waves along each axis that are known from sensors, of each case.
    """

    def __init__(
        self,
        law: Law,
        equation: Equation,
        standard: Standard,
        sweeps: int,
        known: Int[Tensor, " case"] | None = None,
    ) -> None:
        self.law, self.standard, self.sweeps = law, standard, sweeps
        self.state = equation.parts[STATE]
        self.known = known
        self.steps = 0

    def mend(self, x: Pairs) -> Pairs:
        self.steps += 1
        mended = self.standard.sample(self.law.mended(self.standard.physical(x), self.sweeps))
        if self.known is not None:
            mended = mended - self._smooth(mended - x, self.known)
        return self.state.instead(x, self.state.of(mended))

    def _smooth(self, change: Pairs, known: Int[Tensor, " case"]) -> Pairs:
        """The waves of a change that are known; draws of one case stand together."""
        most = int(known.max())
        across, along = (wave[:most].to(change) for wave in self.law.smooth)
        inside = torch.arange(most) < known[:, None]
        square = (inside[:, None, :, None] & inside[:, None, None]).to(change)
        amplitude = across @ change @ along.mT
        kept = square.repeat_interleave(len(change) // len(known), 0) * amplitude
        return across.mT @ kept @ along


def resolved(
    seen: Seen, state: Int[Tensor, "row column"], space: tuple[int, int]
) -> Int[Tensor, " case"]:
    """Waves along each axis that sensors of the state can tell, of each case: as many as the longest way to
    the next sensor, or the side of the block that one of them means over, goes into the longer axis.

    Arguments:
        seen: What is seen.
        state: Where the state lies in a flattened sample.
        space: Cells along both axes.
    """
    found, side = [], math.sqrt(seen.places.shape[2])
    for places in seen.places:
        free = torch.ones(seen.size, dtype=torch.bool)
        free[places[torch.isin(places, state)]] = False
        near = free[state]
        way = float(distance_transform_edt(near.numpy()).max()) if not near.all() else math.inf
        found.append(int(max(space) / max(way, side)))
    return torch.tensor(found)


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
    heeded: int
    """Steps towards the equation, for each draw: of all levels those where its share is not negligible."""
    solutions: int
    """Exact ones of the equation, for each draw: Darcy's sweeps and flows on a coarser grid are none."""
    seconds: float


def step_of(prior: InversePrior, seen: Seen, guidance: Guidance) -> Sweeps | None:
    """The step towards the equation, if there is one: where sensors know all of the state there is none."""
    equation = prior.equation
    if not guidance.residual:
        return None
    law, known = equation.data(prior.cells), None
    if equation.keeps_seen:
        known = resolved(seen, state_of(prior, seen), law.space)
        if int(known.min()) >= max(law.space):
            return None
    return Sweeps(law, equation, prior.standard, guidance.sweeps, known)


def state_of(prior: InversePrior, seen: Seen) -> Int[Tensor, "row column"]:
    """Where the state lies in a flattened sample."""
    space = prior.gaussian.space
    return prior.equation.parts[STATE].places(seen.size // math.prod(space), (space[0], space[1]))


def term(prior: InversePrior, seen: Seen, guidance: Guidance, step: Sweeps | None) -> Score:
    """The prior, what is seen, and a step towards the equation.

    Where the equation says so, sensors of the state are heard after it: what the solver makes of a start
    is held against them, and by the covariance of both corrects the start, as in a Kalman filter.
    """

    def sensed(base: Score) -> Score:
        return Sensed(base, prior.gaussian, seen, prior.share)

    def heeded(base: Score) -> Score:
        return base if step is None else Consistent(base, step, guidance.residual, guidance.level)

    if prior.equation.heard_last and torch.isin(seen.places, state_of(prior, seen)).any():
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
    began, found, cases, heeded = time.perf_counter(), [], len(task.truth), 0
    for first in range(0, cases, CASES_AT_ONCE):
        seen = task.part(slice(first, first + CASES_AT_ONCE)).seen
        noise = unit_noise(len(seen.places) * count, task.mean.shape, generator)
        step = step_of(prior, seen, guidance)
        x = sample(term(prior, seen, guidance, step), noise, grid, predictor, generator)
        heeded = 0 if step is None else max(heeded, step.steps)
        found.append(prior.standard.physical(x.double()).unflatten(0, (-1, count)))
        progress.share(min(1.0, (first + CASES_AT_ONCE) / cases))
    solutions = heeded * task.law.solutions
    seconds = time.perf_counter() - began
    return Drawn(torch.cat(found), grid.steps, heeded, solutions, seconds)
