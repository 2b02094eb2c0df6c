r"""Scores, energies and their algebra.

A design is drawn from :math:`p(x) \propto \exp(-\sum_i w_i E_i(x))`: priors, residuals and
objectives are terms of one sum. Each term is a family of densities :math:`\pi_s`, indexed by
the noise level :math:`s`, of :math:`z = x + s \varepsilon`. What has a gradient is a
:class:`Score`; what has a value as well is an :class:`Energy`, and only an energy can be
accepted or rejected exactly.

The one thing that a score implements is its **shift** :math:`s^2 \nabla \log \pi_s(z)`, which
for a noised data density is the clean estimate minus the sample (Tweedie's formula). It stays
of order one at every level, and shifts of a sum add without a division by :math:`s^2`.

A sum of noised energies is not the noised energy of the sum: its :math:`\pi_s` are stepping
stones that agree with the product of the data densities at :math:`s = 0` only. Such a family
is not ``marginal``, no ordinary differential equation carries it from level to level, and
samplers need kernels that move at each level.

References:
    Compositional Visual Generation with Energy Based Models (Du et al., 2020),
    https://arxiv.org/abs/2004.06030
    Reduce, Reuse, Recycle (Du et al., 2023), https://arxiv.org/abs/2302.11552
    Compositional Generative Inverse Design (Wu et al., 2024), https://arxiv.org/abs/2401.13171
"""

from __future__ import annotations

import abc
from typing import NamedTuple, overload

import torch
from jaxtyping import Float, Int
from torch import Tensor

from physgen.carrier import Carrier
from physgen.shapes import Level, PerSample, Sample

Places = Int[Tensor, "*part"]
"""Where the numbers of a part lie in a larger, flattened sample."""

Cover = Int[Tensor, "part_count *part"]
"""The places of many parts of one shape."""


def positions(*shape: int) -> Tensor:
    """The number of every entry of a sample: slice it to name a part for :meth:`Score.on`.

    ``prior.on(positions(34, 2, 4)[10:34])`` is the prior of a window of a longer trajectory,
    ``prior.on(positions(24, 8, 4)[:, [1, 5]])`` that of a pair of bodies.
    """
    return torch.arange(torch.Size(shape).numel()).reshape(shape)


def wide(level: Level, z: Tensor) -> float | Tensor:
    """A level that multiplies samples: itself, or one number a sample with axes added."""
    return level.view(-1, *[1] * (z.ndim - 1)) if isinstance(level, Tensor) else level


class Precision(NamedTuple):
    """Bounds of the curvature of an energy far out, for every entry of a sample."""

    low: Tensor
    high: Tensor


class Score(Carrier):
    r"""A family of vector fields :math:`\nabla \log \pi_s`."""

    @abc.abstractmethod
    def shift(self, z: Sample, s: Level) -> Sample:
        r""":math:`s^2 \nabla \log \pi_s(z)`: where the clean sample is thought to be, from here."""

    @property
    def marginal(self) -> bool:
        r"""Whether the :math:`\pi_s` are one data density with noise added."""
        return False

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        """Bounds of the curvature at a level for samples of a shape, where they are known."""
        return None

    def score(self, z: Sample, s: Level) -> Sample:
        """The steepest ascent of the log density."""
        return self.shift(z, s) / wide(s, z) ** 2

    def on(self, places: Places) -> Score:
        """The same term on a part of a larger sample; see :func:`positions`."""
        return self.over(places[None])

    def over(self, cover: Cover) -> Score:
        """The sum of the same term on many parts, evaluated in one call."""
        return ScoreOver(self, cover)

    def __add__(self, other: Score) -> Score:
        return ScoreSum((self, 1.0), (other, 1.0))

    def __sub__(self, other: Score) -> Score:
        return ScoreSum((self, 1.0), (other, -1.0))

    def __rmul__(self, weight: float) -> Score:
        return ScoreSum((self, weight))

    def __neg__(self) -> Score:
        return ScoreSum((self, -1.0))


