"""Airfoils that fly together: less drag at the same lift than each alone.

A design is some airfoils of one chord with places and incidences, in a stream at a Reynolds number
of a few hundred. The true solver simulates them together, and each of them alone; forces are total
forces, pressure and friction. Figures, as means over all designs:

``drag``, ``lift``, ``lift_to_drag``
    Coefficients of the formation, by the sum of its chords.
``drag_change``
    Relative to the *reference*, the same airfoils each flying alone, all turned by the common
    angle at which their lifts sum to the formation's. -0.2 is a fifth less drag at equal lift.
``lift_to_drag_change``
    Relative to the same airfoils alone at their own incidences.
``drag_change_single``
    Relative to the best single airfoil that the same prior and method find, turned to the
    formation's lift: what one would fly instead, as many of them as the formation has, far apart.

A design that is not allowed, because airfoils are too thin, too small or too close, is not
simulated and counts as no change at all: its airfoils may as well fly alone. What goes down at
equal lift is the interaction only; shapes that are bad alone do not count as a gain by themselves,
and so ``drag`` stands beside it.

References:
    Compositional Generative Inverse Design (Wu et al., 2024), https://arxiv.org/abs/2401.13171,
    for the problem; it compares pressure forces, at the own incidences.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from physgen import workers
from physgen.datasets.airfoil import Airfoils, Means, mean_flow
from physgen.shapes import PerSample
from physgen.solvers.bodies import Polygon
from physgen.solvers.sections import area, kulfan, thickness
from physgen.solvers.staggered import Grid

Forces = Float[Tensor, "design body 2"]

AHEAD, BEHIND, HEIGHT = 3.0, 5.0, 6.0
"""Chords of stream before the first quarter point and behind the last, and across."""
STEADY = 0.003
"""Change of a coefficient of force in a chord's time below which a flow counts as steady."""
TURNS = (-6.0, -3.0, 0.0)
"""Degrees by which airfoils are turned where they fly alone, unless better is known."""
MANY = 32
"""Cells of a chord up to which flows in one batch are faster than one after the other."""


class Judged(NamedTuple):
    """What the true solver found of some designs."""

    force: Forces
    """Mean coefficients of drag and lift of each airfoil in the formation."""
    alone: Float[Tensor, "design body turn 2"]
    """Of each alone, turned."""
    swing: PerSample
    """Standard deviation over time of the formation's drag coefficient."""
    valid: Float[Tensor, " design"]
    """1 where the design is allowed, else 0: then all else is meaningless."""
    turns: tuple[float, ...] = TURNS
    """In degrees; 0, as in the formation, is the last."""

    @property
    def drag(self) -> PerSample:
        found: Tensor = self.force[..., 0].mean(1)
        return found

    @property
    def lift(self) -> PerSample:
        found: Tensor = self.force[..., 1].mean(1)
        return found

    @property
    def lift_to_drag(self) -> PerSample:
        return self.lift / self.drag

    @property
    def turn(self) -> PerSample:
        """The common angle, in degrees, at which the airfoils alone have the formation's lift."""
        lift = self.alone[..., 1].mean(1)
        return _crossing(lift, self.lift, self.turns)

    @property
    def reference(self) -> PerSample:
        """Their drag coefficient then."""
        drag = self.alone[..., 0].mean(1)
        return (_basis(self.turn, self.turns) * drag).sum(1)

    def drag_at(self, lift: PerSample) -> Float[Tensor, "design other"]:
        """Drag coefficients of the airfoils of each design alone, turned to some lifts."""
        drag, own = self.alone[..., 0].mean(1), self.alone[..., 1].mean(1)
        turns = [_crossing(own, one.expand(len(own)), self.turns) for one in lift]
        return torch.stack([(_basis(turn, self.turns) * drag).sum(1) for turn in turns], -1)

    @property
    def drag_change(self) -> PerSample:
        change = self.drag / self.reference - 1
        return torch.where(self.valid > 0, change, 0.0)

    @property
    def lift_to_drag_change(self) -> PerSample:
        own = self.alone[..., -1, :].mean(1)
        change = self.lift_to_drag / (own[:, 1] / own[:, 0]) - 1
        return torch.where(self.valid > 0, change, 0.0)


def _basis(turn: PerSample, turns: tuple[float, ...]) -> Float[Tensor, "batch turn"]:
    """Lagrange's polynomials of the turns."""
    rows = []
    for k, own in enumerate(turns):
        row = torch.ones_like(turn)
        for j, other in enumerate(turns):
            if j != k:
                row = row * (turn - other) / (own - other)
        rows.append(row)
    return torch.stack(rows, -1)


