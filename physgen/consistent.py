r"""Guidance by an equation: clean estimates are led some way towards states that satisfy it.

A residual is stiff: the explicit gradient of its square moves the finest waves of a field many
thousand times as fast as the longest, so that any weight which is stable for those does nothing for
these. Here a :class:`Relaxation` knows a good step instead, such as a few preconditioned sweeps of
an iterative solver, and a term of the sum takes a share of it at each level,

.. math:: D_w(z, s) = D(z, s) + w(s)\, \bigl(M(D) - D\bigr), \qquad
    w(s) = \frac{w}{1 + (s / s_0)^2}.

At high noise an estimate is a mean over many samples, and the mean of solutions of a nonlinear
equation is none: the share is asked in earnest only below the level :math:`s_0`, as for a
:class:`~physgen.guidance.Constraint`. What the prior gets wrong on its own it corrects; a prior that
is right has nothing to correct.
"""

import abc

import torch

from physgen.energy import Precision, Score, check_score
from physgen.shapes import Level, Sample

LEAST = 0.01
"""A share of the step for which none is made, as it may cost more than the score."""


class Relaxation(abc.ABC):
    """A step towards what satisfies an equation."""

    @abc.abstractmethod
    def mend(self, x: Sample) -> Sample:
        """Samples that satisfy it better."""


class Consistent(Score):
    """A score led towards an equation.

    Arguments:
        base: The score.
        relaxation: A step towards the equation.
        weight: The share of it that is taken without noise, from 0 to 1.
        level: The noise level at which half of that share is taken.

    Raises:
        ValueError: the weight is no share, or the level not positive.
    """

    def __init__(
        self, base: Score, relaxation: Relaxation, weight: float = 1.0, level: float = 1.0
    ) -> None:
        if not 0 <= weight <= 1 or not level > 0:
            raise ValueError(
                "a residual needs a weight from 0 to 1 and a positive level, got "
                f"{weight} and {level}"
            )
        check_score(base)
        self.base = base
        self.relaxation = relaxation
        self.weight = weight
        self.level = level

    @property
    def marginal(self) -> bool:
        return self.base.marginal

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return self.base.precision(s, shape)

    def shift(self, z: Sample, s: Level) -> Sample:
        clean = self.base.denoise(z, s)
        share = self.weight / (1 + (s / self.level) ** 2)
        if isinstance(share, torch.Tensor):
            share = share.view(-1, *[1] * (z.ndim - 1))
        elif share < LEAST:
            return clean - z
        return clean + share * (self.relaxation.mend(clean) - clean) - z
