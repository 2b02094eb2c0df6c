"""Controllers of Burgers tracking: windows of the prior, moved or drawn anew, and classical ones."""

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from physgen.asynchronous import Ladder, Moving, Window, carried
from physgen.datasets.burgers_control import INTERVAL, POINTS
from physgen.datasets.seeds import TRAINING_SEEDS
from physgen.descent import descend
from physgen.design_tasks.burgers_control import simulate_sound
from physgen.design_tasks.burgers_prior import span
from physgen.design_tasks.burgers_tracking import BurgersTracking, Controller, Reach
from physgen.design_tasks.burgers_tracking_prior import CHANNELS, HORIZON, forces, hints, told
from physgen.sampler import unit_noise
from physgen.shapes import Boundary, PerSample, Sample, State, Trajectory
from physgen.solvers.evolution import Controls


class Idle(Controller):
    """No force."""

    def act(self, interval: int, state: State, wanted: Trajectory) -> Boundary:
        return torch.zeros_like(state)


@dataclass(frozen=True, eq=False)
class Recorded(Controller):
    """Forces that were chosen before, whatever is seen."""

    force: Controls

    def act(self, interval: int, state: State, wanted: Trajectory) -> Boundary:
        return self.force[:, interval]


class PID(Controller):
    r"""Feedback of what is missing to the velocity wanted next, where a force may act.

    .. math:: w_k = K_p e_k + K_i \Delta t \sum_{j \le k} e_j + K_d \frac{e_k - e_{k-1}}{\Delta t},
        \qquad e_k = u^*(t_{k+1}) - u(t_k)

    Arguments:
        proportional: In 1/s.
        integral: In 1/s².
        derivative: No unit.
    """

    def __init__(self, proportional: float, integral: float, derivative: float) -> None:
        self.gains = proportional, integral, derivative
        self.total: Tensor | None = None
        self.before: Tensor | None = None

    def act(self, interval: int, state: State, wanted: Trajectory) -> Boundary:
        proportional, integral, derivative = self.gains
        error = wanted[:, 0] - state
        if self.total is None or self.before is None or interval == 0:
            self.total, self.before = torch.zeros_like(error), error
        self.total = self.total + INTERVAL * error
        change = (error - self.before) / INTERVAL
        self.before = error
        return proportional * error + integral * self.total + derivative * change


def tuned(reach: Reach, noise: float, cases: int = 30, intervals: int = 20) -> PID:
    """The best of 60 gains on training trajectories; gains that shake the solver apart are none."""
    world = BurgersTracking(reach, cases, intervals, noise, dt=COARSE, seeds=TRAINING_SEEDS)

    def cost(gains: tuple[float, float, float]) -> float:
        try:
            found = world.run(PID(*gains)).objective.mean().item()
        except ValueError:
            return math.inf
        return found if math.isfinite(found) else math.inf

    grid = itertools.product((1.0, 2.0, 4.0, 6.0, 8.0), (0.0, 3.0, 10.0, 30.0), (0.0, 0.1, 0.3))
    return PID(*min(grid, key=cost))


COARSE = 2e-3
"""Time step of the solver with which feedback is tuned, and the receding horizon looks ahead, in s."""


class Sampled(Controller):
    """A controller that asks the prior, and counts how often."""

    def __init__(self, model: nn.Module, reach: Reach, generator: torch.Generator) -> None:
        self.model = model
        self.reach = reach
        self.generator = generator
        self.evaluations = 0
        """Of the network, for each target."""

    def denoise(self, state: State, wanted: Trajectory) -> "Asked":
        """The denoiser of windows that begin at what is seen."""
        return Asked(self, hints(state, wanted, self.reach.forced))

    def noise(self, state: State) -> Window:
        """Unit noise for a window of each target."""
        return unit_noise(len(state), (HORIZON, CHANNELS, POINTS), self.generator).to(state)


class Asked:
    """The prior, told what is known, and counted."""

    def __init__(self, owner: Sampled, given: Tensor) -> None:
        self.owner = owner
        self.denoise = told(owner.model, given)

    def __call__(self, z: Tensor, levels: Tensor) -> Tensor:
        self.owner.evaluations += 1
        return self.denoise(z, levels)


