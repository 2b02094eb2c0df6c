r"""Inverse problems: what are two parts of a sample that an equation joins, of which a few noisy points
are seen?

A coefficient, source or start :math:`a` and a state :math:`u`: of steady equations
(:mod:`~physgen.design_tasks.inverse_steady`) and of two that evolve
(:mod:`~physgen.design_tasks.inverse_evolving`). Three problems are named by what is seen: *forward*
(a is seen, u wanted), *inverse* (u seen, a wanted) and *both* (both are seen, both wanted). Of Burgers'
equation, whose state is all that follows its start, the last instant is seen in *inverse*, and points of
space and time in *both*. The noise of what is seen is a share of the field's spread.

Figures, of each test case:

``relative_error``
    Of the mean of the draws in the wanted part, :math:`|x - x^*|_2 / |x^*|_2`, the mean of both
    where both are wanted; ``error_coefficient`` and ``error_state`` by part.
``coverage90``
    Share of the cells of the wanted part whose truth lies in the 90 % interval of the draws; where
    a field is continuous, better the closer to 0.9. ``coverage_coefficient`` and
    ``coverage_state`` by part. Of Darcy's two permeabilities an interval holds one where nearly all
    draws agree and both where they do not, so that one that is right covers more: of 19 draws with
    these very values and the right probabilities at least 0.98 of the cells. Too low a
    coverage is wrong there too, a high one is not, and whether draws are calibrated is asked of the
    state (:attr:`Equation.coverage`).
``crps``
    Continuous ranked probability score of the draws in the wanted part, over its spread.
``residual``
    What a draw owes its equation, as root mean squares; the mean over draws. Of a steady equation by the
    solver's own stencil, over the source. Of one that evolves :math:`|u' - \Phi(u)|` over
    :math:`|\Phi(u) - u|` with the solver's flow :math:`\Phi` from an instant of the sample to the next.
``solver_error``
    Relative difference between the state of a draw and what the true solver makes of its
    coefficient or start; the mean over draws.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from physgen.datasets.seeds import TEST_SEEDS
from physgen.design_tasks.inverse_equation import Equation, Law, Pairs, Part
from physgen.design_tasks.inverse_evolving import BURGERS, NAVIER_STOKES
from physgen.design_tasks.inverse_steady import DARCY, HELMHOLTZ, POISSON
from physgen.sensed import Seen
from physgen.shapes import PerSample

Draws = Float[Tensor, "case draw channel x y"]
"""Samples drawn for each of some cases, in physical units."""

COEFFICIENT, STATE = 0, 1

EQUATIONS = {one.name: one for one in (DARCY, POISSON, HELMHOLTZ, NAVIER_STOKES, BURGERS)}


def pairs(data: Law, seeds: range) -> Pairs:
    """One sample for each seed, in double precision."""
    return data.pairs(seeds)


@dataclass(frozen=True)
class Problem:
    """Which of the two parts are wanted; each equation says where the other is seen."""

    name: str
    wanted: tuple[int, ...]


PROBLEMS = {
    "forward": Problem("forward", (STATE,)),
    "inverse": Problem("inverse", (COEFFICIENT,)),
    "both": Problem("both", (COEFFICIENT, STATE)),
}

Places = Int[Tensor, "case observation part"]
"""Cells of something, whose mean is observed."""
Extent = tuple[int, int]
"""Rows and columns of cells that can be seen."""


@dataclass(frozen=True)
class Scattered:
    """Sensors at cells that know nothing of each other."""

    count: int

    def places(self, extent: Extent, cases: int, generator: torch.Generator) -> Places:
        _possible(self.count, extent)
        order = torch.rand(cases, math.prod(extent), generator=generator).argsort(1)
        return order[:, : self.count, None]


@dataclass(frozen=True)
class Spread:
    """One sensor somewhere in each of as many equal blocks, so that none is far from all.

    Where the count is no product of rows and columns some blocks have none.
    """

    count: int

    def places(self, extent: Extent, cases: int, generator: torch.Generator) -> Places:
        _possible(self.count, extent)
        high, wide = extent
        columns = min(self.count, math.ceil(math.sqrt(self.count * wide / high)))
        rows = math.ceil(self.count / columns)
        blocks = torch.rand(cases, rows * columns, generator=generator).argsort(1)
        block = blocks[:, : self.count]
        share = torch.rand(2, cases, self.count, generator=generator)
        x = _within(block // columns, rows, high, share[0])
        y = _within(block % columns, columns, wide, share[1])
        return (x * wide + y)[..., None]


def _within(block: Tensor, blocks: int, cells: int, share: Tensor) -> Tensor:
    """A cell of each block along an axis."""
    low, high = block * cells // blocks, (block + 1) * cells // blocks
    return low + ((high - low) * share).long()


@dataclass(frozen=True)
class Stations:
    """Sensors at a few columns, spread, that see all rows: places which are watched all the time."""

    count: int

    def places(self, extent: Extent, cases: int, generator: torch.Generator) -> Places:
        high, wide = extent
        line = Spread(self.count).places((1, wide), cases, generator)[:, None, :, 0]
        every = wide * torch.arange(high)[:, None] + line
        return every.flatten(1)[..., None]


@dataclass(frozen=True)
class Coarse:
    """Means over blocks: a picture of fewer points."""

    blocks: int
    """Along each side that is longer than a cell."""

    def places(self, extent: Extent, cases: int, generator: torch.Generator) -> Places:
        rows, columns = (
            min(self.blocks, cells) if cells == 1 else self.blocks for cells in extent
        )
        high, wide = extent
        if self.blocks < 1 or high % rows or wide % columns:
            raise ValueError(
                f"{self.blocks} blocks along each side must divide the {wide} cells there"
            )
        tall, broad = high // rows, wide // columns
        index = torch.arange(high * wide).view(rows, tall, columns, broad)
        block = index.transpose(1, 2).reshape(1, rows * columns, tall * broad)
        return block.expand(cases, -1, -1)


@dataclass(frozen=True)
class AroundHole:
    """All cells but those of a square in the middle."""

    share: float = 0.5
    """Of the side."""

    def places(self, extent: Extent, cases: int, generator: torch.Generator) -> Places:
        if not 0 <= self.share < 1:
            raise ValueError(f"a hole takes a share of the side from 0 to 1, got {self.share}")
        across, along = (
            ((torch.arange(cells) + 0.5) / cells - 0.5).abs() < self.share / 2 for cells in extent
        )
        seen = (~(across[:, None] & along)).flatten().nonzero()
        return seen[None].expand(cases, -1, -1)


Look = Scattered | Spread | Stations | Coarse | AroundHole


def _possible(count: int, extent: Extent) -> None:
    cells = math.prod(extent)
    if not 1 <= count <= cells:
        raise ValueError(f"sensors must be from 1 to the {cells} cells of the domain, got {count}")


@dataclass(frozen=True)
class Judged:
    """What truth and the true solver say of the draws, one row a case."""

    relative_error: PerSample
    error_coefficient: PerSample
    error_state: PerSample
    coverage90: PerSample
    coverage_coefficient: PerSample
    coverage_state: PerSample
    crps: PerSample
    residual: PerSample
    solver_error: PerSample


class InverseTask:
    """Test cases of which something is seen, and both parts are to be told.

    Arguments:
        equation: What joins the parts.
        problem: Which of them is wanted.
        look: Where what is seen is seen.
        noise: Standard deviation of what is seen, over the spread of its channel.
        cases: How many.
        mean: Of every point.
        scale: The spread of each channel, see
            :class:`~physgen.design_tasks.inverse_prior.Standard`.
        generator: Source of sensors and noise.
        skip: Test seeds to leave out before the first.
    """

    def __init__(
        self,
        equation: Equation,
        problem: Problem,
        look: Look,
        noise: float,
        cases: int,
        mean: Float[Tensor, "channel x y"],
        scale: Float[Tensor, " channel"],
        generator: torch.Generator,
        skip: int = 0,
    ) -> None:
        if cases < 1:
            raise ValueError(f"cases must be at least 1, got {cases}")
        first = TEST_SEEDS.start + skip
        self.seeds = range(first, first + cases)
        if self.seeds[-1] not in TEST_SEEDS:
            raise ValueError(f"there are {len(TEST_SEEDS)} test seeds, got {skip} + {cases}")
        self.equation, self.problem = equation, problem
        self.mean, self.scale = mean, scale
        self.law = equation.data(mean.shape[-1])
        seen = [part.places(len(mean), self.law.space) for part in equation.seen[problem.name]]
        looked = [
            whole.flatten()[look.places((len(whole), whole.shape[1]), cases, generator)]
            for whole in seen
        ]
        self.sensors = dict(zip(equation.seen[problem.name], looked, strict=True))
        self.truth = self.law.truth(self.seeds)
        sample = ((self.truth - mean) / scale[:, None, None]).float()
        places = torch.cat(looked, 1)
        exact = sample.flatten(1).gather(1, places.flatten(1)).view(places.shape).mean(2)
        error = noise * torch.randn(exact.shape, generator=generator)
        self.seen = Seen(places, exact + error, noise, mean.numel())

    def part(self, cases: slice) -> "InverseTask":
        """Some of the cases."""
        found = copy.copy(self)
        found.seeds, found.truth = self.seeds[cases], self.truth[cases]
        found.sensors = {part: places[cases] for part, places in self.sensors.items()}
        found.seen = Seen(
            self.seen.places[cases], self.seen.values[cases], self.seen.noise, self.seen.size
        )
        return found

    @property
    def given(self) -> Part:
        """The part that the other is made of."""
        return self.equation.parts[COEFFICIENT]

    @torch.no_grad()
    def judge(self, draws: Draws) -> Judged:
        """Everything that is asked of draws."""
        mean, inside, crps = draws.mean(1), self._inside(draws), self._crps(draws)
        errors = self.errors(mean)
        owed = [each.view(draws.shape[:2]).mean(1) for each in self.law.owed(draws.flatten(0, 1))]
        return Judged(
            relative_error=self.wanted(errors),
            error_coefficient=errors[:, COEFFICIENT],
            error_state=errors[:, STATE],
            coverage90=self.wanted(inside),
            coverage_coefficient=inside[:, COEFFICIENT],
            coverage_state=inside[:, STATE],
            crps=self.wanted(crps),
            residual=owed[0],
            solver_error=owed[1],
        )

    def wanted(self, each: Float[Tensor, "case 2"]) -> PerSample:
        """The mean over the wanted parts."""
        found: PerSample = each[:, list(self.problem.wanted)].mean(1)
        return found

    def errors(self, estimate: Pairs) -> Float[Tensor, "case 2"]:
        """Relative errors of one estimate a case, by part."""
        apart = self._by_part(lambda part: part.of(estimate - self.truth).flatten(1).norm(dim=1))
        found: Tensor = apart / self._by_part(
            lambda part: part.of(self.truth).flatten(1).norm(dim=1)
        )
        return found

    def _by_part(self, each: Callable[[Part], PerSample]) -> Float[Tensor, "case 2"]:
        return torch.stack([each(part) for part in self.equation.parts], 1)

    def _inside(self, draws: Draws) -> Float[Tensor, "case 2"]:
        low, high = interval(draws)
        within = ((self.truth >= low) & (self.truth <= high)).double()
        return self._by_part(lambda part: part.of(within).mean((1, 2)))

    def _crps(self, draws: Draws) -> Float[Tensor, "case 2"]:
        r""":math:`\overline{|x - x^*|} - \frac12 \overline{|x - x'|}` over pairs of different draws."""
        count = draws.shape[1]
        miss = (draws - self.truth[:, None]).abs().mean(1)
        rank = 2 * torch.arange(count, dtype=draws.dtype) + 1 - count
        apart = torch.einsum("cd...,d->c...", draws.sort(1).values, rank)
        each = (miss - apart / (count * (count - 1))) / self.scale[:, None, None]
        return self._by_part(lambda part: part.of(each).mean((1, 2)))


def interval(draws: Draws) -> tuple[Pairs, Pairs]:
    """The order statistics of draws between which a further one lies with probability 0.9.

    Raises:
        ValueError: the draws, and one, are no multiple of 20, so that there are none.
    """
    count = draws.shape[1]
    check_draws(count)
    outer = (count + 1) // 20
    ordered = draws.sort(1).values
    return ordered[:, outer - 1], ordered[:, count - outer]


def check_draws(count: int) -> None:
    """Refuse a number of draws that has no 90 % interval between two of them."""
    if count < 19 or (count + 1) % 20:
        raise ValueError(
            f"draws must be 19, 39, 59, ..., so that 90 % intervals lie between two of them, got "
            f"{count}"
        )
