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
    Learning Diffusion Priors from Observations (Rozet et al., 2024),
    https://arxiv.org/abs/2405.13712, for the moment-matched likelihood.
"""

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.energy import Energy, Precision, Score, wide
from physgen.shapes import Level, PerSample, Sample

Cost = Callable[[Sample], PerSample]
"""A cost of clean samples, one number each."""


class Weight(abc.ABC):
    """How hard a cost pulls."""

    @abc.abstractmethod
    def of(self, cost: PerSample, slope: Sample, s: Level) -> PerSample:
        r"""The weight of every sample, given its cost and :math:`\nabla_z c(D(z, s))`."""


@dataclass(frozen=True)
class Fixed(Weight):
    r"""The same at all levels: clean samples follow :math:`p(x)\, e^{-w c(x)}`."""

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
        asked: PerSample = self.cost(x) / (1 + (s / self.level) ** 2)
        return asked


class Guidance(Energy):
    """A cost as an energy term beside others, with a fixed weight.

    ``prior + Guidance(prior, cost, w)`` evaluates the prior twice; :class:`Guided` is the same
    sum for one evaluation, but has no value.
    """

    def __init__(self, base: Score, cost: Cost, weight: float) -> None:
        self.base = base
        self.cost = cost
        self.weight = weight

    def energy(self, z: Sample, s: Level) -> PerSample:
        return self.weight * self.cost(self.base.denoise(z, s))

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
            cost = self.cost(clean)
            for constraint in self.constraints:
                cost = cost + constraint.at(clean, s)
            (slope,) = torch.autograd.grad(cost.sum(), x, create_graph=outer)
        if not outer:
            shift, cost = shift.detach(), cost.detach()
        weight = wide(self.weight.of(cost, slope, s), z)
        return shift - weight * wide(s, z) ** 2 * slope

    @property
    def marginal(self) -> bool:
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
        self.base = base
        self.cost = cost
        self.weight = weight
        self.sigma_data = sigma_data

    def shift(self, z: Sample, s: Level) -> Sample:
        shift = self.base.shift(z, s)
        with torch.enable_grad():
            x = (z + shift).detach().requires_grad_()
            cost = self.cost(x)
            (slope,) = torch.autograd.grad(cost.sum(), x)
        noise = wide(s, z) ** 2
        gain = self.sigma_data**2 / (noise + self.sigma_data**2)
        weight = wide(self.weight.of(cost.detach(), slope * gain, s), z)
        return shift - weight * noise * gain * slope

    @property
    def marginal(self) -> bool:
        return self.base.marginal

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return self.base.precision(s, shape)


class Observed(Score):
    r"""A score given observations :math:`y = A x + n`, :math:`n \sim \mathcal N(0, \sigma_y^2)`.

    .. math:: s^2 \nabla_z \log p(y | z) = C A^\top (A C A^\top + \sigma_y^2)^{-1} (y - A D),
        \qquad C = s^2 \frac{\partial D}{\partial z}

    is exact for Gaussian priors, and elsewhere matches the first two moments of the clean
    sample. The system is solved by conjugate gradients, each a gradient through the denoiser,
    so that ``iterations`` at least the number of observations solve it exactly.

    Arguments:
        base: The score of the prior, of one data density.
        operator: :math:`A`, linear.
        observed: :math:`y`.
        noise: :math:`\sigma_y`.
        iterations: Conjugate gradients.
    """

    def __init__(
        self,
        base: Score,
        operator: Callable[[Tensor], Tensor],
        observed: Float[Tensor, "batch observation"],
        noise: float,
        iterations: int,
    ) -> None:
        if not noise > 0:
            raise ValueError(f"the noise of observations must be positive, got {noise}")
        self.base = base
        self.operator = operator
        self.observed = observed
        self.noise = noise
        self.iterations = iterations

    def shift(self, z: Sample, s: Level) -> Sample:
        square = wide(s, z) ** 2
        with torch.enable_grad():
            x = z.detach().requires_grad_()
            shift = self.base.shift(x, s)
            seen = self.operator(x + shift)

            def pull(v: Tensor) -> Tensor:
                (slope,) = torch.autograd.grad(seen, x, v, retain_graph=True)
                return square * slope

            def system(v: Tensor) -> Tensor:
                with torch.no_grad():
                    return self.operator(pull(v)) + self.noise**2 * v

            solved = conjugate_gradients(system, (self.observed - seen).detach(), self.iterations)
            return (shift + pull(solved)).detach()

    @property
    def marginal(self) -> bool:
        return self.base.marginal

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return self.base.precision(s, shape)


def conjugate_gradients(
    system: Callable[[Tensor], Tensor], right: Float[Tensor, "batch n"], iterations: int
) -> Float[Tensor, "batch n"]:
    """Solve a symmetric positive system for every sample, each with its own steps."""
    x = torch.zeros_like(right)
    residual = direction = right
    size = residual.square().sum(1, keepdim=True)
    tiny = torch.finfo(right.dtype).tiny
    for _ in range(iterations):
        moved = system(direction)
        length = size / (direction * moved).sum(1, keepdim=True).clamp(min=tiny)
        x = x + length * direction
        residual = residual - length * moved
        later = residual.square().sum(1, keepdim=True)
        direction = residual + later / size.clamp(min=tiny) * direction
        size = later
    return x
