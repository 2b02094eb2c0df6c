"""The flow solver against published figures: ``python benchmarks/flow.py [--only channel]``.

Every row is one run of ``physgen simulate`` in a folder of its own. A row that is done is not run
again, and one that was stopped goes on, so the whole can be run in pieces. The default is what
the README reports, some hours on one core.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table

from physgen.design_tasks.flow_case import Case, Row
from physgen.design_tasks.flow_cases import (
    Airfoil,
    Cavity,
    Channel,
    Cylinder,
    Stream,
    Tandem,
    Vortex,
)
from physgen.design_tasks.flow_simulate import simulate
from physgen.progress import Silent
from physgen.solvers.immersion import Kernel
from physgen.solvers.verify import converge


@dataclass(frozen=True)
class Options:
    """Which rows to run."""

    only: str = ""
    """Rows whose name contains this."""
    out: Path = Path("runs/flow_benchmark")
    """Folder of the runs."""
    compile: bool = True
    """Compile the step of the larger runs."""


def rows() -> dict[str, Case]:
    """All runs by name."""
    # A wake is felt far away: half this domain raises Strouhal numbers by two per cent.
    wide = Stream(width=60.0, height=60.0, upstream=25.0)
    found: dict[str, Case] = {
        "vortex 32": Vortex(cells=32),
        "vortex 64": Vortex(cells=64),
        "vortex 128": Vortex(cells=128),
        "cavity Re 100, 64": Cavity(),
        "channel Re 20, 20 cells": Channel(reynolds=20.0, time=40.0, since=30.0),
        "channel Re 100, 20 cells": Channel(),
        "cavity Re 1000, 128": Cavity(reynolds=1000.0, cells=128, time=50.0),
    }
    for reynolds in (20.0, 40.0):
        for cells in (6, 8, 12):
            case = Cylinder(
                reynolds=reynolds,
                stream=replace(wide, cells=cells),
                time=50.0,
                since=40.0,
                frames=25,
            )
            found[f"cylinder Re {reynolds:g}, {cells} cells"] = case
    for reynolds in (100.0, 200.0):
        for cells in (8, 12, 16):
            case = Cylinder(
                reynolds=reynolds, stream=replace(wide, cells=cells), since=75.0, time=135.0
            )
            found[f"cylinder Re {reynolds:g}, {cells} cells"] = case
        found[f"cylinder Re {reynolds:g}, 24 cells"] = Cylinder(
            reynolds=reynolds,
            stream=replace(wide, cells=24),
            lead=75.0,
            since=15.0,
            time=45.0,
            frames=9,
        )
    for angle, reynolds in ((0.0, 500.0), (0.0, 1000.0), (8.0, 500.0)):
        for cells in (24, 32, 48, 64):
            stream = Stream(cells, 9.0, 6.0, 3.0)
            foil = Airfoil(angle=angle, reynolds=reynolds, stream=stream, time=20.0, since=15.0)
            found[f"airfoil Re {reynolds:g}, {angle:g} degrees, {cells} cells"] = foil
            if angle:
                open_ = replace(foil, kernel=Kernel(closing=0.0))
                found[f"open airfoil Re {reynolds:g}, {angle:g} degrees, {cells} cells"] = open_
    for spacing in (1.5, 2.0, 3.0, 4.0):
        found[f"tandem spacing {spacing:g}"] = Tandem(spacing=spacing)
    found["channel Re 20, 40 cells"] = Channel(reynolds=20.0, cells=40, time=40.0, since=30.0)
    found["channel Re 100, 40 cells"] = Channel(cells=40)
    found["cavity Re 1000, 256"] = Cavity(reynolds=1000.0, cells=256, time=50.0)
    return found


def run(options: Options) -> dict[str, list[Row]]:
    """The figures of all wanted rows."""
    console, found = Console(), {}
    for name, case in rows().items():
        if options.only not in name:
            continue
        folder = options.out / name.replace(" ", "_").replace(",", "")
        done = folder / "simulation.json"
        if not done.exists():
            large = case.name not in ("vortex",) and options.compile
            torch.compiler.reset()  # Or torch gives up after eight different sizes.
            simulate(replace(case, out=folder, compile=large), Silent())
        facts = json.loads(done.read_text())
        found[name] = [
            Row(**{**row, "reference": tuple(row["reference"]) if row["reference"] else None})
            for row in facts["rows"]
        ]
        grid = Table(title=f"{name}: {facts['steps']} steps in {facts['seconds']:.0f} s")
        for column in ("", "here", "published", "off"):
            grid.add_column(column)
        for row in found[name]:
            off = row.deviation
            grid.add_row(
                row.figure,
                "none" if row.value is None else f"{row.value:.5f}",
                "" if row.reference is None else " to ".join(f"{x:g}" for x in row.reference),
                "" if off is None else f"{off:.2%}",
            )
        console.print(grid)
    return found


def limits(found: dict[str, list[Row]]) -> Table:
    """Figures of one flow on several grids, and where the finest three of them go."""
    grid = Table(title="Under refinement")
    for column in ("flow", "figure", "cells", "values", "Richardson", "order", "GCI", "published"):
        grid.add_column(column)
    groups: dict[str, dict[int, list[Row]]] = {}
    for name, figures in found.items():
        if name.endswith(" cells"):
            flow, cells = name.removesuffix(" cells").rsplit(", ", 1)
            groups.setdefault(flow, {})[int(cells)] = figures
    for flow, by_cells in groups.items():
        finest = by_cells[max(by_cells)]
        for row in finest:
            series = {
                count: one.value
                for count, figures in sorted(by_cells.items())
                for one in figures
                if one.figure == row.figure and one.value is not None
            }
            grids, values = list(series), list(series.values())
            if len(grids) < 3 or len(set(values)) == 1:
                continue
            one = converge(grids[-3:], values[-3:], formal_order=1.0)  # the coarsest misleads
            grid.add_row(
                flow,
                row.figure,
                " ".join(str(count) for count in grids),
                " ".join(f"{value:.4f}" for value in values),
                f"{one.richardson:.4f}",
                f"{one.order:.2f}",
                f"{one.gci:.4f}",
                "" if row.reference is None else " to ".join(f"{x:g}" for x in row.reference),
            )
    return grid


if __name__ == "__main__":
    chosen = tyro.cli(Options)
    Console().print(limits(run(chosen)))
