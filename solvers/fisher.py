r"""Fisher-KPP: a population that spreads and grows to what its place bears.

.. math:: u_t = D\,\nabla^2 u + r\, u\,(1 - u)

Behaviour: 0 is unstable and 1 stable, between 0 and 1 a state stays there, and fronts from 1 into 0
run at speed :math:`2\sqrt{r D}` once they have forgotten how they began; steeper ones do so
slowly, as :math:`3 / (2 t)` from below. Fronts are some :math:`8\sqrt{D / r}` wide.
Good values: D = r = 1 on a box of 100 m with 256 points, time steps of 0.05 s.

References:
    The wave of advance of advantageous genes (Fisher, 1937,
    https://doi.org/10.1111/j.1469-1809.1937.tb02153.x); Kolmogorov, Petrovsky & Piskunov (1937).
    Explicit solutions of Fisher's equation for a special wave speed (Ablowitz & Zeppetella,
    1979, https://doi.org/10.1007/BF02462380).
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
class Fisher(Semilinear):
    """Fisher-KPP in a box of any dimension.

    Raises:
        ValueError: diffusivity or growth is not positive.
    """

    diffusivity: Number = 1.0
    """D, in m²/s."""
    growth: Number = 1.0
    """r, in 1/s."""

    def __post_init__(self) -> None:
        for name, value in (("diffusivity", self.diffusivity), ("growth", self.growth)):
            if not lowest(value) > 0:
                raise ValueError(f"{name} must be positive, got {lowest(value)}")

    def fields(self, axes: int) -> tuple[str, ...]:
        return ("density",)

    def linear(self, modes: Modes) -> Symbol:
        return self.diffusivity * modes.laplacian[None] + self.growth

    def nonlinear(self, spectrum: Spectrum, modes: Modes) -> Spectrum:
        return modes.forward(-self.growth * modes.back(spectrum).square())


def two_fronts(
    place: Float[Tensor, " x"], time: float, middle: float, apart: float
) -> Float[Tensor, " x"]:
    r"""Two fronts that run away from one another, for D = r = 1.

    .. math:: u(t, x) = \bigl(1 + e^{(|x - x_0| - a - c\,t) / \sqrt 6}\bigr)^{-2},
        \qquad c = 5 / \sqrt 6

    Each is exact on the line (Ablowitz & Zeppetella, 1979); between them they are wrong by
    about :math:`2 e^{-a / \sqrt 6}`.

    Arguments:
        place: Where, in m.
        time: When, in s.
        middle: x_0, between the fronts, in m.
        apart: a, from there to each front at time zero, in m.
    """
    root = math.sqrt(6.0)
    ahead = (place - middle).abs() - apart - 5 / root * time
    return (1 + torch.exp(ahead / root)) ** -2
