"""Twisting, decoupling, optimising, reversing and composing: their laws, apart from any bed."""

import functools
import itertools
import math

import pytest
import torch
from torch import Tensor

from physgen.compositional import Composed, Conditional, Corrected
from physgen.decoupled import Decoupled, Linear, Local, Walked
from physgen.descent import descend
from physgen.gaussian import GaussianMixture, gaussian
from physgen.grid import log_snr
from physgen.kernel import HMC
from physgen.observed import Isotropic, Tweedie, Uncertainty
from physgen.plug_and_play import Implausibility, most_plausible
from physgen.predictor import Ancestral
from physgen.reverse import reverse
from physgen.sampler import Resample, sample, unit_noise
from physgen.testbeds import ring, some_gaussian, source
from physgen.testbeds.observations import observe
from physgen.twisted import Seen, Tilt, twisted

LAW = some_gaussian(1)
OPERATOR = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]], dtype=torch.float64)
SEEN = torch.tensor([0.3, -0.8], dtype=torch.float64)
GRID = log_snr(40, 0.02, 30.0)


def see(x: Tensor) -> Tensor:
    return x @ OPERATOR.mT


def points(count: int = 6) -> Tensor:
    return torch.randn(count, 3, dtype=torch.float64, generator=source(3))


@pytest.mark.parametrize("uncertainty", [Tweedie(), Isotropic(1.0)], ids=repr)
def test_the_mean_weight_of_twisted_particles_is_the_evidence(uncertainty: Uncertainty) -> None:
    noise = 0.3
    exact = LAW.observe(OPERATOR, SEEN, noise**2 * torch.eye(2, dtype=torch.float64))
    start = unit_noise(1000, (3,), source(4), torch.float64)
    result = twisted(LAW, Seen(see, SEEN, noise, uncertainty), start, GRID, source(5))
    assert abs(result.drawn.log_z - exact.log_mass.item()) < 0.15
    x = result.drawn.resample(source(6))
    torch.testing.assert_close(x.mean(0), exact.mean[0], atol=0.08, rtol=0)
    torch.testing.assert_close(x.T.cov(), exact.covariance[0], atol=0.08, rtol=0.1)


def test_from_a_high_last_level_the_weights_are_those_of_clean_estimates() -> None:
    r"""These follow :math:`\mathcal N(\mu, \Sigma (\Sigma + s^2)^{-1} \Sigma)`."""
    noise, last = 0.3, 0.6
    covariance = LAW.covariance[0]
    noised = covariance + last**2 * torch.eye(3, dtype=torch.float64)
    ends = gaussian(LAW.mean[0], covariance @ torch.linalg.solve(noised, covariance))
    exact = ends.observe(OPERATOR, SEEN, noise**2 * torch.eye(2, dtype=torch.float64))
    start = unit_noise(4000, (3,), source(4), torch.float64)
    twist = Seen(see, SEEN, noise, Tweedie())
    drawn = twisted(LAW, twist, start, log_snr(40, last, 30.0), source(5)).drawn
    assert abs(drawn.log_z - exact.log_mass.item()) < 0.1
    torch.testing.assert_close(drawn.mean(drawn.x).value, exact.mean[0], atol=0.05, rtol=0)


def test_errors_of_twisted_particles_are_those_of_lineages() -> None:
    """Apart from a bias that is that of few levels and no chance."""
    exact = LAW.observe(OPERATOR, SEEN, 0.3**2 * torch.eye(2, dtype=torch.float64))
    twist, grid, off = Seen(see, SEEN, 0.3, Isotropic(0.5)), log_snr(20, 0.02, 30.0), []
    for seed in range(20):
        start = unit_noise(300, (3,), source(seed), torch.float64)
        drawn = twisted(LAW, twist, start, grid, source(50 + seed), Resample(0.9)).drawn
        mean = drawn.mean(drawn.x)
        mass = (drawn.log_z - exact.log_mass.item()) / drawn.log_z_error
        off.append([mass, *((mean.value - exact.mean[0]) / mean.error).tolist()])
    size = torch.tensor(off).std(0)
    assert (size > 0.65).all() and (size < 1.4).all()


def test_under_an_exact_twist_weights_become_even_as_levels_are_added() -> None:
    start = unit_noise(200, (3,), source(4), torch.float64)
    never, twist = Resample(below=0.0), Seen(see, SEEN, 0.3, Tweedie())
    few, many = (
        twisted(LAW, twist, start, log_snr(n, 0.02, 30.0), source(5), never).drawn.log_weight.std()
        for n in (20, 120)
    )
    assert many < few / 2


