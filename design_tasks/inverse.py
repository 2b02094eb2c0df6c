r"""Inverse problems: what are two fields that an equation joins, of which a few noisy points are seen?

On a square of 1 m with walls at which :math:`u = 0`, an equation takes a coefficient or source
:math:`a` to a state :math:`u`:

========= ==================================== ==================================================
darcy     :math:`-\nabla\cdot(a \nabla u) = 1` a is 3 where a Gaussian random field is negative, else 12
poisson   :math:`\nabla^2 u = a`               a is that field
helmholtz :math:`\nabla^2 u + u = a`           a is that field
========= ==================================== ==================================================

with the law :math:`N(0, \tau^{2}(-\Delta + \tau^2)^{-2})`, :math:`\tau` = 3 /m, of the field, as in
DiffusionPDE (Huang et al., 2024, https://arxiv.org/abs/2406.17763), here on 64 by 64 cells. Three
problems are named by what is seen: *forward* (a is seen, u wanted), *inverse* (u seen, a wanted) and
*both* (both are seen, both wanted). The noise of what is seen is a share of the field's spread.

Poisson's and Helmholtz' equations are linear and their sources Gaussian, so that both fields together
are a Gaussian; Darcy's are not.

Figures, of each test case:

``relative_error``
    Of the mean of the draws in the wanted field, :math:`|x - x^*|_2 / |x^*|_2`, the mean of both
    where both are wanted; ``error_coefficient`` and ``error_state`` by field.
``coverage90``
    Share of the cells of the wanted field whose truth lies in the 90 % interval of the draws; where
    a field is continuous, better the closer to 0.9. ``coverage_coefficient`` and
    ``coverage_state`` by field. Of Darcy's two permeabilities an interval holds one where nearly all
    draws agree and both where they do not, so that one that is right covers more: of 19 draws with
    these very values and the right probabilities at least 0.98 of the cells. Too low a
    coverage is wrong there too, a high one is not, and whether draws are calibrated is asked of the
    state (:attr:`Equation.coverage`).
``crps``
    Continuous ranked probability score of the draws in the wanted field, over its spread.
``residual``
    Root mean square of what a draw owes its equation by the solver's own stencil, over that of the
    source; the mean over draws.
``solver_error``
    Relative difference between the state of a draw and what the true solver makes of its
    coefficient; the mean over draws.
"""

import copy
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from physgen.datasets.seeds import TEST_SEEDS
from physgen.datasets.steady import STEADY, SteadyData
from physgen.sensed import Seen
from physgen.shapes import Boundary, PerSample
from physgen.solvers.elliptic import Cells, SineConjugateGradients

Pairs = Float[Tensor, "batch 2 x y"]
"""A coefficient or source a, and the state u that it has."""
Draws = Float[Tensor, "case draw 2 x y"]
"""Pairs drawn for each of some cases, in physical units."""

ITERATED = SineConjugateGradients(1e-8)
"""How pairs are solved in double precision: many times as fast as by factors."""
AT_ONCE = 50
"""Pairs in one call of the solver."""
COEFFICIENT, STATE = 0, 1


@dataclass(frozen=True)
class Equation:
    """What joins the two fields, and what is known of their law."""

    name: str
    gaussian: bool
    """Whether both fields together are a Gaussian."""
    fields: tuple[str, str]
    """What they are called."""

    @property
    def coverage(self) -> str:
        """The figure of coverage that is 0.9 where intervals are calibrated."""
        return "coverage90" if self.gaussian else "coverage_state"

    def data(self, cells: int = 64) -> SteadyData:
        """Their law as a set of data."""
        return STEADY[self.name](cells=cells, out=Path("data") / self.name)

    def boundary(self, coefficient: Float[Tensor, "batch x y"]) -> Boundary:
        """What the solver is given: Darcy's permeability, kept positive, and its source of one."""
        if self.gaussian:
            return coefficient[:, None]
        ground = coefficient.clamp(min=LEAST)
        return torch.stack([ground, torch.ones_like(ground)], 1)


LEAST = 1.0
"""The permeability that a drawn one below it counts as, a third of the least true one."""

EQUATIONS = {
    "darcy": Equation("darcy", False, ("permeability", "pressure")),
    "poisson": Equation("poisson", True, ("source", "potential")),
    "helmholtz": Equation("helmholtz", True, ("source", "displacement")),
}


