r"""Kernels: moves at one noise level that leave its density as it is.

Step sizes are in units of the narrowest direction: a step ``h`` moves by
:math:`h (s^2 + \text{spread}^2)` along the score, so that one number serves all levels.
``spread`` is the least standard deviation of the target itself, zero for data on a manifold.
For a plain density, which has no levels, use ``s = 1`` and no spread.
Every chain accepts or rejects by itself.

What has an energy is accepted exactly. What has a score only is accepted by the line integral
:math:`\log \pi(y) - \log \pi(x) = \int_0^1 \nabla \log \pi(x + r (y - x)) \cdot (y - x)\,
\mathrm{d}r` with three Gauss nodes; the trapezoid rule, though cheaper, is worse than no
correction at all, as its acceptance forgets where the chain came from.

References:
    Optimal Scaling of Discrete Approximations to Langevin Diffusions (Roberts & Rosenthal,
    1998), for MALA.
    A generalized guided Monte Carlo algorithm (Horowitz, 1991), for partial refreshment.
    MCMC-Correction of Score-Based Diffusion Models (Sjöberg et al., 2023),
    https://arxiv.org/abs/2307.14012, for the line integral.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool
from torch import Tensor

from physgen.energy import Energy, Flight, Score, check_count
from physgen.metric import Metric, Plain
from physgen.shapes import PerSample, Sample

NODES = ((0.5 - math.sqrt(0.15), 5 / 18), (0.5, 8 / 18), (0.5 + math.sqrt(0.15), 5 / 18))
"""Three-point Gauss quadrature on [0, 1]: node and weight."""

DIVERGED = 1000.0
"""A trajectory that loses so much log density has left the density's scale: Stan's bound."""


class Chain(NamedTuple):
    """Where every chain is, and what is known there."""

    z: Sample
    shift: Sample | None
    """``None`` where the kernel does not follow the score."""
    energy: PerSample | None
    """``None`` where the term has no value."""
    momentum: Sample | None = None


class Info(NamedTuple):
    """What a move did."""

    accepted: PerSample
    """One where the move was accepted, zero where not."""
    log_ratio: PerSample
    """Logarithm of the acceptance ratio; zero where it was neither tested nor known."""
    owed: PerSample | None = None
    """The same, of a move made without the test by a term with a value: what an importance
    weight must make up for."""

    @property
    def probability(self) -> PerSample:
        """That of being accepted: less noisy than what the coin said."""
        return self.log_ratio.clamp(max=0).exp().nan_to_num(0.0)

    @property
    def diverged(self) -> Bool[Tensor, " batch"]:
        """Whether the move ended off the density's scale: too long, or beyond its support."""
        return ~(self.log_ratio > -DIVERGED)


def arrive(term: Score, z: Sample, s: float) -> Chain:
    """A chain at a place, its score and energy evaluated."""
    if isinstance(term, Energy):
        energy, shift = term.both(z, s)
        return Chain(z, shift, energy)
    return Chain(z, term.shift(z, s), None)


def log_rise(term: Score, here: Chain, there: Chain, s: float) -> PerSample:
    r""":math:`\log \pi_s(\text{there}) - \log \pi_s(\text{here})`, exact or by line integral."""
    if here.energy is not None and there.energy is not None:
        return here.energy - there.energy
    way = there.z - here.z
    along = torch.zeros_like(way)
    for node, weight in NODES:
        along = along + weight * term.shift(here.z + node * way, s)
    return (along * way).flatten(1).sum(1) / s**2


class Kernel(abc.ABC):
    """A move of chains at one level."""

    @property
    @abc.abstractmethod
    def weighable(self) -> bool:
        """Whether weights of samples with an energy stay right as it moves them: every move is
        tested, or tells what it owes."""

    @abc.abstractmethod
    def init(self, term: Score, z: Sample, s: float) -> Chain:
        """Chains that begin at ``z``."""

    @abc.abstractmethod
    def step(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator
    ) -> tuple[Chain, Info]:
        """One move."""


