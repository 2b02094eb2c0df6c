r"""Transport: a field that is carried along at one speed.

.. math:: u_t + c \cdot \nabla u = 0, \qquad u(t, x) = u(0, x - c\,t)

Behaviour: nothing changes but the place, and every norm of the field stays. Each mode turns by
its exact phase, so that a resolved field is carried without error by steps of any length.
Good values: a speed of 1 m/s on a box of 1 m, which it crosses in 1 s.
"""

from dataclasses import dataclass

import torch

from physgen.solvers.exponential import Semilinear, Symbol
from physgen.solvers.number import Number
from physgen.solvers.periodic import Modes, Spectrum


@dataclass(frozen=True)
class Transport(Semilinear):
    """Advection at a constant velocity."""

    velocity: tuple[Number, ...] = (1.0,)
    """Along each axis, in m/s."""
    degree = 0

    def fields(self, axes: int) -> tuple[str, ...]:
        if len(self.velocity) != axes:
            raise ValueError(f"a velocity needs {axes} components here, got {self.velocity}")
        return ("concentration",)

    def linear(self, modes: Modes) -> Symbol:
        total = torch.zeros_like(modes.k[0])[None]
        for c, k in zip(self.velocity, modes.k, strict=True):
            total = total + c * k
        return -1j * total

    def nonlinear(self, spectrum: Spectrum, modes: Modes) -> Spectrum:
        return torch.zeros_like(spectrum)
