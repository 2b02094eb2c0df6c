"""Kernels: what leaves a density as it is, what does not, and by how much."""

from dataclasses import dataclass

import pytest
import torch

from physgen.energy import Energy, Score
from physgen.kernel import (
    HMC,
    MALA,
    ULA,
    Chain,
    Gradient,
    Info,
    Kernel,
    Renoise,
    UnadjustedHMC,
    choose,
)
from physgen.meter import Metered
from physgen.sampler import chains
from physgen.shapes import Level, PerSample, Sample
from physgen.testbeds import isotropic, source


class Normal(Energy):
    """A unit Gaussian at every level."""

    def energy(self, z: Sample, s: Level) -> PerSample:
        return z.square().flatten(1).sum(1) / 2


TWO = isotropic(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), 0.4, torch.tensor([0.3, 0.7]))
S = 0.3
COUNT = 20_000


def drift(term: Score, kernel: Kernel, steps: int = 60) -> tuple[float, float]:
    """How far the mean and covariance move from where exact draws put them."""
    noisy = TWO.sample(COUNT, source(1)) + S * torch.randn(COUNT, 2, generator=source(2))
    z = chains(term, kernel, noisy, steps, 1, source(3), s=S).z[0]
    exact = TWO.sample(400_000, source(4)) + S * torch.randn(400_000, 2, generator=source(5))
    mean = (z.mean(0) - exact.mean(0)).abs().max().item()
    return mean, (z.T.cov() - exact.T.cov()).abs().max().item()


@pytest.mark.parametrize(
    "kernel",
    [MALA(0.5), HMC(0.8), HMC(0.8, kept=0.9), Renoise(1.05)],
    ids=lambda k: repr(k),
)
def test_a_kernel_that_starts_in_the_target_stays_there(kernel: Kernel) -> None:
    limit = 0.06 if isinstance(kernel, Renoise) else 0.03
    mean, covariance = drift(TWO, kernel)
    assert mean < limit and covariance < limit


@pytest.mark.parametrize("kernel", [MALA(0.8), HMC(0.8)], ids=lambda k: repr(k))
def test_the_line_integral_stands_in_for_a_missing_value(kernel: Kernel) -> None:
    mean, covariance = drift(Metered(TWO), kernel, steps=40)
    assert mean < 0.03 and covariance < 0.03


@dataclass(frozen=True)
class WrongMALA(Gradient):
    """Accepts by the target alone, as if its proposal were symmetric."""

    size: float

    def step(
        self, chain: Chain, term: Score, s: float, generator: torch.Generator
    ) -> tuple[Chain, Info]:
        there, _ = ULA(self.size).step(chain, term, s, generator)
        assert chain.energy is not None and there.energy is not None
        return choose(chain, there, chain.energy - there.energy, generator)


def test_a_wrong_acceptance_is_seen() -> None:
    mean, covariance = drift(TWO, WrongMALA(0.5))
    assert max(mean, covariance) > 0.1


@pytest.mark.parametrize("size", [0.1, 0.5])
def test_unadjusted_langevin_has_its_known_bias(size: float) -> None:
    start = torch.randn(COUNT, 1, generator=source(1))
    z = chains(Normal(), ULA(size), start, 100, 20, source(2), thin=4).z
    assert z.var().item() == pytest.approx(1 / (1 - size / 2), rel=0.02)


@pytest.mark.parametrize("size", [0.5, 1.5])
def test_unadjusted_hmc_has_its_known_bias(size: float) -> None:
    start = torch.randn(COUNT, 1, generator=source(1))
    kernel = UnadjustedHMC(size, leapfrogs=2, jitter=0.0)
    z = chains(Normal(), kernel, start, 60, 10, source(2), thin=3).z
    assert z.var().item() == pytest.approx(1 / (1 - size**2 / 4), rel=0.03)


def test_the_mean_of_the_acceptance_ratio_is_one_in_equilibrium() -> None:
    kernel, term = HMC(0.9, leapfrogs=3), Normal()
    chain = kernel.init(term, torch.randn(COUNT, 3, generator=source(1)), 1.0)
    ratios: list[torch.Tensor] = []
    for _ in range(10):
        chain, info = kernel.step(chain, term, 1.0, source(len(ratios)))
        ratios.append(info.log_ratio.exp())
    ratio = torch.stack(ratios)
    assert abs(ratio.mean().item() - 1) < 4 * ratio.std().item() / ratio.numel() ** 0.5


def test_without_turning_the_momentum_partial_refreshment_is_biased() -> None:
    @dataclass(frozen=True)
    class NoTurn(Gradient):
        def step(
            self, chain: Chain, term: Score, s: float, generator: torch.Generator
        ) -> tuple[Chain, Info]:
            after, info = HMC(1.6, leapfrogs=2, kept=0.9).step(chain, term, s, generator)
            assert after.momentum is not None
            stayed = info.accepted[:, None] == 0
            return after._replace(
                momentum=torch.where(stayed, -after.momentum, after.momentum)
            ), info

    start = torch.randn(COUNT, 1, generator=source(1))
    right = chains(Normal(), HMC(1.6, leapfrogs=2, kept=0.9), start, 100, 10, source(2), thin=5).z
    wrong = chains(Normal(), NoTurn(), start, 100, 10, source(2), thin=5).z
    assert right.var().item() == pytest.approx(1, abs=0.02)
    assert abs(wrong.var().item() - 1) > 0.1


def test_jitter_breaks_the_return_of_fixed_trajectories() -> None:
    """Three steps of size one turn a harmonic chain by half a circle: it never mixes."""
    start = 3 * torch.randn(COUNT, 1, generator=source(1))
    stuck = chains(Normal(), HMC(1.0, 3, kept=0.0, jitter=0.0), start, 40, 1, source(2)).z
    mixed = chains(Normal(), HMC(1.0, 3, kept=0.0, jitter=0.3), start, 40, 1, source(2)).z
    assert stuck.var().item() > 3
    assert mixed.var().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("kernel", [MALA(0.5), HMC(0.8), ULA(0.3)], ids=lambda k: repr(k))
def test_acceptance_is_each_chains_own(kernel: Kernel) -> None:
    """A far-off neighbour changes nothing: the same noise gives the same chain."""
    z = torch.randn(4, 2, generator=source(1))
    wild = z.clone()
    wild[3] = 50.0
    moved = []
    for start in (z, wild):
        chain = kernel.init(TWO, start, S)
        chain, _ = kernel.step(chain, TWO, S, source(9))
        moved.append(chain.z[:3])
    torch.testing.assert_close(moved[0], moved[1], atol=1e-6, rtol=1e-6)
