r"""Kuramoto-Sivashinsky: flame fronts and films that never come to rest.

.. math:: u_t + u\,u_x + u_{xx} + u_{xxxx} = 0

Behaviour: waves longer than :math:`2\pi` m grow, most of all those of :math:`2\pi\sqrt2` m, the
fourth derivative damps short ones, and transport carries energy from the first to the second.
In boxes longer than about 20 m it is chaotic, and a small error grows by e in some ten to
twenty seconds. The mean of u stays. States after 100 s have forgotten where they began.
Good values: a box of 22 m with 64 points, or of 64 m with 256; time steps of 0.05 to 0.25 s.

References:
    Kuramoto & Tsuzuki (1976, https://doi.org/10.1143/PTP.55.356); Sivashinsky (1977,
    https://doi.org/10.1016/0094-5765(77)90096-0).
    Kassam & Trefethen (2005, https://doi.org/10.1137/S1064827502410633), for this scheme on it.
"""

from dataclasses import dataclass

from physgen.solvers.burgers import half_slope
from physgen.solvers.exponential import Semilinear, Symbol
from physgen.solvers.number import Number, lowest
from physgen.solvers.periodic import Modes, Spectrum


@dataclass(frozen=True)
class KuramotoSivashinsky(Semilinear):
    """Kuramoto-Sivashinsky for a velocity in one dimension."""

    damping: Number = 1.0
    """The factor of u_xxxx, in m⁴/s."""

    def __post_init__(self) -> None:
        if not lowest(self.damping) > 0:
            raise ValueError(f"damping must be positive, got {lowest(self.damping)}")

    def fields(self, axes: int) -> tuple[str, ...]:
        if axes != 1:
            raise ValueError(f"Kuramoto-Sivashinsky has one dimension here, got {axes}")
        return ("velocity",)

    def linear(self, modes: Modes) -> Symbol:
        bend = modes.laplacian[None]
        return -bend - self.damping * bend.square()

    def nonlinear(self, spectrum: Spectrum, modes: Modes) -> Spectrum:
        velocity = modes.back(spectrum)
        return modes.once(half_slope) * modes.forward(velocity * velocity)
