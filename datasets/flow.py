"""Flows of a fluid past bodies on a uniform grid of the plane, as they are kept and passed on.

The fluid is incompressible and of density 1 kg/m^3; y points up, and drag is the force along x.
All fields are at the centres of cells. Solvers of staggered grids keep velocity on the faces of
cells: here it is the mean of the two faces, whose divergence is not exactly zero.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import fields as parts_of
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from physgen.datasets import store
from physgen.files import whole

if TYPE_CHECKING:
    from xarray import Dataset

Outline = Float32[np.ndarray, "_ 2"]
"""The corners of a closed curve, in m; the first is not repeated."""

FIELDS = {
    "velocity": ("m s-1", 1, "velocity at the cell centre, interpolated from the cell faces"),
    "pressure": ("Pa", 0, "pressure above that of the far inflow, at a density of 1 kg m-3"),
    "vorticity": ("s-1", 0, "vorticity, positive if anticlockwise"),
    "scalar": ("1", 0, "concentration of a passive scalar"),
}
"""Units, order and meaning of the fields."""
EVERY = slice(None)
FORCE = ("N m-1", 1, "force of the fluid on each body, for each metre of span, at 1 kg m-3")


@dataclass(frozen=True, eq=False)
class Flows:
    """Simulated flows, all on one grid and saved at the same instants.

    Raises:
        ValueError: poses or outlines are not those of the bodies, or the grid is not uniform.
    """

    name: str
    time: Float32[np.ndarray, " time"]
    """Saved instants, in s."""
    x: Float32[np.ndarray, " x"]
    """Centres of cells along the stream, in m."""
    y: Float32[np.ndarray, " y"]
    """Centres of cells across the stream, in m."""
    velocity: Float32[np.ndarray, "sample time x y 2"]
    """In m/s, interpolated from faces to centres."""
    pressure: Float32[np.ndarray, "sample time x y"]
    """In Pa at a density of 1 kg/m^3, relative to the far inflow."""
    vorticity: Float32[np.ndarray, "sample time x y"]
    """In 1/s, positive if anticlockwise."""
    scalar: Float32[np.ndarray, "sample time x y"] | None
    """Concentration of smoke or dye."""
    distance: Float32[np.ndarray, "sample pose body x y"]
    """Signed distance to each body in m, negative inside: one pose if bodies are still, else
    one for each saved instant."""
    outlines: Sequence[Sequence[Sequence[Outline]]]
    """Of each sample, pose and body."""
    force: Float32[np.ndarray, "sample step body 2"]
    """On each body, in N for each m of span, at every step of the solver."""
    force_time: Float32[np.ndarray, " step"]
    """In s."""
    parameters: Mapping[str, float]
    """In SI units. ``length`` and ``speed`` scale pictures and coefficients, if present."""
    recipe: Mapping[str, object]
    """Solver, version and configuration."""
    seed: Int64[np.ndarray, " sample"]
    sides: Mapping[str, str]
    """What ``left``, ``right``, ``bottom`` and ``top`` are, by a name in ``store.KINDS``."""
    quality: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """One figure a sample, such as its largest divergence."""

    def __post_init__(self) -> None:
        poses, bodies = self.distance.shape[1:3]
        if poses != 1 and (poses != len(self.time) or not bodies):
            some = f"1, or {len(self.time)} if they move" if bodies else "1 without bodies"
            raise ValueError(f"distance must have as many poses of bodies as {some}, got {poses}")
        counted = [[len(pose) for pose in poses] for poses in self.outlines]
        if counted != [[bodies] * poses] * len(self.seed):
            raise ValueError("outlines must be those of each sample, pose and body of distance")
        for pose in (pose for poses in self.outlines for pose in poses):
            if not all(len(outline) > 2 and np.isfinite(outline).all() for outline in pose):
                raise ValueError("an outline must be three finite vertices or more")
        if taken := {one.name for one in parts_of(self)} & set(self.parameters):
            raise ValueError(f"parameters need names of their own, got {', '.join(sorted(taken))}")
        for name in ("x", "y"):
            _refuse_uneven(name, getattr(self, name))
        if unknown := set(self.sides) - set(store.SIDES):
            known = ", ".join(store.SIDES)
            raise ValueError(f"a grid has the sides {known}, got {', '.join(sorted(unknown))}")

    @property
    def bodies(self) -> int:
        return int(self.distance.shape[2])

    @property
    def moving(self) -> bool:
        return int(self.distance.shape[1]) > 1

    @property
    def spacing(self) -> tuple[float, float]:
        """Sides of a cell, in m."""
        dx, dy = (float(a[-1] - a[0]) / (len(a) - 1) for a in (self.x, self.y))
        return dx, dy

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Where the grid ends on the left, right, bottom and top, in m."""
        dx, dy = self.spacing
        left, bottom = float(self.x[0]) - dx / 2, float(self.y[0]) - dy / 2
        return left, left + dx * len(self.x), bottom, bottom + dy * len(self.y)

    def pose(self, sample: int, instant: int) -> Sequence[Outline]:
        """Outlines of all bodies at a saved instant."""
        return self.outlines[sample][instant if self.moving else 0]

    def outline(self, body: int) -> list[list[Outline]]:
        """Outlines of one body, of each sample and pose."""
        return [[pose[body] for pose in poses] for poses in self.outlines]

    def distance_at(self, sample: int, instant: int) -> Float32[np.ndarray, "body x y"]:
        """Signed distances of all bodies at a saved instant."""
        distance: NDArray[np.float32] = self.distance[sample, instant if self.moving else 0]
        return distance

    @property
    def reference_force(self) -> float | None:
        r""":math:`\tfrac12 \rho U^2 L`, in N/m, by which forces are coefficients."""
        speed, length = (self.parameters.get(name, 0.0) for name in ("speed", "length"))
        return 0.5 * speed**2 * length or None


