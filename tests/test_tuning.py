"""Warm-up: what it finds, and that what it leaves is a kernel like any other."""

import math

import pytest
import torch

from physgen.density import At, Density
from physgen.diagnostics import summarise
from physgen.kernel import HMC, MALA, Sized
from physgen.metric import Diagonal
from physgen.metropolis import RandomWalk
from physgen.sampler import chains
from physgen.testbeds import Banana, Funnel, correlated, source
from physgen.tuning import DualAveraging, tune

STD = torch.logspace(-2, 1, 12)
LONG = Density(lambda z: (z / STD).square().sum(1) / 2)


@pytest.mark.parametrize("aim", [0.3, 0.8])
def test_dual_averaging_finds_the_size_of_an_acceptance(aim: float) -> None:
    """On the known acceptance of a random walk, blurred by chance."""
    averaging, generator = DualAveraging(0.01, aim), source(1)

    def acceptance(size: float) -> float:
        return 2 / math.pi * math.atan(2 / size)

    for _ in range(500):
        noise = 0.1 * torch.randn((), generator=generator).item()
        averaging.hear(acceptance(averaging.size) + noise)
    assert acceptance(averaging.settled) == pytest.approx(aim, abs=0.03)


@pytest.mark.parametrize(
    "kernel", [HMC(0.01, leapfrogs=4), MALA(0.01)], ids=lambda k: type(k).__name__
)
def test_warm_up_finds_scales_and_size(kernel: Sized) -> None:
    start = torch.randn(64, 12, generator=source(1))
    tuned = tune(LONG, kernel, start, 200, source(2))
    assert isinstance(tuned.kernel.metric, Diagonal)
    assert ((tuned.kernel.metric.scale / STD).log().abs() < math.log(1.2)).all()
    drawn = chains(LONG, tuned.kernel, tuned.z, 0, 100, source(3))
    # It settles above its aim: by 0.02 to 0.11 with other seeds.
    assert drawn.acceptance.mean().item() == pytest.approx(kernel.aim, abs=0.1)
    found = summarise(drawn.z)
    assert (found.r_hat < 1.1).all()
    torch.testing.assert_close(found.std / STD, torch.ones(12), atol=0.1, rtol=0)


def test_a_random_walk_is_tuned_to_its_own_aim() -> None:
    target = Banana()
    tuned = tune(target, RandomWalk(0.1), target.sample(64, source(1)), 400, source(2))
    drawn = chains(target, tuned.kernel, tuned.z, 0, 200, source(3))
    assert drawn.acceptance.mean().item() == pytest.approx(0.234, abs=0.05)


@pytest.mark.parametrize(
    "target", [Banana(), At(correlated(8))], ids=lambda target: type(target).__name__
)
def test_means_of_hmc_lie_within_three_errors_for_twenty_seeds(target: Banana | At) -> None:
    """Twenty experiments of sixteen chains each, run as one batch: chains are independent."""
    law = target if isinstance(target, Banana) else correlated(8)
    mean, generator = law.moments().mean, source(1)
    start = law.sample(320, generator)
    tuned = tune(target, HMC(0.2, leapfrogs=6), start, 60, generator)
    drawn = chains(target, tuned.kernel, tuned.z, 0, 120, generator)
    found = [summarise(group) for group in drawn.z.split(16, dim=1)]
    errors = torch.stack([(each.mean - mean) / each.error for each in found])
    assert (errors.abs() > 3).double().mean() < 0.04
    assert 0.7 < errors.square().mean().sqrt() < 1.25


def test_a_hundred_correlated_entries_get_their_moments() -> None:
    target = correlated(100)
    generator = source(1)
    start = target.sample(64, generator)
    tuned = tune(At(target), HMC(0.2, leapfrogs=10), start, 40, generator)
    found = summarise(chains(At(target), tuned.kernel, tuned.z, 0, 60, generator).z)
    mean, variance = target.moments()
    assert ((found.mean - mean) / found.error).square().mean().sqrt() < 1.3
    torch.testing.assert_close(
        found.std / variance.sqrt(), torch.ones_like(mean), atol=0.1, rtol=0
    )


def test_the_neck_of_a_funnel_shows_as_divergences() -> None:
    target = Funnel()
    start = target.sample(64, source(1))
    long = chains(target, HMC(1.0, leapfrogs=8), start, 0, 20, source(2))
    short = chains(target, HMC(0.01, leapfrogs=8), start, 0, 20, source(2))
    assert long.diverged.sum() > 50
    assert short.diverged.sum() < 10


def test_the_energy_error_of_a_trajectory_is_of_second_order() -> None:
    start = torch.randn(2000, 12, generator=source(1), dtype=torch.float64)
    unit = Density(lambda z: (z.square() / 2 + z.pow(4) / 12).sum(1))

    def error(steps: int) -> float:
        kernel = HMC(1.2 / steps, leapfrogs=steps, jitter=0.0)
        _, info = kernel.step(kernel.init(unit, start, 1.0), unit, 1.0, source(2))
        return info.log_ratio.abs().mean().item()

    assert math.log2(error(8) / error(16)) == pytest.approx(2, abs=0.1)


def test_too_short_a_warm_up_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 40 moves, got 10"):
        tune(LONG, MALA(0.1), STD[None], 10, source(1))
