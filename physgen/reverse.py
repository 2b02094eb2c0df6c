r"""Physics run backwards: a stochastic system reversed in time by the score of its states.

States of :math:`\mathrm{d}x = f(x, t)\, \mathrm{d}t + g\, \mathrm{d}W` are not brought back by
integrating :math:`-f`: what dissipation has taken away grows without bound. The reversed system

.. math:: \mathrm{d}x = \bigl[f(x, t) - \kappa\, g^2 \nabla \log p_t(x)\bigr] \mathrm{d}t
    + \sqrt{2\kappa - 1}\; g\, \mathrm{d}\bar W, \qquad t \text{ falling},

has the same densities :math:`p_t` (Anderson, 1982). With :math:`\kappa = 1` paths have the law of
the system's own, so that a walk back from one end draws from the posterior of its start. With
:math:`\kappa = 1/2` it is the flow of probability, without chance: one start, which is neither
the posterior's mean nor a draw from it. Here noise is not what a sampler adds, but what the
system itself has; there is no clean sample and no level, hence a score of its own kind.

References:
    Reverse-time diffusion equation models (Anderson, 1982).
    Solving Inverse Physics Problems with Score Matching (Holzschuh et al., 2023),
    https://arxiv.org/abs/2301.10250.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import torch

from physgen.kernel import noise_like
from physgen.shapes import Sample

Vectors = Callable[[Sample, float], Sample]
"""A drift or a score: one vector for each sample, at a time."""


@torch.no_grad()
def reverse(
    end: Sample,
    drift: Vectors,
    score: Vectors,
    noise: float,
    times: Sequence[float],
    generator: torch.Generator,
    share: float = 1.0,
) -> Sample:
    r"""States at the last, earliest time that could have become ``end``, by Euler's steps.

    Arguments:
        end: States at the first time.
        drift: :math:`f`, such as a solver's change over a step divided by the step.
        score: :math:`\nabla \log p_t` of the states at a time.
        noise: :math:`g`, in units of the state over the root of time.
        times: Falling; steps must resolve the fastest decay, as the way back is explicit.
        generator: Source of the noise.
        share: :math:`\kappa` from 1/2, without noise, to 1, the system's own.

    Raises:
        ValueError: times do not fall, or a share outside of its range.
        FloatingPointError: states are not finite.
    """
    if len(times) < 2 or any(a <= b for a, b in itertools.pairwise(times)):
        raise ValueError(f"times must fall, got {list(times)[:4]}...: the walk goes back in time")
    if not 0.5 <= share <= 1:
        raise ValueError(f"the share of the score must be from 1/2 to 1, got {share}")
    x = end
    for late, early in itertools.pairwise(times):
        step = late - early
        change = share * noise**2 * score(x, late) - drift(x, late)
        x = x + step * change
        if share > 0.5:
            x = x + math.sqrt((2 * share - 1) * step) * noise * noise_like(x, generator)
    if not x.isfinite().all():
        raise FloatingPointError("states left the finite numbers: take shorter steps")
    return x
