r"""Burgers tracking: a velocity is to follow another one, under noise, for eight seconds.

The closed-loop problem of CL-DiffPhyCon (Wei et al., 2025, https://arxiv.org/abs/2408.03124): a velocity
between two walls obeys :math:`u_t + \frac12 (u^2)_x = \nu u_{xx} + w` under a force :math:`w` that
is constant in each interval of a tenth of a second, and shall at the end of every interval be that of
a test trajectory, whose force nobody is told. After each interval the world adds noise,

.. math:: u \leftarrow u + \rho\, \xi_k(x), \qquad \xi_k(x) = \sum_{n \ge 1} a_n \eta_{nk}
    \sin(n \pi x), \quad a_n \propto e^{-(n \pi \ell)^2 / 4}, \quad
    \overline{\mathbb{E}\, \xi^2} = 1,

smooth over :math:`\ell` = 0.1 m, new in every interval, and nought at the walls. Its size
:math:`\rho` is a share, 5 % by default, of the velocity's spread in the data, 0.51 m/s. (The published
code has no such noise; it is ours.) The state is then seen in full, and the next force may be
chosen. The objective is

.. math:: J = \frac1K \sum_{k=1}^{K} \overline{|u(t_k) - u^*(t_k)|^2}

over all points, by the solver with its published step of 1e-4 s. No control can be better than
:math:`\rho^2`, the noise that has just come.

Figures:

``objective``
    :math:`J`, in m²/s².
``energy``
    :math:`\sum_{t, x} w^2` over intervals and points, in m²/s⁴.
"""

import abc
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from physgen.datasets.burgers_control import INTERVALS, POINTS, draw, outer_quarters, steps_of
from physgen.datasets.seeds import TEST_SEEDS
from physgen.design_tasks.burgers_control import FINE
from physgen.design_tasks.burgers_prior import SPREAD
from physgen.shapes import Boundary, PerSample, State, Trajectory
from physgen.solvers.evolution import Controls, drive
from physgen.solvers.walled_burgers import WalledBurgers

SECONDS = 8
"""For which a velocity is tracked."""
SMOOTH = 0.1
"""Length over which noise is smooth, in m."""


@dataclass(frozen=True, eq=False)
class Reach:
    """Where a force may act."""

    name: str
    about: str
    forced: Bool[Tensor, " x"]

    @property
    def outer(self) -> bool:
        """Whether there is force in the outer quarters only."""
        return not bool(self.forced.all())


REACHES = {
    reach.name: reach
    for reach in (
        Reach("full", "force everywhere", torch.ones(POINTS, dtype=torch.bool)),
        Reach("outer", "force in the outer quarters", outer_quarters()),
    )
}


def smooth_noise(shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "... x"]:
    """Fields of unit variance on average that are smooth over :data:`SMOOTH` and nought at walls.

    Arguments:
        shape: Of what there is a field for.
        generator: Source of the numbers.
    """
    like = {"dtype": torch.float32, "device": generator.device}
    wave = torch.pi * torch.arange(1, POINTS + 1, **like)  # type: ignore[call-overload]
    size = torch.exp(-(wave * SMOOTH).square() / 4)
    size = size * (2 / size.square().sum()).sqrt()
    place = torch.arange(1, POINTS + 1, **like) / (POINTS + 1)  # type: ignore[call-overload]
    drawn = torch.randn(*shape, POINTS, generator=generator, **like)  # type: ignore[call-overload]
    fields: Tensor = (size * drawn) @ torch.sin(wave[:, None] * place)
    return fields


class Controller(abc.ABC):
    """What chooses a force for each interval, from what is seen at its beginning."""

    @abc.abstractmethod
    def act(self, interval: int, state: State, wanted: Trajectory) -> Boundary:
        """The force, ``(batch, 1, x)``.

        Arguments:
            interval: Its number; intervals are asked for one after another.
            state: What is seen.
            wanted: The states that are wanted at the ends of this interval and the later ones.
        """


