r"""What a force is made of, for reports: pressure and friction.

The total comes from the flow's momentum balance and needs no surface (see
:mod:`physgen.solvers.fluid`). Its pressure part is gathered from cells around the body,

.. math:: F_p = -\oint p\, n\, ds \approx -h^2 \sum p\, n\, \delta_\varepsilon(d - \varepsilon),

with a smooth :math:`\delta` whose middle lies one half-width off the surface, so that only
pressure in the fluid counts (Weymouth & Font, 2025, WaterLily.jl, use the same without the
shift). Friction is what is left of the total. The split depends on the grid more than the sum.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.solvers.fluid import Flow, FlowState
from physgen.solvers.immersion import Immersed, normal


def pressure_force(
    flow: Flow, state: FlowState, immersed: Immersed, away: float | None = None
) -> Float[Tensor, "batch body 2"]:
    """The pressure part of the force on each body at one instant, at density 1.

    Alone it is no drag: at Reynolds numbers below a thousand friction is as large. It stands
    here for comparison with figures that leave friction out.

    Arguments:
        away: Where the pressure is taken, in cells off the surface; by default the half-width of
            the kernel.
    """
    h, width = flow.grid.spacing, flow.kernel.cells
    away = width if away is None else away
    found = []
    for body in range(immersed.bodies):
        distance = immersed.distance[:, body]
        q = ((distance / h - away) / width).clamp(-1, 1)
        weight = immersed.owned[:, body] * (1 + torch.cos(torch.pi * q)) / (2 * width)
        along = [(state.pressure * weight * n).sum((1, 2)) for n in normal(distance)]
        found.append(-h * torch.stack(along, -1))
    return torch.stack(found, 1)


def coefficients(
    force: Float[Tensor, "*shape 2"], speed: float, length: float
) -> Float[Tensor, "*shape 2"]:
    r"""Drag and lift coefficients :math:`2 F / (U^2 L)` at density 1."""
    return 2 * force / (speed**2 * length)
