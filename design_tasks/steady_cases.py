r"""The steady problems of ``physgen simulate``, each with a solution that is known.

A state is chosen, and the source that it needs follows from the equation: the solution is known
exactly, however uneven the ground is.
"""

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, final

import torch
from torch import Tensor

from physgen.shapes import Boundary, State
from physgen.solvers.darcy import Darcy
from physgen.solvers.elliptic import Cells, Steady
from physgen.solvers.helmholtz import Helmholtz

LIKE = torch.zeros(1, dtype=torch.float64)


class Posed(NamedTuple):
    """A problem on some cells."""

    equation: Steady
    boundary: Boundary
    """One sample, in double precision."""
    exact: State


@dataclass(frozen=True, kw_only=True)
class SteadyCase(abc.ABC):
    """Something to solve on a square of 1 m, in SI units."""

    cells: int = 64
    """Along each side."""
    out: Path
    """Folder of the results."""

    def __post_init__(self) -> None:
        self.posed(Cells((self.cells, self.cells), (1.0, 1.0)))

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What the command calls it."""

    @property
    @abc.abstractmethod
    def facts(self) -> dict[str, float]:
        """Numbers that a data file shall carry."""

    @property
    @abc.abstractmethod
    def units(self) -> Mapping[str, str]:
        """The state and the boundary data, and their units."""

    @abc.abstractmethod
    def posed(self, cells: Cells) -> Posed:
        """The problem and its solution on some cells of the square."""

    @final
    def finer(self, times: int) -> Posed:
        """The problem on cells so many times as fine."""
        return self.posed(Cells((times * self.cells,) * 2, (1.0, 1.0)))


def _tones(cells: Cells, wavenumber: float) -> tuple[Tensor, Tensor]:
    """Standing waves, and the sources that :math:`\\nabla^2 u + k^2 u = f` needs for them."""
    x, y = (math.pi * place for place in cells.places(LIKE))
    state, source = torch.zeros_like(x), torch.zeros_like(x)
    for m, n, size in ((1, 2, 1.0), (3, 1, 0.6), (4, 3, 0.3)):
        tone = size * torch.sin(m * x) * torch.sin(n * y)
        state = state + tone
        source = source + (wavenumber**2 - math.pi**2 * (m**2 + n**2)) * tone
    return state, source


@dataclass(frozen=True, kw_only=True)
class DarcyCase(SteadyCase):
    """Pressure in ground whose permeability varies sixfold."""

    out: Path = Path("runs/darcy")

    @property
    def name(self) -> str:
        return "darcy"

    @property
    def facts(self) -> dict[str, float]:
        return {"lowest": 2.0, "highest": 12.0}

    @property
    def units(self) -> Mapping[str, str]:
        return {"pressure": "1", "permeability": "1", "source": "m-2"}

    def posed(self, cells: Cells) -> Posed:
        """u = sin(pi x) sin(2 pi y) + 0.5 sin(2 pi x) sin(pi y), a = 7 + 5 sin(3 pi x) cos(2 pi y)."""
        x, y = cells.places(LIKE)
        p = math.pi
        u, u_x, u_y, bend = (torch.zeros_like(x) for _ in range(4))
        for m, n, size in ((1, 2, 1.0), (2, 1, 0.5)):
            across, along = torch.sin(m * p * x), torch.sin(n * p * y)
            u = u + size * across * along
            u_x = u_x + size * m * p * torch.cos(m * p * x) * along
            u_y = u_y + size * n * p * across * torch.cos(n * p * y)
            bend = bend - size * p**2 * (m**2 + n**2) * across * along
        a = 7 + 5 * torch.sin(3 * p * x) * torch.cos(2 * p * y)
        a_x = 15 * p * torch.cos(3 * p * x) * torch.cos(2 * p * y)
        a_y = -10 * p * torch.sin(3 * p * x) * torch.sin(2 * p * y)
        source = -(a_x * u_x + a_y * u_y + a * bend)
        return Posed(Darcy(cells), torch.stack([a, source])[None], u[None, None])


@dataclass(frozen=True, kw_only=True)
class HelmholtzCase(SteadyCase):
    """Standing waves under a source."""

    wavenumber: float = 12.0
    """In rad/m."""
    out: Path = Path("runs/helmholtz")

    @property
    def name(self) -> str:
        return "helmholtz"

    @property
    def facts(self) -> dict[str, float]:
        return {"wavenumber": self.wavenumber}

    @property
    def units(self) -> Mapping[str, str]:
        return {"displacement": "1", "source": "m-2"}

    def posed(self, cells: Cells) -> Posed:
        state, source = _tones(cells, self.wavenumber)
        equation = Helmholtz(cells, self.wavenumber)
        return Posed(equation, source[None, None], state[None, None])


@dataclass(frozen=True, kw_only=True)
class PoissonCase(SteadyCase):
    """The potential of a source."""

    out: Path = Path("runs/poisson")

    @property
    def name(self) -> str:
        return "poisson"

    @property
    def facts(self) -> dict[str, float]:
        return {}

    @property
    def units(self) -> Mapping[str, str]:
        return {"potential": "1", "source": "m-2"}

    def posed(self, cells: Cells) -> Posed:
        state, source = _tones(cells, 0.0)
        return Posed(Helmholtz(cells), source[None, None], state[None, None])


CASES: dict[str, type[SteadyCase]] = {
    "darcy": DarcyCase,
    "helmholtz": HelmholtzCase,
    "poisson": PoissonCase,
}
