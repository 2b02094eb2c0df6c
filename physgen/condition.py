r"""Hard conditions: what holds exactly in every clean estimate, and in what is returned.

Kernels that move at a level see a condition too. Where entries are known, they stand at
:math:`v + s \varepsilon` while the others move, which leaves :math:`\pi_s` of these given the known
ones as it is; as the noise falls this becomes the conditional. For a set, the clean estimate that
moves follow is the nearest one in the set. That is the score of no density, and its moves are tested
by the line integral; as the noise falls they draw from the density within the set, too.
"""

import abc
from collections.abc import Callable

import torch
from jaxtyping import Bool
from torch import Tensor

from physgen.energy import Energy, Score, wide
from physgen.shapes import Level, PerSample, Sample


class Condition(abc.ABC):
    """Something a sample must satisfy, imposed while it is drawn."""

    @property
    @abc.abstractmethod
    def fresh(self) -> bool:
        """Whether it puts fresh noise into samples, which only a score knows what to do with."""

    @abc.abstractmethod
    def clean(self, x: Sample) -> Sample:
        """The clean estimate made to satisfy the condition."""

    @abc.abstractmethod
    def noisy(self, z: Sample, s: float, generator: torch.Generator) -> Sample:
        """The sample at a level made to satisfy it as far as noise allows."""

    @abc.abstractmethod
    def held(self, term: Score, z: Sample, s: float) -> Score:
        """What kernels that begin at ``z``, which is as :meth:`noisy` left it, draw from."""

    @abc.abstractmethod
    def moved(self, z: Sample, before: Sample) -> Sample:
        """Where kernels led from ``before``, less what the condition forbids."""


class Free(Condition):
    """No condition."""

    @property
    def fresh(self) -> bool:
        return False

    def clean(self, x: Sample) -> Sample:
        return x

    def noisy(self, z: Sample, s: float, generator: torch.Generator) -> Sample:
        return z

    def held(self, term: Score, z: Sample, s: float) -> Score:
        return term

    def moved(self, z: Sample, before: Sample) -> Sample:
        return z


class Known(Condition):
    """Entries whose values are known: replaced, with fresh noise, at every level.

    Replacement alone leaves the unknown entries behind the known ones, as each level looks only
    once; ``repeats`` of :func:`physgen.sampler.sample` let them catch up.

    Arguments:
        mask: Which entries are known.
        values: What they are, of a sample's shape; other entries are ignored.

    References:
        RePaint (Lugmayr et al., 2022), https://arxiv.org/abs/2201.09865
    """

    def __init__(self, mask: Bool[Tensor, "..."], values: Tensor) -> None:
        lost = mask & ~values.isfinite()
        if lost.any():
            raise ValueError(
                f"known values must be finite, got {int(lost.sum())} that are not: "
                "take them out of the mask"
            )
        self.mask = mask
        self.values = values

    @property
    def fresh(self) -> bool:
        return True

    def clean(self, x: Sample) -> Sample:
        return torch.where(self.mask, self.values, x)

    def noisy(self, z: Sample, s: float, generator: torch.Generator) -> Sample:
        noise = torch.randn(z.shape, generator=generator, dtype=z.dtype, device=z.device)
        return torch.where(self.mask, self.values + s * noise, z)

    def held(self, term: Score, z: Sample, s: float) -> Score:
        noise = (z - self.values) / s
        if isinstance(term, Energy):
            return _HeldEnergy(term, self, noise)
        return _HeldScore(term, self, noise)

    def moved(self, z: Sample, before: Sample) -> Sample:
        return torch.where(self.mask, before, z)

    def standing(self, z: Sample, s: Level, noise: Sample) -> Sample:
        """With known entries put where they stand at a level."""
        return torch.where(self.mask, self.values + wide(s, z) * noise, z)


class _HeldEnergy(Energy):
    """An energy of the free entries."""

    def __init__(self, term: Energy, known: Known, noise: Sample) -> None:
        self.term = term
        self.known = known
        self.noise = noise

    def energy(self, z: Sample, s: Level) -> PerSample:
        return self.term.energy(self.known.standing(z, s, self.noise), s)


class _HeldScore(Score):
    """A score of the free entries."""

    def __init__(self, term: Score, known: Known, noise: Sample) -> None:
        self.term = term
        self.known = known
        self.noise = noise

    def shift(self, z: Sample, s: Level) -> Sample:
        shift = self.term.shift(self.known.standing(z, s, self.noise), s)
        return torch.where(self.known.mask, torch.zeros_like(shift), shift)


class Projected(Condition):
    """A set that clean samples must lie in, given by the projection onto it.

    Arguments:
        project: Takes samples to the nearest ones in the set; twice is the same as once.
    """

    def __init__(self, project: Callable[[Sample], Sample]) -> None:
        self.project = project

    @property
    def fresh(self) -> bool:
        return False

    def clean(self, x: Sample) -> Sample:
        return self.project(x)

    def noisy(self, z: Sample, s: float, generator: torch.Generator) -> Sample:
        return z

    def held(self, term: Score, z: Sample, s: float) -> Score:
        return _Within(term, self)

    def moved(self, z: Sample, before: Sample) -> Sample:
        return z


class _Within(Score):
    """A score whose clean estimates lie in a set."""

    def __init__(self, term: Score, projected: Projected) -> None:
        self.term = term
        self.projected = projected

    def shift(self, z: Sample, s: Level) -> Sample:
        return self.projected.clean(self.term.denoise(z, s)) - z
