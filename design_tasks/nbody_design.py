"""Designs for the N-body task from a prior of two bodies over a short window.

The prior knows windows of 24 instants of two bodies, or of one. A design has more of both:

.. math:: \\log p(x) \\approx \\sum_{k} \\Bigl[ \\sum_{i<j} \\log p_2(x^{ij}_k)
    - (N - 2) \\sum_i \\log p_1(x^i_k) \\Bigr]

for every window :math:`k`, which is how the density of many bodies factors when each pair knows
all there is to know of its meeting (the Bethe form). Costs of the clean trajectory join it as
energies: the objective, a price on speed (classic starts may rest, so they should), overlaps,
and the prescribed speed of moving starts.
"""

import abc
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.design_tasks.nbody import Motion, NBody
from physgen.design_tasks.nbody_costs import Prices, obeyed, wanted
from physgen.design_tasks.nbody_prior import FRAMES, OVERLAP, unscaled
from physgen.distillation import Student
from physgen.energy import Average, Cover, Score, positions
from physgen.grid import Grid, log_snr
from physgen.guidance import Capped, Guided
from physgen.meter import Metered
from physgen.portions import in_portions
from physgen.predictor import Ancestral
from physgen.progress import Progress, Silent
from physgen.sampler import sample, unit_noise

ON_A_CPU, ON_A_GPU = 32, 8192
"""Windows of pairs to evaluate at once."""
PRICES = Prices()
SILENT = Silent()
SHIFT = FRAMES - OVERLAP
"""Instants from one window to the next."""


def windows(frames: int) -> list[int]:
    """The first instants of the windows that make up a long trajectory.

    Raises:
        ValueError: the trajectory is no whole number of windows.
    """
    count, rest = divmod(frames - FRAMES, SHIFT)
    if count < 0 or rest:
        raise ValueError(
            f"frames must be {FRAMES}, or {SHIFT} more for each further window "
            f"({FRAMES}, {FRAMES + SHIFT}, {FRAMES + 2 * SHIFT}, …), got {frames}"
        )
    return [SHIFT * k for k in range(count + 1)]


def window_cover(frames: int, bodies: int) -> Cover:
    at = positions(frames, bodies, 4)
    return torch.stack([at[first : first + FRAMES] for first in windows(frames)])


def pair_cover(bodies: int) -> Cover:
    """The pairs of bodies of a window."""
    at = positions(FRAMES, bodies, 4)
    return torch.stack([at[:, list(pair)] for pair in itertools.combinations(range(bodies), 2)])


def single_cover(bodies: int) -> Cover:
    at = positions(FRAMES, bodies, 4)
    return torch.stack([at[:, [body]] for body in range(bodies)])


class Composition(abc.ABC):
    """How a prior of a pair and a window becomes one of many."""

    @abc.abstractmethod
    def of(self, prior: Score, bodies: int, frames: int) -> Score:
        """The score of the whole."""


@dataclass(frozen=True)
class FactorGraph(Composition):
    """Pairs, less the single bodies that they count too often; windows averaged."""

    def of(self, prior: Score, bodies: int, frames: int) -> Score:
        whole = prior.over(pair_cover(bodies))
        if bodies > 2:
            whole = whole - (bodies - 2) * prior.over(single_cover(bodies))
        return Average(whole, window_cover(frames, bodies))


@dataclass(frozen=True)
class MeanOfPairs(Composition):
    """Pairs averaged, windows averaged, as in CinDM."""

    def of(self, prior: Score, bodies: int, frames: int) -> Score:
        return Average(Average(prior, pair_cover(bodies)), window_cover(frames, bodies))


PAIRS_AVERAGED = MeanOfPairs()


@dataclass(frozen=True)
class SumOfPairs(Composition):
    """All pairs and windows added: what they share is counted as often as they share it."""

    def of(self, prior: Score, bodies: int, frames: int) -> Score:
        return prior.over(pair_cover(bodies)).over(window_cover(frames, bodies))