def _crossing(
    values: Float[Tensor, "batch turn"], wanted: PerSample, turns: tuple[float, ...]
) -> PerSample:
    """Where the polynomial through the values at the turns is as wanted, by bisection."""
    low, high = torch.full_like(wanted, -12.0), torch.full_like(wanted, 6.0)
    for _ in range(40):
        middle = 0.5 * (low + high)
        below = (_basis(middle, turns) * values).sum(1) < wanted
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return 0.5 * (low + high)


HIGHEST = 2.0
"""Lift coefficient, of either sign, beyond which no airfoil of the prior comes near."""


@dataclass(frozen=True)
class Formations:
    """The task: so many airfoils, one stream.

    Raises:
        ValueError: a number is out of its range.
    """

    bodies: int = 2
    reynolds: float = 500.0
    """Of the chord."""
    lift: float = 0.3
    """Wanted lift coefficient of the formation, by the sum of its chords."""
    thinnest: float = 0.095
    """Least thickness, in chords."""
    smallest: float = 0.055
    """Least area of a section, in chords squared."""
    gap: float = 0.2
    """Least distance of two airfoils, in chords."""

    def __post_init__(self) -> None:
        if self.bodies < 1:
            raise ValueError(f"a formation has at least one airfoil, got {self.bodies}")
        if not 200 <= self.reynolds <= 1000:
            raise ValueError(
                f"the Reynolds number must be from 200 to 1000, got {self.reynolds}: the prior "
                "knows no other, and flows beyond are not two-dimensional"
            )
        if not -HIGHEST <= self.lift <= HIGHEST:
            raise ValueError(
                f"lift must be from {-HIGHEST:g} to {HIGHEST:g}, which airfoils can have, got {self.lift}"
            )

    def violation(self, airfoils: Airfoils) -> PerSample:
        """How far each design is from an allowed one, in chords; zero where it is allowed."""
        section = kulfan(airfoils.upper.double(), airfoils.lower.double())
        thin = self.thinnest - thickness(section).amin(1)
        small = self.smallest - area(section).amin(1)
        upper, lower = section[..., :101, 1].flip(-1), section[..., 100:, 1]
        # Near sharp edges fitted sections cross, by less than a fifth of a cell.
        crossed = (lower - upper)[..., 2:-2].amax((1, 2)) - 0.008
        worst = torch.stack([thin, small, crossed], -1).amax(-1)
        if self.bodies > 1:
            worst = torch.maximum(worst, self.gap - clearance(airfoils))
        return worst.clamp(min=0).float()

    def grid(self, airfoils: Airfoils, cells: int, wider: float = 1.0, spare: float = 0.0) -> Grid:
        """A domain for all of these designs, ``wider`` times as large as usual on all sides, with
        some chords to spare for where they may move to."""
        last = 0.5 * math.ceil(
            2 * max(0.0, float(airfoils.x.max() - airfoils.x[:, 0].min()) + spare)
        )
        across = 0.5 * math.ceil(
            2 * (float((airfoils.y - airfoils.y[:, :1]).abs().max()) + spare) - 0.4
        )
        ahead, behind = wider * AHEAD, wider * BEHIND + last
        height = wider * HEIGHT + 2 * max(0.0, across - 0.5)
        nx, ny = (4 * round(length * cells / 4) for length in (ahead + behind, height))
        return Grid(nx, ny, 1 / cells, -ahead, -0.5 * ny / cells)

    def simulate(self, airfoils: Airfoils, cells: int = 24, wider: float = 1.0) -> Means:
        """Mean flows of designs, all in a domain that fits them all."""
        grid = self.grid(airfoils, cells, wider)
        nu = airfoils.x.new_full((len(airfoils.x), 1, 1), 1 / self.reynolds)

        def domain(own: int) -> Grid:
            part = cells // own
            return Grid(grid.nx // part, grid.ny // part, 1 / own, grid.left, grid.bottom)

        # Without the book-keeping of gradients a step takes a fifth less.
        with torch.inference_mode():
            bodies = airfoils.bodies()
            found = mean_flow(domain, lambda own: None, cells, bodies, nu, steady=STEADY)
        return Means(*(part.clone() for part in found))

    def judge(
        self,
        airfoils: Airfoils,
        cells: int = 24,
        wider: float = 1.0,
        turns: tuple[float, ...] = TURNS,
        tell: Callable[[float], None] = lambda share: None,
    ) -> Judged:
        """Together, and each alone.

        Arguments:
            airfoils: The designs, allowed or not.
            cells: Of the solver for a chord.
            wider: How much larger than usual the domain is.
            turns: By which airfoils are turned where they fly alone, in degrees; 0 is the last.
            tell: Told the share that is done.
        """
        return judge_each([Trial(self, airfoils, cells, wider, turns)], tell)[0]


@dataclass(frozen=True)
class Trial:
    """Designs before the judge."""

    task: Formations
    airfoils: Airfoils
    """The designs, allowed or not."""
    cells: int = 24
    """Of the solver for a chord."""
    wider: float = 1.0
    """How much larger than usual the domain is."""
    turns: tuple[float, ...] = TURNS
    """By which airfoils are turned where they fly alone, in degrees; 0 is the last."""

    @cached_property
    def valid(self) -> Bool[Tensor, " design"]:
        return self.task.violation(self.airfoils) == 0

    @cached_property
    def parts(self) -> list[Airfoils]:
        """What is simulated: each allowed formation, then each of its airfoils, alone and turned.

        One design at a time, so that what is found of one depends on no other. On fine cells
        nothing is gained by turns in one batch.
        """
        allowed = Airfoils(*(part[self.valid] for part in self.airfoils))
        if not len(allowed.x):
            return []
        together = 1 if self.cells > MANY else len(self.turns)
        return [*portions(allowed, 1), *portions(_each_turned(allowed, self.turns), together)]

    def cost(self, part: Airfoils) -> float:
        """Of simulating it, up to a factor: cells times steps."""
        grid = self.task.grid(part, self.cells, self.wider)
        return float(len(part.x) * grid.nx * grid.ny * self.cells)

    def simulated(self, part: Airfoils) -> Means:
        return self.task.simulate(part, self.cells, self.wider)

    def verdict(self, found: Sequence[Means]) -> Judged:
        """From what was found of each part."""
        count, bodies = self.airfoils.x.shape
        like = self.airfoils.x
        force, swing = like.new_zeros(count, bodies, 2), like.new_zeros(count)
        alone = like.new_ones(count, bodies, len(self.turns), 2)
        valid, allowed = self.valid, int(self.valid.sum())
        if allowed:
            force[valid] = torch.cat([2 * one.force for one in found[:allowed]])
            swings = torch.cat([2 * one.swing[..., 0].sum(1) for one in found[:allowed]])
            swing[valid] = swings / bodies
            single = torch.cat([2 * one.force for one in found[allowed:]])
            alone[valid] = single.view(-1, bodies, len(self.turns), 2)
        return Judged(force, alone, swing, valid.float(), self.turns)


def judge_each(
    trials: Sequence[Trial], tell: Callable[[float], None] = lambda share: None
) -> list[Judged]:
    """Judge several trials as one piece of work, what is long first, so that no processor waits."""
    work = [(k, j, part) for k, one in enumerate(trials) for j, part in enumerate(one.parts)]
    work.sort(key=lambda item: -trials[item[0]].cost(item[2]))
    found = workers.each(lambda item: trials[item[0]].simulated(item[2]), work, tell)
    by_place = {(k, j): one for (k, j, _), one in zip(work, found, strict=True)}
    return [
        one.verdict([by_place[k, j] for j in range(len(one.parts))])
        for k, one in enumerate(trials)
    ]


def clearance(airfoils: Airfoils) -> PerSample:
    """The least distance of any two airfoils of each design, in chords."""
    outlines = airfoils.outlines().double()
    found = []
    for one in range(outlines.shape[1]):
        x, y = outlines[:, one, None].unbind(-1)
        for other in range(outlines.shape[1]):
            if other != one:
                body = Polygon(outlines[:, other, None])
                found.append(body.distance_each(x[:, :, None], y[:, :, None]).amin((1, 2, 3)))
    nearest: Tensor = torch.stack(found, -1).amin(-1)
    return nearest


def _each_turned(airfoils: Airfoils, turns: tuple[float, ...]) -> Airfoils:
    """Designs of one airfoil: each of each design, at each turn."""
    by = torch.deg2rad(airfoils.x.new_tensor(turns))
    rows = [part.flatten(0, 1).repeat_interleave(len(turns), 0)[:, None] for part in airfoils]
    upper, lower, x, y, incidence = rows
    turned = incidence + by.repeat(len(incidence) // len(turns))[:, None]
    # Alone it may stand anywhere: where the domain's first airfoil does, as far from the grid's
    # lines as it was.
    return Airfoils(upper, lower, x - x.round(), y - y.round(), turned)


def portions(airfoils: Airfoils, size: int) -> Sequence[Airfoils]:
    parts = zip(*(part.split(size) for part in airfoils), strict=True)
    return [Airfoils(*part) for part in parts]
