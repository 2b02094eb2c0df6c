"""``physgen simulate`` of a steady equation: solve it, and hold it to the solution that is known."""

import math
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from physgen.datasets.field import NO_SEED, Fields, axes_of, write_fields
from physgen.datasets.vtk import write_images
from physgen.design_tasks.equation_view import sheet
from physgen.design_tasks.flow_case import Row
from physgen.design_tasks.flow_simulate import figures_table
from physgen.design_tasks.flow_view import save
from physgen.design_tasks.kept import told
from physgen.design_tasks.steady_cases import LIKE, Posed, SteadyCase
from physgen.files import write_json
from physgen.progress import Progress
from physgen.results import simulation_folder
from physgen.solvers.elliptic import Cells
from physgen.verdict import versions

FINER = 2
"""How much finer the cells are that tell the order."""


@dataclass(frozen=True)
class Solved:
    """What ``physgen simulate`` found of a steady problem."""

    case: str
    options: dict[str, object]
    rows: list[Row]
    seconds: float
    cells: int
    files: list[str]
    versions: dict[str, str]


def solve(case: SteadyCase, progress: Progress) -> Solved:
    """Solve a case, and write what was found.

    Raises:
        ValueError: an option makes no sense.
    """
    began = time.perf_counter()
    out = simulation_folder(case.out)
    progress.stage(f"{case.name}: {case.cells} x {case.cells} cells")
    with torch.no_grad():
        posed = case.finer(1)
        state = posed.equation.solve(posed.boundary)
        rows = _figures(posed, state, case.finer(FINER))
    progress.stage("pictures and files")
    fields = _fields(case, posed, state)
    write_fields(out / "fields.h5", fields)
    save(sheet(fields, 0), out / "sheet.png")
    series = write_images(out / "vtk", fields, 0)
    found = Solved(
        case=case.name,
        options=told(case),
        rows=rows,
        seconds=time.perf_counter() - began,
        cells=case.cells,
        files=["fields.h5", "sheet.png", str(series.relative_to(out))],
        versions=versions(),
    )
    facts = asdict(found)
    facts["rows"] = [row._asdict() for row in rows]
    write_json(out / "simulation.json", facts)
    return found


def _figures(posed: Posed, state: Tensor, finer: Posed) -> list[Row]:
    known = posed.exact.abs().max()
    error = float((state - posed.exact).abs().max() / known)
    less = float((finer.equation.solve(finer.boundary) - finer.exact).abs().max() / known)
    owed = posed.equation.residual(state, posed.boundary).norm() / posed.boundary[:, -1].norm()
    order = math.log(error / less) / math.log(FINER)
    return [
        Row("largest error", error, None, (0.0, 0.0), "exact"),
        Row("on cells half as wide", less, None, (0.0, 0.0), "exact"),
        Row("order in the spacing", order, None, (2.0, 2.0), "finite volumes"),
        Row("residual over the source", float(owed), None, (0.0, 0.0), "the equation"),
    ]


def _fields(case: SteadyCase, posed: Posed, state: Tensor) -> Fields:
    """State and boundary data, and what the state should be, at one instant."""
    first = next(iter(case.units))
    units = {first: case.units[first], f"exact_{first}": case.units[first]}
    units = {**units, "error": case.units[first], **case.units}
    parts = torch.cat([state, posed.exact, state - posed.exact, posed.boundary], 1)
    channels = parts[:, :, None].float().unbind(1)
    return Fields(
        name=case.name,
        time=np.zeros(1, np.float32),
        axes=axes_of(Cells((case.cells,) * 2, (1.0, 1.0)).places(LIKE)),
        values={name: one.numpy() for name, one in zip(units, channels, strict=True)},
        units=units,
        parameters=case.facts,
        recipe={"case": case.name, "options": told(case), "versions": versions()},
        seed=np.asarray([NO_SEED], np.int64),
        side="WALL",
        centring="cell",
    )


def table(found: Solved) -> Table:
    """The figures beside what is known."""
    grid = figures_table(f"{found.case}: {found.cells} x {found.cells} cells", found.rows, "known")
    grid.caption = f"{found.seconds:.1f} s"
    return grid
