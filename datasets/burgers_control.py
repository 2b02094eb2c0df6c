"""Velocities between walls under random forces: the data of DiffPhyCon's control problem.

A trajectory of :class:`~physgen.solvers.walled_burgers.WalledBurgers` lasts one second and is kept
at eleven instants; between two of them its force stays. Longer ones, from which windows are cut for
tracking, have a force of their own in every second. States and forces are drawn as published
(:func:`~physgen.solvers.walled_burgers.two_humps`, :func:`~physgen.solvers.walled_burgers.eight_pushes`).
With partial control the force is twice as large, and zero but in the outer quarters.

Every simulation has a seed of its own, from which it can be made again alone. Training and test
use ranges of seeds that do not meet.

Source: DiffPhyCon (Wei et al., 2024, https://arxiv.org/abs/2407.06494) and its published code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from physgen import __version__
from physgen.asked import among
from physgen.datasets import store
from physgen.datasets.seeds import TRAINING_SEEDS, refuse_mixed
from physgen.datasets.shards import Shard, files_of, write_shards
from physgen.shapes import State, Trajectory
from physgen.solvers.evolution import Controls, drive
from physgen.solvers.walled_burgers import WalledBurgers, eight_pushes, two_humps

POINTS = 128
"""Between the walls."""
INTERVALS = 10
"""Of constant force, in one second."""
INTERVAL = 1.0 / INTERVALS
"""Of constant force, in s."""
DT = 5e-4
"""The solver's step that makes data, in s."""
AT_ONCE = 500
"""Simulations in one call of the solver: what fits into a processor's cache."""


