"""Hard conditions: what holds exactly in every clean estimate, and in what is returned."""

import abc
from collections.abc import Callable

import torch
from jaxtyping import Bool
from torch import Tensor

from physgen.shapes import Sample


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


class Free(Condition):
    """No condition."""

    @property
    def fresh(self) -> bool:
        return False

    def clean(self, x: Sample) -> Sample:
        return x

    def noisy(self, z: Sample, s: float, generator: torch.Generator) -> Sample:
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
