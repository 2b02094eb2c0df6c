r"""Heat: a field that evens out.

.. math:: u_t = D\,\nabla^2 u

Behaviour: a sine of wave number :math:`k` falls by :math:`e^{-D k^2 t}`; the mean stays. Each mode
decays by its exact rate, so that steps may be of any length.
Good values: a diffusivity of 0.01 m²/s on a box of 1 m, where the longest sine falls to 1/e in
2.5 s.
"""

from dataclasses import dataclass

import torch

from physgen.solvers.exponential import Semilinear, Symbol
from physgen.solvers.number import Number, lowest
from physgen.solvers.periodic import Modes, Spectrum


@dataclass(frozen=True)
class Heat(Semilinear):
    """Diffusion in a box of any dimension.

    Raises:
        ValueError: the diffusivity is not positive.
    """

    diffusivity: Number = 0.01
    """D, in m²/s."""
    degree = 0

    def __post_init__(self) -> None:
        if not lowest(self.diffusivity) > 0:
            raise ValueError(f"diffusivity must be positive, got {lowest(self.diffusivity)}")

    def fields(self, axes: int) -> tuple[str, ...]:
        return ("temperature",)

    def linear(self, modes: Modes) -> Symbol:
        return self.diffusivity * modes.laplacian[None]

    def nonlinear(self, spectrum: Spectrum, modes: Modes) -> Spectrum:
        return torch.zeros_like(spectrum)
