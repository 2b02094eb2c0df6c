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
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from physgen.denoiser import Counted
from physgen.design_tasks.nbody import CONTACT, RADIUS, Motion, MovingStart, NBody
from physgen.design_tasks.nbody_prior import FRAMES, OVERLAP, unscaled
from physgen.energy import Average, Cover, Score, positions
from physgen.grid import Grid, log_snr
from physgen.guidance import Capped, Guided
from physgen.predictor import Ancestral
from physgen.progress import Progress, Silent
from physgen.sampler import sample, unit_noise
from physgen.shapes import PerSample

ON_A_CPU, ON_A_GPU = 64, 8192
"""Windows of pairs to evaluate at once."""
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


@dataclass(frozen=True)
class SumOfPairs(Composition):
    """All pairs and windows added: what they share is counted as often as they share it."""

    def of(self, prior: Score, bodies: int, frames: int) -> Score:
        return prior.over(pair_cover(bodies)).over(window_cover(frames, bodies))


@dataclass(frozen=True)
class Prices:
    """Weights of the costs, which are exponents: ``exp(-weight * cost)``."""

    objective: float = 500.0
    """Of the mean distance to the centre at the end, in boxes."""
    speed: float = 1500.0
    """Of the mean square speed of classic starts, in boxes a second."""
    overlap: float = 1e4
    """Of the squared overlaps between discs and with walls, in boxes, averaged over instants."""
    start: float = 1000.0
    """Of the squared error of moving starts' speed."""


@dataclass(frozen=True)
class Descent:
    """How the levels are gone through."""

    steps: int = 40
    """Noise levels, each one network evaluation for each window and pair."""
    highest: float = 10.0
    """First noise level, in standard deviations of the data."""
    lowest: float = 0.01
    """Last noise level."""
    share: float = 1.0
    """Most of the remaining cost that one step may take off."""
    until: float = 0.1
    """Noise level below which the prior works alone."""

    @property
    def grid(self) -> Grid:
        return log_snr(self.steps, self.lowest, self.highest)


def price(task: NBody, prices: Prices) -> Callable[[Tensor], PerSample]:
    """What a clean sample costs."""

    def cost(x: Tensor) -> PerSample:
        motion = unscaled(x)
        total = prices.objective * task.distance(motion) + prices.overlap * overlap(motion)
        velocity = motion[..., 2:]
        if isinstance(task.variant, MovingStart):
            speed = velocity[:, 0].square().sum(-1).clamp(min=1e-8).sqrt()
            return total + prices.start * (speed - task.variant.speed).square().sum(-1)
        return total + prices.speed * velocity.square().sum(-1).mean(1).sum(1)

    return cost


def overlap(motion: Motion) -> PerSample:
    """Squared overlaps of discs with each other and with walls, averaged over instants."""
    position = motion[..., :2]
    first, second = torch.triu_indices(motion.shape[2], motion.shape[2], 1, device=motion.device)
    apart = (position[:, :, first] - position[:, :, second]).square().sum(-1)
    between = (2 * RADIUS - apart.clamp(min=1e-8).sqrt()).clamp(min=0).square().sum(-1)
    wall = ((position - 0.5).abs() - (0.5 - CONTACT)).clamp(min=0).square().sum((-1, -2))
    total: PerSample = (between + wall).mean(1)
    return total


@dataclass(frozen=True)
class Drawn:
    """Generated motions and what they cost."""

    motion: Motion
    evaluations: float
    """Of the network, for each window and pair of each design."""


def draw(
    prior: Score,
    task: NBody,
    designs: int,
    generator: torch.Generator,
    composition: Composition = FactorGraph(),
    prices: Prices = Prices(),
    descent: Descent = Descent(),
    progress: Progress = SILENT,
) -> Drawn:
    """Designs from the composed prior and the costs, without a call of the solver.

    The first instant of what is returned is an allowed start: overlaps that the sampler left
    are undone, and moving starts given their speed.
    """
    counted = Counted(prior)
    total = composition.of(counted, task.bodies, task.frames)
    cap = Capped(1.0, descent.share, prices.objective * (task.bound or 0.0))
    guided = Guided(total, price(task, prices), cap, until=descent.until)
    drawn = []
    for own, count in portions(task, designs, generator):
        start = unit_noise(count, (task.frames, task.bodies, 4), own)
        x = sample(guided, start, descent.grid, Ancestral(), own)
        drawn.append(as_designed(task, x))
        progress.share(sum(map(len, drawn)) / designs)
    return Drawn(torch.cat(drawn), counted.rows / (designs * parts(task)))


def parts(task: NBody) -> int:
    """Windows of pairs that make up a design."""
    return len(windows(task.frames)) * len(pair_cover(task.bodies))


def portions(
    task: NBody, designs: int, generator: torch.Generator
) -> Iterator[tuple[torch.Generator, int]]:
    """Designs to draw at once, so that what a network layer makes of them stays in a cache.

    Each portion has a generator of its own: the first designs of many are those of few.
    """
    size = max(1, (ON_A_GPU if generator.device.type == "cuda" else ON_A_CPU) // parts(task))
    for first in range(0, designs, size):
        own = torch.Generator(generator.device)
        seed = torch.randint(2**62, (1,), generator=generator, device=generator.device)
        own.manual_seed(int(seed))
        yield own, min(size, designs - first)


def as_designed(task: NBody, x: Motion) -> Motion:
    """A sample in box units, its first instant made an allowed start."""
    motion = unscaled(x)
    return torch.cat([task.variant.allowed(motion[:, 0])[:, None], motion[:, 1:]], dim=1)
