"""Stein variational gradient descent: what particles come to stand for, and what they lose."""

import pytest
import torch

from physgen.density import Density
from physgen.stein import stein_discrepancy
from physgen.svgd import svgd
from physgen.testbeds import Banana, some_gaussian, source

NORMAL = Density(lambda z: z.square().sum(1) / 2)


def particles(count: int, dimension: int = 2) -> torch.Tensor:
    return 2 + torch.randn(count, dimension, generator=source(1))


def test_the_discrepancy_falls_to_the_level_of_exact_draws() -> None:
    target = Banana()
    levels = [stein_discrepancy(target, target.sample(100, source(k))) for k in range(20)]
    before = stein_discrepancy(target, particles(100))
    middle = stein_discrepancy(target, svgd(target, particles(100), 3))
    after = stein_discrepancy(target, svgd(target, particles(100), 200))
    assert before > middle > max(levels) > 0
    assert after < sorted(levels)[10]


def test_moments_of_a_correlated_gaussian_are_found() -> None:
    law = some_gaussian(3, dimension=2)
    target = Density(lambda z: law.energy(z, 0.0))
    x = svgd(target, particles(150).double(), 300)
    torch.testing.assert_close(x.mean(0), law.mean[0], atol=0.03, rtol=0)
    torch.testing.assert_close(x.T.cov(), law.covariance[0], atol=0.02, rtol=0.12)


def test_spread_is_lost_in_many_dimensions() -> None:
    kept = [svgd(NORMAL, particles(100, d), 200).var(0).mean().item() for d in (2, 10, 50)]
    assert kept[0] > 0.85 and 0.3 < kept[1] < 0.6 and kept[2] < 0.15


def test_one_particle_climbs_to_the_mode() -> None:
    x = svgd(NORMAL, torch.tensor([[1.0, -2.0]]), 300)
    assert x.abs().max() < 1e-2


def test_particles_do_not_care_where_the_origin_is() -> None:
    start = particles(20).double()
    aside = Density(lambda z: (z - 5).square().sum(1) / 2)
    torch.testing.assert_close(svgd(aside, start + 5, 50), svgd(NORMAL, start, 50) + 5)


def test_two_particles_find_two_places_and_coincident_ones_are_refused() -> None:
    x = svgd(NORMAL, torch.tensor([[1.0], [1.1]], dtype=torch.float64), 300)
    torch.testing.assert_close(x[0], -x[1], atol=1e-3, rtol=0)
    assert 0.3 < x.abs().min() < 2
    with pytest.raises(ValueError, match="the samples coincide"):
        svgd(NORMAL, torch.ones(40, 2), 3)


def test_particles_without_a_score_are_refused() -> None:
    holed = Density(lambda z: torch.where(z[:, 0] < 3, z.square().sum(1), torch.nan * z[:, 0]))
    with pytest.raises(FloatingPointError, match="left the finite numbers"):
        svgd(holed, particles(100), 1)
