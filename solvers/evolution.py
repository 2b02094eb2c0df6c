r"""Equations that evolve in time, :math:`u_t = F(u, m)`, and what a trajectory owes them.

A trajectory is driven by controls ``(batch, interval, control, *space)``, one for each interval
between two saved states and constant within it. What does not change is said once:
:func:`constant`.
"""

import abc
import math
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from physgen.shapes import Boundary, State, Trajectory
from physgen.solvers.solver import Solver

Controls = Float[Tensor, "batch interval control *space"]
"""Boundary data for each interval between two saved states."""


class Evolution(Solver[State, Boundary]):
    """A solver of an equation whose rate of change is known for any state.

    ``dt`` is its time step, in s. ``alike`` says that all samples of a batch obey one equation, so
    that states of several instants can be taken together.
    """

    dt: float
    alike: bool = True

    @abc.abstractmethod
    def march(self, state: State, boundary: Boundary, steps: int) -> State:
        """The state some steps later, under boundary data that stay.

        Raises:
            ValueError: the state is not one of this solver's grid.
        """

    @abc.abstractmethod
    def rate(self, state: State, boundary: Boundary) -> State:
        r""":math:`F(u, m)`, the rate of change of a state as the equation has it, each second."""

    @final
    def step(self, state: State, boundary: Boundary) -> State:
        return self.march(state, boundary, 1)


def constant(boundary: Boundary, intervals: int) -> Controls:
    """The same boundary data in every interval, without a copy."""
    return boundary[:, None].expand(-1, intervals, *boundary.shape[1:])


def whole_steps(time: float, frames: int, dt: float) -> int:
    """Steps of at most ``dt`` in each of so many equal intervals of a time, both in s.

    Raises:
        ValueError: there is no interval, or a time or step is not positive.
    """
    if frames < 1 or not 0 < time < math.inf or not dt > 0:
        raise ValueError(
            f"a run needs a time, frames and a time step, got {time}, {frames} and {dt}"
        )
    return max(1, math.ceil(time / frames / dt - 1e-9))


def refuse_other_grid(state: State, channels: int, points: tuple[int, ...]) -> None:
    """Refuse what is no state on so many points.

    Raises:
        ValueError: its channels or points are others.
    """
    if state.shape[1:] != (channels, *points):
        raise ValueError(
            f"a state must have {channels} channels on {points} points, got "
            f"{tuple(state.shape[1:])}: was it made for another grid?"
        )


def drive(
    solver: Evolution, state: State, controls: Controls, steps: int, begin: float = 0.0
) -> Trajectory:
    """The states after each interval of ``steps`` steps, the first one ``state`` itself.

    A gradient keeps one state an interval, and does the steps between once more on the way back.
    ``begin`` is the time of the first state in s, for a trajectory that is driven piece by piece.

    Raises:
        ValueError: an interval has no steps, or the state is not one of the solver's grid.
        FloatingPointError: the trajectory left the finite numbers.
    """
    if steps < 1:
        raise ValueError(f"steps of an interval must be at least 1, got {steps}")
    states = [state]
    followed = torch.is_grad_enabled() and (state.requires_grad or controls.requires_grad)
    for boundary in controls.unbind(1):
        if followed:
            state = checkpoint(solver.march, state, boundary, steps, use_reentrant=False)
        else:
            state = solver.march(state, boundary, steps)
        _refuse_infinite(state, begin + len(states) * steps * solver.dt, solver.dt)
        states.append(state)
    return torch.stack(states, dim=1)


def _refuse_infinite(state: State, time: float, dt: float) -> None:
    if not state.isfinite().all():
        bad = int((~state.isfinite().flatten(1).all(1)).sum())
        raise FloatingPointError(
            f"{bad} of {len(state)} simulations are not finite after {time:.4g} s: "
            f"is every state finite to begin with? If so, take a time step below {dt:g} s"
        )


def residual(
    solver: Evolution,
    trajectory: Trajectory,
    controls: Float[Tensor, "batch time-1 control *space"],
    interval: float,
) -> Float[Tensor, "batch time-1 channel *space"]:
    r"""How far a trajectory is from obeying the equation, in the units of its rate of change.

    .. math:: R^n = \frac{u^{n+1} - u^n}{\Delta t} - \frac{F(u^{n+1}, m^n) + F(u^n, m^n)}{2}

    A solution has :math:`R = O(\Delta t^2)`, whatever solver made it, plus the error of
    :math:`F` in space. It takes two evaluations of :math:`F` a state and no time stepping, so that it
    can guide samples whose interval is far longer than a solver's step; where the solver's own
    steps are affordable, :func:`physgen.solvers.solver.residual` is exact for its trajectories.

    Arguments:
        solver: Its rate is used; its step is not.
        trajectory: The states, ``interval`` apart.
        controls: Boundary data of each interval.
        interval: The time between two states, in s.
    """
    if not interval > 0:
        raise ValueError(f"the interval between states must be positive, got {interval}")
    before, after = trajectory[:, :-1], trajectory[:, 1:]
    rate = 0.5 * (_rates(solver, before, controls) + _rates(solver, after, controls))
    found: Tensor = (after - before) / interval - rate
    return found


def _rates(
    solver: Evolution,
    states: Float[Tensor, "batch interval channel *space"],
    controls: Controls,
) -> Float[Tensor, "batch interval channel *space"]:
    """The rate of each state; all at once if one equation holds for all."""
    if solver.alike:
        together = solver.rate(states.flatten(0, 1), controls.flatten(0, 1))
        found: Tensor = together.unflatten(0, states.shape[:2])
        return found
    pairs = zip(states.unbind(1), controls.unbind(1), strict=True)
    return torch.stack([solver.rate(state, held) for state, held in pairs], 1)