def test_twisting_refuses_a_sum() -> None:
    start = unit_noise(4, (3,), source(4), torch.float64)
    with pytest.raises(ValueError, match="use anneal"):
        twisted(LAW + LAW, Tilt(lambda x: x.square().sum(1)), start, GRID, source(5))


def test_a_linear_local_draw_follows_its_gaussian() -> None:
    noise, spread, count = 0.3, 0.7, 40_000
    centre = points(1)
    one = torch.eye(3, dtype=torch.float64)
    exact = gaussian(centre[0], spread**2 * one).observe(
        OPERATOR, SEEN, noise**2 * torch.eye(2, dtype=torch.float64)
    )
    local = Linear(see, SEEN.expand(count, 2), noise, 2)
    x = local.draw(centre.expand(count, 3), spread, source(1))
    torch.testing.assert_close(x.mean(0), exact.mean[0], atol=0.02, rtol=0)
    torch.testing.assert_close(x.T.cov(), exact.covariance[0], atol=0.02, rtol=0)


def test_a_walked_local_draw_follows_the_same_gaussian() -> None:
    noise, spread, count = 0.5, 0.7, 4000
    centre = points(1)
    one = torch.eye(3, dtype=torch.float64)
    exact = gaussian(centre[0], spread**2 * one).observe(
        OPERATOR, SEEN, noise**2 * torch.eye(2, dtype=torch.float64)
    )

    def cost(x: Tensor) -> Tensor:
        return (see(x) - SEEN).square().sum(1) / (2 * noise**2)

    x = Walked(cost, HMC(0.4, 4), 12).draw(centre.expand(count, 3), spread, source(1))
    torch.testing.assert_close(x.mean(0), exact.mean[0], atol=0.05, rtol=0)
    torch.testing.assert_close(x.T.cov(), exact.covariance[0], atol=0.04, rtol=0.1)


def test_a_walk_that_cannot_move_is_refused() -> None:
    sharp = Walked(lambda x: 1e9 * (see(x) - SEEN).square().sum(1), HMC(0.4, 4), 3)
    with pytest.raises(RuntimeError, match="take a smaller step"):
        sharp.draw(points(), 0.7, source(1))


class Still(Local):
    """The centre itself: nothing was observed, and nothing is drawn."""

    def draw(self, centre: Tensor, spread: float, generator: torch.Generator) -> Tensor:
        return centre


def test_a_decoupled_walk_ends_where_the_flow_from_its_last_level_does() -> None:
    start = unit_noise(50, (3,), source(2), torch.float64)
    grid = log_snr(4, 0.02, 30.0)
    x = sample(LAW, start, grid, Decoupled(Still(), 1.0, flow=60), source(3))
    assert (LAW.denoise(x, 0.02) - x).norm(dim=1).max() < 0.05
    torch.testing.assert_close(x.std(0), LAW.covariance[0].diagonal().sqrt(), atol=0.3, rtol=0)


def test_decoupling_refuses_a_sum_as_its_flow_does() -> None:
    start = unit_noise(5, (2,), source(3))
    with pytest.raises(ValueError, match="no deterministic predictor carries it"):
        sample(ring() + ring(), start, log_snr(4, 0.1, 5.0), Decoupled(Still(), 1.0), source())


def test_a_descent_finds_the_minimum_of_a_quadratic_and_each_row_is_its_own() -> None:
    stiff = torch.logspace(0, 3, 8, dtype=torch.float64)
    goal = torch.randn(5, 8, dtype=torch.float64, generator=source(1))

    def cost(goal: Tensor, x: Tensor) -> Tensor:
        return (stiff * (x - goal).square()).sum(1)

    found = descend(lambda x: cost(goal, x), torch.zeros_like(goal), 80)
    torch.testing.assert_close(found.x, goal, atol=1e-5, rtol=0)
    for k in range(5):
        one = functools.partial(cost, goal[k : k + 1])
        alone = descend(one, torch.zeros(1, 8, dtype=torch.float64), 80)
        torch.testing.assert_close(found.x[k : k + 1], alone.x, atol=1e-12, rtol=0)


def test_a_descent_never_rises() -> None:
    def banana(x: Tensor) -> Tensor:
        return (1 - x[:, 0]).square() + 100 * (x[:, 1] - x[:, 0].square()).square()

    start = 2 * torch.randn(20, 2, dtype=torch.float64, generator=source(1))
    costs = [descend(banana, start, steps).cost for steps in (1, 5, 20, 120)]
    assert all((b <= a).all() for a, b in itertools.pairwise(costs))
    assert costs[-1].max() < 1e-6


