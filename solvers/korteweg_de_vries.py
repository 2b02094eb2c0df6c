r"""Korteweg-de Vries: long waves in shallow water.

.. math:: u_t + 6\, u\, u_x + u_{xxx} = 0

Behaviour: what is high travels fast and steepens, dispersion spreads it, and both balance in
solitons, which pass through one another unchanged but for a shift. Mass :math:`\int u`, momentum
:math:`\int u^2` and energy :math:`\int (u^3 - \tfrac12 u_x^2)` stay, and infinitely many more.
Good values: a box of 40 m with 256 points, waves of height 1 m, time steps of 0.01 s.

References:
    On the change of form of long waves (Korteweg & de Vries, 1895,
    https://doi.org/10.1080/14786449508620739).
    Zabusky & Kruskal (1965, https://doi.org/10.1103/PhysRevLett.15.240), for solitons.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.solvers.exponential import Semilinear, Symbol
from physgen.solvers.number import Number
from physgen.solvers.periodic import Modes, Spectrum


@dataclass(frozen=True)
class KortewegDeVries(Semilinear):
    """Korteweg-de Vries in one dimension."""

    steepening: Number = 6.0
    """The factor of u u_x, in 1/s for heights in m."""
    dispersion: Number = 1.0
    """The factor of u_xxx, in m³/s."""

    def fields(self, axes: int) -> tuple[str, ...]:
        if axes != 1:
            raise ValueError(f"Korteweg-de Vries has one dimension, got {axes}")
        return ("height",)

    def linear(self, modes: Modes) -> Symbol:
        return 1j * (self.dispersion * modes.k[0][None] ** 3)

    def nonlinear(self, spectrum: Spectrum, modes: Modes) -> Spectrum:
        flux = -0.5 * self.steepening * modes.back(spectrum).square()
        return modes.slope(modes.forward(flux), 0)


def soliton(
    place: Float[Tensor, "*x"], time: float, speed: float, start: float, length: float
) -> Float[Tensor, "*x"]:
    r"""A soliton in a periodic box, for steepening 6 and dispersion 1.

    .. math:: u(t, x) = \tfrac{c}{2}\operatorname{sech}^2 \bigl(\tfrac{\sqrt c}{2}
        (x - x_0 - c\,t)\bigr)

    It is exact on the line; in a box its tails of :math:`2 c\, e^{-\sqrt c L / 2}` meet.

    Arguments:
        place: Where, in m.
        time: When, in s.
        speed: c, in m/s.
        start: The crest at time zero, in m.
        length: Of the box, in m.
    """
    away = (place - start - speed * time + length / 2) % length - length / 2
    return 0.5 * speed / torch.cosh(0.5 * math.sqrt(speed) * away).square()


def two_solitons(
    place: Float[Tensor, "*x"],
    time: float,
    speeds: tuple[float, float],
    starts: tuple[float, float],
) -> Float[Tensor, "*x"]:
    r"""Two solitons that pass through one another, for steepening 6 and dispersion 1.

    .. math:: u = 2\, \partial_x^2 \ln \bigl(1 + f_1 + f_2 + \tfrac{(a - b)^2}{(a + b)^2} f_1 f_2\bigr),
        \qquad f_i = e^{\sqrt{c_i}\,(x - c_i t - x_i)}, \quad a, b = \sqrt{c_1}, \sqrt{c_2}

    exact on the line (Hirota, 1971, https://doi.org/10.1103/PhysRevLett.27.1192).

    Arguments:
        place: Where, in m; the solution is not periodic.
        time: When, in s.
        speeds: c, in m/s.
        starts: x_i in m, where each would begin alone if it is the one behind.
    """
    a, b = (math.sqrt(speed) for speed in speeds)
    first, second = (
        torch.exp(root * (place - speed * time - start))
        for root, speed, start in zip((a, b), speeds, starts, strict=True)
    )
    joint = ((a - b) / (a + b)) ** 2 * first * second
    whole = 1 + first + second + joint
    slope = a * first + b * second + (a + b) * joint
    bend = a**2 * first + b**2 * second + (a + b) ** 2 * joint
    return 2 * (whole * bend - slope**2) / whole**2
