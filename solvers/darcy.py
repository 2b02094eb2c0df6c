r"""Darcy: slow flow through porous ground, or heat through a patchwork.

.. math:: -\nabla \cdot (a\, \nabla u) = f, \qquad u = 0 \text{ at the walls}

for the pressure u, with the permeability a > 0 and the source f.

Behaviour: u is smooth where a is, has a kink where a jumps, and the larger a the flatter it is. It is
between zero and its largest value where the source is not negative, and lies below
:math:`\max f\, L^2 / (8 \min a)`. Fine structure of a hardly shows in it.
Good values: a box of 1 m with 64 cells an axis, a of 3 and 12 in patches some cells wide, f = 1.

References:
    Fourier neural operator for parametric partial differential equations (Li et al., 2021,
    https://arxiv.org/abs/2010.08895), for the problem as it is commonly posed.
"""

from physgen.shapes import Boundary, State
from physgen.solvers.elliptic import Cells, Inversion, SparseFactors, Steady, solve

FACTORS = SparseFactors()


class Darcy(Steady):
    """Darcy's equation. The boundary data are permeability and source; the state is the pressure.

    Arguments:
        cells: The grid.
        inversion: How it is solved.
    """

    def __init__(self, cells: Cells, inversion: Inversion = FACTORS) -> None:
        self.cells = cells
        self.inversion = inversion

    def solve(self, boundary: Boundary) -> State:
        self.cells.check(boundary, 2, "permeability and source")
        lowest = float(boundary[:, 0].detach().min())
        if not lowest > 0 or not boundary.isfinite().all():
            raise ValueError(
                f"permeabilities must be positive and all numbers finite, got {lowest:g} at least"
            )
        permeability, source = boundary.unbind(1)
        return solve(self.inversion, self.cells, permeability, 0.0, source)[:, None]

    def residual(self, state: State, boundary: Boundary) -> State:
        self.cells.check(state, 1, "a pressure")
        self.cells.check(boundary, 2, "permeability and source")
        permeability, source = boundary.unbind(1)
        return (self.cells.apply(permeability, 0.0, state[:, 0]) - source)[:, None]
