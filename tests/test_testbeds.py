"""The beds that methods are held to, themselves held to laws."""

import math

import pytest
import torch

from physgen.gaussian import gaussian
from physgen.testbeds import Waiting, isotropic, source
from physgen.testbeds.fields import Transport
from physgen.testbeds.heat import Heat
from physgen.testbeds.inverse import fitted, pose
from physgen.testbeds.observations import observe
from physgen.testbeds.product import ring_and_three
from physgen.testbeds.quality import discrepancy, divergence, judge_mixture

SYSTEM = Transport(cells=12, instants=4)
PRIOR = SYSTEM.prior()
PROBLEMS = pose(PRIOR, SYSTEM.points(5, source(1)), 0.05, 3, source(2))


def test_what_is_left_of_the_transport_equation_is_the_forcing() -> None:
    one = torch.eye(SYSTEM.dimension, dtype=torch.float64)
    left = SYSTEM.residual(one).flatten(1)  # the residual is linear: its matrix, transposed
    covariance = left.mT @ PRIOR.covariance[0] @ left
    expected = SYSTEM.forcing**2 * torch.eye(len(covariance), dtype=torch.float64)
    torch.testing.assert_close(covariance, expected, atol=1e-12, rtol=0)


def test_the_propagator_carries_a_wave_and_damps_it_at_the_exact_rate() -> None:
    x = torch.arange(12, dtype=torch.float64) / 12
    wave = torch.cos(2 * math.pi * x)
    damped = math.exp(-SYSTEM.diffusivity * (2 * math.pi) ** 2)
    carried = damped * torch.cos(2 * math.pi * (x - SYSTEM.speed))
    torch.testing.assert_close(SYSTEM.propagator() @ wave, carried, atol=1e-12, rtol=0)


def test_posteriors_are_those_of_the_gaussian_family() -> None:
    mean, covariance = PROBLEMS.posterior_by(PRIOR)
    noise = PROBLEMS.noise**2 * torch.eye(5, dtype=torch.float64)
    for k in range(3):
        other = PRIOR.observe(PROBLEMS.operator, PROBLEMS.observed[k], noise)
        torch.testing.assert_close(mean[k], other.mean[0], atol=1e-10, rtol=0)
        torch.testing.assert_close(covariance, other.covariance[0], atol=1e-10, rtol=0)
        torch.testing.assert_close(PROBLEMS.log_evidence()[k], other.log_mass)


def test_exact_draws_are_judged_unbiased_as_wide_and_covering() -> None:
    quality = PROBLEMS.judge(PROBLEMS.draw(2000, source(3)))
    assert quality.bias < 0.03
    assert quality.spread == pytest.approx(1, abs=0.02)
    assert quality.coverage == pytest.approx(0.9, abs=0.01)


def test_a_shift_and_a_wrong_width_are_seen() -> None:
    x = PROBLEMS.draw(2000, source(3))
    mean, _ = PROBLEMS.posterior_by(PRIOR)
    middle = mean.repeat_interleave(2000, dim=0)
    narrow = PROBLEMS.judge(middle + (x - middle) / 2)
    assert narrow.spread == pytest.approx(0.5, abs=0.02) and narrow.coverage < 0.65
    moved = x + 0.1 * PROBLEMS.truth.norm(dim=1).repeat_interleave(2000)[:, None] / 48**0.5
    assert PROBLEMS.judge(moved).bias == pytest.approx(0.1, abs=0.02)


def test_a_fit_to_many_examples_is_the_prior_and_one_to_few_is_not() -> None:
    many = fitted(PRIOR.sample(10_000, source(4)), 0.0)
    few = fitted(PRIOR.sample(20, source(5)), 0.01)
    assert PROBLEMS.judge(PROBLEMS.draw(500, source(6), many)).bias < 0.08
    assert PROBLEMS.judge(PROBLEMS.draw(500, source(6), few)).bias > 0.1


def test_coverage_of_a_mixture_is_exact() -> None:
    law = isotropic(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), 0.3, torch.tensor([0.3, 0.7]))
    quality = judge_mixture(law.sample(20_000, source(7)), law)
    assert quality.bias < 0.03
    assert quality.spread == pytest.approx(1, abs=0.01)
    assert quality.coverage == pytest.approx(0.9, abs=0.01)


def test_the_discrepancy_of_one_density_is_nothing_and_of_two_is_not() -> None:
    bed = ring_and_three()
    exact = bed.exact()
    same = [bed.discrepancy(exact.sample(1000, source(k)), source(20 + k)) for k in range(3)]
    assert max(map(abs, same)) < 6e-4
    assert bed.discrepancy(bed.first.sample(1000, source(8)), source(9)) > 0.01
    a, b = torch.randn(500, 2, generator=source(1)), torch.randn(500, 2, generator=source(2))
    assert discrepancy(a + 1, b) > 50 * abs(discrepancy(a, b))


def test_the_divergence_of_two_gaussians_has_its_closed_form() -> None:
    x = torch.randn(20_000, 1, dtype=torch.float64, generator=source(1))
    wide = gaussian(torch.ones(1, dtype=torch.float64), 4 * torch.eye(1, dtype=torch.float64))
    expected = (1 / 4 - 1 + 1 / 4 + torch.tensor(4.0).log().item()) / 2
    assert divergence(x, wide) == pytest.approx(expected, abs=0.01)


def test_all_observations_are_the_product_of_each_over_the_prior() -> None:
    bed = observe(10, source(1))
    z = torch.randn(6, 2, dtype=torch.float64, generator=source(2))
    one = bed.one_observation()
    total = sum(
        (one.given(row.expand(6, 2)).score(z, 1e-6) for row in bed.observed),
        -9 * bed.prior().score(z, 1e-6),
    )
    torch.testing.assert_close(total, bed.posterior().score(z, 1e-6), atol=1e-6, rtol=1e-6)


def test_heat_has_the_figures_that_follow_from_its_spectrum() -> None:
    """Errors of the posterior mean and of a draw, by sums over waves: 0.0276 and 0.0551."""
    heat = Heat()
    start, end = heat.draw(2000, source(1))
    assert start.square().mean().item() == pytest.approx(1, abs=0.1)
    mean, variance = heat.posterior(end)
    drawn = heat.posterior_draw(end, source(2))
    assert variance.mean().item() == pytest.approx(0.0275, abs=2e-4)
    assert (mean - start).square().mean().item() == pytest.approx(0.0276, rel=0.02)
    assert (drawn - start).square().mean().item() == pytest.approx(0.0551, rel=0.02)
    assert heat.spectrum_error(drawn, start) < 0.01
    assert heat.spectrum_error(mean, start) > 10


def test_the_power_of_heat_is_that_of_its_fields_at_every_time() -> None:
    heat = Heat(cells=8)
    _, end = heat.draw(8000, source(1))
    measured = torch.fft.fft2(end, norm="ortho").abs().square().mean(0)
    torch.testing.assert_close(measured, heat.power(heat.end), rtol=0.08, atol=0)


def test_waiting_times_are_normalised_and_have_their_moments() -> None:
    law = Waiting(1)
    x = torch.linspace(1e-6, 40, 20_001, dtype=torch.float64)
    density = (-law.energy(x[:, None], 0.0)).exp()
    assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-6)
    drawn, moments = law.sample(20_000, source(1)), law.moments()
    assert drawn.mean().item() == pytest.approx(moments.mean.item(), rel=0.02)
    assert drawn.var().item() == pytest.approx(moments.variance.item(), rel=0.05)
