r"""Diffusion and sorption: a solute that spreads through ground and clings to its grains.

.. math:: R(u)\, u_t = D\, u_{xx}, \qquad R(u) = 1 + \frac{1 - \phi}{\phi}\, \rho_s\, k\, n\, u^{n - 1}

for the concentration u, under Freundlich's isotherm: a retardation R that is the larger the less
solute there is. On the left u is 1; on the right it flows out.

Behaviour: a front that creeps in from the left as the root of time, at R = 3.2 behind it and more
ahead; after 500 s it is half a metre deep. For :math:`n = 1` it is
:math:`\operatorname{erfc}(x / 2\sqrt{D t / R})`.
Good values: the defaults, those of PDEBench, at 1024 points on 1 m; explicit steps are short there,
a few thousandths of a second.

Sources: PDEBench (Takamoto et al., 2022, https://arxiv.org/abs/2210.07182), after Limousin et al.
(2007, https://doi.org/10.1016/j.apgeochem.2006.09.010) for isotherms; its published code for the
ends: left of the first point there is a value of 1, right of the last one
:math:`D\, (u_{n-1} - u_n) / \Delta x`, taken for a concentration there.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from physgen.shapes import State
from physgen.solvers.elliptic import Cells
from physgen.solvers.explicit import Explicit

TRACE = 1e-6
"""Added to concentrations, as a power of zero has no value."""


@dataclass(frozen=True)
class Ground:
    """What a solute spreads through.

    Raises:
        ValueError: a number is not positive, or pores are more than all.
    """

    diffusivity: float = 5e-4
    """D, in m²/s."""
    porosity: float = 0.29
    """phi, the share of pores."""
    density: float = 2880.0
    """rho_s, of the grains, in kg/m³."""
    affinity: float = 3.5e-4
    """k, Freundlich's parameter, in m³/kg where n is one."""
    exponent: float = 0.874
    """n, Freundlich's exponent."""

    def __post_init__(self) -> None:
        numbers = (self.diffusivity, self.porosity, self.density, self.affinity, self.exponent)
        if not (min(numbers) > 0 and self.porosity < 1):
            raise ValueError(f"a ground needs positive numbers and porosity < 1, got {self}")

    def retardation(self, concentration: Tensor) -> Tensor:
        """R; not a number where a concentration is negative."""
        pores = (1 - self.porosity) / self.porosity
        power = (concentration + TRACE) ** (self.exponent - 1)
        return 1 + pores * self.density * self.affinity * self.exponent * power


class Sorption(Explicit):
    """Diffusion and sorption in an interval. The state is a concentration.

    Arguments:
        cells: The grid, of one axis.
        dt: The time step, in s.
        ground: What the solute spreads through.

    Raises:
        ValueError: the grid has two axes, or the step is not positive or too long.
    """

    def __init__(self, cells: Cells, dt: float, ground: Ground) -> None:
        if len(cells.cells) != 1:
            raise ValueError(f"sorption is solved on an interval, got cells {cells.cells}")
        (spacing,) = cells.spacing
        # Retardation is least where the concentration is largest, and at least one.
        super().__init__(1, cells.cells, dt, 4 * ground.diffusivity / spacing**2)
        self.grid = cells
        self.ground = ground

    def free_rate(self, state: State) -> State:
        (spacing,) = self.grid.spacing
        left = torch.ones_like(state[..., :1])
        right = self.ground.diffusivity * (state[..., -2:-1] - state[..., -1:]) / spacing
        wide = torch.cat([left, state, right], -1)
        bend = wide.diff(dim=-1).diff(dim=-1) / spacing**2
        return self.ground.diffusivity / self.ground.retardation(state) * bend
