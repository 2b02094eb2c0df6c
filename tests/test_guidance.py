"""Guidance: exact where a closed form exists, alive, and blind to the batch."""

import pytest
import torch
from torch import Tensor

from physgen.distillation import Leap
from physgen.energy import Score
from physgen.gaussian import gaussian
from physgen.grid import log_snr
from physgen.guidance import (
    Capped,
    Constraint,
    DetachedGuidance,
    Fixed,
    Guidance,
    Guided,
    Normalised,
    Stepwise,
)
from physgen.kernel import MALA
from physgen.predictor import DDIM, Ancestral, DPMpp2M, Predictor
from physgen.sampler import anneal, chains, sample, unit_noise
from physgen.testbeds import some_gaussian, source

LAW = some_gaussian(1)
GRID = log_snr(20, 0.05, 20.0)
WEIGHTS = [Fixed(0.7), Capped(5.0, 0.5), Normalised(0.2), Stepwise(0.3, GRID)]


def cost(x: Tensor) -> Tensor:
    return (x - 1).square().sum(1) / 2


def points(count: int = 8) -> Tensor:
    return torch.randn(count, 3, dtype=torch.float64, generator=source(3))


def test_an_energy_term_tilts_a_gaussian_by_a_quadratic_cost() -> None:
    one = torch.eye(3, dtype=torch.float64)
    tilted = LAW.observe(one, torch.ones(3, dtype=torch.float64), one / 2).normalised()
    total = LAW + Guidance(LAW, cost, 2.0)
    s = 0.01
    start = LAW.sample(4000, source(5))
    drawn = chains(total, MALA(0.5, spread=0.35), start, 150, 1, source(6), s=s).z[0]
    torch.testing.assert_close(drawn.mean(0), tilted.mean[0], atol=0.04, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), tilted.covariance[0], atol=0.03, rtol=0)


def quadratic(x: Tensor) -> Tensor:
    return (x - 2).square().sum(1) / 2


LINE = gaussian(torch.zeros(1, dtype=torch.float64), torch.eye(1, dtype=torch.float64))
TILTED = LINE.observe(torch.eye(1).double(), torch.full((1,), 2.0).double(), torch.eye(1) / 4)
"""By four times the cost: the mean is 1.6, and the variance 0.2."""


@pytest.mark.parametrize("s", [0.01, 1.0, 10.0])
def test_a_fixed_weight_is_too_large_by_what_noise_leaves_open(s: float) -> None:
    """By 1 + w c'' Var[x | z], where all is Gaussian; which is nothing at no noise."""
    z = torch.linspace(-3, 3, 7, dtype=torch.float64)[:, None]
    right = Fixed(4.0 / (1 + 4.0 * s**2 / (1 + s**2)))
    torch.testing.assert_close(Guided(LINE, quadratic, right).shift(z, s), TILTED.shift(z, s))


@pytest.mark.parametrize("predictor", [DPMpp2M(), Ancestral()], ids=lambda p: type(p).__name__)
def test_walked_under_a_fixed_weight_samples_end_too_far_and_too_close_together(
    predictor: Predictor,
) -> None:
    start, grid = unit_noise(4000, (1,), source(1), torch.float64), log_snr(40, 0.01, 20.0)
    x = sample(Guided(LINE, quadratic, Fixed(4.0)), start, grid, predictor, source(2))
    assert x.mean() > 1.9 and x.var() < 0.12
    moves, total = MALA(0.5, spread=0.4), LINE + Guidance(LINE, quadratic, 4.0)
    x = anneal(total, start, grid, source(2), Ancestral(), moves, 4).x
    assert x.mean().item() == pytest.approx(1.6, abs=0.04)
    assert x.var().item() == pytest.approx(0.2, abs=0.03)


def test_guided_is_the_same_sum_for_one_evaluation() -> None:
    z = points()
    total = LAW + Guidance(LAW, cost, 0.7)
    torch.testing.assert_close(Guided(LAW, cost, Fixed(0.7)).shift(z, 0.5), total.shift(z, 0.5))


def test_guidance_passes_through_the_denoiser() -> None:
    """The pull is the posterior covariance times the cost's gradient; detached, it is not."""
    z, s = points(), 0.5
    clean = LAW.denoise(z, s)
    pull = torch.einsum("bij,bj->bi", LAW.posterior_covariance(z, s), clean - 1)
    expected = clean - 0.7 * pull
    torch.testing.assert_close(Guided(LAW, cost, Fixed(0.7)).denoise(z, s), expected)
    detached = DetachedGuidance(LAW, cost, Fixed(0.7)).denoise(z, s)
    assert (detached - expected).abs().max() > 0.02


def test_detached_guidance_is_exact_where_entries_do_not_depend_on_each_other() -> None:
    law = gaussian(torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64))
    z = points()
    exact = Guided(law, cost, Fixed(0.7)).shift(z, 0.5)
    torch.testing.assert_close(DetachedGuidance(law, cost, Fixed(0.7)).shift(z, 0.5), exact)


