r"""Heat that is followed backwards in time, a problem that has an answer only as a density.

On a periodic square of side :math:`2 \pi`, temperature diffuses while noise is added,
:math:`\mathrm{d}x = \alpha \Delta x\, \mathrm{d}t + g\, \mathrm{d}W`, from a random field whose
spectrum falls with the fourth power of the wave number. All of it is Gaussian and every wave is
independent of the others, so that the density at every time, its score, and what the start was
given the end, are known wave by wave.

Without the noise the inverse multiplies the shortest waves by more than :math:`10^{40}`. The mean
of the posterior has the least error and none of the short waves; a draw has twice the error and
all of them. A method is therefore held to both.

References:
    Solving Inverse Physics Problems with Score Matching (Holzschuh et al., 2023),
    https://arxiv.org/abs/2301.10250, for the set-up.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.testbeds.quality import Quality, judge

Field = Float[Tensor, "batch cells cells"]


@dataclass(frozen=True)
class Heat:
    """The system; its fields have unit variance at the start."""

    cells: int = 32
    end: float = 0.2
    """The time at which it is seen."""
    noise: float = 0.1
    """:math:`g`, for white noise of unit variance in each cell."""
    diffusivity: float = 1.0
    exponent: float = 4.0
    """Of the wave number in the power of the first field."""

    def rates(self) -> Float[Tensor, "cells cells"]:
        r""":math:`\alpha |k|^2`, at which each wave decays."""
        wave = torch.fft.fftfreq(self.cells, 1 / self.cells, dtype=torch.float64)
        rates: Tensor = self.diffusivity * (wave[:, None].square() + wave.square())
        return rates

    def power(self, time: float) -> Float[Tensor, "cells cells"]:
        """The variance of each wave at a time."""
        rate = self.rates()
        first = torch.where(rate > 0, rate.clamp(min=1e-9), math.inf) ** (-self.exponent / 2)
        first = first * self.cells**2 / first.sum()
        return first * (-2 * rate * time).exp() + self.added(time)

    def added(self, time: float) -> Float[Tensor, "cells cells"]:
        """The variance of what noise has brought into each wave by a time."""
        rate = self.rates()
        decayed = -(-2 * rate * time).expm1() / (2 * rate).clamp(min=1e-9)
        return self.noise**2 * torch.where(rate > 0, decayed, time)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Field, Field]:
        """Fields at the start and what becomes of them."""
        start = self._shaped(count, self.power(0.0), generator)
        end = self._scaled(start, (-self.rates() * self.end).exp())
        return start, end + self._shaped(count, self.added(self.end), generator)

    def forward(self, start: Field) -> Field:
        """What becomes of fields without noise."""
        return self._scaled(start, (-self.rates() * self.end).exp())

    def drift(self, x: Field, time: float) -> Field:
        r""":math:`\alpha \Delta x`"""
        return self._scaled(x, -self.rates())

    def score(self, x: Field, time: float) -> Field:
        """The gradient of the log density at a time, exact."""
        return self._scaled(x, -1 / self.power(time))

    def posterior(self, end: Field) -> tuple[Field, Float[Tensor, "cells cells"]]:
        """The mean of the start, given the end, and the variance of each wave around it."""
        decay = (-self.rates() * self.end).exp()
        gain = self.power(0.0) * decay / self.power(self.end)
        variance = self.power(0.0) * self.added(self.end) / self.power(self.end)
        return self._scaled(end, gain), variance

    def posterior_draw(self, end: Field, generator: torch.Generator) -> Field:
        """An exact draw of the start for each end."""
        mean, variance = self.posterior(end)
        return mean + self._shaped(len(end), variance, generator)

    def judge(self, x: Float[Tensor, "draw end cells cells"], end: Field) -> Quality:
        """Hold draws of starts to their posteriors; biases are relative to the posterior means."""
        mean, variance = self.posterior(end)
        rows = x.movedim(0, 1).flatten(2)
        std = variance.mean().sqrt().expand(rows.shape[2])
        return judge(rows, mean.flatten(1), std, mean.flatten(1).norm(dim=1))

    def spectrum_error(self, x: Field, truth: Field) -> float:
        r"""Mean :math:`|\log_{10}|` of the ratio of two mean spectra, over waves 1 to 15."""
        wave = self.rates().div(self.diffusivity).sqrt().round()
        powers = [torch.fft.fft2(each, norm="ortho").abs().square().mean(0) for each in (x, truth)]
        longest = self.cells // 2
        sums = [torch.stack([p[wave == k].sum() for k in range(1, longest)]) for p in powers]
        return (sums[0] / sums[1]).log10().abs().mean().item()

    def _shaped(
        self, count: int, power: Float[Tensor, "cells cells"], generator: torch.Generator
    ) -> Field:
        white = torch.randn(
            count, self.cells, self.cells, generator=generator, dtype=torch.float64
        )
        return self._scaled(white, power.sqrt())

    def _scaled(self, x: Field, factor: Float[Tensor, "cells cells"]) -> Field:
        """Each wave by its factor."""
        scaled: Tensor = torch.fft.ifft2(torch.fft.fft2(x) * factor.to(x)).real
        return scaled
