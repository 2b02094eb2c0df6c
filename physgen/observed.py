r"""Guidance by linear observations with Gaussian noise, :math:`y = A x + n`.

Given a noisy sample, the clean one is taken to be Gaussian around the clean estimate :math:`D`
with a covariance :math:`C`. What was observed is then Gaussian too, and pulls by

.. math:: s^2 \nabla_z \log p(y | z) = s^2 \frac{\partial D}{\partial z}^{\!\top} A^\top
    (A C A^\top + \sigma_y^2)^{-1} (y - A D).

Methods differ in :math:`C`, the *uncertainty* here. By Tweedie's second-order formula it is
:math:`s^2\, \partial D / \partial z`, which makes guidance exact for Gaussian priors.

References:
    Learning Diffusion Priors from Observations (Rozet et al., 2024),
    https://arxiv.org/abs/2405.13712, for the covariance by conjugate gradients.
    Pseudoinverse-Guided Diffusion Models (Song et al., 2023),
    https://openreview.net/forum?id=9_gsMA8MRKQ, for the isotropic one.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.energy import Precision, Score, check_count, check_score, wide
from physgen.shapes import Level, Sample

Operator = Callable[[Tensor], Tensor]
"""A linear map from samples to what is seen of them, one row each."""

TOLERANCE = 0.1
"""Relative residual up to which a system counts as solved: with as many iterations as
observations, rounding alone leaves 0.04 of the worst conditioned ones."""


class Uncertainty(abc.ABC):
    """The covariance that the clean sample is taken to have, given the noisy one."""

    @abc.abstractmethod
    def times(self, v: Sample, slope: Callable[[Sample], Sample], s: Level) -> Sample:
        r""":math:`C v`, where ``slope`` gives :math:`(\partial D / \partial z)^\top v`."""


@dataclass(frozen=True)
class Tweedie(Uncertainty):
    r""":math:`C = s^2\, \partial D / \partial z`, the true one of a well trained denoiser."""

    def times(self, v: Sample, slope: Callable[[Sample], Sample], s: Level) -> Sample:
        return wide(s, v) ** 2 * slope(v)


@dataclass(frozen=True)
class Isotropic(Uncertainty):
    r""":math:`C = s^2 \sigma_d^2 / (s^2 + \sigma_d^2)`, that of independent entries: ΠGDM.

    It costs no gradient of the denoiser but the last, and knows nothing of what entries tell of
    each other, so that precise observations are taken for vague ones.
    """

    sigma_data: float
    """:math:`\\sigma_d`, measured from the data."""

    def times(self, v: Sample, slope: Callable[[Sample], Sample], s: Level) -> Sample:
        return wide(clean_variance(s, self.sigma_data), v) * v


def clean_variance(s: Level, sigma_data: float) -> Level:
    """The variance of a clean Gaussian entry, given the noisy one."""
    return s**2 * sigma_data**2 / (s**2 + sigma_data**2)


def check_observed(observed: Tensor) -> None:
    """Refuse observations that are none, or no numbers.

    Raises:
        ValueError: there are none, or some are not finite.
    """
    check_count(observed.numel(), "the number of observations")
    if not observed.isfinite().all():
        raise ValueError(
            f"observations must be finite, got {int((~observed.isfinite()).sum())} of "
            f"{observed.numel()} that are not: leave out what was not seen"
        )


class Observed(Score):
    r"""A score given observations.

    The system is solved by conjugate gradients, for :class:`Tweedie` each a gradient through the
    denoiser, so that ``iterations`` at least the number of observations solve it exactly.

    Arguments:
        base: The score of the prior, of one data density.
        operator: :math:`A`, linear.
        observed: :math:`y`, a row for each sample.
        noise: :math:`\sigma_y`.
        iterations: Conjugate gradients.
        uncertainty: :math:`C`.
        tolerance: Relative residual of the system above which it is refused.

    Raises:
        ValueError: the noise is not positive, or observations are not finite.
        RuntimeError: the system is not solved; or it is differentiated, where to add a cost, add
            ``Guidance(base, cost, weight)``.
    """

    def __init__(
        self,
        base: Score,
        operator: Operator,
        observed: Float[Tensor, "batch observation"],
        noise: float,
        iterations: int,
        uncertainty: Uncertainty | None = None,
        tolerance: float = TOLERANCE,
    ) -> None:
        if not noise > 0:
            raise ValueError(f"the noise of observations must be positive, got {noise}")
        check_score(base)
        check_observed(observed)
        self.base = base
        self.operator = operator
        self.observed = observed
        self.noise = noise
        self.iterations = iterations
        self.uncertainty = uncertainty or Tweedie()
        self.tolerance = tolerance

    def shift(self, z: Sample, s: Level) -> Sample:
        if torch.is_grad_enabled() and z.requires_grad:
            raise RuntimeError(
                "guidance by observations has no derivatives: put a cost beside it, as in "
                "Observed(prior, ...) + Guidance(prior, cost, weight), not around it"
            )
        with torch.enable_grad():
            x = z.detach().requires_grad_()
            clean = x + self.base.shift(x, s)
            seen = self.operator(clean)

            def back(v: Tensor) -> Sample:
                (each,) = torch.autograd.grad(seen, clean, v, retain_graph=True)
                return each

            def slope(v: Sample) -> Sample:
                (each,) = torch.autograd.grad(clean, x, v, retain_graph=True)
                return each

            def system(v: Tensor) -> Tensor:
                with torch.no_grad():
                    across = self.operator(self.uncertainty.times(back(v), slope, s))
                    return across + self.noise**2 * v

            surprise = (self.observed - seen).detach()
            solved = conjugate_gradients(system, surprise, self.iterations, self.tolerance)
            pull = wide(s, z) ** 2 * slope(back(solved))
        return (clean - x + pull).detach()

    @property
    def marginal(self) -> bool:
        return self.base.marginal

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return self.base.precision(s, shape)


def conjugate_gradients(
    system: Callable[[Tensor], Tensor],
    right: Float[Tensor, "batch n"],
    iterations: int,
    tolerance: float = TOLERANCE,
) -> Float[Tensor, "batch n"]:
    """Solve a symmetric positive system for every sample, each with its own steps.

    Raises:
        RuntimeError: the residual of a sample, relative to its right side, is above the
            tolerance in the end, or the system is not positive.
    """
    x = torch.zeros_like(right)
    residual = direction = right
    first = size = right.square().sum(1, keepdim=True)
    tiny = torch.finfo(right.dtype).tiny
    bent = torch.zeros_like(size, dtype=torch.bool)
    for _ in range(iterations):
        moved = system(direction)
        curvature = (direction * moved).sum(1, keepdim=True)
        upwards = curvature > 0
        bent = bent | (~upwards & (size > tolerance**2 * first))
        length = torch.where(upwards, size / curvature.clamp(min=tiny), 0.0)
        x = x + length * direction
        residual = residual - length * moved
        later = residual.square().sum(1, keepdim=True)
        direction = residual + later / size.clamp(min=tiny) * direction
        size = later
    if bent.any():
        raise RuntimeError(
            f"the covariance of what is observed is not positive for {int(bent.sum())} of "
            f"{len(right)} samples: is the operator linear, and the denoiser trained?"
        )
    left = (size / first.clamp(min=tiny)).max().sqrt().item()
    if left > tolerance:
        raise RuntimeError(
            f"conjugate gradients left a relative residual of {left:.2g} after {iterations} "
            f"iterations, {tolerance:.2g} is allowed: raise iterations, or the tolerance"
        )
    return x
