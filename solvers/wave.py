r"""The wave equation between walls that hold it still: strings and membranes, sound in a box.

.. math:: u_{tt} = c(x)^2\, \nabla^2 u + m, \qquad u = 0 \text{ at the walls}

for the displacement u and its velocity :math:`v = u_t`, by second differences in space and the
scheme of Störmer and Verlet in time,

.. math:: v \leftarrow v + \tfrac12 \Delta t\, F(u), \quad u \leftarrow u + \Delta t\, v, \quad
    v \leftarrow v + \tfrac12 \Delta t\, F(u).

Behaviour: waves run at c, are turned over by the walls, and pass through one another. The scheme is
reversible, and its energy oscillates by a share of :math:`(\omega \Delta t)^2` but does not
drift, however long it runs. Short waves are slow: errors of phase are of second order in spacing
and step, and cancel in one dimension at :math:`c \Delta t = \Delta x`, where it is exact.
Good values: ten points a wave length, and the longest step that is stable,
:math:`c\, \Delta t\, (\sum_i \Delta x_i^{-2})^{1/2} \le 1` (Courant, Friedrichs & Lewy, 1928,
https://doi.org/10.1007/BF01448839).

References:
    Geometric numerical integration illustrated by the Störmer-Verlet method (Hairer, Lubich &
    Wanner, 2003, https://doi.org/10.1017/S0962492902000144).
"""

import math

import torch
from torch import Tensor

from physgen.shapes import Boundary, PerSample, State
from physgen.solvers.evolution import Evolution, refuse_other_grid
from physgen.solvers.walled import Walled


class Wave(Evolution):
    """Waves in an interval or a rectangle. The state is displacement and velocity; the boundary
    data are the force for each unit of mass, in m/s², constant in a step, or no channels.

    Arguments:
        grid: Points between the walls.
        dt: The time step, in s.
        speed: c in m/s: a number, or one for each point, ``(*space)``, which may want a gradient.

    Raises:
        ValueError: the speed is not positive, or the step longer than the fastest wave allows.
    """

    def __init__(self, grid: Walled, dt: float, speed: float | Tensor = 1.0) -> None:
        if isinstance(speed, Tensor) and speed.shape != grid.points:
            raise ValueError(f"a speed needs the points {grid.points}, got {tuple(speed.shape)}")
        fastest = float(torch.as_tensor(speed).detach().max())
        slowest = float(torch.as_tensor(speed).detach().min())
        if not (slowest > 0 and dt > 0):
            raise ValueError(f"speed and dt must be positive, got {slowest:g} and {dt:g}")
        longest = 1 / (fastest * math.sqrt(sum(h**-2 for h in grid.spacing)))
        if dt > longest * (1 + 1e-9):
            raise ValueError(
                f"at {fastest:g} m/s a step must not exceed {longest:.4g} s on this grid "
                f"(the CFL condition), got {dt:g} s"
            )
        self.grid = grid
        self.dt = dt
        self.speed = speed

    def march(self, state: State, boundary: Boundary, steps: int) -> State:
        self._check(state, boundary)
        place, velocity = state.split(1, dim=1)
        velocity = velocity + 0.5 * self.dt * self._pull(place, boundary)
        for step in range(steps):
            place = place + self.dt * velocity
            share = 1.0 if step < steps - 1 else 0.5
            velocity = velocity + share * self.dt * self._pull(place, boundary)
        return torch.cat([place, velocity], dim=1)

    def rate(self, state: State, boundary: Boundary) -> State:
        self._check(state, boundary)
        place, velocity = state.split(1, dim=1)
        return torch.cat([velocity, self._pull(place, boundary)], dim=1)

    def energy(self, state: State) -> PerSample:
        r"""The energy :math:`\tfrac12 \int v^2 / c^2 + |\nabla u|^2` of each sample that steps keep
        but for oscillations, for a density of one."""
        place, velocity = state.split(1, dim=1)
        stretched = -place * self.grid.laplacian(place)
        whole = 0.5 * (velocity.square() / self._square(state) + stretched)
        found: Tensor = math.prod(self.grid.spacing) * whole.flatten(1).sum(1)
        return found

    def _pull(self, place: State, boundary: Boundary) -> State:
        pull = self._square(place) * self.grid.laplacian(place)
        return pull + boundary if boundary.shape[1] else pull

    def _square(self, like: Tensor) -> Tensor:
        return torch.as_tensor(self.speed, dtype=like.dtype, device=like.device).square()

    def _check(self, state: State, boundary: Boundary) -> None:
        refuse_other_grid(state, 2, self.grid.points)
        if boundary.shape[1]:
            refuse_other_grid(boundary, 1, self.grid.points)
