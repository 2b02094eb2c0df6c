"""One ready problem of each evolving equation, small enough to try things on.

Whatever holds for every equation is tested on each problem of this list.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from physgen.shapes import State
from physgen.solvers.burgers import Burgers
from physgen.solvers.evolution import Evolution
from physgen.solvers.exponential import Semilinear, Spectral
from physgen.solvers.fisher import Fisher
from physgen.solvers.fitzhugh_nagumo import FitzHughNagumo
from physgen.solvers.gray_scott import GrayScott
from physgen.solvers.heat import Heat
from physgen.solvers.korteweg_de_vries import KortewegDeVries
from physgen.solvers.kuramoto_sivashinsky import KuramotoSivashinsky
from physgen.solvers.periodic import Periodic
from physgen.solvers.starts import smooth, smooth_between_walls
from physgen.solvers.transport import Transport
from physgen.solvers.vorticity import Vorticity
from physgen.solvers.walled import Walled
from physgen.solvers.walled_burgers import WalledBurgers, two_humps
from physgen.solvers.wave import Wave


@dataclass(frozen=True)
class Problem:
    """An equation with a grid, a time step, and random states to begin with."""

    name: str
    with_step: Callable[[float], Evolution]
    """The solver at some time step, in s."""
    dt: float
    start: Callable[[int, torch.Generator], State]
    """So many states, in double precision."""
    controls: int
    """Channels of the boundary data."""
    saved: int = 1
    """Steps between two states that are worth keeping."""

    @cached_property
    def solver(self) -> Evolution:
        """At the time step that suits it."""
        return self.with_step(self.dt)


def _periodic(
    name: str,
    equation: Semilinear,
    grid: Periodic,
    dt: float,
    middle: float = 0.0,
    swing: float = 1.0,
) -> Problem:
    """Smooth fields of some waves about a value; each channel can be forced."""
    channels = len(equation.fields(grid.axes))

    def start(count: int, generator: torch.Generator) -> State:
        return middle + swing * smooth(grid, channels, count, 3, generator)

    return Problem(name, lambda dt: Spectral(equation, grid, dt), dt, start, channels)


def _walled_burgers(dt: float) -> Evolution:
    return WalledBurgers(63, 0.02, dt)


def _humps(count: int, generator: torch.Generator) -> State:
    (place,) = WalledBurgers(63).grid.places(torch.zeros(1, dtype=torch.float64))
    return two_humps(count, place, generator)


def _wave(name: str, grid: Walled, dt: float) -> Problem:
    def start(count: int, generator: torch.Generator) -> State:
        return smooth_between_walls(grid, 2, count, 4, generator)

    return Problem(name, lambda dt: Wave(grid, dt), dt, start, 1)


LINE = Periodic((64,), (1.0,))
SQUARE = Periodic((32, 32), (1.0, 1.0))

CATALOGUE = (
    _periodic("transport", Transport((1.0,)), LINE, 0.01),
    _periodic("transport, plane", Transport((1.0, -0.5)), SQUARE, 0.01),
    _periodic("heat", Heat(0.01), LINE, 0.01),
    _periodic("heat, plane", Heat(0.01), SQUARE, 0.01),
    _periodic("burgers", Burgers(0.02), LINE, 0.002),
    _periodic("burgers, plane", Burgers(0.03), SQUARE, 0.005),
    _periodic("korteweg-de vries", KortewegDeVries(), Periodic((64,), (20.0,)), 0.005),
    _periodic("kuramoto-sivashinsky", KuramotoSivashinsky(), Periodic((64,), (22.0,)), 0.05),
    _periodic("fisher", Fisher(), Periodic((64,), (20.0,)), 0.02, 0.5, 0.4),
    _periodic("fisher, plane", Fisher(), Periodic((32, 32), (20.0, 20.0)), 0.02, 0.5, 0.4),
    _periodic("gray-scott", GrayScott(), Periodic((64,), (64.0,)), 0.5, 0.5, 0.2),
    _periodic("gray-scott, plane", GrayScott(), Periodic((32, 32), (32.0, 32.0)), 0.5, 0.5, 0.2),
    _periodic("fitzhugh-nagumo", FitzHughNagumo(), Periodic((64,), (2.0,)), 0.02),
    _periodic("fitzhugh-nagumo, plane", FitzHughNagumo(), Periodic((32, 32), (2.0, 2.0)), 0.02),
    _periodic(
        "vorticity", Vorticity(0.02, 0.1), Periodic((32, 32), (2 * math.pi, 2 * math.pi)), 0.01,
        0.0, 3.0,
    ),
    Problem("burgers, walled", _walled_burgers, 4e-4, _humps, 1, 50),
    _wave("wave", Walled((63,), (1.0,)), 0.01),
    _wave("wave, plane", Walled((31, 31), (1.0, 1.0)), 0.015),
)  # fmt: skip
