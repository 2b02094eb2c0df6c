"""``physgen simulate`` of an equation: run it, keep it, and set figures beside what is known."""

import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor

from physgen.datasets.field import Fields, write_fields
from physgen.datasets.vtk import write_images
from physgen.design_tasks.equation_case import EquationCase, Setting
from physgen.design_tasks.equation_view import sheet
from physgen.design_tasks.flow_case import Row
from physgen.design_tasks.flow_simulate import figures_table
from physgen.design_tasks.flow_view import save
from physgen.design_tasks.kept import Kept, told
from physgen.files import write_json
from physgen.progress import Progress
from physgen.results import simulation_folder
from physgen.shapes import Trajectory
from physgen.solvers.evolution import drive
from physgen.verdict import versions

CHECKPOINT = "checkpoint.safetensors"
KEEP = 20.0
"""Seconds between two checkpoints."""


@dataclass(frozen=True)
class SimulatedEquation:
    """What ``physgen simulate`` found."""

    case: str
    options: dict[str, object]
    rows: list[Row]
    seconds: float
    steps: int
    points: tuple[int, ...]
    files: list[str]
    versions: dict[str, str]


def simulate(case: EquationCase, progress: Progress) -> SimulatedEquation:
    """Run a case, or take it up where it was stopped, and write what it found.

    Raises:
        ValueError: an option makes no sense, or the folder holds the checkpoint of another run.
        FloatingPointError: the solution left the finite numbers.
    """
    began = time.perf_counter()
    setting = case.setting()
    out = simulation_folder(case.out)
    points = tuple(len(line) for line in setting.places.values())
    progress.stage(f"{case.name}: {' x '.join(map(str, points))} points")
    with torch.no_grad():
        kept = Kept(out / CHECKPOINT, case.name, told(case))
        trajectory, before = march(case, setting, progress, kept)
        rows = case.figures(trajectory)
    progress.stage("pictures and files")
    fields = to_fields(case, setting, trajectory)
    write_fields(out / "fields.h5", fields)
    save(sheet(fields, 0), out / "sheet.png")
    series = write_images(out / "vtk", fields, 0)
    found = SimulatedEquation(
        case=case.name,
        options=told(case),
        rows=rows,
        seconds=before + time.perf_counter() - began,
        steps=case.frames * case.steps,
        points=points,
        files=["fields.h5", "sheet.png", str(series.relative_to(out))],
        versions=versions(),
    )
    facts = asdict(found)
    facts["rows"] = [row._asdict() for row in rows]
    write_json(out / "simulation.json", facts)
    kept.path.unlink(missing_ok=True)
    return found


def march(
    case: EquationCase, setting: Setting, progress: Progress, kept: Kept
) -> tuple[Trajectory, float]:
    """The states at the instants to save, and the seconds spent on them in earlier runs.

    Raises:
        ValueError: what is kept is of a run with other options.
        FloatingPointError: the solution left the finite numbers.
    """
    kind = torch.float64 if case.double else torch.float32
    states, controls = [setting.state.to(kind)], setting.controls.to(kind)
    loaded, before = kept.load(), 0.0
    if loaded is not None:
        states, before = list(loaded[0]["states"].unbind(1)), loaded[1]
    began = saved = time.perf_counter()
    for k in range(len(states) - 1, case.frames):
        interval = controls[:, k : k + 1]
        step = drive(setting.solver, states[-1], interval, case.steps, k * case.interval)
        states.append(step[:, -1])
        progress.share((k + 1) / case.frames)
        if time.perf_counter() - saved > KEEP and k + 1 < case.frames:
            saved = time.perf_counter()
            kept.save({"states": torch.stack(states, 1)}, before + saved - began)
    return torch.stack(states, 1), before


def to_fields(case: EquationCase, setting: Setting, trajectory: Tensor) -> Fields:
    """The run as the native file holds it, in single precision."""
    channels = trajectory.float().cpu().unbind(2)
    times = case.interval * np.arange(case.frames + 1)
    return Fields(
        name=case.name,
        time=_single(times),
        axes=setting.places,
        values={name: one.numpy() for name, one in zip(setting.units, channels, strict=True)},
        units=setting.units,
        parameters={**case.facts, "dt": case.step},
        recipe={"case": case.name, "options": told(case), "versions": versions()},
        seed=np.asarray([setting.seed], np.int64),
        side=setting.side,
        centring=setting.centring,
    )


def _single(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return values.astype(np.float32)


def table(found: SimulatedEquation) -> Table:
    """The figures beside what is known."""
    grid = figures_table(
        f"{found.case}: {' x '.join(map(str, found.points))} points", found.rows, "known"
    )
    grid.caption = f"{found.steps} steps in {found.seconds:.1f} s"
    return grid
