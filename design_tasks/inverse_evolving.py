r"""Inverse problems of equations that evolve: what was the beginning, and what becomes of it?

*Navier-Stokes.* A plane flow in a periodic square of 1 m, without forces,

.. math:: \omega_t + u \cdot \nabla \omega = \nu\,\nabla^2 \omega, \qquad \nu = 0.001\ \text{m²/s},

from a Gaussian random vorticity of 4 /s. A sample has the vorticity at the start and that 1 s later. The
flow has no preferred place and direction: forces, which DiffusionPDE has, would give it some.

*Burgers.* A velocity on a ring of 1 m,

.. math:: v_t + v\,v_x = \nu\,v_{xx}, \qquad \nu = 0.01\ \text{m²/s},

from a Gaussian random one of 0.6 m/s. A sample is the field at 64 instants of 1 s, the start among
them, by 64 points; all but the start is the state.

References:
    DiffusionPDE (Huang et al., 2024, https://arxiv.org/abs/2406.17763), for both problems; the law of
    Burgers' start and its viscosity are those of Fourier neural operator for parametric partial
    differential equations (Li et al., 2021, https://arxiv.org/abs/2010.08895), without a mean.
"""

import abc
import math
from dataclasses import asdict
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from physgen import __version__
from physgen.datasets.equation import own_generators
from physgen.design_tasks.inverse_equation import Equation, Given, Law, Owed, Pairs, Part
from physgen.design_tasks.simulate import resampled
from physgen.shapes import PerSample
from physgen.solvers.burgers import Burgers
from physgen.solvers.evolution import constant, drive
from physgen.solvers.exponential import Spectral
from physgen.solvers.periodic import Periodic
from physgen.solvers.random_field import PeriodicField
from physgen.solvers.vorticity import Vorticity
from physgen.symmetry import Ring, Symmetry, Torus, cosines, waves

AT_ONCE = 50
"""Samples in one call of a solver."""


def on_points(field: Float[Tensor, "batch x y"], points: int) -> Float[Tensor, "batch _ _"]:
    """The trigonometric polynomial through points of a square, at so many others along each side."""
    for _ in range(2):
        lines = resampled(field.flatten(0, 1), points)
        field = lines.unflatten(0, field.shape[:2]).mT
    return field


class Started(Law):
    """An equation whose samples start from a Gaussian random field, on a periodic box of 1 m.

    All is solved in single precision, whose rounding is far below the error of steps and waves.
    """

    name: ClassVar[str]
    viscosity: ClassVar[float]
    """In m²/s."""
    side = "PERIODIC"
    time = 1.0
    """In s."""
    box: Periodic
    """Where the start is known."""
    start: PeriodicField
    made: tuple[int, int]
    """Points along a side and time steps of data."""
    judge: tuple[int, int]
    """Those of truth."""

    @final
    def after(self, given: Given, how: tuple[int, int]) -> Pairs:
        """Samples of starts, on so many points by so many steps, or by more for what is too fast.

        Raises:
            FloatingPointError: even the shortest steps are too long.
        """
        points, steps = how
        try:
            return self._after(given, how)
        except FloatingPointError:
            if steps > MOST * points or not given.isfinite().all():
                raise
            return self.after(given, (points, 2 * steps))

    @abc.abstractmethod
    def _after(self, given: Given, how: tuple[int, int]) -> Pairs:
        """Samples of starts, on so many points by so many steps."""

    @property
    @final
    def facts(self) -> dict[str, float]:
        return {"viscosity": self.viscosity, "time": self.time}

    @property
    @final
    def recipe(self) -> dict[str, object]:
        return {
            "dataset": self.name,
            "version": __version__,
            "cells": self.space[0],
            **asdict(self.start),
            **self.facts,
            "points": self.made[0],
            "steps": self.made[1],
        }

    @final
    def pairs(self, seeds: range) -> Pairs:
        return self._solved(seeds, self.made)

    @final
    def truth(self, seeds: range) -> Pairs:
        return self._solved(seeds, self.judge)

    @torch.no_grad()
    def _solved(self, seeds: range, how: tuple[int, int]) -> Pairs:
        drawn = [self.start.draw(self.box, 1, source) for source in own_generators(seeds)]
        parts = self._given(torch.cat(drawn)).split(AT_ONCE)
        return torch.cat([self.after(part, how) for part in parts])

    def _given(self, fields: Float[Tensor, "batch *point"]) -> Given:
        """As they lie in a sample: a ring is one row."""
        return fields.reshape(len(fields), -1, self.space[1])

    @final
    def completed(self, given: Given) -> Pairs:
        return torch.cat([self.after(part, self.made) for part in given.split(AT_ONCE)])

    @final
    def composed(self, white: Float[Tensor, "batch *mode"]) -> Given:
        return self._given(self.start.compose(self.box, white))

    @final
    def covariance(self, places: Int[Tensor, " place"]) -> Float[Tensor, "place other"]:
        return self.start.covariance(self.box, places).flatten(1)