@torch.no_grad()
def pairs(data: SteadyData, seeds: range) -> Pairs:
    """One pair for each seed, in double precision."""
    equation, found = data.equation(ITERATED), []
    for first in range(seeds.start, seeds.stop, AT_ONCE):
        boundary = data.drawn(range(first, min(first + AT_ONCE, seeds.stop)))
        found.append(torch.cat([boundary[:, :1], equation.solve(boundary)], 1))
    return torch.cat(found)


@dataclass(frozen=True)
class Problem:
    """Which of the two fields are seen, and which are wanted."""

    name: str
    seen: tuple[int, ...]
    wanted: tuple[int, ...]


PROBLEMS = {
    "forward": Problem("forward", (COEFFICIENT,), (STATE,)),
    "inverse": Problem("inverse", (STATE,), (COEFFICIENT,)),
    "both": Problem("both", (COEFFICIENT, STATE), (COEFFICIENT, STATE)),
}

Places = Int[Tensor, "case observation part"]
"""Cells of one field, whose mean is observed."""


@dataclass(frozen=True)
class Scattered:
    """Sensors at cells that know nothing of each other."""

    count: int

    def places(self, cells: int, cases: int, generator: torch.Generator) -> Places:
        _possible(self.count, cells)
        order = torch.rand(cases, cells**2, generator=generator).argsort(1)
        return order[:, : self.count, None]


