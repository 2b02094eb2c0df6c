r"""A published gain of formation flying, beside foils that were only put in line.

CinDM (Wu et al., ICLR 2024, https://arxiv.org/abs/2401.13171) designed two foils whose drag is
53.6 % lower and whose lift over drag is 66.1 % higher than those of each flying alone. The set-up
that this was measured in is computed here once more with
:mod:`physgen.solvers.lilypad`: 64 by 64 cells, a chord of seven, no viscosity, the force of the
pressure alone. No design is made: two equal foils are placed behind one another by hand, with one
chord between them, and compared with each of them alone at its own place. The same pair then meets
finer cells, and the resolved flow of :mod:`physgen.solvers.fluid` with its total force.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from rich import box
from rich.table import Table
from torch import Tensor

from physgen.design_tasks.flow_case import even
from physgen.files import write_json
from physgen.options import check_positive
from physgen.progress import Progress
from physgen.results import simulation_folder
from physgen.solvers.bodies import Number, Polygon
from physgen.solvers.fluid import Flow
from physgen.solvers.forces import coefficients, pressure_force
from physgen.solvers.lilypad import Outlines, SemiLagrangian
from physgen.solvers.marching import Course
from physgen.solvers.sections import naca4, naca_digits, place
from physgen.solvers.staggered import Grid
from physgen.verdict import versions

PUBLISHED = (-53.6, 66.1)
"""Change of drag and of lift over drag, in per cent, of CinDM's designed pair."""

CHORD = 7.0
"""In cells of the published set-up."""
SIDE = 64
"""Cells along each side of it."""

Forces = Float[Tensor, "body 2"]


class Foils(NamedTuple):
    """Equal foils in line, and what was measured in the program that CinDM used."""

    section: str
    incidence: float
    """Of attack, in radians."""
    measured: tuple[float, float]
    """Change of drag and of lift over drag in Lily-Pad itself, in per cent."""
    finer: tuple[float, float] | None
    """The same with all lengths twice as many cells, where it was measured."""

    @property
    def label(self) -> str:
        return f"NACA{self.section}, {math.degrees(self.incidence):.1f}°"


PAIRS = (
    Foils("0020", 0.15, (-58.0, 61.0), (-51.0, 95.0)),
    Foils("0012", math.radians(8), (-66.0, 72.0), None),
)


@dataclass(frozen=True, kw_only=True)
class Lilypad:
    """A hand-placed pair of foils in the set-up of a published design, and in a resolved flow."""

    leader: float = 18.0
    """Place of the first foil's quarter chord, in cells of the published set-up, whose program
    counts from half a cell before the inflow."""
    height: float = 32.0
    """Of both quarter chords, in the same cells; where it falls in a cell changes the lift."""
    gap: float = 1.0
    """Between the foils, in chords."""
    since: int = 300
    """When the transient is over, in cells of the published set-up per speed."""
    time: int = 400
    """How long, in cells of the published set-up per speed."""
    finest: int = 2
    """The published set-up is computed with 1, 2, … times as many cells a length."""
    spin: float = 0.2
    """Angle in radians by which a foil is turned whose walls are then left spinning; 0: skip."""
    resolved: bool = True
    """Compute the resolved flow too: most of the time."""
    reynolds: float = 500.0
    """Of the resolved flow."""
    cells: int = 24
    """A chord of the resolved flow."""
    length: float = 20.0
    """How long the resolved flow is followed, in chords per speed; the last fifth is averaged."""
    out: Path = Path("runs/lilypad")
    """Folder of the results."""

    def __post_init__(self) -> None:
        check_positive(self, "finest", "gap", "length", "reynolds", "cells")
        if not 0 <= self.since < self.time:
            raise ValueError(
                f"the mean needs some time after {self.since}, got a time of {self.time}"
            )
        end = self.leader + CHORD * (1.75 + self.gap)
        if self.leader < 0.25 * CHORD + 4 or end > SIDE - 4:
            raise ValueError(
                f"the foils reach from {self.leader - 0.25 * CHORD:g} to {end:g} cells, but must "
                f"stay within 4 and {SIDE - 4}: move the leader, or narrow the gap"
            )

    @property
    def name(self) -> str:
        return "lilypad"