class Asynchronous(Sampled):
    """A window that moves with time: each interval takes every step of it one rung down.

    Arguments:
        model: The network of the prior.
        reach: Where a force may act.
        generator: Source of noise.
        evaluations: For each interval.
        first: For the first window; as many for each rung as for an interval, if not given.
    """

    def __init__(
        self,
        model: nn.Module,
        reach: Reach,
        generator: torch.Generator,
        evaluations: int = 1,
        first: int | None = None,
    ) -> None:
        super().__init__(model, reach, generator)
        self.moving = Moving(Ladder(HORIZON), evaluations, generator, first)
        self.waiting: Window | None = None

    def act(self, interval: int, state: State, wanted: Trajectory) -> Boundary:
        denoise = self.denoise(state, wanted)
        if self.waiting is None or interval == 0:
            self.waiting = self.moving.begin(denoise, self.noise(state))
        step, self.waiting = self.moving.turn(denoise, self.waiting)
        return forces(step[:, None])[:, 0]


class Replanned(Sampled):
    """Windows drawn anew from noise at every so many intervals, and followed blindly in between.

    Arguments:
        model: The network of the prior.
        reach: Where a force may act.
        generator: Source of noise.
        evaluations: For each window.
        every: Intervals between two windows, at most :data:`HORIZON`.
    """

    def __init__(
        self,
        model: nn.Module,
        reach: Reach,
        generator: torch.Generator,
        evaluations: int = HORIZON,
        every: int = 1,
    ) -> None:
        super().__init__(model, reach, generator)
        if not 1 <= every <= HORIZON:
            raise ValueError(f"a window serves for 1 to {HORIZON} intervals, got {every}")
        self.ladder = Ladder(HORIZON)
        self.rungs = evaluations
        self.every = every
        self.plan: Controls | None = None

    def act(self, interval: int, state: State, wanted: Trajectory) -> Boundary:
        place = interval % self.every
        if self.plan is None or place == 0:
            top = self.ladder.top * self.noise(state)
            denoise = self.denoise(state, wanted)
            self.plan = forces(carried(denoise, top, self.ladder.whole(self.rungs)))
        return self.plan[:, place]


class Receding(Controller):
    """Descent by L-BFGS through the solver over the next intervals, from the last one's forces.

    Forces are those of the prior's span, by numbers over an orthonormal basis of it. Where the last
    forces are too strong for the step from what is seen now, it begins with none, and where no force
    is already too much, there is none.

    Arguments:
        reach: Where a force may act.
        gradients: For each interval.
        horizon: Intervals to look ahead.
        dt: Step of the solver that looks ahead, in s.
    """

    def __init__(
        self, reach: Reach, gradients: int = 10, horizon: int = 4, dt: float = COARSE
    ) -> None:
        values, vectors = torch.linalg.eigh(span(reach.forced).double())
        self.lines = vectors[:, values > 0.5].T.float()
        self.gradients = gradients
        self.horizon = horizon
        self.dt = dt
        self.numbers: Tensor | None = None

    def act(self, interval: int, state: State, wanted: Trajectory) -> Boundary:
        ahead = wanted[:, : self.horizon]
        count = ahead.shape[1]

        start = state.new_zeros(len(state), count, len(self.lines))
        if self.numbers is not None and interval:
            kept = self.numbers[:, 1 : count + 1]
            start[:, : kept.shape[1]] = kept
        try:
            self.numbers = self._descended(start, state, ahead)
        except FloatingPointError:
            begun = self._missed(start, state, ahead).isfinite()
            start = torch.where(begun[:, None, None], start, 0.0)
            sound = self._missed(start, state, ahead).isfinite()
            self.numbers = start
            if sound.any():
                found = self._descended(start[sound], state[sound], ahead[sound])
                self.numbers = start.index_put((sound,), found)
        return self._force(self.numbers)[:, 0]

    def _descended(self, start: Sample, state: State, ahead: Trajectory) -> Sample:
        def cost(numbers: Sample) -> PerSample:
            return self._missed(numbers, state, ahead)

        return descend(cost, start, self.gradients, bound=0.0).x

    def _missed(self, numbers: Sample, state: State, ahead: Trajectory) -> PerSample:
        """The mean square that is missed, infinite where the step is too long."""
        states, sound = simulate_sound(state, self._force(numbers), self.dt)
        missed: PerSample = (states[:, 1:] - ahead).square().flatten(1).mean(1)
        return torch.where(sound, missed, torch.inf)

    def _force(self, numbers: Sample) -> Controls:
        force: Controls = (numbers @ self.lines)[:, :, None]
        return force
