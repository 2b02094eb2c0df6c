r"""Data of steady equations: coefficients or sources at random, and what solves them.

Figures of each sample: ``residual``, that of the equation over its source, both as root mean squares;
``balance``, what flows out through the walls less what the sources give, over all they give and
take; ``finite``, the share of numbers that are.
"""

import abc
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from physgen.datasets.equation import Drawn, EquationData, Site, own_generators
from physgen.shapes import Boundary, PerSample, State
from physgen.solvers.darcy import Darcy
from physgen.solvers.elliptic import Cells, Inversion, SparseFactors, Steady
from physgen.solvers.helmholtz import Helmholtz
from physgen.solvers.random_field import GaussianField

FACTORS = SparseFactors()


@dataclass(frozen=True, kw_only=True)
class SteadyData(EquationData):
    """Pairs of boundary data and state on a square of 1 m, in double precision."""

    cells: int = 64
    """Along each side."""
    alpha: float = 2.0
    """How smooth the random field is."""
    tau: float = 3.0
    """One over the length of its largest features, in 1/m."""
    shard: int = 50

    @abc.abstractmethod
    def equation(self, inversion: Inversion = FACTORS) -> Steady:
        """What is solved, and how."""

    @abc.abstractmethod
    def posed(self, field: Tensor) -> Boundary:
        """Boundary data from random fields ``(batch, x, y)``."""

    @abc.abstractmethod
    def balance(self, state: State, boundary: Boundary) -> PerSample:
        """What flows out less what is given, over all that is given and taken."""

    @property
    @final
    def square(self) -> Cells:
        return Cells((self.cells, self.cells), (1.0, 1.0))

    @final
    def check(self) -> None:
        """All that refuses something is made once, on fields of nothing."""
        GaussianField(self.alpha, self.tau)
        self.posed(torch.zeros(1, self.cells, self.cells, dtype=torch.float64))
        self.equation()

    @property
    @final
    def site(self) -> Site:
        return Site(self.square.places(torch.zeros(1, dtype=torch.float64)), "WALL", "cell")

    @final
    def drawn(self, seeds: range) -> Boundary:
        """Boundary data, one for each seed."""
        law = GaussianField(self.alpha, self.tau)
        fields = [law.draw(self.square, 1, source) for source in own_generators(seeds)]
        return self.posed(torch.cat(fields))

    @final
    def simulate(self, seeds: range) -> Drawn:
        equation, boundary = self.equation(), self.drawn(seeds)
        state = equation.solve(boundary)
        left, source = equation.residual(state, boundary)[:, 0], boundary[:, -1]
        quality = {
            "residual": (left.square().mean((1, 2)) / source.square().mean((1, 2))).sqrt(),
            "balance": self.balance(state, boundary).abs(),
        }
        values = torch.cat([state, boundary], 1)[:, None]
        return Drawn(torch.zeros(1, dtype=torch.float64), values, quality, {})


def _balance(cells: Cells, coefficient: Tensor, state: State, given: Tensor) -> PerSample:
    out = cells.outflow(coefficient, state[:, 0])
    found: Tensor = (out - given.sum((1, 2))) / given.abs().sum((1, 2))
    return found


@dataclass(frozen=True, kw_only=True)
class DarcyData(SteadyData):
    """Flow through ground of two permeabilities, as of the Fourier neural operator's Darcy problem."""

    low: float = 3.0
    """Permeability where the random field is negative."""
    high: float = 12.0
    """Permeability elsewhere."""
    out: Path = Path("data/darcy")

    @property
    def name(self) -> str:
        return "darcy"

    @property
    def facts(self) -> dict[str, float]:
        return {"low": self.low, "high": self.high}

    @property
    def units(self) -> dict[str, str]:
        return {"pressure": "1", "permeability": "1", "source": "m-2"}

    def equation(self, inversion: Inversion = FACTORS) -> Steady:
        return Darcy(self.square, inversion)

    def posed(self, field: Tensor) -> Boundary:
        if not (self.low > 0 and self.high > 0):
            raise ValueError(
                f"permeabilities must be positive, got low {self.low} and high {self.high}"
            )
        ground = torch.where(field < 0, self.low, self.high).to(field)
        return torch.stack([ground, torch.ones_like(field)], 1)

    def balance(self, state: State, boundary: Boundary) -> PerSample:
        permeability, source = boundary.unbind(1)
        return _balance(self.square, permeability, state, source)


@dataclass(frozen=True, kw_only=True)
class HelmholtzData(SteadyData):
    """Waves under a random source that stands."""

    wavenumber: float = 1.0
    """In rad/m."""
    out: Path = Path("data/helmholtz")

    @property
    def name(self) -> str:
        return "helmholtz"

    @property
    def facts(self) -> dict[str, float]:
        return {"wavenumber": self.wavenumber}

    @property
    def units(self) -> dict[str, str]:
        return {"displacement": "1", "source": "m-2"}

    def equation(self, inversion: Inversion = FACTORS) -> Steady:
        return Helmholtz(self.square, self.wavenumber, inversion)

    def posed(self, field: Tensor) -> Boundary:
        return field[:, None]

    def balance(self, state: State, boundary: Boundary) -> PerSample:
        given = self.wavenumber**2 * state[:, 0] - boundary[:, 0]
        return _balance(self.square, torch.ones_like(given), state, given)


@dataclass(frozen=True, kw_only=True)
class PoissonData(SteadyData):
    """The potential of a random source."""

    out: Path = Path("data/poisson")

    @property
    def name(self) -> str:
        return "poisson"

    @property
    def facts(self) -> dict[str, float]:
        return {}

    @property
    def units(self) -> dict[str, str]:
        return {"potential": "1", "source": "m-2"}

    def equation(self, inversion: Inversion = FACTORS) -> Steady:
        return Helmholtz(self.square, inversion=inversion)

    def posed(self, field: Tensor) -> Boundary:
        return field[:, None]

    def balance(self, state: State, boundary: Boundary) -> PerSample:
        given = -boundary[:, 0]
        return _balance(self.square, torch.ones_like(given), state, given)


STEADY: dict[str, type[SteadyData]] = {
    "darcy": DarcyData,
    "helmholtz": HelmholtzData,
    "poisson": PoissonData,
}
