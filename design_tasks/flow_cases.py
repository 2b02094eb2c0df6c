"""The named flows of ``physgen simulate``, and the published figures each is held to.

The references are listed with every case. Free-stream figures depend on the domain: the sides
of ours lie some lengths from the body, and blockage raises drag by a few per cent.
"""

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from physgen.datasets.airfoil import Airfoils
from physgen.design_tasks.flow_case import (
    Case,
    Lead,
    Row,
    Run,
    Scene,
    even,
    force_rows,
    push,
)
from physgen.options import check_positive
from physgen.solvers.advection import Central
from physgen.solvers.bodies import Body, Circle, NoBody, Polygon, Several
from physgen.solvers.fluid import Buoyancy, Fixed, Flow, FlowState
from physgen.solvers.immersion import Kernel
from physgen.solvers.sections import naca4, naca_digits, place
from physgen.solvers.sides import PERIODIC, WALL, Inflow, Sides, Wall
from physgen.solvers.staggered import Grid


@dataclass(frozen=True)
class Stream:
    """A free stream around bodies at the origin; sizes in lengths of the body."""

    cells: int = 24
    """Cells for each length of the body."""
    width: float = 16.0
    """Of the domain."""
    height: float = 12.0
    """Of the domain."""
    upstream: float = 5.0
    """From the inflow to the body."""

    def __post_init__(self) -> None:
        check_positive(self, "cells", "width", "height", "upstream")

    def grid(self) -> Grid:
        nx, ny = even(self.width * self.cells), even(self.height * self.cells)
        h = 1 / self.cells
        return Grid(nx, ny, h, -self.upstream, -0.5 * ny * h)

    def coarse(self) -> "Stream":
        """The same with cells twice as wide.

        Raises:
            ValueError: no two by two of its cells are one of those.
        """
        found = replace(self, cells=self.cells // 2)
        fine, wide = self.grid(), found.grid()
        if self.cells % 2 or (fine.nx, fine.ny) != (2 * wide.nx, 2 * wide.ny):
            raise ValueError(
                f"a run with {self.cells} cells in {self.width:g} x {self.height:g} can't begin on "
                "cells twice as wide: choose sizes and cells that halves fit"
            )
        return found


STREAM = Stream()


@dataclass(frozen=True, kw_only=True)
class Cylinder(Case):
    """A circular cylinder in a stream: steady below a Reynolds number of 47, shedding above."""

    reynolds: float = 100.0
    """Speed times diameter over viscosity."""
    stream: Stream = STREAM
    """The domain and its cells."""
    kernel: Kernel = field(default_factory=Kernel)
    """How sharply the body begins."""
    lead: float = 0.0
    """How long the flow runs on cells twice as wide before this run begins. Stopped there, it begins
    anew."""
    since: float = 40.0
    """When the transient is over."""
    time: float = 100.0
    frames: int = 50
    out: Path = Path("runs/cylinder")
    double: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        self.check("reynolds", since=self.since)
        if self.lead < 0:
            raise ValueError(f"lead must not be negative, got {self.lead}")
        if self.lead:
            _ = self.stream.coarse()  # refused here if it cannot be

    @property
    def name(self) -> str:
        return "cylinder"

    @property
    def facts(self) -> dict[str, float]:
        return {"reynolds": self.reynolds, "length": 1.0, "speed": 1.0}

    def scene(self, like: Tensor) -> Scene:
        flow = Flow(self.stream.grid(), 1 / self.reynolds, kernel=self.kernel)
        gust = push(1.0, 0.0, 0.1, flow) if self.reynolds > 47 else None
        first = None
        if self.lead:
            wide = replace(self, lead=0.0, stream=self.stream.coarse())
            first = Lead(wide.scene(like), self.lead)
        return Scene(flow, Circle(0.0, 0.0, 0.5), 1.0, gust, lead=first)

    def figures(self, run: Run) -> list[Row]:
        known = FREE_CYLINDER.get(self.reynolds, {})
        summary = run.summary(self.since)
        rows = force_rows(
            summary, 0, "", known.get("drag"), known.get("lift"), known.get("strouhal"), CYLINDER
        )
        rows.append(Row("pressure's part of the drag", float(run.pressure_part()[0, 0, 0])))
        if self.reynolds <= 47:
            rows.append(Row("wake length", wake_length(run), None, known.get("wake"), CYLINDER))
        return rows


CYLINDER = "Dennis & Chang 1970, Fornberg 1980, Linnick & Fasel 2005, Liu et al. 1998, Park 1998"
FREE_CYLINDER: dict[float, dict[str, tuple[float, float]]] = {
    20.0: {"drag": (2.00, 2.09), "wake": (0.91, 0.94)},
    40.0: {"drag": (1.498, 1.60), "wake": (2.13, 2.35)},
    100.0: {"drag": (1.32, 1.36), "lift": (0.32, 0.34), "strouhal": (0.164, 0.166)},
    200.0: {"drag": (1.31, 1.36), "lift": (0.64, 0.69), "strouhal": (0.192, 0.197)},
}


def wake_length(run: Run) -> float:
    """From the rear of a cylinder at the origin to where the flow turns back, in diameters."""
    grid = run.scene.flow.grid
    u = run.state.u[0]
    row = grid.ny // 2
    line = 0.5 * (u[:, row] + u[:, row - 1])
    x = grid.left + grid.spacing * torch.arange(grid.nx + 1, dtype=line.dtype)
    behind = (x > 0.5 + 2 * grid.spacing) & (line >= 0)
    if not bool(behind.any()):
        return math.nan
    first = int(behind.int().argmax())
    if bool(line[first - 1] >= 0):
        return 0.0
    share = float(line[first] / (line[first] - line[first - 1]))
    return float(x[first]) - share * grid.spacing - 0.5


@dataclass(frozen=True, kw_only=True)
class Airfoil(Case):
    """An airfoil in a stream, by its four NACA digits or a file of coordinates."""

    section: str = "0012"
    """NACA digits, or the path of a .dat file."""
    angle: float = 0.0
    """Of attack, in degrees, nose up."""
    reynolds: float = 500.0
    """Speed times chord over viscosity."""
    stream: Stream = field(
        default_factory=lambda: Stream(cells=32, width=9.0, height=8.0, upstream=3.0)
    )
    """The domain and its cells; a chord is the length."""
    kernel: Kernel = field(default_factory=Kernel)
    """How sharply the body begins."""
    since: float = 15.0
    """When the transient is over."""
    time: float = 25.0
    frames: int = 50
    out: Path = Path("runs/airfoil")
    double: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        self.check("reynolds", since=self.since)

    @property
    def name(self) -> str:
        return "airfoil"

    @property
    def facts(self) -> dict[str, float]:
        return {"reynolds": self.reynolds, "angle": self.angle, "length": 1.0, "speed": 1.0}

    def scene(self, like: Tensor) -> Scene:
        flow = Flow(self.stream.grid(), 1 / self.reynolds, kernel=self.kernel)
        return Scene(flow, foil(self.section, 0.0, 0.0, math.radians(self.angle), like), 1.0)

    def figures(self, run: Run) -> list[Row]:
        known = NACA0012.get((self.reynolds, self.angle)) if self.section == "0012" else None
        drag = known[0] if known else None
        rows = force_rows(run.summary(self.since), 0, "", drag, source=known[1] if known else "")
        part = run.pressure_part()[0, 0]
        rows.append(Row("pressure's part of the drag", float(part[0])))
        mean = run.summary(self.since).mean[0, 0]
        rows.append(Row("lift over drag", float(mean[1] / mean[0])))
        bound = 2 * (1.328 / math.sqrt(self.reynolds) + 4.12 / self.reynolds)
        plate = "both sides of a flat plate, Kuo 1953"
        rows.append(Row("for comparison: plate's friction", bound, None, None, plate))
        return rows


NACA0012: dict[tuple[float, float], tuple[tuple[float, float], str]] = {
    (500.0, 0.0): ((0.172, 0.176), "Lockard et al. 2002, Imamura et al. 2004"),
    (1000.0, 0.0): ((0.117, 0.123), "Kurtulus 2015, Di Ilio et al. 2018"),
}


def foil(section: str, x: float, y: float, incidence: float, like: Tensor) -> Polygon:
    """One airfoil with its quarter-chord point at a place.

    Raises:
        ValueError: the section is neither four digits nor a readable file of coordinates.
    """
    if Path(section).suffix == ".dat":
        from physgen.solvers.sections import read_dat

        vertices = read_dat(Path(section))[1]
    else:
        vertices = naca4(*naca_digits(section))
    return Polygon(place(vertices, 1.0, x, y, incidence).to(like)[None, None])


@dataclass(frozen=True, kw_only=True)
class Tandem(Case):
    """Two cylinders in line, or two airfoils: what flies behind is drawn, or pushed."""

    spacing: float = 2.0
    """From centre to centre, in lengths."""
    section: str = ""
    """NACA digits of two airfoils; two circular cylinders if empty."""
    angle: float = 8.0
    """Of the airfoils, in degrees, nose up."""
    reynolds: float = 200.0
    """Speed times diameter (or chord) over viscosity."""
    stream: Stream = field(default_factory=lambda: Stream(cells=16, width=18.0, height=12.0))
    """The domain and its cells."""
    kernel: Kernel = field(default_factory=Kernel)
    """How sharply the bodies begin."""
    since: float = 60.0
    """When the transient is over."""
    time: float = 120.0
    frames: int = 50
    out: Path = Path("runs/tandem")
    double: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        self.check("reynolds", "spacing", since=self.since)

    @property
    def name(self) -> str:
        return "tandem"

    @property
    def facts(self) -> dict[str, float]:
        return {
            "reynolds": self.reynolds, "distance_of_centres": self.spacing,
            "length": 1.0, "speed": 1.0,
        }  # fmt: skip

    def scene(self, like: Tensor) -> Scene:
        flow = Flow(self.stream.grid(), 1 / self.reynolds, kernel=self.kernel)
        if self.section:
            incidence = math.radians(self.angle)
            places = (0.0, self.spacing)
            both: Body = Several([foil(self.section, x, 0.0, incidence, like) for x in places])
        else:
            both = Several([Circle(0.0, 0.0, 0.5), Circle(self.spacing, 0.0, 0.5)])
        return Scene(flow, both, 1.0, push(1.0, 0.0, 0.1, flow))

    def figures(self, run: Run) -> list[Row]:
        round_ = not self.section and self.reynolds == 200.0
        known = MENEGHINI.get(self.spacing) if round_ else None
        summary = run.summary(self.since)
        rows = []
        for body, label in ((0, "front: "), (1, "rear: ")):
            drag = (known[body], known[body]) if known else None
            strouhal = (known[2], known[2]) if known else None
            source = "Meneghini et al. 2001" if known else ""
            rows += force_rows(summary, body, label, drag, None, strouhal, source)
        return rows


MENEGHINI = {
    1.5: (1.06, -0.18, 0.167),
    2.0: (1.03, -0.17, 0.130),
    3.0: (1.00, -0.08, 0.125),
    4.0: (1.18, 0.38, 0.174),
}
"""Drag of the front and the rear cylinder and the Strouhal number at Re 200, by spacing."""


@dataclass(frozen=True, kw_only=True)
class Cavity(Case):
    """A square box whose lid slides."""

    reynolds: float = 100.0
    """Speed of the lid times width over viscosity."""
    cells: int = 64
    """Cells for each side."""
    time: float = 20.0
    frames: int = 20
    out: Path = Path("runs/cavity")
    double: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        self.check("reynolds", "cells")

    @property
    def name(self) -> str:
        return "cavity"

    @property
    def facts(self) -> dict[str, float]:
        return {"reynolds": self.reynolds, "length": 1.0, "speed": 1.0}

    def scene(self, like: Tensor) -> Scene:
        grid = Grid(even(self.cells), even(self.cells), 1 / even(self.cells))
        sides = Sides(WALL, WALL, WALL, Wall(speed=1.0))
        flow = Flow(grid, 1 / self.reynolds, sides, scheme=Central())
        return Scene(flow, NoBody(), 1.0, at_rest=True)

    def figures(self, run: Run) -> list[Row]:
        u, v = run.state.u[0], run.state.v[0]
        n = run.scene.flow.grid.nx
        along = torch.cat([u.new_zeros(1), u[n // 2], u.new_ones(1)]).double()
        across = torch.cat([v.new_zeros(1), v[:, n // 2], v.new_zeros(1)]).double()
        place = torch.cat([u.new_zeros(1), (torch.arange(n) + 0.5).to(u) / n, u.new_ones(1)])
        rows = []
        for name, values, table in (("u", along, GHIA_U), ("v", across, GHIA_V)):
            points = table.get(self.reynolds)
            if points is not None:
                worst = max(abs(interpolate(place, values, x) - value) for x, value in points)
                label = f"largest deviation of {name} from Ghia et al."
                rows.append(Row(label, worst, None, (0.0, 0.0), "Ghia, Ghia & Shin 1982"))
        known = BOTELLA if self.reynolds == 1000.0 else None
        for name, value, reference in (
            ("smallest u on the vertical middle line", extreme(along, -1), -0.3885698),
            ("largest v on the horizontal middle line", extreme(across, 1), 0.3769447),
            ("smallest v on the horizontal middle line", extreme(across, -1), -0.5270771),
        ):
            band = (reference, reference) if known else None
            rows.append(Row(name, value, None, band, known or ""))
        return rows


BOTELLA = "Botella & Peyret 1998"
GHIA_U = {
    100.0: [
        (0.9766, 0.84123), (0.9688, 0.78871), (0.9609, 0.73722), (0.9531, 0.68717),
        (0.8516, 0.23151), (0.7344, 0.00332), (0.6172, -0.13641), (0.5000, -0.20581),
        (0.4531, -0.21090), (0.2813, -0.15662), (0.1719, -0.10150), (0.1016, -0.06434),
        (0.0703, -0.04775), (0.0625, -0.04192), (0.0547, -0.03717),
    ],
    400.0: [
        (0.9766, 0.75837), (0.9688, 0.68439), (0.9609, 0.61756), (0.9531, 0.55892),
        (0.8516, 0.29093), (0.7344, 0.16256), (0.6172, 0.02135), (0.5000, -0.11477),
        (0.4531, -0.17119), (0.2813, -0.32726), (0.1719, -0.24299), (0.1016, -0.14612),
        (0.0703, -0.10338), (0.0625, -0.09266), (0.0547, -0.08186),
    ],
    1000.0: [
        (0.9766, 0.65928), (0.9688, 0.57492), (0.9609, 0.51117), (0.9531, 0.46604),
        (0.8516, 0.33304), (0.7344, 0.18719), (0.6172, 0.05702), (0.5000, -0.06080),
        (0.4531, -0.10648), (0.2813, -0.27805), (0.1719, -0.38289), (0.1016, -0.29730),
        (0.0703, -0.22220), (0.0625, -0.20196), (0.0547, -0.18109),
    ],
}  # fmt: skip
"""Height and velocity along x on the vertical middle line, by Reynolds number."""
GHIA_V = {
    100.0: [
        (0.9688, -0.05906), (0.9609, -0.07391), (0.9531, -0.08864), (0.9453, -0.10313),
        (0.9063, -0.16914), (0.8594, -0.22445), (0.8047, -0.24533), (0.5000, 0.05454),
        (0.2344, 0.17527), (0.2266, 0.17507), (0.1563, 0.16077), (0.0938, 0.12317),
        (0.0781, 0.10890), (0.0703, 0.10091), (0.0625, 0.09233),
    ],
    1000.0: [
        (0.9688, -0.21388), (0.9609, -0.27669), (0.9531, -0.33714), (0.9453, -0.39188),
        (0.9063, -0.51550), (0.8594, -0.42665), (0.8047, -0.31966), (0.5000, 0.02526),
        (0.2344, 0.32235), (0.2266, 0.33075), (0.1563, 0.37095), (0.0938, 0.32627),
        (0.0781, 0.30353), (0.0703, 0.29012), (0.0625, 0.27485),
    ],
}  # fmt: skip
"""Place and velocity along y on the horizontal middle line, by Reynolds number."""


def interpolate(place: Tensor, values: Tensor, x: float) -> float:
    """A cubic through the four points around ``x``."""
    k = int((place <= x).sum()) - 1
    k = min(max(k - 1, 0), len(place) - 4)
    nodes, found = place[k : k + 4].double(), 0.0
    for i in range(4):
        others = torch.cat([nodes[:i], nodes[i + 1 :]])
        found += float(values[k + i] * ((x - others) / (nodes[i] - others)).prod())
    return found


def extreme(values: Tensor, sign: int) -> float:
    """The top of the parabola through the largest value (or smallest) and its neighbours."""
    k = int((sign * values[1:-1]).argmax()) + 1
    low, middle, high = (float(value) for value in values[k - 1 : k + 2])
    bend = low - 2 * middle + high
    return middle - (high - low) ** 2 / (8 * bend) if bend else middle


@dataclass(frozen=True, kw_only=True)
class Channel(Case):
    """A cylinder a little off the middle of a channel: the DFG benchmark 2D-1 and 2D-2."""

    reynolds: float = 100.0
    """Mean speed times diameter over viscosity: 20 is 2D-1, 100 is 2D-2."""
    cells: int = 20
    """Cells for each diameter."""
    kernel: Kernel = field(default_factory=Kernel)
    """How sharply the body begins."""
    since: float = 60.0
    """When the transient is over, in diameters per mean speed."""
    time: float = 100.0
    frames: int = 50
    out: Path = Path("runs/channel")
    double: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        self.check("reynolds", "cells", since=self.since)

    @property
    def name(self) -> str:
        return "channel"

    @property
    def facts(self) -> dict[str, float]:
        return {"reynolds": self.reynolds, "length": 1.0, "speed": 1.0}

    def scene(self, like: Tensor) -> Scene:
        ny = even(4.1 * self.cells)
        h = 4.1 / ny
        grid = Grid(even(22 / h), ny, h, -2.0, -2.0)
        y = (torch.arange(ny, dtype=torch.float64) + 0.5) * h
        inflow = Inflow((6 * y * (4.1 - y) / 4.1**2).to(like))
        flow = Flow(
            grid, 1 / self.reynolds, Sides(left=inflow, bottom=WALL, top=WALL), kernel=self.kernel
        )
        return Scene(flow, Circle(0.0, 0.0, 0.5), 1.0)

    def figures(self, run: Run) -> list[Row]:
        source = "Schäfer & Turek 1996, FeatFlow"
        summary = run.summary(self.since)
        if self.reynolds == 20.0:
            return force_rows(summary, 0, "", (5.5795, 5.5795), source=source)
        late = run.time > self.since
        top = 2 * run.force[0, late, 0].amax(0)
        known = self.reynolds == 100.0
        return [
            Row("largest drag coefficient", float(top[0]), None, (3.22, 3.24) if known else None, source),
            Row("largest lift coefficient", float(top[1]), None, (0.9866, 0.9866) if known else None, source),
            Row("Strouhal number", float(summary.strouhal[0, 0, 1]), None, (0.3018, 0.3018) if known else None, source),
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Vortex(Case):
    """A Taylor–Green vortex, whose decay is known exactly."""

    cells: int = 64
    """Cells for each side."""
    reynolds: float = 100.0
    """Speed over wave number and viscosity."""
    time: float = 2.0
    frames: int = 10
    out: Path = Path("runs/vortex")
    double: bool = True
    compile: bool = False

    def __post_init__(self) -> None:
        self.check("reynolds", "cells")

    @property
    def name(self) -> str:
        return "vortex"

    @property
    def facts(self) -> dict[str, float]:
        return {"reynolds": self.reynolds, "length": 1.0, "speed": 1.0}

    def scene(self, like: Tensor) -> Scene:
        h = 2 * math.pi / even(self.cells)
        sides = Sides(PERIODIC, PERIODIC, PERIODIC, PERIODIC)
        grid = Grid(even(self.cells), even(self.cells), h)
        flow = Flow(grid, 1 / self.reynolds, sides, scheme=Central(), clock=Fixed(0.2 * h))
        return Scene(flow, NoBody(), 1.0, lambda state: vortex(flow, state), at_rest=True)

    def figures(self, run: Run) -> list[Row]:
        exact = vortex(run.scene.flow, run.frames[0]).u * math.exp(-2 * self.time / self.reynolds)
        error = float((run.state.u - exact).abs().max())
        return [Row("largest error of u", error, None, (0.0, 0.0), "exact solution")]


def vortex(flow: Flow, state: FlowState) -> FlowState:
    """The exact first state."""
    x, y = flow.grid.faces_x(state.u)
    u = -(x.cos() * y.sin())[None]
    x, y = flow.grid.faces_y(state.v)
    return state._replace(u=u, v=(x.sin() * y.cos())[None])


@dataclass(frozen=True, kw_only=True)
class Plume(Case):
    """Warm smoke that rises in a closed room, around an obstacle."""

    cells: int = 64
    """Cells for each side."""
    buoyancy: float = 1.0
    """Acceleration of undiluted smoke."""
    time: float = 8.0
    frames: int = 40
    out: Path = Path("runs/plume")
    double: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        self.check("cells")

    @property
    def name(self) -> str:
        return "plume"

    @property
    def facts(self) -> dict[str, float]:
        return {"buoyancy_acceleration": self.buoyancy, "length": 1.0, "speed": 1.0}

    def scene(self, like: Tensor) -> Scene:
        n = even(self.cells)
        flow = Flow(
            Grid(n, n, 1 / n),
            1e-3,
            Sides(WALL, WALL, WALL, WALL),
            buoyancy=Buoyancy(y=self.buoyancy),
        )
        x, y = flow.grid.centres(like)
        smoke = torch.sigmoid((0.12 - ((x - 0.47).square() + (y - 0.2).square()).sqrt()) * 100)
        return Scene(
            flow, Circle(0.5, 0.55, 0.1), 1.0,
            lambda state: state._replace(scalar=smoke.expand_as(state.scalar).clone()),
            scalars=1, at_rest=True,
        )  # fmt: skip

    def figures(self, run: Run) -> list[Row]:
        first, last = run.frames[0].scalar, run.state.scalar
        _, y = run.scene.flow.grid.centres(last)
        kept = float(last.sum() / first.sum())
        return [
            Row("smoke left in the room", kept, None, (1.0, 1.0), "conservation"),
            Row("height of the smoke's centre", float((last * y).sum() / last.sum())),
            Row("largest concentration", float(last.max()), None, (0.0, 1.0), "no maximum grows"),
        ]


@dataclass(frozen=True, kw_only=True)
class Formation(Case):
    """Some airfoils in one stream, such as a design."""

    upper: tuple[tuple[float, ...], ...]
    """Kulfan weights of the upper side of each."""
    lower: tuple[tuple[float, ...], ...]
    """Of the lower side."""
    place: tuple[tuple[float, float], ...]
    """Quarter point of each, in chords."""
    incidence: tuple[float, ...]
    """In radians, nose up."""
    reynolds: float
    """Of the chord."""
    cells: int = 24
    """Cells for each chord."""
    time: float = 16.0
    """How long, in chords per speed of the stream."""
    frames: int = 32
    """Instants to save, besides the first."""
    double: bool = False
    compile: bool = False
    out: Path = Path("runs/formation")

    def __post_init__(self) -> None:
        self.check("reynolds", "cells")

    @classmethod
    def of(cls, airfoils: Airfoils, reynolds: float, cells: int, out: Path) -> "Formation":
        """The first of some designs."""
        return cls(
            upper=tuple(map(tuple, airfoils.upper[0].tolist())),
            lower=tuple(map(tuple, airfoils.lower[0].tolist())),
            place=tuple(zip(airfoils.x[0].tolist(), airfoils.y[0].tolist(), strict=True)),
            incidence=tuple(airfoils.incidence[0].tolist()),
            reynolds=reynolds,
            cells=cells,
            out=out,
        )

    @property
    def name(self) -> str:
        return "formation"

    @property
    def facts(self) -> dict[str, float]:
        return {"length": 1.0, "speed": 1.0, "viscosity": 1 / self.reynolds}

    def scene(self, like: Tensor) -> Scene:
        last = max(x for x, _ in self.place)
        across = max(abs(y) for _, y in self.place)
        nx, ny = even((8 + last) * self.cells), even((6 + 2 * max(0.0, across - 0.5)) * self.cells)
        grid = Grid(nx, ny, 1 / self.cells, -3.0, -0.5 * ny / self.cells)
        x, y = torch.tensor(self.place).to(like).T[:, None]
        upper, lower = (torch.tensor(side).to(like)[None] for side in (self.upper, self.lower))
        angle = torch.tensor(self.incidence).to(like)[None]
        airfoils = Airfoils(upper, lower, x, y, angle)
        return Scene(Flow(grid, 1 / self.reynolds), airfoils.bodies(), 1.0)

    def figures(self, run: Run) -> list[Row]:
        summary = run.summary(0.6 * self.time)
        return [
            row
            for body in range(len(self.place))
            for row in force_rows(summary, body, f"airfoil {body}: ")
        ]
