"""Discs in a box: starts, simulations, and the shards they are kept in.

Every simulation has a seed of its own, from which it can be made again alone. Training, test
and design use ranges of seeds that do not meet.
"""

import abc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from physgen import __version__
from physgen.asked import among
from physgen.datasets import store
from physgen.datasets.seeds import refuse_mixed
from physgen.datasets.shards import Shard, files_of, write_shards
from physgen.solvers.discs import Discs, no_boundary
from physgen.solvers.solver import rollout

Vectors = Float[Tensor, "batch body 2"]
Motion = Float[Tensor, "batch time body 4"]

FASTEST = 100.0
"""Largest initial velocity along x or y, in px/s."""


class StartLaw(abc.ABC):
    """How simulations begin."""

    @abc.abstractmethod
    def draw(self, source: np.random.Generator, solver: Discs, bodies: int) -> np.ndarray:
        """Positions in px and velocities in px/s of one simulation, ``(body, 4)``."""


@dataclass(frozen=True)
class SeparateStart(StartLaw):
    """Uniform among the places where no disc overlaps another or a wall."""

    def draw(self, source: np.random.Generator, solver: Discs, bodies: int) -> np.ndarray:
        low = solver.wall + solver.radius
        first, second = np.triu_indices(bodies, 1)
        while True:
            place = source.uniform(low, solver.box - low, (bodies, 2))
            apart = place[first] - place[second]
            if (np.square(apart).sum(-1) >= (2 * solver.radius) ** 2).all():
                velocity = source.uniform(-FASTEST, FASTEST, (bodies, 2))
                return np.concatenate([place, velocity], axis=1)


@dataclass(frozen=True)
class CinDMStart(StartLaw):
    """Whole pixels, overlaps not rejected: the starts of the published data.

    A fifth of the pairs overlap.
    """

    def draw(self, source: np.random.Generator, solver: Discs, bodies: int) -> np.ndarray:
        radius = round(solver.radius)
        place = source.integers(radius, round(solver.box) - radius, (bodies, 2), endpoint=True)
        velocity = source.uniform(-FASTEST, FASTEST, (bodies, 2))
        return np.concatenate([place, velocity], axis=1)


LAWS: dict[str, StartLaw] = {"separate": SeparateStart(), "cindm": CinDMStart()}


def simulate(
    seeds: range, bodies: int, steps: int, stride: int, law: StartLaw, solver: Discs
) -> Motion:
    """One simulation for each seed, in px and px/s."""
    starts = np.stack(
        [law.draw(np.random.default_rng([bodies, seed]), solver, bodies) for seed in seeds]
    )
    start = torch.from_numpy(starts)
    state = solver.initial(start[..., :2], start[..., 2:])
    with torch.no_grad():
        states = rollout(solver, state, no_boundary(state), steps, stride)
    return states[:, :, :4].transpose(2, 3)


@dataclass(frozen=True)
class NBodyData:
    """Simulations of elastic discs in a box (CinDM's N-body data, or the like of it)."""

    bodies: int = 2
    """Discs in the box."""
    simulations: int = 20_000
    """How many."""
    steps: int = 796
    """Solver steps of 1/60 s."""
    stride: int = 4
    """Steps between stored instants."""
    start: Annotated[str, among(LAWS)] = "separate"
    """separate (no overlaps) or cindm (whole pixels, overlaps kept)."""
    seed: int = 0
    """Seed of the first simulation; the others follow it."""
    shard: int = 1000
    """Simulations in a file."""
    workers: int = 1
    """Processes that write shards."""
    out: Path = Path("data/nbody")
    """Folder of the shards."""

    def __post_init__(self) -> None:
        for name in ("bodies", "simulations", "stride", "shard", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.steps < self.stride or self.steps % self.stride:
            raise ValueError(
                f"steps must be a multiple of stride, got {self.steps} and {self.stride}"
            )
        if self.start not in LAWS:
            raise ValueError(f"start must be one of {sorted(LAWS)}, got {self.start!r}")
        refuse_mixed(self.seed, self.simulations)

    @property
    def recipe(self) -> dict[str, object]:
        """All that decides what a simulation is."""
        solver = Discs()
        options = {k: v for k, v in asdict(self).items() if k in RECIPE_OPTIONS}
        physics = {"box": solver.box, "radius": solver.radius, "dt": solver.dt}
        return {
            "dataset": "nbody",
            "solver": "Discs",
            "version": __version__,
            **physics,
            **options,
        }

    def shards(self) -> list[range]:
        """The seeds of every file."""
        last = self.seed + self.simulations
        return [range(k, min(k + self.shard, last)) for k in range(self.seed, last, self.shard)]

    def file(self, seeds: range) -> Path:
        return self.out / f"nbody{self.bodies}_{seeds.start:010d}_{len(seeds):05d}.h5"


RECIPE_OPTIONS = ("bodies", "steps", "stride", "start")


def write_shard(data: NBodyData, seeds: range) -> Path:
    """Simulate and keep one file."""
    torch.set_num_threads(1)
    solver = Discs()
    motion = simulate(seeds, data.bodies, data.steps, data.stride, LAWS[data.start], solver)
    energy = motion[..., 2:].square().sum((-1, -2)) / 2
    drift = (energy / energy[:, :1] - 1).abs().amax(1)
    values = motion.float().numpy()
    instants = np.arange(motion.shape[1], dtype=np.float32)
    path = data.file(seeds)
    store.write(
        path,
        store.Trajectories(
            name=f"nbody{data.bodies}",
            time=instants * np.float32(data.stride * solver.dt),
            space={"body": np.arange(data.bodies, dtype=np.float32)},
            fields={
                "position": store.Field(values[..., :2], "px", 1),
                "velocity": store.Field(values[..., 2:], "px/s", 1),
            },
            parameters={"radius": solver.radius, "box": solver.box},
            boundaries={"box": "WALL"},
            recipe=data.recipe,
            seed=np.array(seeds),
            quality={"energy_drift": drift.double().numpy()},
        ),
    )
    return path


def generate(data: NBodyData, report: Callable[[int], None] = lambda done: None) -> list[Path]:
    """All shards; those that are there already, and whole, are kept.

    Arguments:
        report: Told how many simulations are there, after each shard.

    Raises:
        ValueError: a shard in the folder was made by another recipe, or is damaged.
    """
    wanted = {seeds: Shard(data.file(seeds), len(seeds)) for seeds in data.shards()}
    return write_shards(data.out, data.recipe, wanted, write_shard, data, data.workers, "", report)


def load_motion(folder: Path) -> Motion:
    """All simulations of a folder, in box units.

    Raises:
        ValueError: there is no data set, it is none of discs, or a file of it is missing or damaged.
    """
    parts = []
    for path in files_of(folder, "physgen generate nbody"):
        data = store.read(path)
        missing = {"position", "velocity"} - set(data.fields)
        if missing or "box" not in data.parameters:
            raise ValueError(
                f"{path} holds '{data.name}', no discs in a box: "
                "make those by 'physgen generate nbody'"
            )
        both = (data.fields["position"].values, data.fields["velocity"].values)
        parts.append(torch.from_numpy(np.concatenate(both, -1)) / data.parameters["box"])
    return torch.cat(parts)