class Flight(NamedTuple):
    """Samples on their way along Hamilton's equations."""

    z: Sample
    momentum: Sample
    energy: PerSample
    shift: Sample


def mixed(x: Tensor, matrix: Tensor | None) -> Tensor:
    """Rows of entries times a matrix of entries by entries, or as they are; it is compiled as well."""
    return x if matrix is None else (x.flatten(1) @ matrix).view_as(x)


class Energy(Score):
    r"""A family of scalar fields :math:`E_s = -\log \pi_s + c`, which add and scale."""

    @abc.abstractmethod
    def energy(self, z: Sample, s: Level) -> PerSample:
        """The energy of every sample."""

    def both(self, z: Sample, s: Level) -> tuple[PerSample, Sample]:
        """Energy and shift from one evaluation; differentiable where gradients are enabled."""
        outer = torch.is_grad_enabled()
        with torch.enable_grad():
            x = z if z.requires_grad else z.detach().requires_grad_()
            value = self.energy(x, s)
            (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=outer)
        if not outer:
            value = value.detach()
        return value, -(wide(s, z) ** 2) * gradient

    def shift(self, z: Sample, s: Level) -> Sample:
        return self.both(z, s)[1]

    def leap(
        self,
        there: Flight,
        stride: Tensor,
        kick: Tensor,
        mixing: Float[Tensor, "entry entry"] | None,
        count: int,
        s: float,
    ) -> Flight:
        r"""So many leapfrog steps of Hamilton's equations.

        .. math:: v \mathrel{+}= \tfrac12 k\, L^\top d(z), \quad z \mathrel{+}= l\, L v, \quad
            v \mathrel{+}= \tfrac12 k\, L^\top d(z), \qquad d = -s^2 \nabla E_s

        Arguments:
            there: Where they begin.
            stride: :math:`l`, for each sample or each entry.
            kick: :math:`k`, likewise.
            mixing: :math:`L` over the entries of a sample in one row, nothing for the identity.
            count: How many, at least one.
            s: The level.
        """
        z, energy, shift = there.z, there.energy, there.shift
        momentum = torch.addcmul(there.momentum, kick / 2, mixed(shift, mixing))
        turned = None if mixing is None else mixing.T
        for left in reversed(range(count)):
            z = torch.addcmul(z, stride, mixed(momentum, turned))
            energy, shift = self.both(z, s)
            momentum = torch.addcmul(momentum, kick if left else kick / 2, mixed(shift, mixing))
        return Flight(z, momentum, energy, shift)

    def on(self, places: Places) -> Energy:
        return self.over(places[None])

    def over(self, cover: Cover) -> Energy:
        return Over(self, cover)

    @overload
    def __add__(self, other: Energy) -> Energy: ...
    @overload
    def __add__(self, other: Score) -> Score: ...
    def __add__(self, other: Score) -> Score:
        if isinstance(other, Energy):
            return Sum((self, 1.0), (other, 1.0))
        return ScoreSum((self, 1.0), (other, 1.0))

    @overload
    def __sub__(self, other: Energy) -> Energy: ...
    @overload
    def __sub__(self, other: Score) -> Score: ...
    def __sub__(self, other: Score) -> Score:
        return self + (-other)

    def __rmul__(self, weight: float) -> Energy:
        return Sum((self, weight))

    def __neg__(self) -> Energy:
        return Sum((self, -1.0))


class Sum(Energy):
    """A weighted sum of energies: a product of powers of their densities."""

    def __init__(self, *terms: tuple[Energy, float]) -> None:
        check_energy(*(term for term, _ in terms))
        self.terms = terms

    def energy(self, z: Sample, s: Level) -> PerSample:
        return torch.stack([weight * term.energy(z, s) for term, weight in self.terms]).sum(0)

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return add_precision(self.terms, s, shape)


