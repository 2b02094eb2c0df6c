r"""Warm-up: a step size by dual averaging, a metric from the chains, a length of trajectories.

A kernel that moves in units of each entry's own spread is one with a diagonal mass matrix,
:math:`M_{ii} = 1 / \mathrm{var}(x_i)`; see :mod:`physgen.metric`. Warm-up is the one time that
chains see one another: all is learned from all of them together, which takes a hundred chains a
few dozen moves. The kernel that comes out is fixed, and so leaves its density as it is.

References:
    The No-U-Turn Sampler (Hoffman & Gelman, 2014), https://arxiv.org/abs/1111.4246, equation 6.
    Stan Reference Manual, "HMC algorithm parameters", for windows that double.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from physgen.energy import SAMPLES, Energy, Score, check_count, check_score
from physgen.kernel import HMC, Chain, Hamiltonian, Info, Kernel, Sized
from physgen.metric import Diagonal, Metric, widest
from physgen.shapes import Level, PerSample, Sample


class DualAveraging:
    r"""A step size that makes the mean acceptance what it should be.

    With :math:`\bar H_m` the running mean of what acceptance lacks,
    :math:`\log h_{m+1} = \mu - \frac{\sqrt m}{\gamma} \bar H_m`, and the size in the end is the
    average of these with weights :math:`m^{-\kappa}`;
    :math:`\gamma = 0.05,\ m_0 = 10,\ \kappa = 0.75`.

    Arguments:
        size: Where to begin; :math:`\mu` is the logarithm of ten times that.
        aim: The acceptance to reach.
    """

    def __init__(self, size: float, aim: float) -> None:
        self.aim = aim
        self.centre = math.log(10 * size)
        self.log_size = math.log(size)
        self.log_mean = 0.0
        self.lack = 0.0
        self.count = 0

    @property
    def size(self) -> float:
        """To make the next move with."""
        return math.exp(self.log_size)

    @property
    def settled(self) -> float:
        """To keep: the average."""
        return math.exp(self.log_mean if self.count else self.log_size)

    def hear(self, acceptance: float) -> None:
        """Take account of a move."""
        self.count += 1
        rate = 1 / (self.count + 10)
        self.lack += rate * (self.aim - acceptance - self.lack)
        self.log_size = self.centre - math.sqrt(self.count) / 0.05 * self.lack
        self.log_mean += self.count**-0.75 * (self.log_size - self.log_mean)


class Rescaled(Kernel):
    """A kernel that moves in a metric's coordinates.

    Arguments:
        kernel: Moves in the rescaled density, of which all entries should be of order one.
        metric: The coordinates.
    """

    def __init__(self, kernel: Kernel, metric: Metric) -> None:
        self.kernel = kernel
        self.metric = metric

    @property
    def weighable(self) -> bool:
        return self.kernel.weighable

    def init(self, term: Score, z: Sample, s: float) -> Chain:
        if isinstance(self.kernel, Hamiltonian):
            return self.kernel.init(term, z, s)
        inside = self.kernel.init(_rescaled(term, self.metric), self.metric.inward(z), s)
        return self._outside(inside)

    def step(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator
    ) -> tuple[Chain, Info]:
        if isinstance(self.kernel, Hamiltonian):
            return self.kernel.move(chain, term, s, generator, self.metric)
        shift = None if chain.shift is None else self.metric.pull(chain.shift)
        inside = chain._replace(z=self.metric.inward(chain.z), shift=shift)
        after, info = self.kernel.step(inside, _rescaled(term, self.metric), s, generator)
        return self._outside(after), info

    def _outside(self, chain: Chain) -> Chain:
        shift = None if chain.shift is None else self.metric.push(chain.shift)
        return chain._replace(z=self.metric.outward(chain.z), shift=shift)


def _rescaled(term: Score, metric: Metric) -> Score:
    if isinstance(term, Energy):
        return _RescaledEnergy(term, metric)
    return _RescaledScore(term, metric)


class _RescaledEnergy(Energy):
    def __init__(self, term: Energy, metric: Metric) -> None:
        self.term = term
        self.metric = metric

    def energy(self, z: Sample, s: Level) -> PerSample:
        return self.term.energy(self.metric.outward(z), s)


class _RescaledScore(Score):
    def __init__(self, term: Score, metric: Metric) -> None:
        self.term = term
        self.metric = metric

    def shift(self, z: Sample, s: Level) -> Sample:
        return self.metric.pull(self.term.shift(self.metric.outward(z), s))


@dataclass(frozen=True)
class Tuned:
    """What warm-up came to."""

    kernel: Rescaled
    size: float
    z: Sample
    """Where the chains are now."""


LONGEST = 1024
"""Leapfrog steps in a move, at most."""


@torch.no_grad()
def tune(
    term: Score,
    kernel: Sized,
    start: Sample,
    moves: int,
    generator: torch.Generator,
    s: float = 1.0,
    metric: type[Metric] = Diagonal,
    turn: float | None = None,
) -> Tuned:
    r"""Find size and metric while chains walk into their density.

    The first eighth of the moves finds a size, the last eighth the final one. Between them the
    metric is taken from windows, each twice as long as the one before, so that what the chains
    did on their way in is forgotten.

    Arguments:
        term: What the chains shall draw from.
        kernel: The kind of moves, with a size to begin with.
        start: Where chains begin, one to a row.
        moves: How many.
        generator: Source of chance.
        s: The level, of no account for a density without levels.
        metric: The kind to learn: a scale for every entry, or ``Dense`` where they go together.
        turn: How far a Hamiltonian move goes, in turns of the direction in which draws are the
            widest, of deviation :math:`\sigma` in the metric: it makes
            :math:`2 \pi\, \text{turn}\, \sigma / h` leapfrog steps. A quarter, 0.25, leaves a
            Gaussian's draws uncorrelated; where half of the momentum is kept, 0.15 costs less for
            as much. Without one, as many as the kernel says.

    Raises:
        ValueError: less than 40 moves, no chains, or a turn that is not positive.
        TypeError: a turn for a kernel that makes no leapfrog steps.
        FloatingPointError: a chain is not finite.
    """
    if moves < 40:
        raise ValueError(f"tuning needs at least 40 moves, got {moves}")
    check_count(len(start), SAMPLES)
    check_score(term)
    _check_turn(turn, kernel)
    edge = moves // 8
    ends = _windows(edge, moves - edge)
    coordinates: Metric = Diagonal(torch.ones_like(start[0]))
    width = 1.0
    averaging = DualAveraging(kernel.size, kernel.aim)
    chain = Rescaled(kernel, coordinates).init(term, start, s)
    seen: list[Tensor] = []
    for move in range(1, moves + 1):
        current = Rescaled(kernel.resized(averaging.size), coordinates)
        chain, info = current.step(chain, term, s, generator)
        averaging.hear(info.probability.mean().item())
        if edge < move <= ends[-1]:
            seen.append(chain.z)
        if move in ends:
            draws, seen = torch.cat(seen), []
            coordinates = metric.learn(draws)
            averaging = DualAveraging(averaging.settled, kernel.aim)
            if turn is not None:
                width = widest(coordinates, draws)
                kernel = _turning(kernel, averaging.size, turn * width)
            # momenta are unit noise in any metric, but those of the old one point elsewhere
            chain = Rescaled(kernel, coordinates).init(term, chain.z, s)
    if not chain.z.isfinite().all():
        raise FloatingPointError("chains left the finite numbers: begin with a smaller step")
    size = averaging.settled
    if turn is not None:
        kernel = _turning(kernel, size, turn * width)
    return Tuned(Rescaled(kernel.resized(size), coordinates), size, chain.z)


def _check_turn(turn: float | None, kernel: Sized) -> None:
    if turn is None:
        return
    if not isinstance(kernel, HMC):
        raise TypeError(
            f"{type(kernel).__name__} makes no leapfrog steps to choose: leave turn out, or use HMC"
        )
    if not 0 < turn < math.inf:
        raise ValueError(f"turn must be positive and finite, such as 0.25, got {turn}")


def _turning(kernel: Sized, size: float, turn: float) -> Sized:
    """With as many leapfrog steps as go so far."""
    assert isinstance(kernel, HMC)
    steps = math.ceil(min(LONGEST, math.tau * turn / size))
    return replace(kernel, leapfrogs=max(1, steps))


def _windows(begin: int, end: int) -> tuple[int, ...]:
    """Moves at which windows end: each twice as long as the last, the last one up to the end."""
    ends, length = [], max(1, (end - begin) // 15)
    while begin + 3 * length <= end:
        begin += length
        ends.append(begin)
        length *= 2
    return (*ends, end)