@final
class Vortices(Started):
    """Two instants of a plane flow.

    Data are solved at the points of samples, truth with twice as many along each side, and guidance with
    five eighths of them.

    Arguments:
        cells: Points along each side at which samples are known.
    """

    name, viscosity = "navier-stokes", 1e-3
    solutions = 0  # those of guidance are coarser

    def __init__(self, cells: int) -> None:
        if cells < 8 or cells % 8:
            raise ValueError(f"points along a side must be a multiple of 8, got {cells}")
        fine = max(COARSEST, cells)
        self.made, self.judge = _stepped(fine), _stepped(2 * fine)
        self.heeded = _stepped(max(COARSEST, 5 * cells // 64 * 8))
        self.space = (cells, cells)
        self.box = Periodic(self.space, (1.0, 1.0))
        self.start = PeriodicField(4.0, 15.0, 4.0, min(10, cells // 2 - 1))
        self.white = (self.start.modes,) * 2

    @property
    def symmetry(self) -> Symmetry:
        return Torus()

    @property
    def units(self) -> dict[str, str]:
        return {"initial_vorticity": "s-1", "vorticity": "s-1"}

    @property
    def places(self) -> tuple[Float[Tensor, "x y"], ...]:
        return self.box.places(torch.zeros(1, dtype=torch.float64))

    def _after(self, given: Given, how: tuple[int, int]) -> Pairs:
        points, steps = how
        grid = Periodic((points, points), (1.0, 1.0))
        solver = Spectral(Vorticity(self.viscosity), grid, self.time / steps)
        state = on_points(given.float(), points)[:, None]
        forces = constant(state[:, :0], PIECES)
        state = drive(solver, state, forces, steps // PIECES)[:, -1, 0]
        later = on_points(state, self.space[0]).to(given)
        return torch.stack([given, later], 1)

    def owed(self, pair: Pairs) -> Owed:
        before, due = self.completed(pair[:, 0]).unbind(1)
        apart = _size(pair[:, 1] - due)
        return Owed(apart / _size(due - before), apart / _size(due))

    @property
    def smooth(self) -> tuple[Float[Tensor, "wave x"], Float[Tensor, "wave y"]]:
        return waves(self.space[0]).mT, waves(self.space[1]).mT

    def mended(self, pair: Pairs, sweeps: int) -> Pairs:
        return self.after(pair[:, 0], self.heeded)


PIECES = 8
"""Of a simulation, whose first states alone a gradient keeps."""
COARSEST = 32
"""Points along a side with which a flow is solved at least."""


MOST = 10
"""Time steps for a point along a side, beyond which no shorter ones are tried."""


def _stepped(points: int) -> tuple[int, int]:
    """Points along a side, and time steps: some 5 for 4 points. For all but a few of thousands of flows
    they are short enough, and those are solved again with steps half as long."""
    return points, PIECES * math.ceil(5 * points / (4 * PIECES))


def _size(field: Float[Tensor, "batch *space"]) -> PerSample:
    found: Tensor = field.flatten(1).norm(dim=1)
    return found


@final
class Advancing(Started):
    """All instants of a velocity on a ring.

    Arguments:
        cells: Points at which samples are known, and as many instants.
    """

    axes = ("t", "x")
    name, viscosity = "burgers", 0.01
    solutions = 1
    made, judge = (128, 126), (512, 504)

    def __init__(self, cells: int) -> None:
        if cells < 8 or self.made[0] % cells:
            raise ValueError(
                f"points of the ring must be at least 8 and divide {self.made[0]}, got {cells}"
            )
        self.space = (cells, cells)
        self.box = Periodic((cells,), (1.0,))
        self.start = PeriodicField(2.0, 5.0, 0.6, min(16, cells // 2 - 1))
        self.white = (self.start.modes,)

    @property
    def symmetry(self) -> Symmetry:
        return Ring()

    @property
    def units(self) -> dict[str, str]:
        return {"velocity": "m s-1"}

    @property
    def interval(self) -> float:
        """Between instants, in s."""
        return self.time / (self.space[0] - 1)

    @property
    def places(self) -> tuple[Float[Tensor, "x y"], ...]:
        (x,) = self.box.places(torch.zeros(1, dtype=torch.float64))
        time = torch.linspace(0, self.time, self.space[0], dtype=torch.float64)
        return tuple(torch.meshgrid(time, x, indexing="ij"))

    def _solver(self, how: tuple[int, int]) -> tuple[Spectral, int]:
        """On a ring of so many points, and its steps between instants."""
        points, steps = how
        each = math.ceil(steps / (self.space[0] - 1))
        ring = Periodic((points,), (1.0,))
        return Spectral(Burgers(self.viscosity), ring, self.interval / each), each

    def _after(self, given: Given, how: tuple[int, int]) -> Pairs:
        solver, each = self._solver(how)
        state = resampled(given[:, 0].float(), how[0])[:, None]
        forces = constant(state[:, :0], self.space[0] - 1)
        later = drive(solver, state, forces, each)[:, 1:, 0]
        known = resampled(later.flatten(0, 1), self.space[1]).unflatten(0, later.shape[:2])
        return torch.cat([given, known.to(given)], 1)[:, None]

    def owed(self, pair: Pairs) -> Owed:
        """The residual is that of the steps from each instant to the next."""
        solver, each = self._solver(self.made)
        before, after = pair[:, 0, :-1], pair[:, 0, 1:]
        state = resampled(before.flatten(0, 1).float(), self.made[0])[:, None]
        state = solver.march(state, state[:, :0], each)[:, 0]
        due = resampled(state, self.space[1]).view_as(before).to(before)
        whole = self.completed(pair[:, 0, :1])[:, 0, 1:]
        return Owed(_size(after - due) / _size(due - before), _size(after - whole) / _size(whole))

    @property
    def smooth(self) -> tuple[Float[Tensor, "wave x"], Float[Tensor, "wave y"]]:
        return cosines(self.space[0]).mT, waves(self.space[1]).mT

    def mended(self, pair: Pairs, sweeps: int) -> Pairs:
        return self.completed(pair[:, 0, :1])


START, LATER = Part("initial vorticity", 0), Part("vorticity", 1)
FIRST, BEHIND = Part("initial velocity", 0, 0, 1), Part("velocity", 0, 1)
LAST, EVERY = Part("last velocity", 0, -1), Part("velocity", 0)

NAVIER_STOKES = Equation(
    name="navier-stokes",
    gaussian=False,
    parts=(START, LATER),
    seen={"forward": (START,), "inverse": (LATER,), "both": (START, LATER)},
    law=Vortices,
    sensors={"forward": 123, "inverse": 123, "both": 123},
    heard_last=True,
)
BURGERS = Equation(
    name="burgers",
    gaussian=False,
    parts=(FIRST, BEHIND),
    seen={"forward": (FIRST,), "inverse": (LAST,), "both": (EVERY,)},
    law=Advancing,
    sensors={"forward": 16, "inverse": 16, "both": 123},
    heard_last=True,
    keeps_seen=True,
)