class ScoreSum(Score):
    """A weighted sum of scores: the gradient of a sum of energies nobody has."""

    def __init__(self, *terms: tuple[Score, float]) -> None:
        check_score(*(term for term, _ in terms))
        self.terms = terms

    def shift(self, z: Sample, s: Level) -> Sample:
        (first, weight), *others = self.terms
        total = weight * first.shift(z, s)
        for term, weight in others:
            total = torch.add(total, term.shift(z, s), alpha=weight)
        return total

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return add_precision(self.terms, s, shape)


def check_score(*terms: Carrier) -> None:
    """Refuse a flow that has no score, where its type was not looked at.

    Raises:
        TypeError: it carries samples, and does no more.
    """
    for term in terms:
        if not isinstance(term, Score):
            raise TypeError(
                f"a {type(term).__name__} has no score: it carries noise to samples, and neither "
                "adds, nor is guided, nor takes moves or fresh noise. Carry it by DDIM(), or a flow "
                "along its path by DPMpp2M(), add its FlowDensity, or train with Independent() noise"
            )


def check_energy(*terms: Carrier) -> None:
    """Refuse what has no value, where its type was not looked at.

    Raises:
        TypeError: it has a score at the most.
    """
    check_score(*terms)
    for term in terms:
        if not isinstance(term, Energy):
            raise TypeError(
                f"a {type(term).__name__} has a score and no value, which this asks for: take an "
                "energy, such as an EnergyNetwork, or what a score is enough for"
            )


def check_each(value: Tensor, x: Tensor, name: str) -> None:
    """Refuse what is not one number a sample: a sum over the batch would couple its samples.

    Raises:
        ValueError: the shape of a value differs from ``(batch,)``.
    """
    if value.shape != x.shape[:1]:
        raise ValueError(
            f"{name} must be one number a sample, of shape {tuple(x.shape[:1])}, got the shape "
            f"{tuple(value.shape)}: sum over the entries of each sample alone, as "
            "x.square().flatten(1).sum(1) does"
        )


def check_count(count: int, name: str) -> None:
    """Refuse less than one of something.

    Raises:
        ValueError: there is none.
    """
    if count < 1:
        raise ValueError(f"{name} must be at least 1, got {count}")


SAMPLES = "the number of samples"
"""What is at least one where samples are weighed, or learned from."""


def mean(*terms: Score) -> Score:
    """Terms averaged rather than added: the geometric mean of their densities."""
    return ScoreSum(*((term, 1 / len(terms)) for term in terms))


class Mixture(Energy):
    r"""Any of several densities, :math:`-\log \sum_i w_i e^{-E_i}`.

    Arguments:
        terms: Energies and their weights, positive. Weights are those of the densities only if
            each energy carries its own normalisation.
    """

    def __init__(self, *terms: tuple[Energy, float]) -> None:
        if any(weight <= 0 for _, weight in terms):
            raise ValueError("weights of a mixture must be positive")
        check_energy(*(term for term, _ in terms))
        self.terms = terms

    def energy(self, z: Sample, s: Level) -> PerSample:
        logs = [torch.tensor(weight).log() - term.energy(z, s) for term, weight in self.terms]
        return -torch.stack(logs).logsumexp(0)


class Over(Energy):
    """An energy summed over parts of a larger sample.

    Arguments:
        term: The energy of one part.
        cover: Where the parts lie, see :func:`positions`.
    """

    def __init__(self, term: Energy, cover: Cover) -> None:
        check_energy(term)
        self.term = term
        self.cover = cover

    def energy(self, z: Sample, s: Level) -> PerSample:
        parts, levels = _gather(z, s, self.cover)
        return self.term.energy(parts, levels).view(len(z), -1).sum(1)

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return _placed_precision(self.term, self.cover, s, shape)