def _refuse_uneven(name: str, centres: NDArray[np.float32]) -> None:
    steps = np.diff(centres.astype(np.float64))
    if not len(steps) or steps.min() <= 0 or np.ptp(steps) > 1e-3 * steps.mean():
        raise ValueError(f"{name} must be two cell centres or more, rising by equal steps")


def write_flows(path: Path, flows: Flows) -> None:
    """Write a file of the native layout, see :mod:`physgen.datasets.store`."""
    fields = {
        name: store.Field(values, *told)
        for name, told in FIELDS.items()
        if (values := getattr(flows, name)) is not None
    }
    bodies = {
        f"body_{k}": store.Body(flows.distance[:, :, k], flows.outline(k))
        for k in range(flows.bodies)
    }
    store.write(
        path,
        store.Trajectories(
            name=flows.name,
            time=flows.time,
            space={"x": flows.x, "y": flows.y},
            fields=fields,
            parameters=flows.parameters,
            boundaries=flows.sides,
            recipe=flows.recipe,
            seed=flows.seed,
            quality=flows.quality,
            bodies=bodies,
            histories={"force": store.History(flows.force_time, flows.force, *FORCE)},
            centring="cell",
        ),
    )


def read_flows(path: Path, samples: slice = EVERY) -> Flows:
    """Some or all flows of a file.

    Raises:
        ValueError: the file is missing, truncated or foreign, or holds something else.
    """
    data = store.read(path, samples)
    parts = {"field": data.fields, "axis": data.space, "history of": data.histories}
    needed = {
        "field": ("velocity", "pressure", "vorticity"),
        "axis": ("x", "y"),
        "history of": ("force",),
    }
    lacking = [
        f"{kind} {name}"
        for kind, names in needed.items()
        for name in names
        if name not in parts[kind]
    ]
    if lacking:
        raise ValueError(f"{path} holds {data.name}, no flows: it has no {', no '.join(lacking)}")
    bodies = [data.bodies[f"body_{k}"] for k in range(len(data.bodies))]
    still = np.zeros((len(data.seed), 1, 0, len(data.space["x"]), len(data.space["y"])))
    distance = [body.distance for body in bodies]
    poses = range(bodies[0].distance.shape[1] if bodies else 1)
    return Flows(
        name=data.name,
        time=data.time,
        x=data.space["x"],
        y=data.space["y"],
        velocity=data.fields["velocity"].values,
        pressure=data.fields["pressure"].values,
        vorticity=data.fields["vorticity"].values,
        scalar=data.fields["scalar"].values if "scalar" in data.fields else None,
        distance=np.stack(distance, 2) if bodies else still.astype(np.float32),
        outlines=[
            [[body.outline[sample][pose] for body in bodies] for pose in poses]
            for sample in range(len(data.seed))
        ],
        force=data.histories["force"].values,
        force_time=data.histories["force"].time,
        parameters=data.parameters,
        recipe=data.recipe,
        seed=data.seed,
        sides=data.boundaries,
        quality=data.quality,
    )


