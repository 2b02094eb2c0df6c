r"""Fields that are carried and smoothed in space and time, seen at a few points.

On a ring of cells, :math:`u_{k+1} = F u_k + q\,\xi_k` where :math:`F` is the exact propagator of
:math:`\dot u + c\, u_x = \nu u_{xx}` and :math:`u_0` a smooth Gaussian field. All instants
together are one Gaussian, so that given noisy values at a few points every inverse problem has
its answer in closed form: the posterior is Gaussian, with the same covariance whatever was seen.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.gaussian import GaussianMixture, gaussian


@dataclass(frozen=True)
class Transport:
    """The system whose fields are looked for; a period, an instant and a height are one."""

    cells: int = 32
    instants: int = 8
    speed: float = 0.08
    """Periods in an instant."""
    diffusivity: float = 5e-4
    """Squared periods in an instant."""
    roughness: float = 3.0
    """Waves in a period at which the first field's spectrum has fallen to :math:`1/\\sqrt e`."""
    forcing: float = 0.01
    """:math:`q`, so small that the equation nearly holds."""

    @property
    def dimension(self) -> int:
        return self.cells * self.instants

    def propagator(self) -> Float[Tensor, "cells cells"]:
        """:math:`F`, exact for fields that the cells resolve."""
        wave = math.tau * torch.fft.fftfreq(self.cells, 1 / self.cells, dtype=torch.float64)
        factor = torch.exp(-1j * wave * self.speed - self.diffusivity * wave.square())
        if self.cells % 2 == 0:
            factor[self.cells // 2] = factor[self.cells // 2].abs()
        return _circulant(factor)

    def first(self) -> Float[Tensor, "cells cells"]:
        """The covariance of the first field, of unit variance."""
        wave = torch.fft.fftfreq(self.cells, 1 / self.cells, dtype=torch.float64)
        power = torch.exp(-(wave.square()) / (2 * self.roughness**2)) + 1e-6
        power = self.cells * power / power.sum()
        return _circulant(power)

    def prior(self) -> GaussianMixture:
        """The density of all instants, one after the other."""
        powers = [torch.eye(self.cells, dtype=torch.float64)]
        for _ in range(self.instants - 1):
            powers.append(self.propagator() @ powers[-1])
        zero = torch.zeros_like(powers[0])
        span = range(self.instants)
        carried = torch.cat(
            [torch.cat([powers[i - j] if j <= i else zero for j in span], 1) for i in span]
        )
        forced = [self.forcing**2 * powers[0]] * (self.instants - 1)
        covariance = carried @ torch.block_diag(self.first(), *forced) @ carried.mT
        mean = torch.zeros(self.dimension, dtype=torch.float64)
        return gaussian(mean, (covariance + covariance.mT) / 2)

    def points(self, count: int, generator: torch.Generator) -> Float[Tensor, "count dimension"]:
        """An operator that sees the field at points of space and time drawn at random."""
        chosen = torch.randperm(self.dimension, generator=generator)[:count]
        return torch.eye(self.dimension, dtype=torch.float64)[chosen]

    def residual(self, x: Float[Tensor, "batch dimension"]) -> Float[Tensor, "batch step cells"]:
        """What is left of the equation, :math:`u_{k+1} - F u_k`."""
        u = x.unflatten(1, (self.instants, self.cells))
        left: Tensor = u[:, 1:] - u[:, :-1] @ self.propagator().to(x).mT
        return left


def _circulant(factor: Tensor) -> Float[Tensor, "cells cells"]:
    """The real matrix that multiplies the Fourier coefficients of a ring by factors."""
    one = torch.eye(len(factor), dtype=torch.float64)
    matrix: Tensor = torch.fft.ifft(factor[:, None] * torch.fft.fft(one, dim=0), dim=0).real
    return matrix
