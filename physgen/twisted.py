r"""Twisted sampling: conditional draws that become exact as particles are added.

Guidance by a clean estimate is an approximation that no number of levels removes. Here it is
only a proposal: particles are carried by guided ancestral steps, and each is weighted by how the
prior's own step :math:`p`, times the change of what is believed of the observation, compares
with the guided step :math:`q`,

.. math:: w \leftarrow w\, \frac{p(z' | z)\, e^{-E(D(z', s'), s')}}{q(z' | z)\, e^{-E(D(z, s), s)}},

and resampled when the weights have become uneven. Whatever the twist :math:`E` at noisy levels,
weighted particles follow :math:`p(x)\, e^{-E(x, 0)}` in the limit of many of them, and the
mean weight estimates its normaliser, the evidence of the observation.

The effective sample size tells how well the twist fits. As for all importance weights it
falls with the number and the precision of observations: look at it before trusting the draws.

References:
    Practical and Asymptotically Exact Conditional Sampling in Diffusion Models (Wu et al.,
    2023), https://arxiv.org/abs/2306.17775, algorithm 1.
"""

import abc
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.energy import SAMPLES, Score, check_count, check_score
from physgen.grid import Grid
from physgen.guidance import Cost, priced
from physgen.kernel import noise_like
from physgen.observed import Operator, Uncertainty, check_observed
from physgen.sampler import Resample, Result
from physgen.shapes import PerSample, Sample
from physgen.weighted import Weighted, effective, log_mean, systematic

WHEN_HALF = Resample()


class Twist(abc.ABC):
    """What a noisy sample is believed to say of the observation."""

    @abc.abstractmethod
    def energy(self, clean: Sample, z: Sample, s: float) -> PerSample:
        """Minus the log likelihood, the true one of clean samples at level zero.

        Arguments:
            clean: The estimate, differentiable with respect to ``z`` where the level is not zero.
            z: The noisy sample.
            s: Its level.
        """


@dataclass(frozen=True)
class Tilt(Twist):
    """A cost, taken of the clean estimate as if it were the clean sample."""

    cost: Cost

    def energy(self, clean: Sample, z: Sample, s: float) -> PerSample:
        return priced(self.cost, clean)


@dataclass(frozen=True)
class Seen(Twist):
    r"""Linear observations :math:`y = A x + n`, taken for vaguer the more noise there is.

    The likelihood is :math:`\mathcal N(y; A D, A C A^\top + \sigma_y^2)`, with the covariance
    :math:`C` that an :class:`~physgen.observed.Uncertainty` gives the clean sample. With
    ``Tweedie()`` the twist is exact for a Gaussian prior, for as many gradients through the
    denoiser as there are observations; ``Isotropic(...)`` takes none.
    """

    operator: Operator
    observed: Float[Tensor, " observation"]
    noise: float
    """:math:`\\sigma_y`"""
    uncertainty: Uncertainty

    def __post_init__(self) -> None:
        if not self.noise > 0:
            raise ValueError(f"the noise of observations must be positive, got {self.noise}")
        check_observed(self.observed)

    def energy(self, clean: Sample, z: Sample, s: float) -> PerSample:
        seen = self.operator(clean)
        if seen.shape[1:] != self.observed.shape:
            raise ValueError(
                f"observations have the shape {tuple(self.observed.shape)}, the operator sees "
                f"{tuple(seen.shape[1:])} of a sample: both must be the same"
            )
        surprise = self.observed - seen
        variance = torch.full_like(surprise, self.noise**2).detach()
        if s > 0:
            spread, axes = torch.linalg.eigh(self._covariance(seen, clean, z, s))
            variance = variance + spread.clamp(min=0)
            surprise = torch.einsum("bo,boa->ba", surprise, axes)
        each = surprise.square() / variance + (math.tau * variance).log()
        energy: PerSample = each.sum(1) / 2
        return energy

    def _covariance(
        self, seen: Tensor, clean: Tensor, z: Tensor, s: float
    ) -> Float[Tensor, "batch observation observation"]:
        r""":math:`A C A^\top`, one column for each observation."""

        def slope(v: Tensor) -> Tensor:
            (each,) = torch.autograd.grad(clean, z, v, retain_graph=True)
            return each

        columns = []
        for unit in torch.eye(seen.shape[1], dtype=seen.dtype, device=seen.device):
            (back,) = torch.autograd.grad(seen, clean, unit.expand(seen.shape), retain_graph=True)
            columns.append(self.operator(self.uncertainty.times(back, slope, s)).detach())
        across = torch.stack(columns, 2)
        return (across + across.mT) / 2


