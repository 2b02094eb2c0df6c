r"""FitzHugh-Nagumo: an excitable medium, as nerves are.

.. math:: u_t &= D_u \nabla^2 u + u - u^3 - k - v \\
    v_t &= D_v \nabla^2 v + u - v

with an activator u and an inhibitor v, in the form of PDEBench's diffusion-reaction data.

Behaviour: noise smooths within a second, and then grows into spots of the two signs, some tenths
of a metre wide, that settle into a pattern. Values stay between -1 and 1, or nearly so.
PDEBench's walls let nothing through: such a field, mirrored at its walls, is a periodic one of
twice the size, cell for cell.
Good values: the defaults, those of PDEBench, on a box of 2 m with 128 points, time steps of
0.05 s, 5 s.

References:
    FitzHugh (1961, https://doi.org/10.1016/S0006-3495(61)86902-6); Nagumo, Arimoto & Yoshizawa
    (1962, https://doi.org/10.1109/JRPROC.1962.288235).
    PDEBench (Takamoto et al., 2022, https://arxiv.org/abs/2210.07182).
"""

from dataclasses import dataclass

import torch

from physgen.solvers.exponential import Semilinear, Symbol, beside
from physgen.solvers.number import Number, lowest
from physgen.solvers.periodic import Modes, Spectrum


@dataclass(frozen=True)
class FitzHughNagumo(Semilinear):
    """FitzHugh-Nagumo in a box of any dimension.

    Raises:
        ValueError: a diffusivity is not positive.
    """

    diffusivity_u: Number = 1e-3
    """D_u, in m²/s."""
    diffusivity_v: Number = 5e-3
    """D_v, in m²/s."""
    threshold: Number = 5e-3
    """k, in 1/s."""
    degree = 3
    mixes = True

    def __post_init__(self) -> None:
        spread = self.diffusivity_u, self.diffusivity_v
        if not lowest(*spread) > 0:
            least = " and ".join(str(lowest(one)) for one in spread)
            raise ValueError(f"diffusivities must be positive, got {least}")

    def fields(self, axes: int) -> tuple[str, ...]:
        return ("activator", "inhibitor")

    def linear(self, modes: Modes) -> Symbol:
        bend = modes.laplacian[None]
        u, v = self.diffusivity_u * bend + 1, self.diffusivity_v * bend - 1
        return beside(modes.grid.axes, u, v)

    def nonlinear(self, spectrum: Spectrum, modes: Modes) -> Spectrum:
        u, v = spectrum.split(1, 1)
        cube = modes.forward(modes.back(u) ** 3 + self.threshold)
        return torch.cat([-cube - v, u], 1)
