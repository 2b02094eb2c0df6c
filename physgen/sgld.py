r"""Stochastic gradient Langevin dynamics, as a kernel.

.. math:: z' = z + h s^2 \nabla \log \pi + \sqrt{2 h T}\, s\, \xi

With :math:`T = 1` it is Langevin's equation by Euler steps, for a score that may itself be drawn
by chance, such as that of a posterior by part of the data; no move could be tested, as the term
never says the same twice. Learned energies are often sampled with less noise, :math:`T < 1`,
and with bounded steps: both draw from a sharper density than the energy's own, which the
training then makes up for.

References:
    Bayesian Learning via Stochastic Gradient Langevin Dynamics (Welling & Teh, 2011).
    Implicit Generation and Modeling with Energy-Based Models (Du & Mordatch, 2019),
    https://arxiv.org/abs/1903.08689, appendix A.3, for steps with less noise.
"""

import math
from dataclasses import dataclass

import torch

from physgen.energy import Score
from physgen.kernel import Chain, Info, Kernel, check_size, noise_like
from physgen.shapes import Sample


@dataclass(frozen=True)
class SGLD(Kernel):
    """A step along the score, whatever that says each time, and noise."""

    size: float
    """:math:`h`, in units of the level."""
    temperature: float = 1.0
    """:math:`T`: a unit Gaussian gets about this variance."""
    longest: float = math.inf
    """Longest step along the score, in units of the level."""

    def __post_init__(self) -> None:
        check_size(self.size)

    @property
    def weighable(self) -> bool:
        return False

    def init(self, term: Score, z: Sample, s: float) -> Chain:
        """Without the score, which is asked anew for each step."""
        return Chain(z, None, None)

    def step(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator
    ) -> tuple[Chain, Info]:
        way = self.size * term.shift(chain.z, s)
        length = way.flatten(1).norm(dim=1).clamp(min=1e-20)
        bound = (self.longest * s / length).clamp(max=1).view(-1, *[1] * (way.ndim - 1))
        blur = math.sqrt(2 * self.size * self.temperature) * s
        z = chain.z + bound * way + blur * noise_like(chain.z, generator)
        always = torch.ones(len(z), dtype=z.dtype, device=z.device)
        return Chain(z, None, None), Info(always, torch.zeros_like(always))