def check_weighable(kernel: Kernel) -> None:
    """Refuse to weigh samples whose moves are neither tested nor accounted for."""
    if not kernel.weighable:
        raise ValueError(
            f"{type(kernel).__name__} neither tests its moves nor tells what they owe, so that "
            "weights would be wrong: use MALA or HMC, or their unadjusted kinds"
        )


def check_size(size: float) -> None:
    """Refuse steps of no size.

    Raises:
        ValueError: the size is not positive, or not finite.
    """
    if not 0 < size < math.inf:
        raise ValueError(f"the size of a step must be positive and finite, got {size}")


class Gradient(Kernel):
    """A kernel that follows the score, which chains hence carry with them; its moves are tested
    or, of an energy, owe."""

    @property
    def weighable(self) -> bool:
        return True

    def init(self, term: Score, z: Sample, s: float) -> Chain:
        return arrive(term, z, s)


@dataclass(frozen=True)
class Sized(Kernel):
    """A kernel with a step size and an acceptance to choose it by; see :mod:`physgen.tuning`."""

    size: float

    def __post_init__(self) -> None:
        check_size(self.size)

    @property
    @abc.abstractmethod
    def aim(self) -> float:
        """The acceptance at which the kernel explores fastest."""

    def resized(self, size: float) -> Sized:
        """The same kernel with another step size."""
        return replace(self, size=size)


def noise_like(like: Tensor, generator: torch.Generator) -> Tensor:
    """Unit noise of the shape, dtype and device of samples."""
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def _sum(x: Tensor) -> PerSample:
    return x.flatten(1).sum(1)


def choose(
    here: Chain, there: Chain, log_ratio: PerSample, generator: torch.Generator
) -> tuple[Chain, Info]:
    """Metropolis' rule: each chain goes there with the probability of its ratio, or stays."""
    coin = torch.rand(
        log_ratio.shape, generator=generator, dtype=log_ratio.dtype, device=log_ratio.device
    )
    accept = coin.log() < log_ratio
    wide = accept.view(-1, *[1] * (here.z.ndim - 1))
    energy = None
    if here.energy is not None and there.energy is not None:
        energy = torch.where(accept, there.energy, here.energy)
    shift = None
    if here.shift is not None and there.shift is not None:
        shift = torch.where(wide, there.shift, here.shift)
    after = Chain(torch.where(wide, there.z, here.z), shift, energy)
    return after, Info(accept.to(log_ratio.dtype), log_ratio)


@dataclass(frozen=True)
class ULA(Gradient):
    r"""Langevin's equation by Euler steps, :math:`z' = z + h s^2 \nabla \log \pi +
    \sqrt{2h}\, s \xi`, never rejected and hence biased: a unit Gaussian gets the variance
    :math:`1 / (1 - h / 2)`."""

    size: float
    spread: float = 0.0

    def __post_init__(self) -> None:
        check_size(self.size)

    def step(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator
    ) -> tuple[Chain, Info]:
        there, proposal = _langevin(self, chain, term, s, generator)
        always = torch.ones_like(proposal)
        if not isinstance(term, Energy):
            return there, Info(always, torch.zeros_like(always))
        owed = log_rise(term, chain, there, s) + proposal
        return there, Info(always, owed, owed)


@dataclass(frozen=True)
class MALA(Sized, Gradient):
    """The same proposal, accepted by Metropolis and Hastings' rule: unbiased."""

    spread: float = 0.0

    @property
    def aim(self) -> float:
        return 0.574

    def step(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator
    ) -> tuple[Chain, Info]:
        there, proposal = _langevin(self, chain, term, s, generator)
        return choose(chain, there, log_rise(term, chain, there, s) + proposal, generator)