class Outcome(NamedTuple):
    """One set-up: coefficients of drag and lift of both foils, alone and behind one another."""

    setup: str
    alone: tuple[tuple[float, float], tuple[float, float]]
    pair: tuple[tuple[float, float], tuple[float, float]]
    known: tuple[float, float] | None = None
    """Change of drag and of lift over drag in per cent as others found it."""
    source: str = ""

    @property
    def change(self) -> tuple[float, float, float]:
        """Of the sums of drag and of lift, and of lift over drag, in per cent."""
        drag, lift = (sum(foil[k] for foil in self.pair) for k in (0, 1))
        drag_alone, lift_alone = (sum(foil[k] for foil in self.alone) for k in (0, 1))
        ratios = drag / drag_alone, lift / lift_alone
        found = *ratios, ratios[1] / ratios[0]
        return 100 * (found[0] - 1), 100 * (found[1] - 1), 100 * (found[2] - 1)


class Spun(NamedTuple):
    """Drag and lift coefficients of one foil with walls at rest and with spinning walls."""

    setup: str
    still: tuple[float, float]
    spinning: tuple[float, float]


@dataclass(frozen=True)
class Report:
    """What ``physgen simulate lilypad`` found."""

    options: dict[str, object]
    outcomes: list[Outcome]
    spun: list[Spun]
    seconds: float
    versions: dict[str, str]


def simulate(options: Lilypad, progress: Progress) -> Report:
    """Compute all set-ups and write ``simulation.json``.

    Raises:
        FloatingPointError: a flow blew up.
    """
    out = simulation_folder(options.out)
    began = time.perf_counter()
    found = []
    for foils in PAIRS:
        for finer in range(1, options.finest + 1):
            n = SIDE * finer
            progress.stage(f"{foils.label}: {n} x {n} cells")
            found.append(_published(foils, finer, options))
    spun = []
    if options.spin:
        progress.stage("spinning walls")
        spun.append(_spun(options))
    if options.resolved:
        progress.stage(f"{PAIRS[1].label}: resolved, Reynolds number {options.reynolds:g}")
        found.extend(_resolved(PAIRS[1], options))
    report = Report(
        options={**asdict(options), "out": str(options.out)},
        outcomes=found,
        spun=spun,
        seconds=time.perf_counter() - began,
        versions=versions(),
    )
    facts = asdict(report)
    facts["outcomes"] = [
        {**one._asdict(), "change": one.change, "published": PUBLISHED} for one in found
    ]
    facts["spun"] = [one._asdict() for one in spun]
    write_json(out / "simulation.json", facts)
    return report


def mean_force(
    solver: SemiLagrangian, outlines: Outlines, since: int, steps: int, spin: Number = 0.0
) -> Float[Tensor, "batch body 2"]:
    """The mean force of the steps after ``since``.

    Raises:
        FloatingPointError: the flow blew up.
    """
    boundary = solver.immerse(outlines, spin)
    state = solver.start(boundary)
    total = torch.zeros_like(state.force)
    with torch.no_grad():
        for step in range(steps):
            state = solver.step(state, boundary)
            if step >= since:
                total += state.force
    if not total.isfinite().all():
        raise FloatingPointError(f"the flow is not finite after {steps} steps")
    return total / (steps - since)


def outlines(
    foils: Foils, chord: float, places: Sequence[Sequence[float]], y: float
) -> Float[Tensor, "batch body vertex 2"]:
    """Foils with their quarter chords at some x, in each of several samples."""
    section = naca4(*naca_digits(foils.section))
    rows = [[place(section, chord, x, y, foils.incidence) for x in row] for row in places]
    return torch.stack([torch.stack(row) for row in rows]).float()


def _grid(finer: int) -> Grid:
    """The published cells, the middle of the first at (1, 1) as in Lily-Pad, or finer ones."""
    h = 1 / finer
    return Grid(SIDE * finer, SIDE * finer, h, 0.5 * h, 0.5 * h)


def _published(foils: Foils, finer: int, options: Lilypad) -> Outcome:
    solver = SemiLagrangian(_grid(finer))
    first = options.leader
    second = first + CHORD * (1 + options.gap)

    def force(places: Sequence[Sequence[float]]) -> Float[Tensor, "batch body 2"]:
        lines = outlines(foils, CHORD, places, options.height)
        return mean_force(solver, lines, options.since * finer, options.time * finer)

    alone = coefficients(force([[first], [second]])[:, 0], 1.0, CHORD)
    pair = coefficients(force([[first, second]])[0], 1.0, CHORD)
    known = {1: foils.measured, 2: foils.finer}.get(finer) if options.gap == 1 else None
    label = f"{foils.label}, {CHORD * finer:g} cells/chord, pressure only"
    source = "Lily-Pad itself" if known else ""
    return Outcome(label, _pairs(alone), _pairs(pair), known, source)


