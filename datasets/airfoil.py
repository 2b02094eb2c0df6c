"""Mean flows past one airfoil in a stream, undisturbed or disturbed, and past several.

The sections are real ones (:mod:`physgen.datasets.sections`), made thicker or thinner and more or
less cambered. Lengths are in chords, speeds in those of the stream, density is 1.

**A disturbed stream.** What an airfoil sees of others is what they do to the fluid. So in most
simulations there are *actuators*: smooth forces on the fluid, such as an airfoil of some drag and
lift would exert, ahead of the one airfoil, behind it or beside it. The stream with its actuators
is simulated without the airfoil too: this is the *background*, and what the airfoil adds is a
*perturbation* of it. Nothing here has ever seen two airfoils; the flows past two or more that can
be made (``bodies``) are there to test with, and have seeds of their own.

Each flow starts on cells of twice the width, is carried over, goes on until it has forgotten that,
and is then averaged over time. What is kept is the mean in a window around the airfoil, each cell
the mean of four.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from physgen import __version__
from physgen.datasets import store
from physgen.datasets.sections import Library, library
from physgen.datasets.seeds import TEST_SEEDS, TRAINING_SEEDS
from physgen.datasets.shards import Shard, write_shards
from physgen.solvers.bodies import Body, NoBody, Polygon
from physgen.solvers.fluid import Flow, FlowState, Forcing
from physgen.solvers.marching import Course, Record, refined
from physgen.solvers.poisson import Room
from physgen.solvers.sections import kulfan, place
from physgen.solvers.staggered import Grid

LEFT, RIGHT, HEIGHT = -3.0, 6.0, 6.0
"""The domain, in chords; a single airfoil's quarter point is close to (0, 0)."""
WINDOW = (-2.0, 4.0, -2.0, 2.0)
"""Left, right, bottom and top of what is kept."""
COARSER = 2
"""Cells of the solver along an edge of a kept one."""
THICKNESS = (0.10, 0.22)
ANGLE = (-6.0, 16.0)
"""In degrees."""
TOGETHER = 4
"""Airfoils that share a background and a Reynolds number, and are simulated together."""
SPIN, SETTLE, MEAN = 8.0, 2.0, 4.0
"""Chords of stream on coarse cells, then on fine ones, then averaged over."""


class Airfoils(NamedTuple):
    """Sections and their poses, ``[batch, body]`` each."""

    upper: Float[Tensor, "batch body weight"]
    lower: Float[Tensor, "batch body weight"]
    x: Float[Tensor, "batch body"]
    """Of the quarter point, in chords."""
    y: Float[Tensor, "batch body"]
    incidence: Float[Tensor, "batch body"]
    """In radians, nose up."""

    def outlines(self, points: int = 61) -> Float[Tensor, "batch body vertex 2"]:
        section = kulfan(self.upper, self.lower, points=points)
        one = torch.ones_like(self.x)
        return place(section, one, self.x, self.y, self.incidence)

    def bodies(self) -> Polygon:
        return Polygon(self.outlines())


@dataclass(frozen=True)
class Actuators:
    """Forces on the fluid that stand for other bodies, ``[batch, actuator]`` each."""

    x: Float[Tensor, "batch actuator"]
    """Where the quarter point of the airfoil would be, in chords."""
    y: Float[Tensor, "batch actuator"]
    drag: Float[Tensor, "batch actuator"]
    """Coefficients; zero for one that is not there."""
    lift: Float[Tensor, "batch actuator"]
    width: Float[Tensor, "batch actuator"]
    """Across the stream, a standard deviation in chords."""

    def forcing(self, grid: Grid) -> Forcing:
        """Accelerations on the faces of a grid: Gaussians as long as a chord, together as strong
        as the forces they stand for."""
        like = self.x

        def spread(there: tuple[Tensor, Tensor], coefficient: Tensor) -> Tensor:
            length = 0.27
            x, y = (axis[None, None] for axis in there)
            apart_x = (x - self.x[..., None, None] - 0.25) / length
            apart_y = (y - self.y[..., None, None]) / self.width[..., None, None]
            shape = torch.exp(-0.5 * (apart_x.square() + apart_y.square()))
            scale = -0.5 * coefficient / (math.tau * length * self.width)
            return (scale[..., None, None] * shape).sum(1)

        on_x, on_y = grid.faces_x(like), grid.faces_y(like)
        return Forcing(spread(on_x, self.drag), spread(on_y, self.lift))


