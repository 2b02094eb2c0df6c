r"""The inverse of a distribution function: any density on a line, from a table of it.

Between knots the density is taken as linear, so that its distribution function is a parabola in
pieces and inverted in closed form: with mass :math:`m` to the right of a knot where the density
is :math:`p`, rising with slope :math:`b`, the place is
:math:`t = 2m / (p + \sqrt{p^2 + 2 b m})` beyond it. The error is that of linear interpolation, of
second order in the spacing of knots.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.density import Drawable
from physgen.energy import Energy
from physgen.shapes import Level, PerSample, Sample


class Tabulated(Drawable):
    """A density on a line, linear between knots and zero outside; samples have one entry.

    Arguments:
        knots: In rising order.
        density: At the knots, not negative, not necessarily normalised.
    """

    def __init__(self, knots: Float[Tensor, " knot"], density: Float[Tensor, " knot"]) -> None:
        if not (knots.diff() > 0).all():
            raise ValueError("knots of a table must be in rising order, each once")
        if not (density >= 0).all() or not density.sum() > 0:
            raise ValueError("a tabulated density must not be negative, nor zero everywhere")
        knots, density = knots.double(), density.double()
        width = knots.diff()
        cells = width * (density[1:] + density[:-1]) / 2
        self.knots = knots
        self.density = density / cells.sum()
        self.slope = self.density.diff() / width
        self.below = torch.cat([cells.new_zeros(1), cells.cumsum(0)]) / cells.sum()

    @classmethod
    def of(cls, term: Energy, low: float, high: float, knots: int = 2001) -> Tabulated:
        """The clean density of samples with one entry, between two ends."""
        x = torch.linspace(low, high, knots, dtype=torch.float64)
        energy = term.energy(x[:, None], 0.0)
        return cls(x, (energy.min() - energy).exp())

    def energy(self, z: Sample, s: Level) -> PerSample:
        x = z[:, 0].double()
        cell, beyond = self._cell(self.knots, x)
        value = self.density[cell] + self.slope[cell] * beyond
        inside = (x >= self.knots[0]) & (x <= self.knots[-1])
        return -torch.where(inside, value, 0.0).log().to(z.dtype)

    def cumulative(self, x: Float[Tensor, " count"]) -> Float[Tensor, " count"]:
        """The mass below."""
        place = x.double().clamp(self.knots[0], self.knots[-1])
        cell, beyond = self._cell(self.knots, place)
        mass = self.density[cell] * beyond + self.slope[cell] * beyond.square() / 2
        return (self.below[cell] + mass).to(x.dtype)

    def quantile(self, u: Float[Tensor, " count"]) -> Float[Tensor, " count"]:
        """Below which a share of the mass lies: the inverse of :meth:`cumulative`."""
        cell, mass = self._cell(self.below, u.double())
        p, b = self.density[cell], self.slope[cell]
        root = (p.square() + 2 * b * mass).clamp(min=0).sqrt()
        beyond = torch.where(mass > 0, 2 * mass / (p + root), 0.0)
        return torch.minimum(self.knots[cell] + beyond, self.knots[cell + 1]).to(u.dtype)

    def sample(self, count: int, generator: torch.Generator) -> Sample:
        u = torch.rand(
            count, generator=generator, dtype=self.knots.dtype, device=self.knots.device
        )
        return self.quantile(u)[:, None].to(torch.get_default_dtype())

    @staticmethod
    def _cell(ends: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The cell that holds each place, and how far beyond its lower end it lies."""
        cell = (torch.searchsorted(ends, x.contiguous(), right=True) - 1).clamp(0, len(ends) - 2)
        return cell, x - ends[cell]