def _spun(options: Lilypad) -> Spun:
    foils = PAIRS[0]._replace(incidence=options.spin)
    solver = SemiLagrangian(_grid(1))
    lines = outlines(foils, CHORD, [[options.leader], [options.leader]], options.height)
    # Nose up is clockwise.
    rates = torch.tensor([[0.0], [-options.spin / solver.dt]])
    force = mean_force(solver, lines, options.since, options.time, rates)
    still, spinning = _pairs(coefficients(force[:, 0], 1.0, CHORD))
    return Spun(f"NACA{foils.section}, turned by {options.spin:g} rad", still, spinning)


def _resolved(foils: Foils, options: Lilypad) -> list[Outcome]:
    """The same pair with friction: by its total force, and by its pressure only."""
    second = 1 + options.gap
    width, height, upstream = 7 + second, 6.0, 2.5
    nx, ny = even(width * options.cells), even(height * options.cells)
    h = 1 / options.cells
    flow = Flow(Grid(nx, ny, h, -upstream, -0.5 * ny * h), 1 / options.reynolds)
    like = torch.zeros(1)

    def force(places: Sequence[Sequence[float]]) -> tuple[Tensor, Tensor]:
        body = Polygon(outlines(foils, 1.0, places, 0.0))
        course = Course(flow, body, like)
        state = course.march(course.start(), 0.8 * options.length)
        before, total, pressed = float(state.time), [], []

        def watch(now: object) -> None:
            assert isinstance(now, type(state))
            total.append(now.force)
            pressed.append(pressure_force(flow, now, course.immersed))

        course.march(state, before + 0.2 * options.length, watch)
        means = (torch.stack(each).mean(0) for each in (total, pressed))
        full, part = (coefficients(each, 1.0, 1.0) for each in means)
        return full, part

    alone, pair = force([[0.0], [second]]), force([[0.0, second]])
    label = f"{foils.label}, {options.cells} cells/chord, Re {options.reynolds:g}"
    same = options.reynolds == 500 and options.gap == 1
    known = ((-32.0, 7.0), (-33.0, 12.0)) if same else (None, None)
    sources = "our prototype", "Lily-Pad with viscosity"
    return [
        Outcome(
            f"{label}, {what}",
            _pairs(alone[k][:, 0]),
            _pairs(pair[k][0]),
            known[k],
            sources[k] if same else "",
        )
        for k, what in enumerate(("total force", "pressure only"))
    ]


def _pairs(force: Forces) -> tuple[tuple[float, float], tuple[float, float]]:
    (a, b), (c, d) = force.tolist()
    return (a, b), (c, d)


def table(report: Report) -> Table:
    """Every set-up, and the change that placing foils behind one another makes."""
    grid = Table(title="lilypad: two foils in line, placed by hand", box=box.SIMPLE)
    for name in ("", "drag", "lift", "drag by", "lift by", "L/D by"):
        grid.add_column(name, justify="right" if name else "left", no_wrap=bool(name))
    for one in report.outcomes:
        for name, values in (("each alone", one.alone), ("in line", one.pair)):
            drag, lift = (" + ".join(f"{foil[k]:.3f}" for foil in values) for k in (0, 1))
            if values is one.alone:
                grid.add_row(one.setup)
                grid.add_row(f"  {name}", drag, lift)
            else:
                grid.add_row(f"  {name}", drag, lift, *(f"{x:+.1f} %" for x in one.change))
        if one.known:
            drag, ratio = (f"{x:+.0f} %" for x in one.known)
            grid.add_row(f"  {one.source}", "", "", drag, "", ratio)
    drag, ratio = (f"{x:+.1f} %" for x in PUBLISHED)
    grid.add_row("a designed pair, CinDM 2024", "", "", drag, "", ratio)
    for spun in report.spun:
        grid.add_row(spun.setup)
        for name, pair in (("walls at rest", spun.still), ("spinning walls", spun.spinning)):
            grid.add_row(f"  {name}", f"{pair[0]:.3f}", f"{pair[1]:.3f}")
    grid.caption = f"drag and lift coefficients, leader + follower; {report.seconds:.0f} s"
    return grid