def test_a_descent_tells_its_costs_and_with_a_bound_begins_as_polyaks() -> None:
    """On a square that falls to its bound that is half the way to the minimum."""
    x = torch.randn(6, 5, dtype=torch.float64, generator=source(3))
    far = descend(lambda x: x.square().sum(1), 1e3 * x, 4)
    found = descend(lambda x: x.square().sum(1), 1e3 * x, 4, bound=0.0)
    torch.testing.assert_close(found.costs[1], found.costs[0] / 4)
    assert (far.costs[1] > 0.99 * far.costs[0]).all()
    assert found.costs.shape == (4, 6) and (found.costs.diff(dim=0) <= 0).all()
    assert torch.equal(found.costs[-1], found.cost)


def test_a_descent_that_begins_nowhere_is_refused() -> None:
    with pytest.raises(FloatingPointError, match="not finite at 1 of 2 starts"):
        descend(lambda x: x.log().sum(1), torch.tensor([[1.0], [-1.0]]), 5)


def test_implausibility_has_the_curvature_of_the_log_density() -> None:
    """For a Gaussian its gradient is the score's, to the levels' quadrature."""
    noise = torch.randn(3, dtype=torch.float64, generator=source(2))
    bound = Implausibility(LAW, 0.01, 100.0, 40, noise)
    x = points().requires_grad_()
    (slope,) = torch.autograd.grad(bound(x).sum(), x)
    torch.testing.assert_close(slope, -LAW.score(x.detach(), 1e-6), atol=1e-3, rtol=1e-3)


def test_the_most_plausible_sample_is_the_posteriors_mode_and_sees_no_batch() -> None:
    noise = torch.randn(3, dtype=torch.float64, generator=source(2))
    bound = Implausibility(LAW, 0.01, 100.0, 40, noise)
    exact = LAW.observe(OPERATOR, SEEN, 0.04 * torch.eye(2, dtype=torch.float64))

    def cost(x: Tensor) -> Tensor:
        return (see(x) - SEEN).square().sum(1) / 0.08

    start = points()
    ended = most_plausible(bound, cost, start, 60)
    found, begun = ended.x, most_plausible(bound, cost, start, 1)
    assert (ended.slope < 1e-3 * begun.slope).all() and (ended.cost < begun.cost).all()
    torch.testing.assert_close(found, exact.mean.expand(6, 3), atol=3e-3, rtol=0)
    alone = most_plausible(bound, cost, start[2:3], 60).x
    torch.testing.assert_close(found[2:3], alone, atol=1e-7, rtol=0)


def test_a_bound_of_a_sum_is_refused() -> None:
    with pytest.raises(ValueError, match="got a sum and 8"):
        Implausibility(LAW + LAW, 0.1, 10.0, 8, torch.zeros(3))


def test_the_reversed_system_draws_from_the_posterior_of_its_start() -> None:
    """dx = -x dt + g dW from N(0, 1): given the end, the start is Gaussian."""
    g, end, count = 0.5, 0.7, 8000

    def variance(time: float) -> float:
        return math.exp(-2 * time) + g**2 * -math.expm1(-2 * time) / 2

    gain = math.exp(-end) / variance(end)
    spread = 1 - gain * math.exp(-end)
    x = reverse(
        torch.full((count, 1), 1.2, dtype=torch.float64),
        lambda x, time: -x,
        lambda x, time: -x / variance(time),
        g,
        torch.linspace(end, 0, 150, dtype=torch.float64).tolist(),
        source(1),
    )
    assert x.mean().item() == pytest.approx(1.2 * gain, abs=0.02)
    assert x.var().item() == pytest.approx(spread, rel=0.05)