class ScoreOver(Score):
    """A score summed over parts of a larger sample, all evaluated as one batch."""

    def __init__(self, term: Score, cover: Cover) -> None:
        check_score(term)
        self.term = term
        self.cover = cover

    def shift(self, z: Sample, s: Level) -> Sample:
        parts, levels = _gather(z, s, self.cover)
        return _scatter(self.term.shift(parts, levels), self.cover, z)

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return _placed_precision(self.term, self.cover, s, shape)


class Average(Score):
    """A score averaged, entry by entry, over the parts that hold the entry.

    This is how CinDM composes. Where entries lie in different numbers of parts it is no
    gradient of anything, and hence never an energy; where all lie in equally many it is the
    tempered sum.

    Arguments:
        term: The score of one part.
        cover: Where the parts lie; together they must hold every entry.
    """

    def __init__(self, term: Score, cover: Cover) -> None:
        check_score(term)
        self.term = term
        self.cover = cover

    def shift(self, z: Sample, s: Level) -> Sample:
        parts, levels = _gather(z, s, self.cover)
        total = _scatter(self.term.shift(parts, levels), self.cover, z)
        return total / self._count(z)

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        placed = _placed_precision(self.term, self.cover, s, shape)
        count = self._count(torch.zeros(1, *shape))[0]
        return placed and Precision(placed.low / count, placed.high / count)

    def _count(self, z: Tensor) -> Tensor:
        """How many parts hold each entry."""
        ones = torch.ones((1, *self.cover.shape[1:]), dtype=z.dtype, device=z.device)
        held = _scatter(ones.expand(self.cover.shape), self.cover, z[:1])
        if not held.all():
            raise ValueError(f"{int((held == 0).sum())} entries of the sample lie in no part")
        return held


def _gather(z: Tensor, s: Level, cover: Tensor) -> tuple[Tensor, float | Tensor]:
    """The parts of every sample as one batch, samples outermost, and their levels."""
    parts = z.flatten(1)[:, cover.to(z.device)].flatten(0, 1)
    return parts, s.repeat_interleave(len(cover)) if isinstance(s, Tensor) else s


def _scatter(parts: Tensor, cover: Tensor, like: Tensor) -> Tensor:
    """Parts added up where they lie in the larger sample."""
    flat = torch.zeros_like(like.flatten(1))
    added = flat.index_add(1, cover.to(like.device).flatten(), parts.reshape(len(like), -1))
    return added.view(like.shape)


def _placed_precision(term: Score, cover: Tensor, s: float, shape: torch.Size) -> Precision | None:
    part = term.precision(s, cover.shape[1:])
    if part is None:
        return None
    like = torch.zeros(1, *shape)
    low, high = (_scatter(bound.expand(cover.shape), cover, like)[0] for bound in part)
    return Precision(low, high)


def add_precision(
    terms: tuple[tuple[Score, float], ...], s: float, shape: torch.Size
) -> Precision | None:
    """Bounds of a weighted sum, if those of all terms that weigh something are known."""
    low, high = torch.zeros(shape), torch.zeros(shape)
    for term, weight in terms:
        if weight == 0:
            continue
        bounds = term.precision(s, shape)
        if bounds is None:
            return None
        ends = (bounds.low, bounds.high) if weight > 0 else (bounds.high, bounds.low)
        low, high = low + weight * ends[0], high + weight * ends[1]
    return Precision(low, high)


def check_proper(term: Score, levels: tuple[float, ...], shape: torch.Size) -> None:
    """Refuse a sum whose density cannot be normalised at some level.

    What is divided out of a product may be wider than what is left, at high noise above all;
    a sampler would then run away. Terms with unknown curvature cannot be checked.

    Raises:
        ValueError: the curvature of some entry has no positive lower bound.
    """
    for s in levels:
        bounds = term.precision(s, shape) if s > 0 else None
        if bounds is not None and not (bounds.low > 0).all():
            raise ValueError(
                f"the composed density is improper at noise level {s:.4g}: "
                f"{int((bounds.low <= 0).sum())} entries have curvature down to "
                f"{bounds.low.min().item():.3g}. Start at a lower level, or divide out less"
            )
