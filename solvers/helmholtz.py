r"""Helmholtz: standing waves under a steady source; Poisson: the same without wave number.

.. math:: \nabla^2 u + k^2 u = f, \qquad u = 0 \text{ at the walls}

Behaviour: without k, u is f smoothed, of the other sign where f has one. With it u oscillates over
:math:`2 \pi / k`, and grows without bounds where :math:`k^2` comes near an eigenvalue of the
box, :math:`\pi^2 \sum_i (n_i / L_i)^2`; between eigenvalues signs and nodes change.
Good values: ten cells for :math:`2\pi/k`; on a box of 1 m, k = 1 /m as in DiffusionPDE (Huang et
al., 2024, https://arxiv.org/abs/2406.17763), which is far below the lowest eigenvalue, 19.7 /m².
"""

import torch

from physgen.shapes import Boundary, State
from physgen.solvers.elliptic import Cells, Inversion, SparseFactors, Steady, solve

FACTORS = SparseFactors()
CLOSEST = 1e-6
"""How near the square of a wave number may come to an eigenvalue, over the lowest of these."""


class Helmholtz(Steady):
    """Helmholtz' equation. The boundary data are the source.

    Arguments:
        cells: The grid.
        wavenumber: k, in rad/m; zero for Poisson's equation.
        inversion: How it is solved; conjugate gradients below the lowest eigenvalue only.

    Raises:
        ValueError: the wave number is negative, or resonates with the box.
    """

    def __init__(
        self, cells: Cells, wavenumber: float = 0.0, inversion: Inversion = FACTORS
    ) -> None:
        if wavenumber < 0:
            raise ValueError(f"a wave number must not be negative, got {wavenumber}")
        apart = (cells.eigenvalues - wavenumber**2).abs().min() / cells.eigenvalues.min()
        if apart < CLOSEST:
            raise ValueError(
                f"the wave number {wavenumber:g} is an eigenvalue of this box: its square must "
                f"keep away from it by {CLOSEST:g} of the lowest one; change it, or cells or lengths"
            )
        self.cells = cells
        self.wavenumber = wavenumber
        self.inversion = inversion

    def solve(self, boundary: Boundary) -> State:
        self.cells.check(boundary, 1, "a source")
        if not boundary.isfinite().all():
            raise ValueError("a source must be finite, got NaN or inf")
        source = boundary[:, 0]
        even, shift = torch.ones_like(source), self.wavenumber**2
        return solve(self.inversion, self.cells, even, shift, -source)[:, None]

    def residual(self, state: State, boundary: Boundary) -> State:
        self.cells.check(state, 1, "a state")
        self.cells.check(boundary, 1, "a source")
        field = state[:, 0]
        image = self.cells.apply(torch.ones_like(field), self.wavenumber**2, field)
        return (-image - boundary[:, 0])[:, None]
