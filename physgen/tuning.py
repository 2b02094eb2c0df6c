r"""Warm-up: a step size by dual averaging, and a scale for every entry from the chains.

A kernel that moves in units of each entry's own spread is one with a diagonal mass matrix,
:math:`M_{ii} = 1 / \mathrm{var}(x_i)`. Warm-up is the one time that chains see one another: size
and scale are learned from all of them together, which takes a hundred chains a few dozen moves.
The kernel that comes out is fixed, and so leaves its density as it is.

References:
    The No-U-Turn Sampler (Hoffman & Gelman, 2014), https://arxiv.org/abs/1111.4246, equation 6.
    Stan Reference Manual, "HMC algorithm parameters", for windows that double and the variance
    drawn towards a small one.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.energy import Energy, Flight, Score, check_score
from physgen.kernel import Chain, Info, Kernel, Sized
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
    """A kernel that moves every entry in units of its own.

    Arguments:
        kernel: Moves in the rescaled density, of which all entries should be of order one.
        scale: The unit of every entry, the shape of a sample.
    """

    def __init__(self, kernel: Kernel, scale: Float[Tensor, "*shape"]) -> None:
        self.kernel = kernel
        self.scale = scale

    @property
    def weighable(self) -> bool:
        return self.kernel.weighable

    def init(self, term: Score, z: Sample, s: float) -> Chain:
        chain = self.kernel.init(_rescaled(term, self.scale), z / self.scale, s)
        return self._outside(chain)

    def step(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator
    ) -> tuple[Chain, Info]:
        shift = None if chain.shift is None else chain.shift * self.scale
        inside = chain._replace(z=chain.z / self.scale, shift=shift)
        after, info = self.kernel.step(inside, _rescaled(term, self.scale), s, generator)
        return self._outside(after), info

    def _outside(self, chain: Chain) -> Chain:
        shift = None if chain.shift is None else chain.shift / self.scale
        return chain._replace(z=chain.z * self.scale, shift=shift)


def _rescaled(term: Score, scale: Tensor) -> Score:
    if isinstance(term, Energy):
        return _RescaledEnergy(term, scale)
    return _RescaledScore(term, scale)


class _RescaledEnergy(Energy):
    def __init__(self, term: Energy, scale: Tensor) -> None:
        self.term = term
        self.scale = scale

    def energy(self, z: Sample, s: Level) -> PerSample:
        return self.term.energy(z * self.scale, s)

    def leap(self, there: Flight, stride: Tensor, kick: Tensor, count: int, s: float) -> Flight:
        # Momenta are the same in both.
        outside = there._replace(z=there.z * self.scale, shift=there.shift / self.scale)
        end = self.term.leap(outside, stride * self.scale, kick * self.scale, count, s)
        return end._replace(z=end.z / self.scale, shift=end.shift * self.scale)


class _RescaledScore(Score):
    def __init__(self, term: Score, scale: Tensor) -> None:
        self.term = term
        self.scale = scale

    def shift(self, z: Sample, s: Level) -> Sample:
        return self.scale * self.term.shift(z * self.scale, s)


@dataclass(frozen=True)
class Tuned:
    """What warm-up came to."""

    kernel: Rescaled
    size: float
    z: Sample
    """Where the chains are now."""


@torch.no_grad()
def tune(
    term: Score,
    kernel: Sized,
    start: Sample,
    moves: int,
    generator: torch.Generator,
    s: float = 1.0,
) -> Tuned:
    """Find size and scale while chains walk into their density.

    The first eighth of the moves finds a size, the last eighth the final one. Between them the
    scale is taken from windows, each twice as long as the one before, so that what the chains
    did on their way in is forgotten.

    Arguments:
        term: What the chains shall draw from.
        kernel: The kind of moves, with a size to begin with.
        start: Where chains begin, one to a row.
        moves: How many.
        generator: Source of chance.
        s: The level, of no account for a density without levels.

    Raises:
        ValueError: less than 40 moves.
        FloatingPointError: a chain is not finite.
    """
    if moves < 40:
        raise ValueError(f"tuning needs at least 40 moves, got {moves}")
    edge = moves // 8
    check_score(term)
    ends = _windows(edge, moves - edge)
    scale = torch.ones_like(start[0])
    averaging = DualAveraging(kernel.size, kernel.aim)
    chain = Rescaled(kernel, scale).init(term, start, s)
    seen: list[Tensor] = []
    for move in range(1, moves + 1):
        current = Rescaled(kernel.resized(averaging.size), scale)
        chain, info = current.step(chain, term, s, generator)
        averaging.hear(info.probability.mean().item())
        if edge < move <= ends[-1]:
            seen.append(chain.z)
        if move in ends:
            scale = _scale(torch.cat(seen))
            averaging = DualAveraging(averaging.settled, kernel.aim)
            # momenta are unit noise in any scale, but those of the old one point elsewhere
            chain = Rescaled(kernel, scale).init(term, chain.z, s)
            seen = []
    if not chain.z.isfinite().all():
        raise FloatingPointError("chains left the finite numbers: begin with a smaller step")
    size = averaging.settled
    return Tuned(Rescaled(kernel.resized(size), scale), size, chain.z)


def _windows(begin: int, end: int) -> tuple[int, ...]:
    """Moves at which windows end: each twice as long as the last, the last one up to the end."""
    ends, length = [], max(1, (end - begin) // 15)
    while begin + 3 * length <= end:
        begin += length
        ends.append(begin)
        length *= 2
    return (*ends, end)


def _scale(seen: Float[Tensor, "draw *shape"]) -> Float[Tensor, "*shape"]:
    """Standard deviations, drawn towards a small one as if by five more draws."""
    count = len(seen)
    variance = seen.var(0)
    return ((count * variance + 5e-3) / (count + 5)).sqrt()
