"""Bridges and tempering: normalisers and weights of modes against exact ones."""

import pytest
import torch

from physgen.bridge import Crossing, cross
from physgen.density import At, Bridge, Density, Drawable, Flat
from physgen.gaussian import gaussian
from physgen.kernel import HMC, MALA, ULA, Kernel, Renoise, UnadjustedHMC
from physgen.metric import Diagonal
from physgen.metropolis import RandomWalk
from physgen.sampler import chains
from physgen.tempering import temper
from physgen.testbeds import Banana, Funnel, bars, correlated, isotropic, ring, source
from physgen.tuning import Rescaled

BASE = gaussian(torch.zeros(2), torch.eye(2))
PRODUCT = ring(std=0.2).product(bars())
BOTH = ring(std=0.2) + bars()
FAR = isotropic(torch.tensor([[-4.0, 0.0], [4.0, 0.0]]), 0.5, torch.tensor([0.3, 0.7]))
WIDE = gaussian(torch.zeros(2), 16 * torch.eye(2))


def evenly(steps: int) -> list[float]:
    return [k / steps for k in range(steps + 1)]


def crossed(kernel: Kernel, steps: int, seed: int, count: int = 400) -> Crossing:
    return cross(BASE, BOTH, kernel, evenly(steps), count, source(seed))


@pytest.mark.parametrize(
    "kernel",
    [
        MALA(0.01),
        HMC(0.15),
        RandomWalk(0.15),
        UnadjustedHMC(0.15, kept=0.7),
        ULA(0.01),
        Rescaled(UnadjustedHMC(0.3), Diagonal(torch.tensor([0.4, 0.7]))),
    ],
    ids=lambda k: type(k).__name__,
)
def test_the_mean_weight_is_the_normaliser_for_any_number_of_steps(kernel: Kernel) -> None:
    """Without bias, long moves that are not tested included: nothing needs to be in balance."""
    for steps in (2, 8):
        weights = crossed(kernel, steps, seed=steps, count=3000).drawn.log_weight.exp()
        error = weights.std() / 3000**0.5
        assert (weights.mean() - PRODUCT.log_mass.exp()).abs() < 3.5 * error < 0.02, steps


def test_log_z_lies_within_its_errors() -> None:
    z = []
    for seed in range(20):
        drawn = crossed(MALA(0.02), 4, seed).drawn
        z.append((drawn.log_z - PRODUCT.log_mass.item()) / drawn.log_z_error)
    errors = torch.tensor(z)
    assert (errors.abs() < 3).all()
    assert 0.6 < errors.square().mean().sqrt() < 1.4


def test_the_bound_rises_with_the_number_of_steps() -> None:
    bounds = [crossed(UnadjustedHMC(0.1, kept=0.5), k, 1).bound for k in (1, 4, 16)]
    assert bounds[0] < bounds[1] - 0.5 < bounds[2] - 1
    assert bounds[2] < PRODUCT.log_mass.item()


def test_weights_of_an_unadjusted_move_are_owed_in_full() -> None:
    """A move too long to be tested without many rejections: its weights still are right."""
    law = gaussian(torch.zeros(1), torch.eye(1))
    drawn = cross(
        law, At(law), UnadjustedHMC(1.2, leapfrogs=2), [0.0, 1.0], 40_000, source(1)
    ).drawn
    second = drawn.mean(drawn.x.square())
    plain = drawn.x.square().mean().item()
    assert abs(second.value.item() - 1) < 4 * second.error.item()
    assert abs(plain - 1) > 0.1


def test_a_kernel_that_owes_and_does_not_tell_is_refused() -> None:
    for kernel in (Renoise(1.1), Rescaled(Renoise(1.1), Diagonal(torch.ones(2)))):
        with pytest.raises(ValueError, match="neither tests its moves"):
            crossed(kernel, 2, seed=1, count=10)


def test_a_sample_that_is_lost_stands_somewhere_without_weight_and_is_counted() -> None:
    """Beyond a wall there are no numbers; the others are the whole estimate, half the mass."""
    walled = Density(lambda z: torch.where(z[:, 0] > 0, BASE.energy(z, 0.0), torch.nan))
    lost = cross(BASE, walled, UnadjustedHMC(0.1, kept=0.5), evenly(4), 2000, source(1))
    drawn = lost.drawn
    gone = drawn.log_weight == -torch.inf
    assert lost.lost == gone.sum() > 900
    assert drawn.x.isfinite().all() and lost.bound == -torch.inf
    assert drawn.mean(drawn.x).value.isfinite().all()
    assert abs(drawn.mean(drawn.x[:, 1]).value) < 4 * drawn.mean(drawn.x[:, 1]).error
    assert drawn.log_z < -0.5


