r"""Inverse problems of steady equations on a square of 1 m with walls at which :math:`u = 0`.

========= ==================================== ==================================================
darcy     :math:`-\nabla\cdot(a \nabla u) = 1` a is 3 where a Gaussian random field is negative, else 12
poisson   :math:`\nabla^2 u = a`               a is that field
helmholtz :math:`\nabla^2 u + u = a`           a is that field
========= ==================================== ==================================================

with the law :math:`N(0, \tau^{2}(-\Delta + \tau^2)^{-2})`, :math:`\tau` = 3 /m, of the field, as in
DiffusionPDE (Huang et al., 2024, https://arxiv.org/abs/2406.17763), here on 64 by 64 cells.

Poisson's and Helmholtz' equations are linear and their sources Gaussian, so that both fields together
are a Gaussian; Darcy's are not.
"""

import math
from functools import cached_property
from pathlib import Path
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from physgen.datasets.steady import STEADY, DarcyData
from physgen.design_tasks.inverse_equation import Equation, Given, Law, Owed, Pairs, Part
from physgen.shapes import Boundary
from physgen.solvers.elliptic import SineConjugateGradients
from physgen.solvers.random_field import GaussianField
from physgen.symmetry import Square, Symmetry

ITERATED = SineConjugateGradients(1e-8)
"""How pairs are solved in double precision: many times as fast as by factors."""
AT_ONCE = 50
"""Pairs in one call of the solver."""
LEAST = 1.0
"""The permeability that a drawn one below it counts as, a third of the least true one."""
WIDTH = 0.2
"""Of the step between two permeabilities, over the spread of the field, where one is wanted that has
a gradient."""