@dataclass(frozen=True)
class Descent:
    """How the levels are gone through."""

    steps: int = 24
    """Noise levels, each one network evaluation for each window and pair; distilled weights have
    levels of their own."""
    highest: float = 10.0
    """First noise level, in standard deviations of the data."""
    lowest: float = 0.01
    """Last noise level."""
    share: float = 1.0
    """Most of the remaining cost that one step may take off."""
    until: float = 0.03
    """Noise level below which the prior works alone."""
    candidates: int = 1
    """Samples for each design, of which one is kept: the most plausible to the prior, or, where
    designs are polished, the best to the solver."""

    def __post_init__(self) -> None:
        if self.candidates < 1:
            raise ValueError(f"candidates must be at least 1, got {self.candidates}")

    @property
    def grid(self) -> Grid:
        return log_snr(self.steps, self.lowest, self.highest)


@dataclass(frozen=True)
class Drawn:
    """Generated motions and what they cost."""

    motion: Motion
    evaluations: float
    """Of the network, for each window and pair of each design."""
    network_seconds: float
    """Inside the network, forwards and backwards, added up over threads."""


def draw(
    prior: Score,
    task: NBody,
    designs: int,
    generator: torch.Generator,
    composition: Composition = PAIRS_AVERAGED,
    prices: Prices = PRICES,
    descent: Descent = Descent(),
    progress: Progress = SILENT,
) -> Drawn:
    """Designs from the composed prior and the costs, without a call of the solver.

    The first instant of what is returned is an allowed start: overlaps that the sampler left
    are undone, and moving starts given their speed.
    """
    cap = Capped(1.0, descent.share, prices.of_end(task) * (task.bound or 0.0))
    grid = descent.grid
    if isinstance(prior, Student):
        grid = prior.grid
        if descent.candidates > 1:
            raise ValueError(
                "a distilled prior cannot tell which of several candidates is the most plausible: "
                f"choose one candidate, got {descent.candidates}"
            )

    def motions(total: Score, count: int, own: torch.Generator) -> Motion:
        guided = Guided(total, wanted(task, prices), cap, descent.until, obeyed(prices))
        start = unit_noise(count * descent.candidates, (task.frames, task.bodies, 4), own)
        x = sample(guided, start, grid, Ancestral(), own)
        return x if descent.candidates == 1 else most_plausible(total, x, descent.candidates)

    return drawn(prior, task, designs, generator, composition, motions, progress)


@torch.no_grad()
def most_plausible(
    prior: Score, x: Motion, candidates: int, level: float = 0.4
) -> Float[Tensor, "kept time body 4"]:
    """Of every so many samples in a row the one that the prior would move least.

    At this noise level a clean estimate is one of where discs meet and what comes of it: there
    generated motions fail, if they fail.
    """
    moved = prior.shift(x, level).square().flatten(1).sum(1).view(-1, candidates)
    rows = torch.arange(len(moved), device=x.device)
    kept: Tensor = x.unflatten(0, (-1, candidates))[rows, moved.argmin(1)]
    return kept


def drawn(
    prior: Score,
    task: NBody,
    designs: int,
    generator: torch.Generator,
    composition: Composition,
    motions: Callable[[Score, int, torch.Generator], Motion],
    progress: Progress,
) -> Drawn:
    """Designs by any procedure, and what they took.

    Arguments:
        motions: Draws scaled motions from a composed prior: how many, and from what source.
    """
    meters: list[Metered] = []

    def portion(count: int, own: torch.Generator) -> Motion:
        meter = Metered(prior)
        meters.append(meter)
        total = composition.of(meter, task.bodies, task.frames)
        return as_designed(task, motions(total, count, own))

    size = (ON_A_GPU if generator.device.type == "cuda" else ON_A_CPU) // parts(task)
    motion = in_portions(portion, designs, max(1, size), generator, progress)
    return Drawn(
        motion=motion,
        evaluations=sum(meter.rows for meter in meters) / (designs * parts(task)),
        network_seconds=sum(meter.seconds for meter in meters),
    )


def parts(task: NBody) -> int:
    """Windows of pairs that make up a design."""
    return len(windows(task.frames)) * len(pair_cover(task.bodies))


def as_designed(task: NBody, x: Motion) -> Motion:
    """A sample in box units, its first instant made an allowed start."""
    motion = unscaled(x)
    return torch.cat([task.variant.allowed(motion[:, 0])[:, None], motion[:, 1:]], dim=1)
