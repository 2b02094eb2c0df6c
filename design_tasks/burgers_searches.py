"""What a force from the prior is held against: no force, random ones, feedback, and descent."""

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from physgen.datasets.burgers_control import INTERVAL, INTERVALS, draw, steps_of
from physgen.datasets.seeds import TRAINING_SEEDS
from physgen.descent import descend
from physgen.design_tasks.burgers_control import FINE, BurgersControl, Setting, simulate
from physgen.shapes import PerSample, State
from physgen.solvers.evolution import Controls
from physgen.solvers.walled_burgers import WalledBurgers
from physgen.verdict import Baseline, figure

COARSE = 2e-3
"""Time step of the solver with which feedback is tuned, in s."""
CASES = 100
"""Training trajectories that it is tuned on."""


@dataclass(frozen=True)
class PID:
    r"""Feedback of what is still missing, at the points that are both seen and forced.

    .. math:: w_k = K_p e_k + K_i \Delta t \sum_{j \le k} e_j + K_d \frac{e_k - e_{k-1}}{\Delta t},
        \qquad e_k = u^* - u(t_k)

    It sees the state at the beginning of every interval, which designs do not.
    """

    proportional: float
    """In 1/s."""
    integral: float
    """In 1/s²."""
    derivative: float

    def control(
        self, first: State, wanted: State, setting: Setting, dt: float
    ) -> tuple[Controls, State]:
        """The forces, and the last state."""
        solver, steps, interval = WalledBurgers(dt=dt), steps_of(dt), INTERVAL
        place = setting.forced & setting.observed
        state, total, before, forces = first, torch.zeros_like(first), None, []
        for _ in range(INTERVALS):
            error = place * (wanted - state)
            total = total + interval * error
            change = (error - before) / interval if before is not None else 0 * error
            force = self.proportional * error + self.integral * total + self.derivative * change
            state = solver.march(state, force, steps)
            before = error
            forces.append(force)
        return torch.stack(forces, dim=1), state


def tuned(setting: Setting) -> PID:
    """The best of 60 gains on training trajectories; gains that shake the solver apart are none."""
    solver = WalledBurgers(dt=COARSE)
    first, force = draw(TRAINING_SEEDS[:CASES], setting.outer, solver)
    wanted = simulate(first, force, COARSE)[:, -1]

    def cost(gains: PID) -> float:
        try:
            last = gains.control(first, wanted, setting, COARSE)[1]
        except ValueError:
            return math.inf
        miss = (last - wanted)[:, 0, setting.observed].square().mean().item()
        return miss if math.isfinite(miss) else math.inf

    grid = itertools.product((0.5, 1.0, 2.0, 4.0, 8.0), (0.0, 1.0, 3.0, 6.0), (0.0, 0.1, 0.3))
    return min((PID(*gains) for gains in grid), key=cost)


class Search(NamedTuple):
    """A force for each of the first targets."""

    force: Controls
    calls: int
    """Simulations for each."""
    costs: Tensor
    """The least objective met until each gradient, ``(gradient, batch)``; empty if none was asked."""


def from_scratch(task: BurgersControl, gradients: int) -> Search:
    """L-BFGS through the true solver from no force, knowing all of the first state."""

    def cost(force: Controls) -> PerSample:
        return task.objective(force)

    found = descend(cost, task.none(), gradients, bound=0.0)
    return Search(task.allowed(found.x), gradients, found.costs)


def compare(
    task: BurgersControl, few: BurgersControl, gradients: int, generator: torch.Generator
) -> tuple[dict[str, Baseline], Tensor]:
    """The baselines, and how descent from scratch went.

    Arguments:
        task: All targets.
        few: Those that descent is run for.
        gradients: Of descent, for each.
        generator: Source of random forces.
    """
    none = torch.zeros(0, 0)

    def feedback() -> Search:
        gains = tuned(task.setting)
        with torch.no_grad():
            force, _ = gains.control(task.first, task.last, task.setting, FINE)
        return Search(force, 1, none)

    rows: dict[str, tuple[BurgersControl, Callable[[], Search]]] = {
        "no control": (task, lambda: Search(task.none(), 0, none)),
        "random force": (task, lambda: Search(task.random(generator), 0, none)),
        "PID": (task, feedback),
        f"L-BFGS, {gradients}": (few, lambda: from_scratch(few, gradients)),
    }
    found, costs = {}, none
    for name, (asked, search) in rows.items():
        began = time.perf_counter()
        result = search()
        seconds = time.perf_counter() - began
        found[name] = _baseline(asked, result, seconds)
        costs = result.costs
    return found, costs


def _baseline(task: BurgersControl, found: Search, seconds: float) -> Baseline:
    with torch.no_grad():
        figures = {
            "objective": figure(task.objective(found.force, FINE), "m²/s²"),
            "energy": figure(found.force.square().flatten(1).sum(1), "m²/s⁴"),
        }
    return Baseline(figures, found.calls, seconds, len(found.force))
