r"""The plane flow of a viscous fluid in a periodic box, by its vorticity.

.. math:: \omega_t + u \cdot \nabla \omega = \nu\,\nabla^2 \omega - \mu\,\omega + m, \qquad
    u = (\psi_y, -\psi_x), \qquad \nabla^2 \psi = -\omega

m is the curl of the forces, given as boundary data: :math:`-n \cos(n y)` for Kolmogorov's flow
under the force :math:`\sin(n y)`. The flow has no mean velocity, the vorticity no mean.

Behaviour: vortices of one sign merge into ever larger ones, between them vorticity is drawn into
thin sheets that friction removes. Without friction and forces energy and enstrophy
:math:`\int \omega^2` stay. The finest sheets are some :math:`\sqrt{\nu / \|\nabla u\|}` wide.
Good values: velocities of 1 m/s on a box of 2π m, a viscosity of 1e-3 m²/s with 128 points an
axis, time steps of 0.01 s.

References:
    Numerical simulation of incompressible flows within simple boundaries (Orszag, 1971,
    https://doi.org/10.1002/sapm1971504293).
    On the decay of vortices in a viscous fluid (Taylor, 1923,
    https://doi.org/10.1080/14786442308634295), for the exact solution.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.solvers.exponential import Semilinear, Symbol
from physgen.solvers.number import Number, lowest
from physgen.solvers.periodic import Modes, Spectrum


@dataclass(frozen=True)
class Vorticity(Semilinear):
    """Navier-Stokes in two dimensions.

    Raises:
        ValueError: viscosity or drag is negative.
    """

    viscosity: Number = 1e-3
    """nu, in m²/s."""
    drag: Number = 0.0
    """mu, in 1/s: friction at the ground, which takes energy from the largest vortices."""

    def __post_init__(self) -> None:
        slowing = self.viscosity, self.drag
        if not lowest(*slowing) >= 0:
            least = " and ".join(str(lowest(one)) for one in slowing)
            raise ValueError(f"viscosity and drag must not be negative, got {least}")

    def fields(self, axes: int) -> tuple[str, ...]:
        if axes != 2:
            raise ValueError(f"vorticity is a scalar in two dimensions only, got {axes}")
        return ("vorticity",)

    def linear(self, modes: Modes) -> Symbol:
        return self.viscosity * modes.laplacian[None] - self.drag

    def nonlinear(self, spectrum: Spectrum, modes: Modes) -> Spectrum:
        r"""Transport as the curl of the stress, which takes four transforms in place of five,

        .. math:: u \cdot \nabla \omega = (\partial_x^2 - \partial_y^2)\, u v
            + \partial_x \partial_y (v^2 - u^2)

        (Basdevant, 1983, https://doi.org/10.1016/0021-9991(83)90064-5)."""
        u, v = modes.back(modes.once(_turned) * spectrum).unbind(1)
        stress = modes.forward(torch.stack([u * v, (v - u) * (v + u)], 1))
        return (modes.once(_curl_of_stress) * stress).sum(1, keepdim=True)


def _turned(modes: Modes) -> Tensor:
    """Both components of the velocity of a vorticity of one, each mode."""
    return torch.stack([-modes.derivative(0, 1), modes.derivative(1, 0)]) * modes.inverse_laplacian


def _curl_of_stress(modes: Modes) -> Tensor:
    """What both parts of the stress take from vorticity, each mode."""
    bend = modes.derivative(0, 2) - modes.derivative(2, 0)
    return torch.stack([bend, -modes.derivative(1, 1)])


def velocity(vorticity: Tensor, modes: Modes) -> tuple[Tensor, Tensor]:
    """Amplitudes of both components of the velocity, of mean zero, from those of vorticity."""
    u, v = modes.once(_turned)
    return u * vorticity, v * vorticity


def taylor_green(
    x: Float[Tensor, "x y"], y: Float[Tensor, "x y"], time: float, viscosity: float, waves: int = 1
) -> Float[Tensor, "x y"]:
    r"""Vortices side by side that fade without moving, on a box of :math:`2\pi` m.

    .. math:: \omega = 2 k \cos(k x) \cos(k y)\, e^{-2 \nu k^2 t}
    """
    fade = 2 * waves * math.exp(-2 * viscosity * waves**2 * time)
    return fade * torch.cos(waves * x) * torch.cos(waves * y)
