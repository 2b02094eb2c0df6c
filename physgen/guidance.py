r"""Guidance: costs of clean samples, lifted to every noise level.

A cost :math:`c(x)`, be it an objective, a residual or a misfit, is known for clean samples
only. At level :math:`s` it is read off the clean estimate,

.. math:: E_s(z) = w\, c(D(z, s)),

whose gradient passes through the denoiser: as :math:`s^2 \partial D / \partial z` is the
covariance of the clean sample given the noisy one, the pull
:math:`-s^2 \nabla_z E_s = -w\, \mathrm{Cov}[x|z]\, \nabla c` moves a sample along what the
prior holds possible. Weights are per sample: no sample sees how large its batch is.

References:
    Diffusion Posterior Sampling (Chung et al., 2023), https://arxiv.org/abs/2209.14687, with
    one norm a sample in place of one a batch.
    Manifold Preserving Guided Diffusion (He et al., 2024), https://arxiv.org/abs/2311.16424,
    for the detached form.

Observations with Gaussian noise have a form of their own, :mod:`physgen.observed`.
"""

import abc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from physgen.energy import Energy, Precision, Score, check_each, check_score, wide
from physgen.grid import Grid
from physgen.shapes import Level, PerSample, Sample

Cost = Callable[[Sample], PerSample]
"""A cost of clean samples, one number each."""


def priced(cost: Cost, x: Sample) -> PerSample:
    """What clean samples cost.

    Raises:
        ValueError: that is not one number a sample.
    """
    value = cost(x)
    check_each(value, x, "a cost")
    return value


class Weight(abc.ABC):
    """How hard a cost pulls."""

    @abc.abstractmethod
    def of(self, cost: PerSample, slope: Sample, s: Level) -> PerSample:
        r"""The weight of every sample, given its cost and :math:`\nabla_z c(D(z, s))`."""


@dataclass(frozen=True)
class Fixed(Weight):
    r"""The same at all levels, and at no noise that of the tilt :math:`p(x)\, e^{-w c(x)}`.

    On the way there it is an approximation. Where noise leaves the clean sample open, the pull of the
    tilt is that of :math:`-\log \mathrm{E}[e^{-w c(x)} | z]` and not of :math:`w\, c(D)`: for a
    Gaussian prior and a quadratic cost it is weaker by the factor
    :math:`1 + w\, c''\, \mathrm{Var}[x | z]`. Samples that are carried from level to level hence end too
    far and too close together, the more so the larger :math:`w`. Of a unit Gaussian and
    :math:`c = (x - 2)^2 / 2`, DPM-Solver++ has the means 0.44, 1.39 and 2.50 for the weights 1/4, 1 and
    4, where those of the tilt are 0.4, 1 and 1.6.

    The tilt is drawn from by moves at each level, ``anneal(prior + Guidance(prior, cost, w), ...)``
    with a kernel, by weights, :class:`physgen.twisted.Tilt`, and for Gaussian observations by
    :class:`physgen.observed.Observed`.
    """

    weight: float

    def of(self, cost: PerSample, slope: Sample, s: Level) -> PerSample:
        return torch.full_like(cost, self.weight)


@dataclass(frozen=True)
class Capped(Weight):
    r"""As fixed, but no step shall take off more than a share of what can be gained.

    To first order, moving a sample by the whole pull lowers its cost by
    :math:`w s^2 |\nabla_z c(D(z, s))|^2`. A weight that is right for clean samples overshoots
    many times over where the sample is still far from cheap; there it is lowered until the pull
    removes ``share`` of the cost above ``bound``.
    """

    weight: float
    share: float = 0.5
    bound: float = 0.0

    def of(self, cost: PerSample, slope: Sample, s: Level) -> PerSample:
        fall = (wide(s, slope) ** 2 * slope.square()).flatten(1).sum(1)
        most = self.share * (cost - self.bound).clamp(min=0) / fall.clamp(min=1e-20)
        weight: PerSample = most.clamp(max=self.weight)
        return weight


@dataclass(frozen=True)
class Normalised(Weight):
    r"""Such that the pull is ``strength`` times the noise, whatever the cost's scale.

    The pull has length :math:`\text{strength} \cdot s \sqrt d` in :math:`d` dimensions.
    """

    strength: float

    def of(self, cost: PerSample, slope: Sample, s: Level) -> PerSample:
        flat = slope.flatten(1)
        size: Tensor = s * flat.norm(dim=1)
        weight: PerSample = self.strength * flat.shape[1] ** 0.5 / size.clamp(min=1e-20)
        return weight


@dataclass(frozen=True)
class Stepwise(Weight):
    r"""Such that a step moves as far whatever its size: the rule of DPS as published.

    Algorithm 1 of Chung et al. (2023) subtracts
    :math:`\zeta\, |y - A \hat x_0|^{-1} \nabla_{x_t} |y - A \hat x_0|^2` at every step. Along a
    variance-preserving path, and with half the squared misfit as cost :math:`c`, the
    :class:`~physgen.predictor.Ancestral` step of a grid from :math:`s` to :math:`s'` does the same
    under the weight

    .. math:: w = \frac{2 \zeta \sqrt{(1 + s^2)(1 + s'^2)}}{(s^2 - s'^2) \sqrt{2 c}}.

    What is drawn therefore depends on the number of steps, and has no density of its own; as the
    pull is as long for a small misfit as for a large one, noise of observations is not modelled.
    """

    strength: float
    """:math:`\\zeta`, published with values from 0.1 to 1."""
    grid: Grid

    def of(self, cost: PerSample, slope: Sample, s: Level) -> PerSample:
        levels = self.grid.levels
        if not isinstance(s, float) or s not in levels[:-1]:
            raise ValueError(f"a step-wise weight is for the levels of its grid, got {s}")
        below = levels[levels.index(s) + 1]
        length = math.sqrt((1 + s**2) * (1 + below**2)) / (s**2 - below**2)
        weight: PerSample = 2 * self.strength * length / (2 * cost + 1e-20).sqrt()
        return weight