@dataclass(frozen=True)
class Tracked:
    """What came of a controller."""

    velocity: Trajectory
    """After the noise of every interval, the first state before all."""
    force: Controls
    missed: Float[Tensor, "batch interval"]
    """The mean square that is missed at the end of every interval, in m²/s²."""
    seconds: float
    """That the controller took, for all targets."""

    @property
    def objective(self) -> PerSample:
        found: PerSample = self.missed.mean(1)
        return found

    @property
    def energy(self) -> PerSample:
        found: PerSample = self.force.square().flatten(1).sum(1)
        return found

    @property
    def middling(self) -> int:
        """The target with the middle objective."""
        order = self.objective.argsort()
        return int(order[(len(order) - 1) // 2])


class BurgersTracking:
    """Test trajectories that are to be followed, and the noise that each meets.

    Noise is that of the target and the interval, so that all controllers meet the same.

    Arguments:
        reach: Where a force may act.
        targets: How many.
        intervals: Of control.
        noise: Its standard deviation, as a share of the velocity's spread.
        skip: Test seeds to leave out before the first.
        dt: The world's time step, in s.
        seeds: The first is the first trajectory's.
    """

    def __init__(
        self,
        reach: Reach,
        targets: int,
        intervals: int = SECONDS * INTERVALS,
        noise: float = 0.05,
        skip: int = 0,
        dt: float = FINE,
        seeds: range = TEST_SEEDS,
    ) -> None:
        if targets < 1:
            raise ValueError(f"targets must be at least 1, got {targets}")
        if not 1 <= intervals <= SECONDS * INTERVALS:
            raise ValueError(
                f"intervals must be between 1 and {SECONDS * INTERVALS}, got {intervals}"
            )
        if not noise >= 0:
            raise ValueError(f"noise must not be negative, got {noise}")
        self.seeds = range(seeds.start + skip, seeds.start + skip + targets)
        if self.seeds[-1] not in seeds:
            raise ValueError(f"there are {len(seeds)} such seeds, got {skip} + {targets}")
        self.reach = reach
        self.intervals = intervals
        self.noise = noise
        self.solver = WalledBurgers(points=POINTS, dt=dt)
        self.steps = steps_of(dt)
        first, force = draw(self.seeds, reach.outer, self.solver, SECONDS)
        self.first, self.force = first, force[:, :intervals]
        """The forces that made the trajectories, which no controller is told."""
        with torch.no_grad():
            self.wanted = drive(self.solver, first, self.force, self.steps)[:, 1:]
        self.disturbances = torch.stack(
            [
                smooth_noise((intervals,), torch.Generator().manual_seed(seed + NOISE_SEEDS))
                for seed in self.seeds
            ]
        )[:, :, None]

    @property
    def floor(self) -> float:
        """The mean square of the noise that has just come, which nothing can undo, in m²/s²."""
        return (self.noise * SPREAD[0]) ** 2

    def run(self, controller: Controller) -> Tracked:
        """Let a controller act until the end.

        Forces where none may act are left out.
        """
        (found,) = self.side_by_side([controller])
        return found

    @torch.no_grad()
    def side_by_side(self, controllers: Sequence[Controller]) -> list[Tracked]:
        """The same of several controllers, whose worlds are one batch of the solver."""
        count = len(controllers)
        together = self.first.repeat(count, 1, 1)
        states, forces, seconds = [together], [], [0.0] * count
        for k in range(self.intervals):
            parts = []
            for n, (controller, state) in enumerate(
                zip(controllers, together.chunk(count), strict=True)
            ):
                began = time.perf_counter()
                parts.append(controller.act(k, state, self.wanted[:, k:]) * self.reach.forced)
                seconds[n] += time.perf_counter() - began
            forces.append(torch.cat(parts))
            noise = self.noise * SPREAD[0] * self.disturbances[:, k]
            together = self.solver.march(together, forces[-1], self.steps)
            together = together + noise.repeat(count, 1, 1)
            states.append(together)
        velocities, pushes = torch.stack(states, 1), torch.stack(forces, 1)
        return [
            Tracked(
                velocity=velocity,
                force=force,
                missed=(velocity[:, 1:] - self.wanted).square().flatten(2).mean(2),
                seconds=spent,
            )
            for velocity, force, spent in zip(
                velocities.chunk(count), pushes.chunk(count), seconds, strict=True
            )
        ]


NOISE_SEEDS = 10**12
"""What lies between the seed of a trajectory and that of the noise it meets."""