def outer_quarters(points: int = POINTS) -> Bool[Tensor, " x"]:
    """The points nearer to a wall than a quarter of the way: 0 to 31 and 96 to 127 of 128."""
    place = torch.arange(points)
    return (place < points // 4) | (place >= points - points // 4)


class Driven(NamedTuple):
    """Trajectories and the forces that drove them."""

    velocity: Trajectory
    """In m/s, at an instant more than there are intervals."""
    force: Controls
    """In m/s², in each interval."""


def steps_of(dt: float) -> int:
    """Solver steps in an interval.

    Raises:
        ValueError: an interval is not a whole number of them.
    """
    steps = round(INTERVAL / dt)
    if steps < 1 or abs(steps * dt - INTERVAL) > 1e-9:
        raise ValueError(
            f"an interval of {INTERVAL} s must be a whole number of steps, got {dt} s"
        )
    return steps


def draw(
    seeds: range, outer: bool, solver: WalledBurgers, seconds: int = 1
) -> tuple[State, Controls]:
    """A first state and forces for each seed, in single precision.

    Arguments:
        seeds: One for each.
        outer: Whether there is force in the outer quarters only.
        solver: Its points.
        seconds: For which there are forces; those of the first are the same for any number.
    """
    (place,) = solver.grid.places(torch.zeros(1, dtype=torch.float64))
    states, forces = [], []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        states.append(two_humps(1, place, generator))
        each = [eight_pushes(1, INTERVALS, place, generator) for _ in range(seconds)]
        forces.append(torch.cat(each, dim=1))
    state, force = torch.cat(states).float(), torch.cat(forces).float()
    return state, 2 * outer_quarters(len(place)) * force if outer else force


def simulate(seeds: range, outer: bool, dt: float = DT, seconds: int = 1) -> Driven:
    """One simulation for each seed, in single precision, whose rounding is far below the error
    of the step."""
    solver = WalledBurgers(points=POINTS, dt=dt)
    state, force = draw(seeds, outer, solver, seconds)
    parts = zip(state.split(AT_ONCE), force.split(AT_ONCE), strict=True)
    with torch.no_grad():
        velocity = torch.cat([drive(solver, u, w, steps_of(dt)) for u, w in parts])
    return Driven(velocity, force)


FORCED: dict[str, bool] = {"everywhere": False, "outer": True}
"""Where there is force, and whether that is in the outer quarters only."""


@dataclass(frozen=True)
class BurgersControlData:
    """Velocities between walls under random forces (DiffPhyCon's data)."""

    forced: Annotated[str, among(FORCED)] = "outer"
    """Where there is force: outer (the quarters next to the walls) or everywhere."""
    simulations: int = 20_000
    """How many."""
    seconds: int = 1
    """Of each."""
    dt: float = DT
    """Step of the solver, in s; published data have 1e-4."""
    seed: int = 0
    """Seed of the first simulation; the others follow it."""
    shard: int = 1000
    """Simulations in a file."""
    workers: int = 1
    """Processes that write shards."""
    scheduler: str = ""
    """Address of a dask scheduler whose workers write instead."""
    out: Path = Path("data/burgers-control")
    """Folder of the shards."""

    def __post_init__(self) -> None:
        for name in ("simulations", "seconds", "shard", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.forced not in FORCED:
            raise ValueError(f"forced must be one of {sorted(FORCED)}, got {self.forced!r}")
        WalledBurgers(points=POINTS, dt=self.dt)
        steps_of(self.dt)
        refuse_mixed(self.seed, self.simulations)

    @property
    def recipe(self) -> dict[str, object]:
        """All that decides what a simulation is."""
        recipe: dict[str, object] = {
            "dataset": "burgers-control",
            "solver": "WalledBurgers",
            "version": __version__,
            "viscosity": WalledBurgers().viscosity,
            "points": POINTS,
            "intervals": INTERVALS,
            "dt": self.dt,
            "forced": self.forced,
        }
        # Files from before there were longer ones do not name their second.
        return recipe if self.seconds == 1 else {**recipe, "seconds": self.seconds}

    def shards(self) -> list[range]:
        """The seeds of every file."""
        last = self.seed + self.simulations
        return [range(k, min(k + self.shard, last)) for k in range(self.seed, last, self.shard)]

    def file(self, seeds: range) -> Path:
        return self.out / f"burgers_{self.forced}_{seeds.start:010d}_{len(seeds):05d}.h5"


def write_shard(data: BurgersControlData, seeds: range) -> Path:
    """Simulate and keep one file."""
    torch.set_num_threads(1)
    found = simulate(seeds, FORCED[data.forced], data.dt, data.seconds)
    path = data.file(seeds)
    store.write(path, stored(found, np.array(seeds), data.recipe, {}))
    return path


def instants(intervals: int) -> np.ndarray:
    """When states are kept, in s."""
    return np.linspace(0, intervals * INTERVAL, intervals + 1, dtype=np.float32)


def stored(
    found: Driven,
    seed: np.ndarray,
    recipe: Mapping[str, object],
    quality: Mapping[str, np.ndarray],
    claimed: Trajectory | None = None,
) -> store.Trajectories:
    """Trajectories as a file holds them, see :mod:`physgen.datasets.store`.

    Arguments:
        found: The trajectories.
        seed: Of each.
        recipe: How they were made.
        quality: Numbers of each, besides the energy of its force.
        claimed: What a prior holds the trajectories to be, if one does.
    """
    solver = WalledBurgers(points=POINTS)
    (place,) = solver.grid.places(torch.zeros(1))
    force = torch.cat([found.force, torch.zeros_like(found.force[:, :1])], dim=1)
    fields = {"velocity": (found.velocity, "m s-1", "velocity")}
    fields["force"] = (force, "m s-2", "force until the next instant, zero at the last")
    if claimed is not None:
        fields["claimed_velocity"] = (claimed, "m s-1", "velocity as the prior has it")
    energy = force.square().flatten(1).sum(1).double().numpy()
    return store.Trajectories(
        name="burgers-control",
        time=instants(found.force.shape[1]),
        space={"x": place.numpy()},
        fields={
            name: store.Field(values[:, :, 0].float().numpy(), units, 0, about)
            for name, (values, units, about) in fields.items()
        },
        parameters={"viscosity": solver.viscosity},
        boundaries={"left": "WALL", "right": "WALL"},
        recipe=recipe,
        seed=seed,
        quality={"energy": energy, **quality},
        centring="point",
    )


def generate(
    data: BurgersControlData, report: Callable[[int], None] = lambda done: None
) -> list[Path]:
    """All shards; those that are there already, and whole, are kept.

    Arguments:
        report: Told how many simulations are there, after each shard.

    Raises:
        ValueError: a shard in the folder was made by another recipe, or is damaged.
    """
    wanted = {seeds: Shard(data.file(seeds), len(seeds)) for seeds in data.shards()}
    return write_shards(
        data.out, data.recipe, wanted, write_shard, data, data.workers, data.scheduler, report
    )


def origin(folder: Path, outer: bool, seconds: int = 1) -> dict[str, object]:
    """How the simulations of a folder were made, and from which seeds, to be trained on.

    Arguments:
        folder: Of a finished data set.
        outer: Whether there must be force in the outer quarters only.
        seconds: That each must last.

    Raises:
        ValueError: there is no data set, its forces act elsewhere or another time, some of its
            seeds are not for training, or its files were not all made alike.
    """
    (forced,) = (name for name, kind in FORCED.items() if kind == outer)
    found: dict[str, object] = {}
    seeds: set[int] = set()
    for path in files_of(folder, "physgen generate burgers-control"):
        with store.opened(path) as file:
            recipe, held = store.recipe(file), store.seeds(file).tolist()
        if recipe.get("forced") != forced:
            raise ValueError(
                f"{path} must hold simulations forced {forced}, got {recipe.get('forced')!r}: "
                f"make some with 'physgen generate burgers-control --forced {forced}'"
            )
        if recipe.get("seconds", 1) != seconds:
            raise ValueError(
                f"{path} must hold simulations of {seconds} s, got {recipe.get('seconds', 1)} s: "
                f"make some with 'physgen generate burgers-control --seconds {seconds}'"
            )
        beyond = [seed for seed in held if seed not in TRAINING_SEEDS]
        if beyond:
            raise ValueError(
                f"{path} is to be trained on and must hold training seeds, {TRAINING_SEEDS}, got "
                f"{beyond[0]}, which is for tests: generate with a smaller --seed"
            )
        if found and recipe != found:
            raise ValueError(f"{path} was made by another recipe than the files before it")
        found = recipe
        seeds.update(held)
    return {**found, "seeds": [min(seeds), max(seeds)], "simulations": len(seeds)}


def load_driven(folder: Path, outer: bool, seconds: int = 1) -> Driven:
    """All simulations of a folder, to be trained on.

    Arguments:
        folder: Of a finished data set.
        outer: Whether there must be force in the outer quarters only.
        seconds: That each must last.

    Raises:
        ValueError: :func:`origin` refuses the folder, or a file of it is missing or damaged.
    """
    origin(folder, outer, seconds)
    velocities, forces = [], []
    for path in files_of(folder, "physgen generate burgers-control"):
        data = store.read(path)
        velocities.append(torch.from_numpy(data.fields["velocity"].values)[:, :, None])
        forces.append(torch.from_numpy(data.fields["force"].values)[:, :-1, None])
    return Driven(torch.cat(velocities), torch.cat(forces))


def training_data(
    folder: Path | None, outer: bool, runs: int, seconds: int = 1
) -> tuple[dict[str, object], Driven]:
    """How simulations to train on are made, and the simulations: those of a folder, or new ones.

    Arguments:
        folder: Of a finished data set; None to make them anew.
        outer: Whether there is force in the outer quarters only.
        runs: How many to make anew, of the first training seeds.
        seconds: That each lasts.

    Raises:
        ValueError: the folder is none to be trained on.
    """
    if folder is not None:
        return origin(folder, outer, seconds), load_driven(folder, outer, seconds)
    forced = "outer" if outer else "everywhere"
    data = BurgersControlData(forced=forced, simulations=runs, seconds=seconds)
    made = {**data.recipe, "seeds": [0, runs - 1], "simulations": runs}
    return made, simulate(range(runs), outer, seconds=seconds)
