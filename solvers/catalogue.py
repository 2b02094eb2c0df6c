"""Problems: an evolving equation on a grid, its time step, and how its simulations begin.

Data sets are drawn from them (:mod:`physgen.datasets.equations`). :data:`CATALOGUE` has one of each
equation, small enough to try things on: whatever holds for every equation is tested on all of it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from physgen.shapes import State
from physgen.solvers.burgers import Burgers
from physgen.solvers.elliptic import Cells
from physgen.solvers.evolution import Controls, Evolution, constant
from physgen.solvers.explicit import Explicit
from physgen.solvers.exponential import Semilinear, Spectral
from physgen.solvers.fisher import Fisher
from physgen.solvers.fitzhugh_nagumo import FitzHughNagumo
from physgen.solvers.gray_scott import GrayScott
from physgen.solvers.heat import Heat
from physgen.solvers.insulated_fitzhugh_nagumo import InsulatedFitzHughNagumo
from physgen.solvers.korteweg_de_vries import KortewegDeVries
from physgen.solvers.kuramoto_sivashinsky import KuramotoSivashinsky
from physgen.solvers.periodic import Periodic
from physgen.solvers.random_field import GaussianField
from physgen.solvers.sorption import Ground, Sorption
from physgen.solvers.starts import smooth, smooth_between_walls
from physgen.solvers.transport import Transport
from physgen.solvers.vorticity import Vorticity
from physgen.solvers.walled import Walled
from physgen.solvers.walled_burgers import WalledBurgers, eight_pushes, two_humps
from physgen.solvers.wave import Wave

Force = Callable[[State, int, torch.Generator], Controls]
"""Boundary data for some states and so many intervals."""


def free(state: State, intervals: int, generator: torch.Generator) -> Controls:
    """No boundary data at all."""
    return constant(state[:, :0], intervals)


@dataclass(frozen=True)
class Problem:
    """An equation with a grid, a time step, and random states to begin with."""

    name: str
    grid: Periodic | Walled | Cells
    with_step: Callable[[float], Evolution]
    """The solver at some time step, in s."""
    dt: float
    start: Callable[[int, torch.Generator], State]
    """So many states, in double precision."""
    controls: int
    """Channels that boundary data may have."""
    saved: int = 1
    """Steps between two states that are worth keeping."""
    force: Force = free
    """Draws the boundary data that simulations are made under."""

    @cached_property
    def solver(self) -> Evolution:
        """At the time step that suits it."""
        return self.with_step(self.dt)


def periodic(
    name: str,
    equation: Semilinear,
    grid: Periodic,
    dt: float,
    middle: float = 0.0,
    swing: float = 1.0,
    highest: int = 3,
) -> Problem:
    """Smooth fields of up to ``highest`` waves about a value; each channel can be forced."""
    channels = len(equation.fields(grid.axes))

    def start(count: int, generator: torch.Generator) -> State:
        return middle + swing * smooth(grid, channels, count, highest, generator)

    return Problem(name, grid, lambda dt: Spectral(equation, grid, dt), dt, start, channels)


def walled_burgers(name: str, points: int, viscosity: float, dt: float, saved: int) -> Problem:
    """Two humps that run into one another under eight pushes, as in DiffPhyCon."""
    grid = Walled((points,), (1.0,))
    (place,) = grid.places(torch.zeros(1, dtype=torch.float64))

    def start(count: int, generator: torch.Generator) -> State:
        return two_humps(count, place, generator)

    def force(state: State, intervals: int, generator: torch.Generator) -> Controls:
        return eight_pushes(len(state), intervals, place, generator)

    def with_step(dt: float) -> Evolution:
        return WalledBurgers(points, viscosity, dt)

    return Problem(name, grid, with_step, dt, start, 1, saved, force)


def wave(name: str, grid: Walled, dt: float, speed: float = 1.0) -> Problem:
    """Smooth displacements and velocities between walls that hold them."""

    def start(count: int, generator: torch.Generator) -> State:
        return smooth_between_walls(grid, 2, count, 4, generator)

    return Problem(name, grid, lambda dt: Wave(grid, dt, speed), dt, start, 1)


def insulated(
    name: str, with_step: Callable[[float], Explicit], cells: Cells, dt: float,
    middle: float, swing: float,
) -> Problem:  # fmt: skip
    """Random fields about a value, between walls that let nothing through."""
    channels, law = with_step(dt).channels, GaussianField(tau=6.0)

    def start(count: int, generator: torch.Generator) -> State:
        fields = law.draw(cells, channels * count, generator)
        state: State = middle + swing * fields.unflatten(0, (count, channels))
        return state

    return Problem(name, cells, with_step, dt, start, channels)


LINE = Periodic((64,), (1.0,))
SQUARE = Periodic((32, 32), (1.0, 1.0))
BLOCK, ROD = Cells((24, 16), (1.5, 1.0)), Cells((48,), (1.0,))


def _insulated_nerve(dt: float) -> Explicit:
    return InsulatedFitzHughNagumo(BLOCK, dt, FitzHughNagumo())


def _sorption(dt: float) -> Explicit:
    return Sorption(ROD, dt, Ground())


CATALOGUE = (
    periodic("transport", Transport((1.0,)), LINE, 0.01),
    periodic("transport, plane", Transport((1.0, -0.5)), SQUARE, 0.01),
    periodic("heat", Heat(0.01), LINE, 0.01),
    periodic("heat, plane", Heat(0.01), SQUARE, 0.01),
    periodic("burgers", Burgers(0.02), LINE, 0.002),
    periodic("burgers, plane", Burgers(0.03), SQUARE, 0.005),
    periodic("korteweg-de vries", KortewegDeVries(), Periodic((64,), (20.0,)), 0.005),
    periodic("kuramoto-sivashinsky", KuramotoSivashinsky(), Periodic((64,), (22.0,)), 0.05),
    periodic("fisher", Fisher(), Periodic((64,), (20.0,)), 0.02, 0.5, 0.4),
    periodic("fisher, plane", Fisher(), Periodic((32, 32), (20.0, 20.0)), 0.02, 0.5, 0.4),
    periodic("gray-scott", GrayScott(), Periodic((64,), (64.0,)), 0.5, 0.5, 0.2),
    periodic("gray-scott, plane", GrayScott(), Periodic((32, 32), (32.0, 32.0)), 0.5, 0.5, 0.2),
    periodic("fitzhugh-nagumo", FitzHughNagumo(), Periodic((64,), (2.0,)), 0.02),
    periodic("fitzhugh-nagumo, plane", FitzHughNagumo(), Periodic((32, 32), (2.0, 2.0)), 0.02),
    periodic(
        "vorticity", Vorticity(0.02, 0.1), Periodic((32, 32), (2 * math.pi, 2 * math.pi)), 0.01,
        0.0, 3.0,
    ),
    walled_burgers("burgers, walled", 63, 0.02, 4e-4, 50),
    wave("wave", Walled((63,), (1.0,)), 0.01),
    wave("wave, plane", Walled((31, 31), (1.0, 1.0)), 0.015),
    insulated("fitzhugh-nagumo, insulated", _insulated_nerve, BLOCK, 0.02, 0.0, 0.5),
    insulated("sorption", _sorption, ROD, 0.1, 0.5, 0.1),
)  # fmt: skip
