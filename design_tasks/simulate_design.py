"""Drawing ensembles: the prior, what is seen, and the equation, as one sum, window after window."""

import time
from dataclasses import dataclass, replace

import torch

from physgen.asynchronous import StepDenoise
from physgen.consistent import Consistent, Relaxation
from physgen.corrected_windows import KNOWN
from physgen.design_tasks.simulate import Ensembles, Flow, SimulateTask
from physgen.design_tasks.simulate_prior import FRAMES, LED, SimulatePrior
from physgen.energy import Score
from physgen.grid import Grid, log_snr
from physgen.predictor import DPMpp2M
from physgen.progress import Progress, Silent
from physgen.rounds import Route
from physgen.unrolled import Frame, Frames, Unrolling, alone

LOWEST, HIGHEST = 0.01, 30.0
"""Noise levels: below what a window's frames leave open of one another, and above all windows."""
AT_ONCE = 100
"""Members drawn in one call."""


class Sweep(Relaxation):
    """Every frame is replaced by what the solver makes of the one before it.

    A sweep takes what is right one frame further; so many as there are frames would be a simulation.
    Each costs a run of the solver over the whole window.

    Arguments:
        flow: The solver.
        scale: The spread, in m/s.
        before: The frame before the first, if it is known.
    """

    def __init__(self, flow: Flow, scale: float, before: Frame | None) -> None:
        self.flow, self.scale, self.before = flow, scale, before

    def mend(self, x: Frames) -> Frames:
        if self.before is None:
            first, sources = x[:, :1], x[:, :-1]
        else:
            first, sources = x[:, :0], torch.cat([self.before[:, None], x[:, :-1]], 1)
        flat = self.scale * sources.flatten(0, 1)
        carried = (self.flow.next(flat) / self.scale).view_as(sources)
        return torch.cat([first, carried], 1)


@dataclass(frozen=True)
class Walk:
    """How the sum is walked down."""

    levels: int = 8
    """Noise levels for each window; a distilled prior has its own."""
    overlap: int = 2
    """Frames of a window that the next one goes on from."""
    residual: float = 0.0
    """Share of the step towards the equation that is taken without noise, from 0 (none) to 1."""
    level: float = 0.3
    """Noise level at which half of that share is taken."""
    points: int = 96
    """Of the grid on which the equation is heeded."""
    dt: float = 0.5
    """Time step with which it is, in s."""

    def __post_init__(self) -> None:
        if self.levels < 1:
            raise ValueError(f"levels must be at least 1, got {self.levels}")
        if not 0 <= self.residual <= 1 or not self.level > 0:
            raise ValueError(
                "a residual needs a weight from 0 to 1 and a positive level, got "
                f"{self.residual} and {self.level}"
            )
        _ = self.unrolling, self.flow  # refuse what cannot overlap, and what is no grid

    @property
    def grid(self) -> Grid:
        return log_snr(self.levels, LOWEST, HIGHEST)

    @property
    def flow(self) -> Flow:
        """The solver that is heeded."""
        return Flow(self.points, self.dt)

    @property
    def unrolling(self) -> Unrolling:
        return Unrolling(FRAMES, self.overlap, self.grid, DPMpp2M(), KNOWN)

    def unrolled(self, route: Route | None) -> Unrolling:
        """By the levels of a distilled prior, if it is one.

        Raises:
            ValueError: windows overlap by more frames than it was taught.
        """
        if route is None:
            return self.unrolling
        if self.overlap > LED:
            raise ValueError(
                f"windows of a distilled prior are led by at most {LED} frames, got an overlap of "
                f"{self.overlap}"
            )
        return replace(self.unrolling, grid=route.grid, predictor=route.predictor)


@dataclass(frozen=True)
class Drawn:
    """What was drawn, and what it cost."""

    members: Ensembles
    evaluations: int
    """Of the prior, for each member."""
    intervals: int
    """That the solver was run over for guidance, for each member."""
    seconds: float


def draw(
    prior: SimulatePrior,
    task: SimulateTask,
    count: int,
    generator: torch.Generator,
    walk: Walk | None = None,
    denoise: StepDenoise | None = None,
    progress: Progress | None = None,
) -> Drawn:
    """So many members for each case.

    Arguments:
        denoise: The clean estimate of windows; that of the prior, if not given.

    Raises:
        ValueError: windows of a distilled prior overlap by more frames than it was taught.
    """
    walk = Walk() if walk is None else walk
    unrolling = walk.unrolling
    if denoise is None:
        denoise, unrolling = prior.denoise, walk.unrolled(prior.route)
    progress = Silent() if progress is None else progress
    flow = walk.flow

    def lift(score: Score, before: Frame | None) -> Score:
        if not walk.residual:
            return alone(score, before)
        return Consistent(score, Sweep(flow, prior.scale, before), walk.residual, walk.level)

    began, found = time.perf_counter(), []
    seen = task.seen.float().repeat_interleave(count, 0)
    frames = task.frames + 1
    parts = seen.split(AT_ONCE)
    for k, part in enumerate(parts):
        found.append(unrolling.draw(denoise, part, task.noise, frames, generator, lift))
        progress.share((k + 1) / len(parts))
    members = torch.cat(found).unflatten(0, (-1, count))
    heeded = (frames - 1) * unrolling.grid.steps if walk.residual else 0
    return Drawn(members, unrolling.evaluations(frames), heeded, time.perf_counter() - began)