def to_xarray(flows: Flows) -> "Dataset":
    """All of it with named dimensions, coordinates and units, by the CF conventions.

    Parameters are scalar coordinates, so that data sets of other parameters can be joined.
    """
    import xarray

    space, pose = ("x", "y"), ("time",) if flows.moving else ()
    kept = np.s_[:] if flows.moving else np.s_[:, 0]
    variables = {
        name: (
            ("sample", "time", *space, *["component"] * order),
            values,
            {"units": units, "long_name": about, "centring": "cell"},
        )
        for name, (units, order, about) in FIELDS.items()
        if (values := getattr(flows, name)) is not None
    }
    told = {"units": "m", "long_name": "signed distance to the body, negative inside"}
    variables["distance"] = (("sample", *pose, "body", *space), flows.distance[kept], told)
    told = {"units": FORCE[0], "long_name": FORCE[2]}
    variables["force"] = (("sample", "force_time", "body", "component"), flows.force, told)
    if flows.bodies:
        names = ("sample", *pose, "body", "vertex", "component")
        each = [flows.outline(k) for k in range(flows.bodies)]
        longest = max(len(pose) for body in each for poses in body for pose in poses)
        outline = np.stack([store.padded(body, longest) for body in each], 2)
        told = {"units": "m", "long_name": "vertices, not a number behind the last"}
        variables["outline"] = (names, outline[kept], told)
    return xarray.Dataset(
        variables,
        coords={
            "sample": np.arange(len(flows.seed)),
            "time": ("time", flows.time, {"units": "s", "standard_name": "time"}),
            "x": ("x", flows.x, {"units": "m", "axis": "X"}),
            "y": ("y", flows.y, {"units": "m", "axis": "Y"}),
            "component": ["x", "y"],
            "body": np.arange(flows.bodies),
            "force_time": ("force_time", flows.force_time, {"units": "s"}),
            "seed": ("sample", flows.seed),
            **flows.parameters,
        },
        attrs={
            "Conventions": store.CONVENTIONS,
            "title": flows.name,
            "centring": "cell",
            "recipe": json.dumps(flows.recipe, sort_keys=True),
            **{f"side_{name}": kind for name, kind in flows.sides.items()},
        },
    )


def write_forces(path: Path, flows: Flows, sample: int) -> None:
    """The force history of one sample as CSV, and coefficients if speed and length are known."""
    scale = flows.reference_force
    head, columns = ["time [s]"], [flows.force_time]
    for k in range(flows.bodies):
        for component, coefficient in enumerate(("drag", "lift")):
            values = flows.force[sample, :, k, component]
            head.append(f"body {k} force {'xy'[component]} [N/m]")
            columns.append(values)
            if scale is not None:
                head.append(f"body {k} {coefficient} coefficient [1]")
                columns.append(values / np.float32(scale))
    with whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows([f"{v:.9g}" for v in row] for row in np.stack(columns, 1).tolist())


