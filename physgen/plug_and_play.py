r"""A prior plugged into an optimisation: the most plausible sample that fits.

Instead of drawing, :math:`-\log p(x) + c(x)` is minimised over clean samples. A denoiser knows
the first term up to a constant, as an integral of its errors over all noise levels,

.. math:: -\log p(x) \le \int_0^\infty s^{-3}\; \mathbb E_\varepsilon
    \bigl|x - D(x + s \varepsilon, s)\bigr|^2\, \mathrm{d}s + \text{const},

the evidence bound of a diffusion model, whose curvature is exact for Gaussians. It is a cost like
any other, so that any optimiser may descend it, and no network is trained again.

References:
    Variational Diffusion Models (Kingma et al., 2021), https://arxiv.org/abs/2107.00630, for
    the bound.
    Diffusion Models as Plug-and-Play Priors (Graikos et al., 2022),
    https://arxiv.org/abs/2206.09012, who descend it one random level at a time; all levels at
    once, with noise that stays, make it a smooth function.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.descent import Descent, descend
from physgen.energy import Score, check_score, wide
from physgen.grid import log_snr
from physgen.guidance import Cost
from physgen.shapes import PerSample, Sample


class Implausibility:
    r"""Minus the log density of clean samples, up to a constant.

    The integral is a sum over levels that are even in :math:`\log s`, and the expectation a mean
    over noise and its opposite, so that errors which are linear in the noise cancel. The noise
    is drawn once and is the same for all samples.

    Arguments:
        prior: Of one data density.
        low: The lowest level: details of less variance than its square count for less.
        high: The highest, beyond the spread of the data.
        levels: How many.
        noise: Unit noise of a sample's shape.
    """

    def __init__(
        self, prior: Score, low: float, high: float, levels: int, noise: Float[Tensor, "*shape"]
    ) -> None:
        check_score(prior)
        if not prior.marginal or levels < 2:
            raise ValueError(
                "the bound is for one data density and at least two levels, got "
                f"{'one' if prior.marginal else 'a sum'} and {levels}"
            )
        self.prior = prior
        self.levels = log_snr(levels, low, high).levels[:-1]
        self.apart = math.log(high / low) / (levels - 1)
        self.noise = noise

    def __call__(self, x: Sample) -> PerSample:
        signs = (1.0, -1.0)
        pairs = [(s, sign) for s in self.levels for sign in signs]
        rows = torch.cat([x + sign * s * self.noise for s, sign in pairs])
        level = torch.tensor([s for s, _ in pairs], dtype=x.dtype, device=x.device)
        each = level.repeat_interleave(len(x))
        error = (x.repeat(len(pairs), *[1] * (x.ndim - 1)) - rows) - self.prior.shift(rows, each)
        scaled = (error / wide(each, error)).square().flatten(1).sum(1)
        total: PerSample = self.apart / len(signs) * scaled.view(len(pairs), len(x)).sum(0)
        return total


def most_plausible(
    implausibility: Implausibility, cost: Cost, start: Sample, steps: int
) -> Descent:
    """The samples near the start that are plausible and cheap, each for itself.

    The slope that is left tells whether the descent has come to its end.

    Arguments:
        implausibility: The prior's part.
        cost: Of clean samples, such as a misfit over twice the variance of its noise.
        start: Where the descent begins, the prior's mean for one.
        steps: Evaluations of both.
    """
    return descend(lambda x: implausibility(x) + cost(x), start, steps)
