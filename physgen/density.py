"""Densities without levels, and those that exact samples are known of.

Samplers for a given density (chains, importance weights, bridges) ask an energy at one level.
A density that somebody wrote down has no levels: it is the same at all of them. A family that
has them, such as a mixture, is taken :class:`At` one.
"""

import abc
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.energy import Energy, check_each, check_energy
from physgen.shapes import Level, PerSample, Sample


class Density(Energy):
    r"""A density by its energy :math:`E = -\log p + c`, the same at every level.

    Arguments:
        function: The energy of every sample of a batch, differentiable for kernels that follow
            the gradient.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

    def energy(self, z: Sample, s: Level) -> PerSample:
        value = self.function(z)
        check_each(value, z, "the energy of a Density")
        return value


class At(Energy):
    """One density of a family, as a density without levels.

    Arguments:
        term: The family.
        level: Which of its densities; 0 is the clean one.
    """

    def __init__(self, term: Energy, level: float = 0.0) -> None:
        check_energy(term)
        self.term = term
        self.level = level

    def energy(self, z: Sample, s: Level) -> PerSample:
        return self.term.energy(z, self.level)


class Flat(Energy):
    """No opinion at all: the energy is zero everywhere."""

    def energy(self, z: Sample, s: Level) -> PerSample:
        return torch.zeros(len(z), dtype=z.dtype, device=z.device)


class Bridge(Energy):
    r"""A density on the way from one to another, :math:`p_\beta \propto p_0^{1 - \beta}
    p_1^\beta`, of both clean densities.

    Arguments:
        base: :math:`p_0`.
        target: :math:`p_1`.
        share: :math:`\beta`, from 0 to 1; one, or one a sample.
    """

    def __init__(
        self, base: Energy, target: Energy, share: float | Float[Tensor, " batch"]
    ) -> None:
        check_energy(base, target)
        self.base = base
        self.target = target
        self.share = share

    def energy(self, z: Sample, s: Level) -> PerSample:
        parts = ((1 - self.share, self.base), (self.share, self.target))
        first, second = (_part(weight, term.energy(z, 0.0)) for weight, term in parts)
        return first + second

    def rise(self, z: Sample) -> PerSample:
        r"""By how much the energy grows with the share, :math:`E_1 - E_0`."""
        return self.target.energy(z, 0.0) - self.base.energy(z, 0.0)


def _part(weight: float | Tensor, energy: PerSample) -> PerSample:
    """A product in which nothing of infinity is nothing."""
    taken = torch.as_tensor(weight, dtype=energy.dtype, device=energy.device)
    return torch.where(taken == 0, torch.zeros_like(energy), taken * energy)


class Drawable(Energy):
    """A density that is drawn from directly, at level 0.

    It serves as the envelope of rejection, the proposal of importance sampling, the start of a
    bridge, and as an oracle. The first three need it normalised.
    """

    @property
    def log_mass(self) -> Tensor:
        """Logarithm of the integral of the density as its energy has it: zero if normalised."""
        return torch.zeros(())

    @abc.abstractmethod
    def sample(self, count: int, generator: torch.Generator) -> Sample:
        """Independent draws."""


def check_normalised(density: Drawable) -> None:
    """Refuse what would put weights and bounds off by its mass."""
    if not density.log_mass.abs() < 1e-4:
        raise ValueError(
            f"the mass of what is drawn from must be one, got {density.log_mass.exp().item():.6g}:"
            " use .normalised()"
        )


class Moments(NamedTuple):
    """What every entry of a sample is on average, and its variance."""

    mean: Tensor
    variance: Tensor
