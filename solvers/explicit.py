r"""Equations that are followed by their rate of change alone, by the classical Runge-Kutta method.

.. math:: u \leftarrow u + \tfrac{\Delta t}{6} (k_1 + 2 k_2 + 2 k_3 + k_4)

(Kutta, 1901), of fourth order. A decay of rate :math:`\lambda` is stable up to
:math:`\lambda\, \Delta t = 2.785`, which is what limits the step where something diffuses.
"""

import abc
from typing import final

from physgen.shapes import Boundary, State
from physgen.solvers.evolution import Evolution, refuse_other_grid

STABLE = 2.785
"""The fastest decay that a step may meet, times the step."""


class Explicit(Evolution):
    """An equation of which a few channels on some points have a rate. The boundary data are a
    forcing, one channel for each of the state's, constant in a step; or no channels.

    Arguments:
        channels: Of a state.
        points: Of each axis.
        dt: The time step, in s.
        fastest: The fastest decay there can be, in 1/s.

    Raises:
        ValueError: the step is not positive, or too long for the decay.
    """

    def __init__(self, channels: int, points: tuple[int, ...], dt: float, fastest: float) -> None:
        if not dt > 0:
            raise ValueError(f"dt must be positive, got {dt}")
        if dt * fastest > STABLE:
            raise ValueError(
                f"an explicit step must not exceed {STABLE / fastest:.3g} s on this grid, "
                f"got {dt:g} s"
            )
        self.channels = channels
        self.points = points
        self.dt = dt

    @abc.abstractmethod
    def free_rate(self, state: State) -> State:
        """The rate of change of a state that is not forced, each second."""

    @final
    def rate(self, state: State, boundary: Boundary) -> State:
        refuse_other_grid(state, self.channels, self.points)
        if not boundary.shape[1]:
            return self.free_rate(state)
        refuse_other_grid(boundary, self.channels, self.points)
        return self.free_rate(state) + boundary

    @final
    def march(self, state: State, boundary: Boundary, steps: int) -> State:
        for _ in range(steps):
            first = self.rate(state, boundary)
            second = self.rate(state + 0.5 * self.dt * first, boundary)
            third = self.rate(state + 0.5 * self.dt * second, boundary)
            last = self.rate(state + self.dt * third, boundary)
            state = state + self.dt / 6 * (first + 2 * (second + third) + last)
        return state
