r"""Metropolis kernels that ask for values only: proposals made blindly, and then judged.

A place :math:`y` proposed from :math:`x` with density :math:`q(y \mid x)` is accepted with
probability :math:`\min(1, \frac{\pi(y)\, q(x \mid y)}{\pi(x)\, q(y \mid x)})`. They need no gradient
and serve energies that have none; where there is one, :class:`physgen.kernel.HMC` needs
about :math:`d^{1/4}` evaluations for an independent draw in :math:`d` dimensions, and a random
walk about :math:`d`.

References:
    Monte Carlo sampling methods using Markov chains and their applications (Hastings, 1970).
    Weak convergence and optimal scaling of random walk Metropolis algorithms (Roberts, Gelman &
    Gilks, 1997), for the acceptance to aim at.
"""

import abc
from dataclasses import dataclass

import torch

from physgen.density import Drawable
from physgen.energy import Energy, Score
from physgen.kernel import Chain, Info, Kernel, Sized, check_size, choose, noise_like
from physgen.shapes import PerSample, Sample


class Blind(Kernel):
    """A kernel that asks for energies and no gradients, and tests every move."""

    @property
    def weighable(self) -> bool:
        return True

    def init(self, term: Score, z: Sample, s: float) -> Chain:
        return valued(term, z, s)


def valued(term: Score, z: Sample, s: float) -> Chain:
    """A chain at a place, its energy evaluated.

    Raises:
        TypeError: the term has a gradient only.
    """
    if not isinstance(term, Energy):
        raise TypeError(
            f"{type(term).__name__} has a score and no value, which a blind proposal is judged "
            "by: use MALA or HMC"
        )
    return Chain(z, None, term.energy(z, s))


def _rise(here: Chain, there: Chain) -> PerSample:
    assert here.energy is not None and there.energy is not None
    return here.energy - there.energy


@dataclass(frozen=True)
class RandomWalk(Sized, Blind):
    r"""Metropolis' walk, :math:`y = x + h s\, \xi` with unit normal :math:`\xi`.

    On a unit Gaussian in one dimension the acceptance is :math:`\frac 2\pi \arctan \frac 2h`; in
    many, :math:`h = 2.38 / \sqrt d` is best.
    """

    @property
    def aim(self) -> float:
        return 0.234

    def step(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator
    ) -> tuple[Chain, Info]:
        there = valued(term, chain.z + self.size * s * noise_like(chain.z, generator), s)
        return choose(chain, there, _rise(chain, there), generator)


class Proposal(abc.ABC):
    """Where a chain might go next; not necessarily as likely there and back."""

    @abc.abstractmethod
    def propose(self, z: Sample, generator: torch.Generator) -> Sample:
        """A place for every chain."""

    @abc.abstractmethod
    def log_back(self, z: Sample, proposed: Sample) -> PerSample:
        r""":math:`\log q(z \mid \text{proposed}) - \log q(\text{proposed} \mid z)`."""


@dataclass(frozen=True)
class LogWalk(Proposal):
    r"""A walk of positive numbers by factors, :math:`y = x\, e^{h \xi}`.

    Long steps up are as likely as the same factor down, so
    :math:`q(x \mid y) / q(y \mid x) = \prod y / x`.
    """

    size: float

    def __post_init__(self) -> None:
        check_size(self.size)

    def propose(self, z: Sample, generator: torch.Generator) -> Sample:
        return z * (self.size * noise_like(z, generator)).exp()

    def log_back(self, z: Sample, proposed: Sample) -> PerSample:
        return (proposed / z).log().flatten(1).sum(1)


@dataclass(frozen=True)
class Independent(Proposal):
    """Draws from one density, wherever the chain is; it must be wider than the target."""

    density: Drawable

    def propose(self, z: Sample, generator: torch.Generator) -> Sample:
        return self.density.sample(len(z), generator)

    def log_back(self, z: Sample, proposed: Sample) -> PerSample:
        return self.density.energy(proposed, 0.0) - self.density.energy(z, 0.0)


@dataclass(frozen=True)
class MetropolisHastings(Blind):
    """Any proposal, made right by Hastings' ratio."""

    proposal: Proposal

    def step(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator
    ) -> tuple[Chain, Info]:
        there = valued(term, self.proposal.propose(chain.z, generator), s)
        log_ratio = _rise(chain, there) + self.proposal.log_back(chain.z, there.z)
        return choose(chain, there, log_ratio, generator)
