"""``physgen verify pair``: does what two foils save by flying in line survive a finer grid?

The saving is measured on several grids and in several domains, extrapolated, and judged; a
second, independent code, lattice Boltzmann, measures it once more.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from physgen.design_tasks.flow_case import even
from physgen.design_tasks.flow_cases import foil
from physgen.files import writable_folder
from physgen.options import check_positive
from physgen.progress import Progress
from physgen.solvers import boltzmann
from physgen.solvers.bodies import Body, Several
from physgen.solvers.fluid import Flow
from physgen.solvers.histories import summarise
from physgen.solvers.marching import Course, Record
from physgen.solvers.staggered import Grid
from physgen.solvers.verify import Study, refine


@dataclass(frozen=True)
class PairOptions:
    """Two equal foils in line against each alone, on several grids and in several domains."""

    section: str = "0012"
    """NACA digits, or the path of a .dat file."""
    angle: float = 8.0
    """Of attack, in degrees, nose up."""
    gap: float = 1.0
    """Between the foils, in chords."""
    reynolds: float = 500.0
    """Speed times chord over viscosity."""
    cells: tuple[int, ...] = (16, 24, 36)
    """Cells for each chord, one grid after the other."""
    heights: tuple[float, ...] = (6.0, 12.0)
    """Of the domain, in chords; the grids are refined in the first."""
    time: float = 20.0
    """How long, in chords per speed."""
    since: float = 12.0
    """When the transient is over."""
    lattice: int = 24
    """Cells for each chord of the lattice Boltzmann run; 0 for none."""
    out: Path = Path("runs/verify")
    """Folder; grids that are done are kept there and not run again."""

    def __post_init__(self) -> None:
        if not 0 < self.since < self.time:
            raise ValueError(f"since must lie within the time, got {self.since} and {self.time}")
        check_positive(self, "gap", "reynolds", "cells", "heights")
        if self.lattice < 0:
            raise ValueError(f"lattice must not be negative, got {self.lattice}")


CLAIM = "change of drag"
"""The figure that must persist."""

Code = Callable[[PairOptions, Grid, Body], Tensor]
"""Mean drag and lift coefficients of each body, by one solver or another."""


def verify_pair(options: PairOptions, progress: Progress) -> tuple[Study, Mapping[str, float]]:
    """The study, and the figures of the second code (empty if it was not asked)."""
    out = writable_folder(options.out)
    configuration = {
        name: value
        for name, value in asdict(options).items()
        if name not in ("cells", "heights", "lattice", "out")
    }

    def measure(cells: int, height: float) -> dict[str, float]:
        progress.stage(f"{cells} cells a chord, {height:g} chords high")
        return _figures(options, cells, height, _flow)

    study = refine(measure, options.cells, options.heights, configuration, out / "study.json", 1.0)
    second: dict[str, float] = {}
    if options.lattice:
        progress.stage(f"lattice Boltzmann, {options.lattice} cells a chord")
        second = _figures(options, options.lattice, options.heights[0], _lattice)
    return study, second


def _grid(options: PairOptions, cells: int, height: float) -> Grid:
    wide = 3.0 + (2 + options.gap) + 5.0
    nx, ny = even(wide * cells), even(height * cells)
    return Grid(nx, ny, 1 / cells, -3.0, -0.5 * ny / cells)


def _figures(options: PairOptions, cells: int, height: float, code: Code) -> dict[str, float]:
    like = torch.zeros(1)
    incidence = math.radians(options.angle)
    front, rear = (
        foil(options.section, x, 0.0, incidence, like) for x in (0.0, 1.0 + options.gap)
    )
    grid = _grid(options, cells, height)
    alone = code(options, grid, front) + code(options, grid, rear)
    pair = code(options, grid, Several([front, rear]))
    drag, lift = (float(one.sum()) for one in alone.unbind(-1))
    drag_pair, lift_pair = (float(one.sum()) for one in pair.unbind(-1))
    return {
        "drag of both alone": drag,
        "drag of the pair": drag_pair,
        CLAIM: drag_pair / drag - 1,
        "lift of both alone": lift,
        "change of lift": lift_pair / lift - 1 if abs(lift) > 1e-3 else 0.0,
    }


def _flow(options: PairOptions, grid: Grid, bodies: Body) -> Tensor:
    course = Course(Flow(grid, 1 / options.reynolds), bodies, torch.zeros(1))
    record = Record()
    course.march(course.start(), options.time, record)
    return _mean(options, record.time, record.force(course.like))


def _lattice(options: PairOptions, grid: Grid, bodies: Body) -> Tensor:
    like = torch.zeros(1)
    x, y = grid.centres(like)
    lattice = boltzmann.Lattice(
        bodies.distance(x, y),
        grid.spacing,
        1 / options.reynolds,
        1.0,
        left=boltzmann.Inflow(1.0),
        right=boltzmann.Outflow(),
        bottom=boltzmann.Slip(),
        top=boltzmann.Slip(),
        cut=boltzmann.cuts(bodies.distance, x, y, grid.spacing),
    )
    stream = torch.zeros(1, 2, grid.nx, grid.ny)
    stream[:, 0] = 1.0
    _, force = lattice.run(lattice.initial(stream), options.time)
    return _mean(options, lattice.dt * torch.arange(1, force.shape[1] + 1), force)


def _mean(options: PairOptions, time: Tensor, force: Tensor) -> Tensor:
    """Mean drag and lift coefficients of each body."""
    return summarise(time, 2 * force.movedim(1, -1), 1.0, 1.0, options.since).mean[0]