class _Particles(NamedTuple):
    """Where particles are, and what is believed there."""

    z: Tensor
    clean: Tensor
    energy: Tensor
    pull: Tensor
    """:math:`-s^2 \\nabla_z E`"""

    def chosen(self, index: Tensor) -> "_Particles":
        return _Particles(*(part[index] for part in self))


@torch.no_grad()
def twisted(
    base: Score,
    twist: Twist,
    start: Sample,
    grid: Grid,
    generator: torch.Generator,
    resample: Resample = WHEN_HALF,
) -> Result:
    """Draw particles of one conditional problem; one evaluation and one gradient a level.

    Arguments:
        base: The prior, of one data density.
        twist: What was observed.
        start: Unit noise, a row for each particle; not changed.
        grid: The levels; the last is a single step to the clean estimate, so it must be low.
        generator: Source of fresh noise.
        resample: When.

    Raises:
        ValueError: the prior is a sum, whose steps from level to level have no meaning, or there
            are no particles.
        TypeError: the prior has no score.
        FloatingPointError: particles are not finite.
    """
    check_score(base)
    if not base.marginal:
        raise ValueError(
            "twisted sampling weighs the steps of one noised density, got a sum of scores: use "
            "anneal(...) with a kernel for sums"
        )
    count = len(start)
    check_count(count, SAMPLES)
    log_weight = torch.zeros(count, dtype=start.dtype, device=start.device)
    log_mass, ess, lineage = 0.0, [], torch.arange(count, device=start.device)
    here = _arrive(base, twist, grid.levels[0] * start, grid.levels[0])
    log_weight = log_weight - here.energy
    for s, below in zip(grid.levels, grid.levels[1:], strict=False):
        share = log_weight.softmax(0)
        ess.append(effective(share))
        if ess[-1] < resample.below:
            log_mass += log_mean(log_weight)
            log_weight = torch.zeros_like(log_weight)
            chosen = systematic(share, generator)
            here, lineage = here.chosen(chosen), lineage[chosen]
        if below == 0:
            break
        ratio = (below / s) ** 2
        fresh = below * math.sqrt(1 - ratio)
        noise = noise_like(start, generator)
        guided = (1 - ratio) * here.pull
        z = torch.lerp(here.clean, here.z, ratio) + guided + fresh * noise
        there = _arrive(base, twist, z, below)
        apart = noise.square() - (noise + guided / fresh).square()
        log_weight = log_weight + apart.flatten(1).sum(1) / 2 + here.energy - there.energy
        here = there
    log_weight = log_weight + here.energy - twist.energy(here.clean, here.z, 0.0)
    if not here.clean.isfinite().all():
        raise FloatingPointError("particles are not finite: is the likelihood too sharp?")
    return Result(Weighted(here.clean, log_weight, log_mass, lineage), tuple(ess), ())


def _arrive(base: Score, twist: Twist, z: Tensor, s: float) -> _Particles:
    with torch.enable_grad():
        x = z.detach().requires_grad_()
        clean = x + base.shift(x, s)
        energy = twist.energy(clean, x, s)
        (slope,) = torch.autograd.grad(energy.sum(), x)
    return _Particles(z, clean.detach(), energy.detach(), -(s**2) * slope)