@dataclass(frozen=True)
class Constraint:
    r"""A cost that is nothing for every possible sample, and not for the mean of several.

    Discs do not overlap, but where noise leaves open which of two is left, their means do:
    asked of the clean estimate at high noise, what holds for samples pushes them apart for no
    reason. A constraint is therefore asked in earnest only once the noise is low,

    .. math:: E_s(z) = \frac{1}{1 + (s / \text{level})^2}\, c(D(z, s)).
    """

    cost: Cost
    level: float
    """The noise level at which half the cost is asked."""

    def at(self, x: Sample, s: Level) -> PerSample:
        """What is asked of a clean estimate at a level."""
        asked: PerSample = priced(self.cost, x) / (1 + (s / self.level) ** 2)
        return asked


class Guidance(Energy):
    """A cost as an energy term beside others, with a fixed weight.

    ``prior + Guidance(prior, cost, w)`` evaluates the prior twice; :class:`Guided` is the same
    sum for one evaluation, but has no value, and lets any predictor carry it.
    """

    def __init__(self, base: Score, cost: Cost, weight: float) -> None:
        check_score(base)
        self.base = base
        self.cost = cost
        self.weight = weight

    def energy(self, z: Sample, s: Level) -> PerSample:
        return self.weight * priced(self.cost, self.base.denoise(z, s))

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        """None of its own: the cost is taken to be bounded from below."""
        zero = torch.zeros(shape)
        return Precision(zero, zero)


class Guided(Score):
    """A score tilted by a cost, for one evaluation of the score and one gradient through it.

    Arguments:
        base: The score.
        cost: Of clean samples.
        weight: How hard it pulls.
        until: Below this level the base is left alone: the large decisions are made, and what
            the pull has bent is straightened by the prior.
        constraints: Costs that join as the noise falls.
    """

    def __init__(
        self,
        base: Score,
        cost: Cost,
        weight: Weight,
        until: float = 0.0,
        constraints: Sequence[Constraint] = (),
    ) -> None:
        check_score(base)
        self.base = base
        self.cost = cost
        self.weight = weight
        self.until = until
        self.constraints = tuple(constraints)

    def shift(self, z: Sample, s: Level) -> Sample:
        if isinstance(s, float) and s < self.until:
            return self.base.shift(z, s)
        outer = torch.is_grad_enabled()
        with torch.enable_grad():
            x = z if z.requires_grad else z.detach().requires_grad_()
            shift = self.base.shift(x, s)
            clean = x + shift
            cost = priced(self.cost, clean)
            for constraint in self.constraints:
                cost = cost + constraint.at(clean, s)
            (slope,) = torch.autograd.grad(cost.sum(), x, create_graph=outer)
        if not outer:
            shift, cost = shift.detach(), cost.detach()
        level = wide(s, z)
        pull = wide(self.weight.of(cost, slope, s), z) * level**2 * slope
        if isinstance(level, Tensor) and self.until > 0:
            pull = pull.masked_fill(level < self.until, 0.0)
        return shift - pull

    @property
    def marginal(self) -> bool:
        """As the base: guidance is carried as if it were of one noised density, which it is only
        nearly, see :class:`Fixed`. The sum with a :class:`Guidance` makes no such claim."""
        return self.base.marginal

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return self.base.precision(s, shape)


class DetachedGuidance(Score):
    r"""The cheap variant: the cost's own gradient at the clean estimate, none of the network's.

    The covariance of the clean sample is taken to be that of a Gaussian of spread
    :math:`\sigma_d`, the same for all entries: :math:`s^2 \sigma_d^2 / (s^2 + \sigma_d^2)`.
    What the prior knows of how entries depend on one another is not used.
    """

    def __init__(self, base: Score, cost: Cost, weight: Weight, sigma_data: float = 1.0) -> None:
        check_score(base)
        self.base = base
        self.cost = cost
        self.weight = weight
        self.sigma_data = sigma_data

    def shift(self, z: Sample, s: Level) -> Sample:
        shift = self.base.shift(z, s)
        with torch.enable_grad():
            x = (z + shift).detach().requires_grad_()
            cost = priced(self.cost, x)
            (slope,) = torch.autograd.grad(cost.sum(), x)
        noise = wide(s, z) ** 2
        gain = self.sigma_data**2 / (noise + self.sigma_data**2)
        weight = wide(self.weight.of(cost.detach(), slope * gain, s), z)
        return shift - weight * noise * gain * slope

    @property
    def marginal(self) -> bool:
        """As the base, see :attr:`Guided.marginal`."""
        return self.base.marginal

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return self.base.precision(s, shape)
