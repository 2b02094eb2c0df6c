r"""Gray-Scott: two substances, one of which feeds on the other and multiplies.

.. math:: u_t &= D_u \nabla^2 u - u v^2 + F (1 - u) \\
    v_t &= D_v \nabla^2 v + u v^2 - (F + \kappa)\, v

Behaviour: :math:`u = 1, v = 0` is stable, and a large enough drop of v grows, splits, and covers
the box with spots, stripes, mazes or moving patches, by feed F and kill :math:`\kappa`
(Pearson's map). It takes thousands of seconds.
Good values: D_u = 0.2, D_v = 0.1 m²/s, F = 0.04, kappa = 0.06 /s for stripes some 5 m wide, on a box
of 96 m with 128 points an axis (with 96, v is down to -0.007 between stripes); steps of 1 s.

References:
    Autocatalytic reactions in the isothermal, continuous stirred tank reactor (Gray & Scott, 1984,
    https://doi.org/10.1016/0009-2509(84)87017-7).
    Complex patterns in a simple system (Pearson, 1993,
    https://doi.org/10.1126/science.261.5118.189).
"""

from dataclasses import dataclass

import torch

from physgen.solvers.exponential import Semilinear, Symbol, beside
from physgen.solvers.number import Number, lowest
from physgen.solvers.periodic import Modes, Spectrum


@dataclass(frozen=True)
class GrayScott(Semilinear):
    """Gray-Scott in a box of any dimension.

    Raises:
        ValueError: a diffusivity is not positive, or a rate negative.
    """

    diffusivity_u: Number = 0.2
    """D_u, in m²/s."""
    diffusivity_v: Number = 0.1
    """D_v, in m²/s."""
    feed: Number = 0.04
    """F, in 1/s."""
    kill: Number = 0.06
    """kappa, in 1/s."""
    degree = 3

    def __post_init__(self) -> None:
        spread = self.diffusivity_u, self.diffusivity_v
        if not lowest(*spread) > 0:
            least = " and ".join(str(lowest(one)) for one in spread)
            raise ValueError(f"diffusivities must be positive, got {least}")
        rates = self.feed, self.kill
        if not lowest(*rates) >= 0:
            least = " and ".join(str(lowest(one)) for one in rates)
            raise ValueError(f"feed and kill must not be negative, got {least}")

    def fields(self, axes: int) -> tuple[str, ...]:
        return ("substrate", "activator")

    def linear(self, modes: Modes) -> Symbol:
        bend = modes.laplacian[None]
        u = self.diffusivity_u * bend - self.feed
        return beside(modes.grid.axes, u, self.diffusivity_v * bend - (self.feed + self.kill))

    def nonlinear(self, spectrum: Spectrum, modes: Modes) -> Spectrum:
        u, v = modes.back(spectrum).split(1, 1)
        reaction = u * v.square()
        return modes.forward(torch.cat([self.feed - reaction, reaction], 1))
