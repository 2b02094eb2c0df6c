r"""Reflow: straight lines from the noise of a teacher's walks to where they end.

A teacher takes :math:`z_1 = s_1 \varepsilon` to a clean sample :math:`x`, by a curved path. The
denoiser of the straight lines between the same ends,

.. math:: D(z, s) = \mathbb E[x \mid z = x + s\, \eta], \qquad \eta = (z_1 - x) / s_1,

draws from the same density by a flow that bends less, and can be walked in fewer steps: where
paths are straight the clean estimate is the same all along, and one step of
:class:`~physgen.predictor.DDIM` is exact. As :math:`z = x + s_1 \eta` is where the walk began, no
signal is taken to be lost at the highest level, however low it is.

Noise and sample are no longer independent, so this has no score: take it as a
:class:`~physgen.matching.CoupledFlow`, which deterministic predictors carry.

References:
    Flow Straight and Fast: Learning to Generate and Transfer Data with Rectified Flow (Liu et
    al., 2023), https://arxiv.org/abs/2209.03003, algorithm 1 and equation 5.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from physgen.carrier import Carrier
from physgen.distillation import weighed
from physgen.energy import wide
from physgen.grid import Grid
from physgen.predictor import DDIM, Predictor
from physgen.sampler import AsMarginal, sample
from physgen.shapes import PerSample, Sample


class Coupling(NamedTuple):
    """Clean samples, and the noise that is coupled to each."""

    x: Sample
    noise: Sample


def couple(
    teacher: Carrier,
    start: Sample,
    grid: Grid,
    predictor: Predictor,
    generator: torch.Generator,
    consent: AsMarginal | None = None,
) -> Coupling:
    """Where a teacher takes unit noise, and the noise of the straight lines back.

    Raises:
        ValueError: the predictor draws noise, which would break the coupling, or the teacher is a
            sum and nobody consents to follow it.
    """
    if not predictor.deterministic:
        raise ValueError(
            "a coupling needs a deterministic predictor, such as DPMpp2M(), got one that draws "
            "noise on the way"
        )
    x = sample(teacher, start, grid, predictor, generator, consent=consent)
    return Coupling(x, start - x / grid.levels[0])


@dataclass(frozen=True)
class Reflow:
    r"""The loss of a denoiser of straight lines, at times drawn evenly along them.

    .. math:: \Bigl(\frac{1}{s^2} + \frac{1}{\sigma_d^2}\Bigr)\, \overline{|D(x + s \eta, s) - x|^2},
        \qquad s = \frac{t}{1 - t}, \quad t \sim \mathcal U(0, t_1)
    """

    highest: float
    """:math:`s_1`, the level at which the teacher began."""
    sigma_data: float = 1.0
    """Standard deviation of the data."""

    def draw(
        self, pairs: Coupling, generator: torch.Generator
    ) -> tuple[Sample, PerSample, Sample]:
        """The pairs, and a level for each."""
        x = pairs.x
        unit = torch.rand(len(x), generator=generator, dtype=x.dtype, device=x.device)
        time = unit.clamp(min=1e-3) * self.highest / (1 + self.highest)
        return x, time / (1 - time), pairs.noise

    def __call__(
        self, student: nn.Module, x: Sample, level: PerSample, noise: Sample
    ) -> PerSample:
        error = student(x + wide(level, x) * noise, level) - x
        return weighed(error, level, self.sigma_data)


@torch.no_grad()
def bend(term: Carrier, start: Sample, grid: Grid) -> PerSample:
    """How far the paths of a flow are from straight: zero where they are.

    The root mean square, over a walk by DDIM, of the distance between the clean estimate and
    the end of the walk, each number of a sample by itself.
    """
    walk, z = DDIM().plan(grid), grid.levels[0] * start
    said: list[Sample] = []

    def denoise(z: Sample, s: float) -> Sample:
        said.append(term.denoise(z, s))
        return said[-1]

    generator = torch.Generator(start.device)
    for i in range(grid.steps):
        z = walk.step(z, i, denoise, generator)
    apart = (torch.stack(said) - z).square().flatten(2).mean(2)
    return apart.mean(0).sqrt()