@final
class Steady(Law):
    r"""A coefficient or source and its state.

    A sweep is one of Richardson's iteration for the state, preconditioned by sines:

    .. math:: u \leftarrow u - P\, R(u, a), \qquad P = (\bar a L - q)^{-1},
        \quad \bar a = \tfrac12 (\min a + \max a)

    for the residual :math:`R = A(a) u - f` and the Laplacian L of the walls, which sines make
    diagonal. For Poisson's and Helmholtz' equations one sweep is exact; for Darcy's each leaves at
    most :math:`(\max a - \min a) / (\max a + \min a)` of the error, 0.6 for 3 and 12. The coefficient
    stays as it is: a step of it would blur what has two values.

    Arguments:
        name: Of the equation.
        cells: Along each side.
    """

    side = "WALL"

    def __init__(self, name: str, cells: int) -> None:
        self.data = STEADY[name](cells=cells, out=Path("data") / name)
        self.cells = self.data.square
        self.space = (cells, cells)
        self.solver = self.data.equation(ITERATED)
        self.start = GaussianField(self.data.alpha, self.data.tau)
        self.white = (self.start.highest,) * 2
        self.permeable = isinstance(self.data, DarcyData)
        self.solutions = 0 if self.permeable else 1
        if isinstance(self.data, DarcyData):
            self.middle = (self.data.low + self.data.high) / 2

    @property
    def symmetry(self) -> Symmetry:
        return Square(self.space[0])

    @property
    def recipe(self) -> dict[str, object]:
        return self.data.recipe

    @property
    def facts(self) -> dict[str, float]:
        return self.data.facts

    @property
    def units(self) -> dict[str, str]:
        state, coefficient = list(self.data.units)[:2]
        return {name: self.data.units[name] for name in (coefficient, state)}

    @property
    def places(self) -> tuple[Float[Tensor, "x y"], ...]:
        return self.cells.places(torch.zeros(1, dtype=torch.float64))

    @torch.no_grad()
    def pairs(self, seeds: range) -> Pairs:
        found = []
        for first in range(seeds.start, seeds.stop, AT_ONCE):
            boundary = self.data.drawn(range(first, min(first + AT_ONCE, seeds.stop)))
            found.append(torch.cat([boundary[:, :1], self.solver.solve(boundary)], 1))
        return torch.cat(found)

    def truth(self, seeds: range) -> Pairs:
        """Those to train on: they are solved to rounding."""
        return self.pairs(seeds)

    def owed(self, pair: Pairs) -> Owed:
        """The residual is by the solver's own stencil, over the source, both as root mean squares."""
        boundary = self.boundary(pair[:, 0])
        left = self.solver.residual(pair[:, 1:], boundary)[:, 0]
        given = boundary[:, -1].square().mean((1, 2))
        made = self.completed(pair[:, 0])[:, 1:]
        apart = (pair[:, 1:] - made).flatten(1).norm(dim=1)
        residual = (left.square().mean((1, 2)) / given).sqrt()
        return Owed(residual, apart / made.flatten(1).norm(dim=1))

    @property
    def smooth(self) -> tuple[Float[Tensor, "wave x"], Float[Tensor, "wave y"]]:
        x, y = self.cells.sines
        return x, y

    def mended(self, pair: Pairs, sweeps: int) -> Pairs:
        boundary = self.boundary(pair[:, 0])
        state = pair[:, 1:]
        for _ in range(sweeps if self.permeable else 1):
            owed = self.solver.residual(state, boundary)[:, 0]
            state = state - self._nearly(owed, boundary[:, 0])[:, None]
        return torch.cat([pair[:, :1], state], 1)

    def _nearly(
        self, owed: Float[Tensor, "batch x y"], coefficient: Float[Tensor, "batch x y"]
    ) -> Float[Tensor, "batch x y"]:
        x, y = (one.to(owed) for one in self.cells.sines)
        eigenvalues = self.cells.eigenvalues.to(owed)
        amplitude = x @ owed @ y.mT
        if not self.permeable:
            # The residual of Helmholtz and Poisson has the other sign.
            shift = self.facts.get("wavenumber", 0.0) ** 2
            return x.mT @ (amplitude / (shift - eigenvalues)) @ y
        typical = (coefficient.amin((1, 2)) + coefficient.amax((1, 2)))[:, None, None] / 2
        return x.mT @ (amplitude / (typical * eigenvalues)) @ y

    def boundary(self, given: Given) -> Boundary:
        """What the solver is given: Darcy's permeability, kept positive, and its source of one."""
        if not self.permeable:
            return given[:, None]
        ground = given.clamp(min=LEAST)
        return torch.stack([ground, torch.ones_like(ground)], 1)

    def completed(self, given: Given) -> Pairs:
        boundary = self.boundary(given)
        state = torch.cat([self.solver.solve(part) for part in boundary.split(AT_ONCE)])
        return torch.cat([given[:, None], state], 1)

    def composed(self, white: Float[Tensor, "batch *mode"]) -> Given:
        """For Darcy a logistic function of the field instead of its sign."""
        field = self.start.compose(self.cells, white)
        if not isinstance(self.data, DarcyData):
            return field
        spread = self.start.deviations(2).square().sum().sqrt()
        step = torch.sigmoid(field / (WIDTH * spread))
        return self.data.low + (self.data.high - self.data.low) * step

    def covariance(self, places: Int[Tensor, " place"]) -> Float[Tensor, "place other"]:
        across = self.start.covariance(self.cells, places).flatten(1)
        if not isinstance(self.data, DarcyData):
            return across
        spread = self._spread
        half = (self.data.high - self.data.low) / 2
        return covariance_of_signs(across / (spread[places, None] * spread)) * half**2

    @cached_property
    def _spread(self) -> Float[Tensor, " cell"]:
        """Standard deviation of the field in each cell."""
        every = torch.arange(math.prod(self.space)).split(64)
        own = [
            self.start.covariance(self.cells, part).flatten(1)[:, part].diagonal()
            for part in every
        ]
        return torch.cat(own).sqrt()


def covariance_of_signs(correlation: Tensor) -> Tensor:
    r"""The covariance of the signs of a Gaussian field, :math:`\frac2\pi \arcsin \rho`."""
    found: Tensor = 2 / math.pi * correlation.clamp(-1, 1).asin()
    return found


def _equation(name: str, coefficient: str, state: str) -> Equation:
    first, second = Part(coefficient, 0), Part(state, 1)
    return Equation(
        name=name,
        gaussian=name != "darcy",
        parts=(first, second),
        seen={"forward": (first,), "inverse": (second,), "both": (first, second)},
        law=lambda cells: Steady(name, cells),
        sensors={"forward": 123, "inverse": 123, "both": 123},
        keeps_seen=name == "darcy",
        two_valued=name == "darcy",
    )


DARCY = _equation("darcy", "permeability", "pressure")
POISSON = _equation("poisson", "source", "potential")
HELMHOLTZ = _equation("helmholtz", "source", "displacement")
