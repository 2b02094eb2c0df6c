r"""Data of equations that evolve: trajectories of a problem, and how good they are.

Figures of each sample:

* ``residual``: what a trajectory owes its equation at the instants that are kept
  (:func:`physgen.solvers.evolution.residual`), over the rate of change, both as root mean squares of
  the worst channel. It says what guidance by a residual must allow for on true data, and grows
  with the square of the interval between instants;
* ``step_error``: how far half the time step leads elsewhere in the last interval, over the state;
* ``…_drift``: the largest change of what the equation keeps, over its size;
* ``finite``: the share of numbers that are.
"""

import abc
import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.datasets.equation import Drawn, EquationData, Site, own_generators
from physgen.shapes import PerSample, Trajectory
from physgen.solvers.catalogue import Problem
from physgen.solvers.evolution import drive, residual, whole_steps
from physgen.solvers.periodic import Periodic
from physgen.solvers.walled import Walled

Amount = Float[Tensor, "batch time"]
"""One number of each sample at each instant."""


@dataclass(frozen=True, kw_only=True)
class EvolvingData(EquationData):
    """Trajectories of one equation."""

    time: float
    """How long, in s."""
    frames: int
    """Instants to keep, besides the first."""
    dt: float
    """The longest time step, in s; an interval between instants is a whole number of steps."""
    before: float = 0.0
    """How long it has gone on already when a trajectory begins, unforced, in s."""
    double: bool = True
    """Compute in double precision; files are in single precision."""

    @property
    @abc.abstractmethod
    def problem(self) -> Problem:
        """What is simulated."""

    @abc.abstractmethod
    def kept(self, trajectory: Trajectory) -> dict[str, Amount]:
        """What the equation keeps, over its size at the beginning; nothing if it keeps nothing."""

    @final
    def check(self) -> None:
        if not 0 <= self.before < math.inf:
            raise ValueError(f"before must not be negative, got {self.before}")
        self.problem.with_step(self.step)  # refuses what a solver cannot do

    @property
    @final
    def interval(self) -> float:
        """Between instants, in s."""
        return self.time / self.frames

    @property
    @final
    def step(self) -> float:
        """The time step that is taken, in s."""
        steps = whole_steps(self.time, self.frames, self.dt)
        return self.interval / steps

    @property
    @final
    def site(self) -> Site:
        grid = self.problem.grid
        places = grid.places(torch.zeros(1, dtype=torch.float64))
        side = "PERIODIC" if isinstance(grid, Periodic) else "WALL"
        return Site(places, side, "point" if isinstance(grid, Walled) else "cell")

    @final
    def simulate(self, seeds: range) -> Drawn:
        problem, kind = self.problem, torch.float64 if self.double else torch.float32
        begun = []
        for source in own_generators(seeds):
            start = problem.start(1, source)
            begun.append((start, problem.force(start, self.frames, source)))
        state, controls = (torch.cat(part).to(kind) for part in zip(*begun, strict=True))
        solver = problem.with_step(self.step)
        steps = whole_steps(self.time, self.frames, self.dt)
        if late := round(self.before / self.step):
            state = solver.march(state, state[:, :0], late)
        trajectory = drive(solver, state, controls, steps)

        owed = residual(solver, trajectory, controls, self.interval)
        rates = trajectory.diff(dim=1) / self.interval
        halved = problem.with_step(self.step / 2)
        again = drive(halved, trajectory[:, -2], controls[:, -1:], 2 * steps)[:, -1]
        last = trajectory[:, -1]
        quality = {
            "residual": _size(owed, rates),
            "step_error": _size((again - last)[:, None], last[:, None]),
        }
        for name, amount in self.kept(trajectory).items():
            quality[f"{name}_drift"] = (amount - amount[:, :1]).abs().amax(1)
        held = torch.cat([controls, torch.zeros_like(controls[:, :1])], 1)
        time = self.interval * torch.arange(self.frames + 1, dtype=torch.float64)
        forces = list(self.units)[trajectory.shape[2] :]
        about = dict.fromkeys(forces, "constant from its instant to the next, zero at the last")
        return Drawn(time, torch.cat([trajectory, held], 2), quality, about)


def _size(
    part: Float[Tensor, "batch instant channel *space"],
    whole: Float[Tensor, "batch instant channel *space"],
) -> PerSample:
    """Root mean squares over one another, of the worst channel."""
    sizes = [one.square().transpose(1, 2).flatten(2).mean(2).sqrt() for one in (part, whole)]
    found: Tensor = (sizes[0] / sizes[1].clamp(min=torch.finfo(sizes[1].dtype).tiny)).amax(1)
    return found


def mean_of(trajectory: Trajectory, channel: int = 0) -> Amount:
    """The mean of a field, over its root mean square at the beginning."""
    field = trajectory[:, :, channel].flatten(2)
    return field.mean(2) / field[:, :1].square().mean(2).sqrt()


def square_of(trajectory: Trajectory, channel: int = 0) -> Amount:
    """The mean square of a field, over that at the beginning."""
    square = trajectory[:, :, channel].flatten(2).square().mean(2)
    return square / square[:, :1]
