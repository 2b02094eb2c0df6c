r"""FitzHugh-Nagumo between walls that let nothing through: PDEBench's diffusion-reaction.

.. math:: u_t &= D_u \nabla^2 u + u - u^3 - k - v \\
    v_t &= D_v \nabla^2 v + u - v, \qquad \partial_n u = \partial_n v = 0

by fluxes between the centres of cells, of second order in the spacing.

Behaviour and good values: those of :mod:`physgen.solvers.fitzhugh_nagumo`; steps of 0.01 s at 128
cells on 2 m.

Sources: PDEBench (Takamoto et al., 2022, https://arxiv.org/abs/2210.07182), and its published code
for the discretisation.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from physgen.shapes import State
from physgen.solvers.elliptic import Cells
from physgen.solvers.explicit import Explicit
from physgen.solvers.fitzhugh_nagumo import FitzHughNagumo
from physgen.solvers.number import lowest


class InsulatedFitzHughNagumo(Explicit):
    """FitzHugh-Nagumo in an interval or a rectangle. The state is activator and inhibitor.

    Arguments:
        cells: The grid.
        dt: The time step, in s.
        equation: Its numbers.

    Raises:
        ValueError: the step is not positive, or too long for the diffusion, or a number is a tensor.
    """

    def __init__(self, cells: Cells, dt: float, equation: FitzHughNagumo) -> None:
        spread = equation.diffusivity_u, equation.diffusivity_v
        if any(isinstance(number, Tensor) for number in (*spread, equation.threshold)):
            raise ValueError("between walls numbers must be floats, got tensors")
        fastest = max(lowest(number) for number in spread)
        super().__init__(2, cells.cells, dt, 4 * fastest * sum(h**-2 for h in cells.spacing))
        self.grid = cells
        self.equation = equation

    def free_rate(self, state: State) -> State:
        u, v = state.split(1, 1)
        of = self.equation
        activated = of.diffusivity_u * self._laplacian(u) + u - u**3 - of.threshold - v
        inhibited = of.diffusivity_v * self._laplacian(v) + u - v
        return torch.cat([activated, inhibited], 1)

    def _laplacian(self, field: Tensor) -> Tensor:
        """What flows in from the neighbours; nothing through the walls."""
        total = torch.zeros_like(field)
        for axis, spacing in enumerate(self.grid.spacing):
            dim = axis - len(self.points)
            ends = [0, 0] * (-dim - 1) + [1, 1]
            total = total + pad(field.diff(dim=dim), ends).diff(dim=dim) / spacing**2
        return total
