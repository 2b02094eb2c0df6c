"""Blind kernels against known acceptances, and every reversible kernel against its balance."""

import math
from dataclasses import dataclass

import pytest
import torch

from physgen.density import Density
from physgen.kernel import HMC, MALA, Chain, Info, Kernel
from physgen.meter import Metered
from physgen.metric import Diagonal
from physgen.metropolis import Independent, LogWalk, MetropolisHastings, Proposal, RandomWalk
from physgen.sampler import chains
from physgen.shapes import PerSample, Sample
from physgen.testbeds import isotropic, source
from physgen.tuning import Rescaled

COUNT = 100_000
NORMAL = Density(lambda z: z.square().sum(1) / 2)
TWO = isotropic(torch.tensor([[-1.0], [1.2]]), 0.5, torch.tensor([0.3, 0.7]))
"""Two modes on a line; at level 1 they have run into a skew hill."""
SHAPE = 2.5
GAMMA = Density(lambda z: (z - (SHAPE - 1) * z.log()).sum(1))


def gamma(count: int, generator: torch.Generator) -> torch.Tensor:
    """Exact draws: half a chi-squared of five degrees."""
    return torch.randn(count, 5, generator=generator).square().sum(1, keepdim=True) / 2


@pytest.mark.parametrize("size", [1.0, 2.38, 5.0])
def test_a_random_walk_on_a_gaussian_accepts_as_known(size: float) -> None:
    start = torch.randn(COUNT, 1, generator=source(1))
    accepted = chains(NORMAL, RandomWalk(size), start, 0, 1, source(2)).acceptance
    assert accepted.mean().item() == pytest.approx(2 / math.pi * math.atan(2 / size), abs=0.006)


@dataclass(frozen=True)
class Naive(Proposal):
    """A walk by factors that takes itself for symmetric."""

    walk: LogWalk

    def propose(self, z: Sample, generator: torch.Generator) -> Sample:
        return self.walk.propose(z, generator)

    def log_back(self, z: Sample, proposed: Sample) -> PerSample:
        return torch.zeros_like(z[:, 0])


def test_hastings_ratio_makes_up_for_an_asymmetric_proposal() -> None:
    start = torch.ones(20_000, 1)
    walk = LogWalk(0.8)
    right = chains(GAMMA, MetropolisHastings(walk), start, 60, 1, source(1)).z[0]
    wrong = chains(GAMMA, MetropolisHastings(Naive(walk)), start, 60, 1, source(1)).z[0]
    assert right.mean().item() == pytest.approx(SHAPE, abs=0.05)
    assert right.var().item() == pytest.approx(SHAPE, abs=0.15)
    assert wrong.mean().item() < SHAPE - 0.5


@pytest.mark.parametrize(
    "kernel",
    [
        RandomWalk(1.0),
        MALA(0.7),
        HMC(0.9, leapfrogs=2),
        MetropolisHastings(Independent(isotropic(torch.tensor([[0.3]]), 2.0))),
        Rescaled(HMC(0.9, leapfrogs=2), Diagonal(torch.tensor([0.7]))),
    ],
    ids=lambda k: type(k).__name__,
)
def test_moves_there_and_back_are_equally_frequent(kernel: Kernel) -> None:
    """Detailed balance: for draws x and their successors y, f(x) g(y) has the mean of
    g(x) f(y), whatever f and g are."""
    level = TWO.sample(COUNT, source(1)) + torch.randn(COUNT, 1, generator=source(2))
    chain, info = kernel.step(kernel.init(TWO, level, 1.0), TWO, 1.0, source(3))
    assert 0.2 < info.accepted.mean() < 0.995
    balanced(level, chain.z)


def test_a_walk_by_factors_is_in_balance() -> None:
    start = gamma(COUNT, source(1))
    kernel = MetropolisHastings(LogWalk(0.8))
    balanced(start, kernel.step(kernel.init(GAMMA, start, 1.0), GAMMA, 1.0, source(2))[0].z)


def balanced(x: torch.Tensor, y: torch.Tensor) -> None:
    for f, g in ((torch.exp, torch.sin), (torch.square, torch.tanh)):
        damp = (-x.square() / 8).exp() * (-y.square() / 8).exp()
        flux = damp * (f(x) * g(y) - g(x) * f(y))
        assert flux.mean().abs() < 4 * flux.std() / len(flux) ** 0.5


def test_blind_kernels_ask_for_no_gradient() -> None:
    """Steps of a staircase have none: a walk still finds how high each is."""
    stairs = Density(lambda z: z[:, 0].detach().floor().abs() + (z[:, 0].abs() > 3) * 1e6)
    start = torch.full((20_000, 1), 0.5)
    z = chains(stairs, RandomWalk(1.5), start, 60, 1, source(1)).z[0, :, 0]
    share = torch.stack([(z.floor() == k).float().mean() for k in range(-3, 3)])
    wanted = torch.tensor([-3.0, -2.0, -1.0, 0.0, -1.0, -2.0]).exp()
    torch.testing.assert_close(share, wanted / wanted.sum(), atol=0.02, rtol=0)


def test_what_has_no_value_is_not_judged_blindly() -> None:
    with pytest.raises(TypeError, match="has a score and no value"):
        chains(Metered(TWO), RandomWalk(1.0), torch.zeros(2, 1), 1, 1, source(1))


@pytest.mark.parametrize(
    "kernel",
    [
        RandomWalk(1.0),
        MetropolisHastings(LogWalk(0.5)),
        Rescaled(HMC(0.5), Diagonal(torch.tensor([2.0]))),
    ],
    ids=lambda k: type(k).__name__,
)
def test_a_chain_does_not_know_its_neighbours(kernel: Kernel) -> None:
    start = gamma(64, source(1)) + 0.1
    wild = start.clone()
    wild[63] = 1e-30

    def moved(z: torch.Tensor) -> tuple[Chain, Info]:
        return kernel.step(kernel.init(GAMMA, z, 1.0), GAMMA, 1.0, source(2))

    (one, said), (other, heard) = moved(start), moved(wild)
    torch.testing.assert_close(one.z[:63], other.z[:63])
    torch.testing.assert_close(said.accepted[:63], heard.accepted[:63])