def _langevin(
    kernel: ULA | MALA, chain: Chain, term: Score, s: float, generator: torch.Generator
) -> tuple[Chain, PerSample]:
    """Where an Euler step leads, and how much likelier the same way back is proposed."""
    noise = noise_like(chain.z, generator)
    scale = math.hypot(s, kernel.spread)
    drift, blur = kernel.size * (scale / s) ** 2, math.sqrt(2 * kernel.size) * scale
    assert chain.shift is not None
    there = arrive(term, chain.z + drift * chain.shift + blur * noise, s)
    assert there.shift is not None
    back = (chain.z - there.z - drift * there.shift) / blur
    return there, (_sum(noise.square()) - _sum(back.square())) / 2


@dataclass(frozen=True)
class Hamiltonian(Gradient):
    r"""A refreshed momentum, and leapfrog steps.

    With :math:`v` the momentum in units of the noise, a leapfrog step of size :math:`h` is
    :math:`v \mathrel{+}= \frac h2 s \nabla \log \pi,\; z \mathrel{+}= h s v,\;
    v \mathrel{+}= \frac h2 s \nabla \log \pi`. Step sizes are jittered, as a fixed number of
    fixed steps may bring a chain back to where it was.

    Arguments:
        size: :math:`h`.
        leapfrogs: Steps in a move.
        kept: Share of the momentum that survives a refreshment, 0 to draw it anew.
        jitter: Steps are drawn, for each move and chain, within this share around ``size``.
    """

    size: float
    leapfrogs: int = 3
    kept: float = 0.0
    jitter: float = 0.2
    spread: float = 0.0

    def __post_init__(self) -> None:
        check_size(self.size)
        check_count(self.leapfrogs, "leapfrogs")
        for name, share in (("kept", self.kept), ("jitter", self.jitter)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be a share from 0 to 1, got {share}")

    def step(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator
    ) -> tuple[Chain, Info]:
        return self.move(chain, term, s, generator, Plain())

    @abc.abstractmethod
    def move(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator, metric: Metric
    ) -> tuple[Chain, Info]:
        """One move, with momenta that are unit noise in a metric."""

    def fly(
        self,
        chain: Chain,
        term: Score,
        s: float,
        generator: torch.Generator,
        metric: Metric,
        measured: bool,
    ) -> Flown:
        """One trajectory, and by how much the log density rises on the way if measured."""
        begun = chain._replace(momentum=_refreshed(chain, self.kept, generator))
        size = _sizes(self, chain.z, s, generator)
        ended, gain = _leapfrogs(begun, term, s, size, self.leapfrogs, metric, measured)
        assert begun.momentum is not None and ended.momentum is not None
        kinetic = (_sum(begun.momentum.square()) - _sum(ended.momentum.square())) / 2
        return Flown(begun.momentum, ended, ended.momentum, gain + kinetic)


class Flown(NamedTuple):
    """Where a trajectory led."""

    momentum: Sample
    """With which it began."""
    there: Chain
    arrived: Sample
    """The momentum in the end."""
    gain: PerSample
    """What was won of the log density and the momentum's together."""


@dataclass(frozen=True)
class HMC(Hamiltonian, Sized):
    """Hamiltonian moves with a test of the energy.

    The momentum is turned round where a move is rejected; without the turn, partial refreshment is
    biased.
    """

    @property
    def aim(self) -> float:
        return 0.8

    def move(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator, metric: Metric
    ) -> tuple[Chain, Info]:
        flown = self.fly(chain, term, s, generator, metric, measured=True)
        after, info = choose(chain, flown.there, flown.gain, generator)
        if self.kept == 0:
            return after, info
        wide = info.accepted.view(-1, *[1] * (chain.z.ndim - 1)) > 0
        return after._replace(momentum=torch.where(wide, flown.arrived, -flown.momentum)), info


@dataclass(frozen=True)
class UnadjustedHMC(Hamiltonian):
    """Hamiltonian moves without the test: biased by the square of the step.

    A unit Gaussian gets the variance :math:`1 / (1 - h^2 / 4)` (without jitter).
    """

    def move(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator, metric: Metric
    ) -> tuple[Chain, Info]:
        measured = isinstance(term, Energy)
        flown = self.fly(chain, term, s, generator, metric, measured)
        always = torch.ones_like(flown.gain)
        if not measured:
            return flown.there, Info(always, torch.zeros_like(always))
        return flown.there, Info(always, flown.gain, flown.gain)


def _refreshed(chain: Chain, kept: float, generator: torch.Generator) -> Tensor:
    fresh = noise_like(chain.z, generator)
    if chain.momentum is None or kept == 0:
        return fresh
    return kept * chain.momentum + math.sqrt(1 - kept**2) * fresh


def _sizes(kernel: Hamiltonian, z: Tensor, s: float, generator: torch.Generator) -> Tensor:
    """The step of every chain, in units of the noise."""
    shape = (len(z), *[1] * (z.ndim - 1))
    coin = torch.rand(shape, generator=generator, dtype=z.dtype, device=z.device)
    scale = math.hypot(s, kernel.spread) / s
    return kernel.size * scale * (1 + kernel.jitter * (2 * coin - 1))


def _leapfrogs(
    chain: Chain,
    term: Score,
    s: float,
    size: Tensor,
    count: int,
    metric: Metric,
    measured: bool,
) -> tuple[Chain, PerSample]:
    """Where leapfrog steps lead, and by how much the log density rises on the way if measured."""
    assert chain.momentum is not None and chain.shift is not None
    stride, kick = size * s, size / s
    if isinstance(term, Energy) and chain.energy is not None:
        begun = Flight(chain.z, chain.momentum, chain.energy, chain.shift)
        z, momentum, energy, shift = metric.leap(term, begun, stride, kick, count, s)
        # What is between cancels.
        gain = chain.energy - energy if measured else torch.zeros_like(energy)
        return Chain(z, shift, energy, momentum), gain
    gain = torch.zeros(len(chain.z), dtype=chain.z.dtype, device=chain.z.device)
    momentum = torch.addcmul(chain.momentum, kick / 2, metric.pull(chain.shift))
    for left in reversed(range(count)):
        there = arrive(term, torch.addcmul(chain.z, stride, metric.outward(momentum)), s)
        assert there.shift is not None
        if measured:
            gain = gain + log_rise(term, chain, there, s)
        momentum = torch.addcmul(momentum, kick if left else kick / 2, metric.pull(there.shift))
        chain = there
    return chain._replace(momentum=momentum), gain


@dataclass(frozen=True)
class Renoise(Kernel):
    r"""Up to a noisier level and back by an ancestral step: a Gibbs move through more noise.

    It leaves the density as it is up to the error of the ancestral step, and, needing no
    acceptance, serves any score. CinDM's and Universal Guidance's recurrence are of this kind
    (Bansal et al., 2023, https://arxiv.org/abs/2302.07121).

    Arguments:
        ratio: How much noisier, above one.
    """

    ratio: float

    def __post_init__(self) -> None:
        if not 1 < self.ratio < math.inf:
            raise ValueError(f"ratio must be above 1, to noisier levels, got {self.ratio}")

    @property
    def weighable(self) -> bool:
        return False

    def init(self, term: Score, z: Sample, s: float) -> Chain:
        return arrive(term, z, s)

    def step(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator
    ) -> tuple[Chain, Info]:
        up = self.ratio * s
        z = chain.z + math.sqrt(up**2 - s**2) * noise_like(chain.z, generator)
        clean = term.denoise(z, up)
        tau = s * math.sqrt(1 - 1 / self.ratio**2)
        z = clean + math.sqrt(s**2 - tau**2) / up * (z - clean) + tau * noise_like(z, generator)
        always = torch.ones(len(z), dtype=z.dtype, device=z.device)
        return arrive(term, z, s), Info(always, torch.zeros_like(always))
