"""``physgen simulate``: run a named flow, keep it, and set its figures beside published ones."""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from torch import Tensor

from physgen.datasets.flow import Flows, write_flows
from physgen.datasets.vtk import write_vtk
from physgen.design_tasks.flow_case import Case, Row, Run, begun
from physgen.design_tasks.flow_view import What, film, save, sheet
from physgen.design_tasks.kept import Kept, told
from physgen.files import write_json
from physgen.progress import Progress
from physgen.results import simulation_folder
from physgen.solvers.bodies import contours
from physgen.solvers.fluid import FlowState
from physgen.solvers.marching import Course, Record
from physgen.solvers.staggered import curl, to_centres
from physgen.verdict import versions

CHECKPOINT = "checkpoint.safetensors"
KEEP = 20.0
"""Seconds between two checkpoints."""


@dataclass(frozen=True)
class Simulated:
    """What ``physgen simulate`` found."""

    case: str
    options: dict[str, object]
    rows: list[Row]
    seconds: float
    steps: int
    divergence: float
    """The largest, over the speed of the stream."""
    cells: tuple[int, int]
    files: list[str]
    versions: dict[str, str]


def simulate(case: Case, progress: Progress) -> Simulated:
    """Run a case, or take it up where it was stopped, and write what it found.

    Raises:
        ValueError: the folder holds the checkpoint of another run, or too few steps come after the
            transient.
        FloatingPointError: the flow blew up.
    """
    out = simulation_folder(case.out)
    began = time.perf_counter()
    progress.stage(f"{case.name}: preparing")
    run, before = _run(case, progress, out, began)
    progress.stage("pictures and files")
    rows = [_told(row) for row in case.figures(run)]
    flows = to_flows(case, run)
    write_flows(out / "flow.h5", flows)
    what = What.SCALAR if run.scene.scalars else What.VORTICITY
    count = len(flows.time)
    save(sheet(flows, 0, what, sorted({count // 4, count // 2, count - 1})), out / "sheet.png")
    film(out / "flow.gif", flows, 0, what)
    vtk = write_vtk(out / "vtk", flows, 0)
    found = Simulated(
        case=case.name,
        options=told(case),
        rows=rows,
        seconds=before + time.perf_counter() - began,
        steps=len(run.time),
        divergence=float(run.scene.flow.divergence(run.state, run.course.immersed).max()),
        cells=(run.scene.flow.grid.nx, run.scene.flow.grid.ny),
        files=["flow.h5", "sheet.png", "flow.gif", *(str(p.relative_to(out)) for p in vtk)],
        versions=versions(),
    )
    facts = asdict(found)
    facts["rows"] = [row._asdict() for row in rows]
    write_json(out / "simulation.json", facts)
    (out / CHECKPOINT).unlink(missing_ok=True)
    return found


def _told(row: Row) -> Row:
    """The figure, or None for what is no number."""
    value = row.value if row.value is not None and math.isfinite(row.value) else None
    half = row.half if row.half is not None and math.isfinite(row.half) else None
    return row._replace(value=value, half=half)


def _run(case: Case, progress: Progress, out: Path, began: float) -> tuple[Run, float]:
    """The run, and the seconds that were spent on it before it was last stopped."""
    like = torch.zeros(1, dtype=torch.float64 if case.double else torch.float32)
    scene = case.scene(like)
    course = Course(scene.flow, scene.bodies, like)
    kept = _Kept(case, out / CHECKPOINT)
    found = kept.load()
    if scene.lead is not None and found is None:
        progress.stage(f"{case.name}: the first {scene.lead.time:g} s on cells twice as wide")
    frames, record, before = found or ([begun(scene, like, case.compile)], Record(), 0.0)
    progress.stage(f"{case.name}: {scene.flow.grid.nx} x {scene.flow.grid.ny} cells")
    if case.compile:
        course.compile()
    saved = time.perf_counter()
    for frame in range(len(frames), case.frames + 1):
        end = case.time * frame / case.frames
        frames.append(course.march(frames[-1], end, record))
        progress.share(frame / case.frames)
        if time.perf_counter() - saved > KEEP and frame < case.frames:
            saved = time.perf_counter()
            kept.save(frames, record, before + saved - began)
    run = Run(scene, course, frames[-1], record.time, record.force(like), frames)
    return run, before


class _Kept:
    """A run on disk: all saved states and the forces so far."""

    def __init__(self, case: Case, path: Path) -> None:
        decided = {name: value for name, value in told(case).items() if name != "since"}
        self.kept = Kept(path, case.name, decided)  # since only reads what the run left

    def save(self, frames: Sequence[FlowState], record: Record, seconds: float) -> None:
        tensors = {
            name: torch.stack([getattr(frame, name) for frame in frames])
            for name in FlowState._fields
        }
        forces = record.force(frames[0].u).movedim(1, 0).contiguous()
        self.kept.save({**tensors, "steps": record.time, "forces": forces}, seconds)

    def load(self) -> tuple[list[FlowState], Record, float] | None:
        loaded = self.kept.load()
        if loaded is None:
            return None
        tensors, seconds = loaded
        parts = [tensors[name].unbind(0) for name in FlowState._fields]
        frames = [FlowState(*one) for one in zip(*parts, strict=True)]
        return frames, Record(tensors["steps"].tolist(), tensors["forces"].tolist()), seconds


def to_flows(case: Case, run: Run) -> Flows:
    """The run as the native file holds it: single precision, at the middles of the cells."""
    flow, frames, immersed = run.scene.flow, run.frames, run.course.immersed
    grid, like = flow.grid, run.state.u

    def single(parts: Sequence[Tensor]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = torch.stack(list(parts), 1).float().cpu().numpy()
        return found

    x, y = grid.centres(like)
    lines = [
        [max(body, key=len).astype(np.float32) for body in sample]
        for sample in contours(run.scene.bodies, x, y)
    ]
    fluid = immersed.openness.live.to(like)
    return Flows(
        name=case.name,
        time=np.asarray([float(frame.time) for frame in frames], np.float32),
        x=x[:, 0].float().cpu().numpy(),
        y=y[0].float().cpu().numpy(),
        velocity=single([to_centres(frame.u, frame.v) for frame in frames]),
        pressure=single([relative_pressure(frame.pressure, fluid) for frame in frames]),
        vorticity=single([curl(frame.u, frame.v, grid.spacing) for frame in frames]),
        scalar=single([frame.scalar[:, 0] for frame in frames]) if run.scene.scalars else None,
        distance=immersed.distance[:, None].float().cpu().numpy(),
        outlines=[[sample] for sample in lines],
        force=run.force.float().cpu().numpy(),
        force_time=run.time.float().cpu().numpy(),
        parameters=case.facts,
        recipe={"case": case.name, "options": told(case), "versions": versions()},
        seed=np.zeros(len(like), np.int64),
        sides=flow.sides.kinds,
    )


def relative_pressure(pressure: Tensor, fluid: Tensor) -> Tensor:
    """Pressure less its mean over the first column of cells, and zero within bodies."""
    return (pressure - pressure[:, :1].mean((1, 2), keepdim=True)) * fluid


def table(found: Simulated) -> Table:
    """The figures beside the published ones."""
    grid = figures_table(
        f"{found.case}: {found.cells[0]} x {found.cells[1]} cells", found.rows, "published"
    )
    grid.caption = (
        f"{found.steps} steps in {found.seconds:.0f} s; largest divergence {found.divergence:.0e}"
    )
    return grid


def figures_table(title: str, rows: Sequence[Row], known: str) -> Table:
    """Figures of a run, each beside what is known of it and how."""
    grid = Table(title=title, box=box.SIMPLE)
    for name, side in (("", "left"), ("here", "right"), (known, "right"), ("off", "right")):
        grid.add_column(name, justify="right" if side == "right" else "left", no_wrap=bool(name))
    grid.add_column("source", style="dim")
    for row in rows:
        value = "none" if row.value is None else f"{row.value:.4f}"
        if row.value and abs(row.value) < 1e-3:
            value = f"{row.value:.1e}"
        if row.half is not None:
            value += f" ± {row.half:.4f}"
        off = row.deviation
        if row.reference is None:
            told, away = "", ""
        else:
            low, high = row.reference
            told = f"{low:g}" if low == high else f"{low:g} to {high:g}"
            away = (
                "within"
                if off == 0
                else (f"{100 * off:.1f} %" if off and any(row.reference) else "")
            )
        grid.add_row(row.figure, value, told, away, row.source)
    return grid