def test_the_ends_of_a_bridge_know_nothing_of_each_others_walls() -> None:
    z = torch.tensor([[-1.0], [2.0]])
    walled = Density(lambda z: torch.where(z[:, 0] > 0, z[:, 0], torch.inf))
    open_ = Density(lambda z: z[:, 0].square())
    torch.testing.assert_close(Bridge(open_, walled, 0.0).energy(z, 1.0), open_.energy(z, 1.0))
    share = torch.tensor([1.0, 0.5])
    expected = torch.tensor([1.0, 3.0])
    torch.testing.assert_close(Bridge(walled, open_, share).energy(z, 1.0), expected)


@pytest.mark.parametrize(
    ("target", "scale"),
    [(Banana(), [1.0, 1.7]), (Funnel(4, 1.0), [1.0, 1.3, 1.3, 1.3])],
    ids=["banana", "funnel"],
)
def test_log_z_of_bent_densities(target: Drawable, scale: list[float]) -> None:
    """They are normalised; the bridge is not told."""
    unit = torch.tensor(scale)
    base = gaussian(torch.zeros(len(unit)), unit.square().diag())
    hidden = Density(lambda z: target.energy(z, 0.0) + 5)
    drawn = cross(base, hidden, HMC(0.15, leapfrogs=4), evenly(12), 1000, source(1)).drawn
    assert abs(drawn.log_z + 5) < 3.5 * drawn.log_z_error < 0.35


def test_log_z_of_a_hundred_correlated_entries() -> None:
    target = correlated(100, correlation=0.5)
    base = gaussian(target.mean[0], target.covariance[0].diagonal().diag())
    kernel = Rescaled(HMC(0.3, leapfrogs=4), Diagonal(target.covariance[0].diagonal().sqrt()))
    drawn = cross(base, 2.0 * Flat() + At(target), kernel, evenly(16), 100, source(1)).drawn
    assert abs(drawn.log_z) < 3.5 * drawn.log_z_error < 1.5


def test_shares_must_rise_from_zero_to_one() -> None:
    for shares in ([0.0], [0.0, 0.5, 0.5, 1.0], [0.0, 0.9], [0.1, 1.0]):
        with pytest.raises(ValueError, match="share"):
            cross(BASE, BOTH, MALA(0.1), shares, 10, source(1))


LADDER = [0.0, 0.03, 0.1, 0.3, 1.0]


def test_tempering_finds_the_weights_of_distant_modes() -> None:
    start = torch.full((48, 2), -4.0)
    cold = chains(At(FAR), HMC(0.4), start, 20, 40, source(1)).z
    drawn = temper(WIDE, FAR, HMC(0.4), LADDER, start, 50, 50, source(1))
    assert (cold[..., 0] > 0).float().mean() == 0
    assert (drawn.z[..., 0] > 0).float().mean().item() == pytest.approx(0.7, abs=0.06)
    assert drawn.z[..., 1].std().item() == pytest.approx(0.5, abs=0.03)
    assert (drawn.traded > 0.2).all() and (drawn.traded < 1).all()


def test_trades_leave_the_coldest_chain_as_it_is() -> None:
    """Two Gaussians and one between, each of another width: the cold one keeps its own, although
    its states come from hotter ones."""
    cold = Density(lambda z: z.square().sum(1) / 2)
    start = torch.randn(20_000, 1, generator=source(1))
    drawn = temper(Flat(), cold, HMC(0.7), [0.2, 0.5, 1.0], start, 12, 1, source(2))
    assert drawn.z.std().item() == pytest.approx(1, abs=0.02)


def test_a_replica_does_not_know_its_neighbours() -> None:
    start = torch.randn(4, 2, generator=source(1))
    wild = start.clone()
    wild[3] = 30.0
    one, other = (
        temper(WIDE, FAR, MALA(0.05), LADDER, z, 0, 5, source(2)).z for z in (start, wild)
    )
    torch.testing.assert_close(one[:, :3], other[:, :3])


def test_a_bridge_leads_from_one_density_to_the_other() -> None:
    z = torch.randn(5, 2, generator=source(1))
    share = torch.linspace(0, 1, 5)
    energy = Bridge(BASE, BOTH, share).energy(z, 1.0)
    torch.testing.assert_close(energy[0], BASE.energy(z, 0.0)[0])
    torch.testing.assert_close(energy[4], BOTH.energy(z, 0.0)[4])
    torch.testing.assert_close(energy[2], (BASE.energy(z, 0.0) + BOTH.energy(z, 0.0))[2] / 2)