@pytest.mark.parametrize("weight", WEIGHTS, ids=lambda w: type(w).__name__)
@pytest.mark.parametrize("kind", [Guided, DetachedGuidance])
def test_a_sample_does_not_see_its_batch(kind: type[Guided], weight: Fixed) -> None:
    z, s = points(), GRID.levels[10]
    term = kind(LAW, cost, weight)
    together = term.shift(z, s)
    alone = torch.cat([term.shift(z[k : k + 1], s) for k in range(len(z))])
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("kind", [Guided, DetachedGuidance])
def test_a_weight_of_nothing_and_of_something_differ(kind: type[Guided]) -> None:
    z = points()
    torch.testing.assert_close(kind(LAW, cost, Fixed(0.0)).shift(z, 0.8), LAW.shift(z, 0.8))
    assert (kind(LAW, cost, Fixed(0.7)).shift(z, 0.8) - LAW.shift(z, 0.8)).abs().min() > 1e-4


def test_a_capped_weight_never_overshoots_and_is_fixed_when_small() -> None:
    z, s = 10 * points(), 3.0
    base = LAW.shift(z, s)
    before = cost(z + base)
    after = cost(LAW.denoise(z + Guided(LAW, cost, Capped(1e6, 0.5)).shift(z, s) - base, s))
    wild = cost(LAW.denoise(z + Guided(LAW, cost, Fixed(1e6)).shift(z, s) - base, s))
    assert (after < before).all() and (after > 0.5 * before).all() and (wild > before).all()
    gentle = Guided(LAW, cost, Capped(0.1, 0.5)).shift(z, 0.01)
    torch.testing.assert_close(gentle, Guided(LAW, cost, Fixed(0.1)).shift(z, 0.01))


def test_a_normalised_pull_is_a_share_of_the_noise() -> None:
    z = points()
    for s in (0.1, 3.0):
        pull = Guided(LAW, lambda x: 1e3 * cost(x), Normalised(0.2)).shift(z, s) - LAW.shift(z, s)
        expected = torch.full((len(z),), 0.2 * s * 3**0.5, dtype=torch.float64)
        torch.testing.assert_close(pull.norm(dim=1), expected)


def test_below_its_level_guidance_rests() -> None:
    z = points()
    term = Guided(LAW, cost, Fixed(5.0), until=0.5)
    torch.testing.assert_close(term.shift(z, 0.4), LAW.shift(z, 0.4))
    assert (term.shift(z, 0.6) - LAW.shift(z, 0.6)).abs().max() > 0.01


def test_it_rests_for_each_sample_at_its_own_level() -> None:
    z, term = points(4), Guided(LAW, cost, Fixed(5.0), until=0.5)
    levels = [0.4, 0.6, 0.5, 0.1]
    each = [term.shift(z[k : k + 1], level) for k, level in enumerate(levels)]
    together = term.shift(z, torch.tensor(levels, dtype=torch.float64))
    torch.testing.assert_close(together, torch.cat(each))


def test_a_leap_over_guidance_that_comes_to_rest_follows_its_walk() -> None:
    term, start = Guided(LAW, cost, Fixed(5.0), until=1.0), points()
    leap = Leap(term, log_snr(8, 0.05, 5.0), 4)
    walked = sample(term, start, leap.fine, DDIM(), source())
    torch.testing.assert_close(sample(leap, start, leap.grid, DDIM(), source()), walked)


def test_a_constraint_is_asked_in_full_at_no_noise_and_by_half_at_its_level() -> None:
    z = points()
    base = LAW.shift(z, 0.5)
    full = Guided(LAW, cost, Fixed(0.7)).shift(z, 0.5) - base
    for level, share in ((0.5, 0.5), (0.5 / 3, 0.1), (1e4, 1.0)):
        term = Guided(
            LAW, lambda x: 0 * cost(x), Fixed(0.7), constraints=[Constraint(cost, level)]
        )
        torch.testing.assert_close(term.shift(z, 0.5) - base, share * full)


def test_no_pull_of_the_last_level_is_left_in_what_is_returned() -> None:
    """At low noise the covariance, and with it the pull, goes to zero."""
    term: Score = Guided(LAW, cost, Fixed(0.7))
    start = unit_noise(50, (3,), source(1), torch.float64)
    x = sample(term, start, log_snr(20, 1e-3, 10.0), Ancestral(), source(2))
    torch.testing.assert_close(term.denoise(x, 1e-3), x, atol=1e-5, rtol=0)


def test_a_step_under_the_stepwise_weight_is_that_of_the_published_algorithm() -> None:
    """Along a variance-preserving path: the prior's step, less a share of the misfit's slope."""
    seen, zeta, i = torch.tensor([0.3, -0.5], dtype=torch.float64), 0.4, 12
    s, below = GRID.levels[i], GRID.levels[i + 1]
    alpha, after = (1 + s**2) ** -0.5, (1 + below**2) ** -0.5
    x = (alpha * points()).requires_grad_()  # x_t of the path

    def misfit(x: Tensor) -> Tensor:
        return (seen - x[:, :2]).square().sum(1) / 2

    length = (2 * misfit(LAW.denoise(x / alpha, s))).sqrt()
    (slope,) = torch.autograd.grad(length.square().sum(), x)
    plain = Ancestral().plan(GRID).step(x.detach() / alpha, i, LAW.denoise, source(1))
    published = after * plain - zeta * slope / length.detach()[:, None]
    term = Guided(LAW, misfit, Stepwise(zeta, GRID))
    ours = after * Ancestral().plan(GRID).step(x.detach() / alpha, i, term.denoise, source(1))
    torch.testing.assert_close(ours, published)


def test_a_stepwise_weight_is_for_its_own_levels() -> None:
    with pytest.raises(ValueError, match=r"levels of its grid, got 0\.3"):
        Guided(LAW, cost, Stepwise(0.3, GRID)).shift(points(), 0.3)