@dataclass(frozen=True)
class AirfoilData:
    """Mean flows past airfoils at low Reynolds numbers."""

    simulations: int = 3200
    """How many."""
    bodies: int = 1
    """Airfoils in each; more than one is for tests, and takes test seeds."""
    reynolds: tuple[float, float] = (200.0, 1000.0)
    """Least and largest Reynolds number, of the chord."""
    cells: int = 24
    """Of the solver, for a chord."""
    disturbed: float = 0.7
    """Share of streams with actuators, if there is one airfoil."""
    seed: int = 0
    """Seed of the first simulation; the others follow it."""
    shard: int = 16
    """Simulations in a file, a multiple of 4."""
    workers: int = 1
    """Processes that write shards."""
    scheduler: str = ""
    """Address of a dask scheduler whose workers write shards instead."""
    compile: bool = True
    """Compile the solver first: some minutes in each process, then two to three times as fast."""
    out: Path = Path("data/airfoil")
    """Folder of the shards."""

    def __post_init__(self) -> None:
        for name in ("simulations", "bodies", "shard", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.cells < 12 or self.cells % 4:
            raise ValueError(f"cells must be a multiple of 4, at least 12, got {self.cells}")
        if self.shard % TOGETHER or self.simulations % TOGETHER or self.seed % TOGETHER:
            raise ValueError(
                f"simulations, shard and seed must be multiples of {TOGETHER}, got "
                f"{self.simulations}, {self.shard} and {self.seed}"
            )
        if not 10 <= self.reynolds[0] <= self.reynolds[1] <= 2000:
            raise ValueError(
                f"Reynolds numbers must rise, from 10 to 2000, got {self.reynolds}: flows beyond "
                "are not two-dimensional"
            )
        if not 0 <= self.disturbed <= 1:
            raise ValueError(f"disturbed must be from 0 to 1, got {self.disturbed}")
        last = self.seed + self.simulations - 1
        known = (TEST_SEEDS,) if self.bodies > 1 else (TRAINING_SEEDS, TEST_SEEDS)
        if not any(self.seed in seeds and last in seeds for seeds in known):
            raise ValueError(
                f"seeds {self.seed} to {last} must lie within {' or '.join(map(str, known))}"
            )

    @property
    def name(self) -> str:
        return "airfoil" if self.bodies == 1 else f"airfoil{self.bodies}"

    @property
    def recipe(self) -> dict[str, object]:
        """All that decides what a simulation is."""
        kept = ("bodies", "cells", "disturbed", "reynolds")
        options = {k: v for k, v in asdict(self).items() if k in kept}
        return {
            "dataset": self.name,
            "solver": "Flow",
            "version": __version__,
            "domain": [LEFT, RIGHT + self.longer, -HEIGHT / 2, HEIGHT / 2],
            "thickness": list(THICKNESS),
            "angle": list(ANGLE),
            "times": [SPIN, SETTLE, MEAN],
            "together": TOGETHER,
            **options,
            "reynolds": list(self.reynolds),
        }

    @property
    def longer(self) -> float:
        """Chords that further airfoils lengthen the domain by."""
        return 3.0 * (self.bodies - 1)

    def grid(self, cells: int) -> Grid:
        nx, ny = round((RIGHT + self.longer - LEFT) * cells), round(HEIGHT * cells)
        return Grid(nx, ny, 1 / cells, LEFT, -HEIGHT / 2)

    def room(self, cells: int) -> Room | None:
        """Where a single airfoil is, with what its kernel reaches."""
        if self.bodies > 1:
            return None
        x, y, reach = round(-LEFT * cells), round(HEIGHT / 2 * cells), 5
        back, ahead, across = (math.ceil(c * cells) + reach for c in (0.31, 0.83, 0.36))
        touched = 28 * cells // 3 + 32
        area = (back + ahead) * 2 * across
        return Room(x - back, x + ahead, y - across, y + across, min(touched, area))

    def shards(self) -> list[range]:
        """The seeds of every file."""
        last = self.seed + self.simulations
        return [range(k, min(k + self.shard, last)) for k in range(self.seed, last, self.shard)]


# What is drawn.


def draw_sections(
    table: Library, count: int, source: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Weights of the upper and the lower side of real sections, varied."""
    which = torch.from_numpy(source.integers(len(table), size=count))
    height = torch.from_numpy(source.uniform(*THICKNESS, count)).float()
    bend = torch.from_numpy(source.uniform(0.3, 1.1, count)).float()
    thick = table.thick[which] * (height / table.height[which])[:, None]
    camber = table.camber[which] * bend[:, None]
    return camber + thick, camber - thick


def draw_airfoils(seeds: range, bodies: int, cells: int) -> Airfoils:
    """The airfoils of some simulations; each from its own seed."""
    table = library()
    rows = []
    for seed in seeds:
        source = np.random.default_rng([bodies, seed])
        upper, lower = draw_sections(table, bodies, source)
        angle = torch.from_numpy(np.radians(source.uniform(*ANGLE, bodies))).float()
        # Anywhere within one of the cells that are kept.
        x, y = torch.from_numpy(source.uniform(-1, 1, (2, bodies))).float() / cells
        rows.append((upper, lower, *_apart(x, y, source), angle))
    return Airfoils(*(torch.stack(column) for column in zip(*rows, strict=True)))


def _apart(x: Tensor, y: Tensor, source: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Further airfoils behind the first: half of them in line, half anywhere, none too close."""
    for body in range(1, len(x)):
        if source.random() < 0.5:
            shift = source.uniform(1.15, 3.0), source.normal(0, 0.15)
        else:
            shift = source.uniform(0.0, 3.0), source.uniform(-1.5, 1.5)
            if shift[0] < 1.15 and abs(shift[1]) < 0.7:
                shift = shift[0], math.copysign(0.7 + 0.5 * abs(shift[1]), shift[1])
        x[body] += x[body - 1] + shift[0]
        y[body] += y[body - 1] + shift[1] if len(x) == 2 else shift[1]
    return x, y


def draw_stream(seed: int, data: AirfoilData) -> tuple[float, list[tuple[float, ...]]]:
    """A Reynolds number, and two actuators (x, y, drag, lift, width) that may be without force."""
    source = np.random.default_rng([data.bodies, seed, 1])
    low, high = np.log(data.reynolds)
    reynolds = float(np.exp(source.uniform(low, high)))
    count = 0
    if data.bodies == 1 and source.random() < data.disturbed:
        count = 1 + int(source.random() < 0.3)
    rows: list[tuple[float, ...]] = []
    for actuator in range(2):
        where, inline = source.random(), source.random() < 0.55
        y = source.normal(0, 0.15) if inline else source.uniform(-1.5, 1.5)
        if where < 0.5:
            x = source.uniform(-2.7, -1.2)
        elif where < 0.8:
            x = source.uniform(1.2, 3.0)
        else:
            x, y = source.uniform(-1.2, 1.2), math.copysign(source.uniform(0.5, 1.6), y)
        there = float(actuator < count)
        drag, lift = there * source.uniform(0.05, 0.55), there * source.normal(0.2, 0.35)
        rows.append((x, y, drag, lift, source.uniform(0.06, 0.14)))
    return reynolds, rows


# What is simulated.


class Means(NamedTuple):
    """Means over time on the cells that are kept, and of the force on each body."""

    u: Float[Tensor, "batch x y"]
    v: Float[Tensor, "batch x y"]
    pressure: Float[Tensor, "batch x y"]
    """Above its mean over the inflow."""
    force: Float[Tensor, "batch body 2"]
    swing: Float[Tensor, "batch body 2"]
    """Standard deviation of the force: zero where the flow is steady."""


def mean_flow(
    grid: Callable[[int], Grid],
    room: Callable[[int], Room | None],
    cells: int,
    bodies: Body,
    viscosity: Float[Tensor, "batch 1 1"],
    forcing: Callable[[Grid], Forcing] = lambda grid: Forcing(),
    compiled: bool = False,
    steady: float = 0.0,
) -> Means:
    """The mean flow past bodies.

    Arguments:
        grid: The domain, by the cells of a chord.
        room: What is set aside for the bodies, likewise.
        cells: Of a chord.
        bodies: Still ones.
        viscosity: Of each sample, one over its Reynolds number.
        forcing: On the fluid.
        compiled: Whether to compile the steps.
        steady: A flow whose forces change by less than this, as coefficients, from one chord's
            time to the next is steady, and needs no longer mean.
    """
    batch, like = len(viscosity), viscosity.new_zeros(1)
    state: FlowState | None = None
    for fineness in (2, 1):
        mesh = grid(cells // fineness)
        flow = Flow(mesh, viscosity, forcing=forcing(mesh), room=room(cells // fineness))
        # Thin ones are part of the data, and the coarse flow is only where the fine one begins.
        try:
            course = Course(flow, bodies, like, batch, warn=False)
        except ValueError:
            # Bodies may be too close for coarse cells.
            if fineness == 1:
                raise
            continue
        if compiled:
            course.compile()
        if fineness > 1:
            state = course.march(course.start(), SPIN)
            continue
        begun = SPIN if state is None else 0.0
        state = course.start() if state is None else refined(state, flow, course.immersed)
        since = begun + SETTLE
        state = course.march(state, since)
        return _averaged(course, state, since, MEAN, steady)
    raise AssertionError("the fine flow returns")


def _averaged(
    course: Course, state: FlowState, since: float, length: float, steady: float
) -> Means:
    sums: list[Tensor] = []
    record = Record()
    before: Tensor | None = None

    def watch(one: FlowState) -> None:
        record(one)
        if len(record) % 4:
            return
        u, v = 0.5 * (one.u[:, 1:] + one.u[:, :-1]), 0.5 * (one.v[:, :, 1:] + one.v[:, :, :-1])
        p = one.pressure - one.pressure[:, :1].mean(2, keepdim=True)
        found = torch.stack([u, v, p], 1)
        sums[:] = [sums[0] + found] if sums else [found]

    pieces = max(1, round(length)) if steady else 1
    for piece in range(1, pieces + 1):
        begun = len(record)
        state = course.march(state, since + length * piece / pieces, watch)
        last = record.force(state.u, begun)
        middle = 2 * last.mean(1)
        moved = 2 * (last.amax(1) - last.amin(1))
        if before is not None:
            moved = torch.maximum(moved, (middle - before).abs())
            if moved.numel() and float(moved.max()) < steady:
                break
        before = middle
    mean = torch.nn.functional.avg_pool2d(sums[0] / (len(record) // 4), COARSER)
    force = record.force(state.u)
    middle = force.mean(1)
    swing = (force - middle[:, None]).square().mean(1).sqrt()
    u, v, pressure = mean.unbind(1)
    return Means(u, v, pressure, middle, swing)


class Group(NamedTuple):
    """Some simulations in one stream."""

    reynolds: float
    airfoils: Airfoils
    means: Means
    background: Float[Tensor, "3 x y"]
    """u, v and pressure without airfoils."""
    distance: Float[Tensor, "batch body x y"]


def simulate(seeds: range, data: AirfoilData) -> Iterator[Group]:
    """Simulations of a shard, a group of one stream at a time."""
    groups = [range(k, k + TOGETHER) for k in range(seeds.start, seeds.stop, TOGETHER)]
    drawn = [draw_stream(group.start, data) for group in groups]
    table = torch.tensor([rows for _, rows in drawn], dtype=torch.float32)
    viscosity = torch.tensor([1 / reynolds for reynolds, _ in drawn])[:, None, None]
    backgrounds = _undisturbed(len(groups), data)
    if bool((table[..., 2] > 0).any()):
        actuators = Actuators(*table.unbind(-1))
        shared = (data.grid, lambda cells: None, data.cells, NoBody())
        means = mean_flow(*shared, viscosity, actuators.forcing, data.compile)
        backgrounds = torch.stack(means[:3], 1)
    like = torch.zeros(1)
    kept = data.grid(data.cells // COARSER)
    for k, group in enumerate(groups):
        airfoils = draw_airfoils(group, data.bodies, data.cells)
        own = Actuators(*table[k : k + 1].unbind(-1))
        nu = viscosity[k : k + 1].expand(TOGETHER, 1, 1).contiguous()
        shared_by = (data.grid, data.room, data.cells, airfoils.bodies())
        found = mean_flow(*shared_by, nu, own.forcing, data.compile)
        distance = airfoils.bodies().distance(*kept.centres(like))
        yield Group(drawn[k][0], airfoils, found, backgrounds[k], distance)


def _undisturbed(count: int, data: AirfoilData) -> Float[Tensor, "group 3 x y"]:
    grid = data.grid(data.cells // COARSER)
    flow = torch.zeros(count, 3, grid.nx, grid.ny)
    flow[:, 0] = 1
    return flow


# What is kept.


def shard_of(seeds: range, data: AirfoilData) -> Shard:
    return Shard(data.out / f"{data.name}_{seeds.start:010d}_{len(seeds):05d}.h5", len(seeds))


@dataclass(frozen=True)
class Window:
    """The part of a domain that is kept."""

    x: Float[np.ndarray, " x"]
    y: Float[np.ndarray, " y"]
    cut: tuple[slice, slice]

    @classmethod
    def of(cls, data: AirfoilData) -> "Window":
        x, y = data.grid(data.cells // COARSER).centres(torch.zeros(1))
        ends = (LEFT, RIGHT + data.longer, -HEIGHT / 2, HEIGHT / 2)
        left, right, bottom, top = WINDOW if data.bodies == 1 else ends
        along = ((x[:, 0] > left) & (x[:, 0] < right)).nonzero()[:, 0].tolist()
        across = ((y[0] > bottom) & (y[0] < top)).nonzero()[:, 0].tolist()
        cut = slice(along[0], along[-1] + 1), slice(across[0], across[-1] + 1)
        return cls(x[cut[0], 0].numpy(), y[0, cut[1]].numpy(), cut)

    def of_all(self, parts: list[Tensor]) -> np.ndarray:
        found: np.ndarray = torch.cat(parts)[..., *self.cut].float().numpy()
        return found

    def field(self, parts: list[Tensor], units: str, about: str) -> store.Field:
        """One instant of a scalar, ``[sample, x, y]``, or of a vector, whose axis is the second."""
        values = self.of_all(parts)[:, None]
        order = values.ndim - 4
        return store.Field(np.moveaxis(values, 2, -1) if order else values, units, order, about)


def write_shard(data: AirfoilData, seeds: range) -> None:
    """Simulate and keep one file."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    with torch.no_grad():
        groups = list(simulate(seeds, data))
    window = Window.of(data)
    airfoils = Airfoils(
        *(torch.cat(part) for part in zip(*[g.airfoils for g in groups], strict=True))
    )
    outlines = airfoils.outlines().float().numpy()
    distance = window.of_all([group.distance for group in groups])
    force = torch.cat([group.means.force for group in groups]).float().numpy()[:, None]
    flows = [torch.stack(group.means[:2], 1) for group in groups]
    streams = [g.background[None].expand(TOGETHER, -1, -1, -1) for g in groups]
    around = "mean velocity without airfoils", "mean pressure without airfoils"
    store.write(
        shard_of(seeds, data).path,
        store.Trajectories(
            name=data.name,
            time=np.zeros(1, np.float32),
            space={"x": window.x, "y": window.y},
            fields={
                "velocity": window.field(flows, "m s-1", "mean velocity"),
                "pressure": window.field(
                    [g.means.pressure for g in groups], "Pa", "mean pressure"
                ),
                "background_velocity": window.field(
                    [s[:, :2] for s in streams], "m s-1", around[0]
                ),
                "background_pressure": window.field([s[:, 2] for s in streams], "Pa", around[1]),
            },
            parameters={"chord": 1.0, "stream": 1.0},
            boundaries={},
            recipe=data.recipe,
            seed=np.array(seeds),
            quality=_described(groups, airfoils),
            bodies={
                f"body_{k}": store.Body(distance[:, k, None], [[o] for o in outlines[:, k]])
                for k in range(data.bodies)
            },
            histories={
                "force": store.History(
                    np.zeros(1, np.float32), force, "N m-1", 1, "mean force of the fluid"
                )
            },
            centring="cell",
        ),
    )


def _described(groups: list[Group], airfoils: Airfoils) -> dict[str, np.ndarray]:
    """Numbers of each sample: its stream, how steady it is, its airfoils."""
    swing = 2 * torch.cat([group.means.swing.amax(1) for group in groups]).double()
    found = {
        "reynolds": np.repeat([group.reynolds for group in groups], TOGETHER),
        "swing_drag": swing[:, 0].numpy(),
        "swing_lift": swing[:, 1].numpy(),
    }
    for body in range(airfoils.x.shape[1]):
        for name in ("x", "y", "incidence"):
            found[f"{name}_{body}"] = getattr(airfoils, name)[:, body].double().numpy()
        for side in ("upper", "lower"):
            for k, weight in enumerate(getattr(airfoils, side)[:, body].double().unbind(-1)):
                found[f"{side}_{body}_{k}"] = weight.numpy()
    return found


def generate(data: AirfoilData, report: Callable[[int], None] = lambda done: None) -> list[Path]:
    """All shards; those that are there already, and whole, are kept.

    Arguments:
        report: Told how many simulations are there, after each shard.

    Raises:
        ValueError: a shard in the folder was made by another recipe, or is damaged.
    """
    wanted = {seeds: shard_of(seeds, data) for seeds in data.shards()}
    return write_shards(
        data.out, data.recipe, wanted, write_shard, data, data.workers, data.scheduler, report
    )