def _vortices(
    x: np.ndarray, y: np.ndarray, places: np.ndarray, speed: float, radius: float = 0.35
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Velocity, pressure, vorticity and a colour of two rows of vortices in a stream.

    Arguments:
        x: Of the cells, in m.
        y: Of the cells, in m.
        places: Of the vortices along the stream, ``(sample, instant, vortex)``; those of either row
            take turns.
        speed: Of the stream, in m/s.
        radius: Of a vortex, in m.
    """
    from scipy.special import exp1

    sign = np.where(np.arange(places.shape[-1]) % 2, 1.0, -1.0)
    circulation = 2.2 * sign * np.clip(places - 0.4, 0, 1)
    dx = x[:, None, None] - places[:, :, None, None]
    dy = y[:, None] - 0.35 * sign
    s = np.maximum((dx**2 + dy**2) / radius**2, 1e-9)
    weight = circulation[:, :, None, None]
    around = weight / (2 * np.pi * radius**2) * -np.expm1(-s) / s
    drop = (weight / radius) ** 2 / (8 * np.pi**2)
    velocity = np.stack([speed - (around * dy).sum(-1), (around * dx).sum(-1)], -1)
    pressure = -(drop * (np.expm1(-s) ** 2 / s + 2 * exp1(s) - 2 * exp1(2 * s))).sum(-1)
    vorticity = (weight / (np.pi * radius**2) * np.exp(-s)).sum(-1)
    return velocity, pressure, vorticity, np.exp(-s).max(-1)


def _sines(phase: np.ndarray, circles: int) -> np.ndarray:
    """Drag and lift of some circles, each half a period behind the one before."""
    phase = phase[..., None] + np.pi * np.arange(circles)
    shade = 0.05 * np.arange(circles)
    return np.stack([0.67 + 0.02 * np.cos(2 * phase) - shade, 0.17 * np.sin(phase)], -1)


def vortex_row(
    samples: int = 1,
    instants: int = 5,
    cells: tuple[int, int] = (96, 48),
    circles: int = 1,
    moving: bool = False,
) -> Flows:
    r"""A known flow to try files and pictures on: two rows of vortices that a stream carries.

    Gaussian vortices of circulation :math:`\pm\Gamma` and radius :math:`a`,

    .. math:: \omega = \frac{\Gamma}{\pi a^2} e^{-s}, \quad
        u_\theta = \frac{\Gamma}{2 \pi r} (1 - e^{-s}), \quad
        p = -\frac{\Gamma^2}{8 \pi^2 a^2} \Bigl(\frac{(1 - e^{-s})^2}{s}
            + 2 E_1(s) - 2 E_1(2 s)\Bigr), \quad s = r^2 / a^2,

    drift with the stream :math:`U` behind a circle. Velocity and vorticity add exactly, the
    pressures of single vortices only as far as they are apart. The circles, of diameter 1 m,
    are drawn over it: the flow does not know of them, nor do the forces, which are sines. Moving
    circles swing across the stream; each sample starts later.
    """
    speed, length, pitch = 1.0, 1.0, 2.0
    x = (np.arange(cells[0]) + 0.5) * (12 / cells[0]) - 2
    y = (np.arange(cells[1]) + 0.5) * (6 / cells[1]) - 3
    time = np.linspace(0, 4, instants)
    late = time + 0.7 * np.arange(samples)[:, None]
    places = (late[..., None] * speed % (2 * pitch)) + pitch * np.arange(-4, 12) - 4.0
    velocity, pressure, vorticity, scalar = _vortices(x, y, places, speed)
    poses = late if moving else late[:, :1]
    sway = 0.6 * np.sin(np.pi / 2 * poses) if moving else 0 * poses
    beside = 1.8 * (np.arange(circles) - (circles - 1) / 2)
    centre = sway[..., None] + beside
    distance = np.hypot(x[:, None], y - centre[..., None, None]) - length / 2
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = length / 2 * np.stack([np.cos(angle), np.sin(angle)], 1)
    outlines = [
        [[(circle + np.array([0, c])).astype(np.float32) for c in pose] for pose in poses]
        for poses in centre
    ]
    steps = np.linspace(0, 4, 40 * instants + 1)
    force = _sines(2 * np.pi / (2 * pitch) * (steps + 0.7 * np.arange(samples)[:, None]), circles)
    return Flows(
        name="vortex row",
        time=time.astype(np.float32),
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        velocity=velocity.astype(np.float32),
        pressure=pressure.astype(np.float32),
        vorticity=vorticity.astype(np.float32),
        scalar=scalar.astype(np.float32),
        distance=distance.astype(np.float32),
        outlines=outlines,
        force=force.astype(np.float32),
        force_time=steps.astype(np.float32),
        parameters={"speed": speed, "length": length, "viscosity": 0.01},
        recipe={"made_by": "vortex_row", "moving": moving},
        seed=np.arange(samples, dtype=np.int64),
        sides={"left": "INFLOW", "right": "OUTFLOW", "bottom": "SLIP", "top": "SLIP"},
    )
