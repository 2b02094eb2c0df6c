r"""Viscous Burgers: transport of a velocity by itself, and friction.

.. math:: u_t + (u \cdot \nabla) u = \nu\,\nabla^2 u

The nonlinear term is computed as :math:`\nabla\tfrac12|u|^2 + \omega\, e_z \times u`, which in one
dimension is the conservative form :math:`\tfrac12 (u^2)_x`.

Behaviour: what is faster overtakes and steepens into fronts, of a width of about
:math:`4 \nu / \Delta u` for a jump :math:`\Delta u`, which merge and decay. In one dimension the
momentum :math:`\int u` stays and energy falls. Four points across a front are enough. Between
fronts the solution is smooth; where it has less than two points across one, it rings.
Good values: a viscosity of 0.01 m²/s, velocities of 1 m/s, a box of 1 m with 256 points.

References:
    On a quasi-linear parabolic equation occurring in aerodynamics (Cole, 1951,
    https://doi.org/10.1090/qam/42889) and Hopf (1950,
    https://doi.org/10.1002/cpa.3160030302), for the exact solution.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.solvers.exponential import Semilinear, Symbol
from physgen.solvers.number import Number, lowest
from physgen.solvers.periodic import Modes, Spectrum


@dataclass(frozen=True)
class Burgers(Semilinear):
    """Viscous Burgers with one velocity for each axis, in one or two dimensions.

    Raises:
        ValueError: the viscosity is not positive.
    """

    viscosity: Number = 0.01
    """nu, in m²/s."""

    def __post_init__(self) -> None:
        if not lowest(self.viscosity) > 0:
            raise ValueError(f"viscosity must be positive, got {lowest(self.viscosity)}")

    def fields(self, axes: int) -> tuple[str, ...]:
        if axes > 2:
            raise ValueError(f"Burgers is solved in one or two dimensions, got {axes}")
        return ("velocity",) if axes == 1 else ("velocity_x", "velocity_y")

    def linear(self, modes: Modes) -> Symbol:
        axes = modes.grid.axes
        return self.viscosity * modes.laplacian.expand(axes, *modes.laplacian.shape)

    def nonlinear(self, spectrum: Spectrum, modes: Modes) -> Spectrum:
        velocity = modes.back(spectrum)
        if modes.grid.axes == 1:
            return modes.once(half_slope) * modes.forward(velocity * velocity)
        head = modes.forward(-0.5 * velocity.square().sum(1))
        push = torch.stack([modes.slope(head, axis) for axis in (0, 1)], 1)
        curl = modes.back(modes.slope(spectrum[:, 1], 0) - modes.slope(spectrum[:, 0], 1))
        across = torch.stack([velocity[:, 1], -velocity[:, 0]], 1)
        return push + modes.forward(curl[:, None] * across)


def half_slope(modes: Modes) -> Tensor:
    r""":math:`-\tfrac12 \partial_x`, what the square of a velocity adds to it on a line."""
    return -0.5 * modes.derivative(1)


def cole_hopf(
    place: Float[Tensor, " x"],
    time: float,
    viscosity: float,
    potential: Callable[[Tensor], Tensor],
    nodes: int = 200,
) -> Float[Tensor, " x"]:
    r"""The exact solution on the line from :math:`u(0, x) = \Phi'(x)`.

    .. math:: u(t, x) = \frac{\int \frac{x - y}{t}\, e^{-G / 2\nu}\, dy}{\int e^{-G / 2\nu}\, dy},
        \qquad G = \Phi(y) + \frac{(x - y)^2}{2 t}

    by Gauss-Hermite quadrature in :math:`(y - x) / \sqrt{4 \nu t}`. A periodic :math:`\Phi` gives
    the periodic solution: for waves of 1 m/s on 1 m, viscosities of 0.005 to 0.05 m²/s and times up
    to 1 s, 200 nodes are within 1e-9 m/s.

    Arguments:
        place: Where, in m.
        time: When, in s; positive.
        viscosity: nu, in m²/s.
        potential: An integral of the velocity at time zero, in m²/s.
        nodes: Of the quadrature.
    """
    import numpy as np

    at, weight = np.polynomial.hermite.hermgauss(nodes)
    shift = math.sqrt(4 * viscosity * time) * torch.from_numpy(at).to(place)
    phase = -potential(place[:, None] + shift) / (2 * viscosity)
    share = torch.from_numpy(weight).to(place) * (phase - phase.amax(1, keepdim=True)).exp()
    mean: Tensor = (share * -shift / time).sum(1) / share.sum(1)
    return mean