def test_the_flow_of_probability_maps_one_density_to_the_other() -> None:
    g, end = 0.5, 0.7

    def variance(time: float) -> float:
        return math.exp(-2 * time) + g**2 * -math.expm1(-2 * time) / 2

    x = reverse(
        torch.tensor([[1.2], [-0.4]], dtype=torch.float64),
        lambda x, time: -x,
        lambda x, time: -x / variance(time),
        g,
        torch.linspace(end, 0, 1500, dtype=torch.float64).tolist(),
        source(1),
        share=0.5,
    )
    stretch = math.sqrt(variance(0.0) / variance(end))
    expected = stretch * torch.tensor([[1.2], [-0.4]], dtype=torch.float64)
    torch.testing.assert_close(x, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("times", [[0.0, 1.0], [1.0], [1.0, 1.0, 0.0]])
def test_times_that_do_not_fall_are_refused(times: list[float]) -> None:
    x = torch.zeros(1, 1)
    with pytest.raises(ValueError, match="times must fall"):
        reverse(x, lambda x, time: x, lambda x, time: x, 1.0, times, source(1))


BED = observe(10, source(1))


def test_clean_estimates_multiply_to_the_posteriors_own_at_every_level() -> None:
    term = Corrected(BED.one_observation(), BED.prior(), BED.observed)
    z = torch.randn(6, 2, dtype=torch.float64, generator=source(2))
    for s in (0.05, 1.0, 20.0):
        torch.testing.assert_close(
            term.denoise(z, s), BED.posterior().denoise(z, s), atol=1e-8, rtol=1e-8
        )
    together = torch.tensor([0.05, 0.3, 1.0, 2.0, 5.0, 20.0], dtype=torch.float64)
    alone = [term.shift(z[k : k + 1], together[k].item()) for k in range(6)]
    torch.testing.assert_close(term.shift(z, together), torch.cat(alone))


def test_added_scores_agree_with_the_posterior_without_noise_only() -> None:
    term = Composed(BED.one_observation(), BED.prior(), BED.observed)
    z = torch.randn(6, 2, dtype=torch.float64, generator=source(2))
    exact = BED.posterior()
    torch.testing.assert_close(term.score(z, 1e-5), exact.score(z, 1e-5), atol=1e-5, rtol=1e-5)
    assert (term.score(z, 1.0) - exact.score(z, 1.0)).abs().max() > 0.1
    bounds = term.precision(1.0, torch.Size((2,)))
    assert bounds is not None and (bounds.low > 0).all()
    assert (
        not term.marginal and Corrected(BED.one_observation(), BED.prior(), BED.observed).marginal
    )


class Vague(Conditional):
    """What one observation says: as many variances as observations."""

    def __init__(self, *variance: float) -> None:
        self.variance = variance

    def given(self, observed: Tensor) -> GaussianMixture:
        variance = self.variance[int(observed[0].item())]
        one = torch.eye(2, dtype=torch.float64)
        return gaussian(torch.zeros(2, dtype=torch.float64), variance * one)


def test_observations_that_widen_the_prior_are_refused_where_they_have_no_density() -> None:
    """With ten variances of 1.2, 10 (1/1.2 + 1/s²) - 9 (1 + 1/s²) is zero at s² = 1.5."""
    term = Corrected(Vague(1.2), BED.prior(), torch.zeros(10, 1))
    z = torch.randn(3, 2, dtype=torch.float64, generator=source(2))
    assert term.shift(z, 1.2).isfinite().all()
    with pytest.raises(ValueError, match=r"improper at noise level 1\.25.*3 of 3"):
        term.shift(z, 1.25)
    with pytest.raises(ValueError, match=r"improper at noise level 1\.25.*1 of 3"):
        term.shift(z, torch.tensor([1.2, 1.25, 1.1], dtype=torch.float64))


def test_the_curvature_of_composed_scores_is_bounded_by_every_observation() -> None:
    term = Composed(Vague(0.5, 1.5), BED.prior(), torch.tensor([[0.0], [1.0]]))
    bounds = term.precision(1.0, torch.Size((2,)))
    assert bounds is not None
    exact = torch.full((2,), 1 / 1.5 + 1 / 2.5 - 1 / 2)
    torch.testing.assert_close(bounds.low, exact)
    torch.testing.assert_close(bounds.high, exact)


def test_composed_and_decoupled_samples_do_not_see_their_batch() -> None:
    z = torch.randn(6, 2, dtype=torch.float64, generator=source(2))
    for kind in (Composed, Corrected):
        term = kind(BED.one_observation(), BED.prior(), BED.observed)
        alone = torch.cat([term.shift(z[k : k + 1], 0.7) for k in range(6)])
        torch.testing.assert_close(term.shift(z, 0.7), alone)
    walk = Decoupled(Still(), 1.0, flow=4)
    start = unit_noise(5, (2,), source(3))
    together = sample(ring(), start, log_snr(1, 0.5, 5.0), walk, source())
    one = [
        sample(ring(), start[k : k + 1], log_snr(1, 0.5, 5.0), walk, source()) for k in range(5)
    ]
    torch.testing.assert_close(together, torch.cat(one), atol=1e-5, rtol=1e-4)


def test_the_last_level_is_repeated_with_noise_put_back() -> None:
    """Two rounds at a high last level are two draws of it: the second has forgotten the first."""
    grid = log_snr(1, 1.0, 2.0)
    start = torch.full((20_000, 3), 3.0, dtype=torch.float64)
    once = sample(LAW, start, grid, Ancestral(), source(1))
    twice = sample(LAW, start, grid, Ancestral(), source(1), repeats=2)
    assert once.std(0).max() < 1e-9
    assert twice.std(0).min() > 0.1