@dataclass(frozen=True)
class Spread:
    """One sensor somewhere in each of as many equal blocks, so that none is far from all.

    Where the count is no product of rows and columns some blocks have none.
    """

    count: int

    def places(self, cells: int, cases: int, generator: torch.Generator) -> Places:
        _possible(self.count, cells)
        columns = math.ceil(math.sqrt(self.count))
        rows = math.ceil(self.count / columns)
        blocks = torch.rand(cases, rows * columns, generator=generator).argsort(1)
        block = blocks[:, : self.count]
        share = torch.rand(2, cases, self.count, generator=generator)
        x = _within(block // columns, rows, cells, share[0])
        y = _within(block % columns, columns, cells, share[1])
        return (x * cells + y)[..., None]


def _within(block: Tensor, blocks: int, cells: int, share: Tensor) -> Tensor:
    """A cell of each block along an axis."""
    low, high = block * cells // blocks, (block + 1) * cells // blocks
    return low + ((high - low) * share).long()


@dataclass(frozen=True)
class Coarse:
    """Means over square blocks: a picture of fewer points."""

    blocks: int
    """Along each side."""

    def places(self, cells: int, cases: int, generator: torch.Generator) -> Places:
        if self.blocks < 1 or cells % self.blocks:
            raise ValueError(
                f"{self.blocks} blocks along each side must divide the {cells} cells there"
            )
        wide = cells // self.blocks
        index = torch.arange(cells**2).view(self.blocks, wide, self.blocks, wide)
        block = index.transpose(1, 2).reshape(1, self.blocks**2, wide**2)
        return block.expand(cases, -1, -1)


@dataclass(frozen=True)
class AroundHole:
    """All cells but those of a square in the middle."""

    share: float = 0.5
    """Of the side."""

    def places(self, cells: int, cases: int, generator: torch.Generator) -> Places:
        if not 0 <= self.share < 1:
            raise ValueError(f"a hole takes a share of the side from 0 to 1, got {self.share}")
        edge = (torch.arange(cells) + 0.5) / cells - 0.5
        hidden = edge.abs() < self.share / 2
        seen = (~(hidden[:, None] & hidden)).flatten().nonzero()
        return seen[None].expand(cases, -1, -1)


Look = Scattered | Spread | Coarse | AroundHole


def _possible(count: int, cells: int) -> None:
    if not 1 <= count <= cells**2:
        raise ValueError(
            f"sensors must be from 1 to the {cells**2} cells of the domain, got {count}"
        )


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
    """Test cases of which something is seen, and both fields are to be told.

    Arguments:
        equation: What joins the fields.
        problem: Which of them is seen, and which wanted.
        look: Where.
        noise: Standard deviation of what is seen, over the spread of its field.
        cases: How many.
        scale: The spread of each field, see :class:`~physgen.design_tasks.inverse_prior.Standard`.
        mean: Of every point.
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
        mean: Float[Tensor, "2 x y"],
        scale: Float[Tensor, " 2"],
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
        cells = mean.shape[-1]
        self.cells = Cells((cells, cells), (1.0, 1.0))
        data = equation.data(cells)
        self.solver = data.equation(ITERATED)
        self.truth = pairs(data, self.seeds)
        looked = [look.places(cells, cases, generator) for _ in problem.seen]
        self.sensors = dict(zip(problem.seen, looked, strict=True))
        sample = ((self.truth - mean) / scale[:, None, None]).float()
        moved = [f * cells**2 + place for f, place in self.sensors.items()]
        places = torch.cat(moved, 1)
        exact = sample.flatten(1).gather(1, places.flatten(1)).view(places.shape).mean(2)
        error = noise * torch.randn(exact.shape, generator=generator)
        self.seen = Seen(places, exact + error, noise, 2 * cells**2)

    def part(self, cases: slice) -> "InverseTask":
        """Some of the cases."""
        found = copy.copy(self)
        found.seeds, found.truth = self.seeds[cases], self.truth[cases]
        found.sensors = {field: places[cases] for field, places in self.sensors.items()}
        found.seen = Seen(
            self.seen.places[cases], self.seen.values[cases], self.seen.noise, self.seen.size
        )
        return found

    @torch.no_grad()
    def judge(self, draws: Draws) -> Judged:
        """Everything that is asked of draws."""
        mean, inside, crps = draws.mean(1), self._inside(draws), self._crps(draws)
        errors = self.errors(mean)
        flat = draws.flatten(0, 1)
        count = draws.shape[1]
        return Judged(
            relative_error=self.wanted(errors),
            error_coefficient=errors[:, COEFFICIENT],
            error_state=errors[:, STATE],
            coverage90=self.wanted(inside),
            coverage_coefficient=inside[:, COEFFICIENT],
            coverage_state=inside[:, STATE],
            crps=self.wanted(crps),
            residual=self.residual(flat).view(-1, count).mean(1),
            solver_error=self.solver_error(flat).view(-1, count).mean(1),
        )

    def wanted(self, each: Float[Tensor, "case 2"]) -> PerSample:
        """The mean over the wanted fields."""
        found: PerSample = each[:, list(self.problem.wanted)].mean(1)
        return found

    def errors(self, estimate: Pairs) -> Float[Tensor, "case 2"]:
        """Relative errors of one estimate a case, by field."""
        apart = (estimate - self.truth).flatten(2).norm(dim=2)
        found: Tensor = apart / self.truth.flatten(2).norm(dim=2)
        return found

    def residual(self, pair: Pairs) -> PerSample:
        """What pairs owe their equation, over the source, as root mean squares."""
        boundary = self.equation.boundary(pair[:, COEFFICIENT])
        left = self.solver.residual(pair[:, STATE:], boundary)[:, 0]
        given = boundary[:, -1].square().mean((1, 2))
        return (left.square().mean((1, 2)) / given).sqrt()

    def solver_error(self, pair: Pairs) -> PerSample:
        """How far states are from what the solver makes of their coefficients, relatively."""
        boundary = self.equation.boundary(pair[:, COEFFICIENT])
        made = torch.cat([self.solver.solve(part) for part in boundary.split(AT_ONCE)])
        apart = (pair[:, STATE:] - made).flatten(1).norm(dim=1)
        found: PerSample = apart / made.flatten(1).norm(dim=1)
        return found

    def _inside(self, draws: Draws) -> Float[Tensor, "case 2"]:
        low, high = interval(draws)
        within = (self.truth >= low) & (self.truth <= high)
        return within.double().flatten(2).mean(2)

    def _crps(self, draws: Draws) -> Float[Tensor, "case 2"]:
        r""":math:`\overline{|x - x^*|} - \frac12 \overline{|x - x'|}` over pairs of different draws."""
        count = draws.shape[1]
        miss = (draws - self.truth[:, None]).abs().mean(1)
        rank = 2 * torch.arange(count, dtype=draws.dtype) + 1 - count
        apart = torch.einsum("cd...,d->c...", draws.sort(1).values, rank)
        each = miss - apart / (count * (count - 1))
        return each.flatten(2).mean(2) / self.scale


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
