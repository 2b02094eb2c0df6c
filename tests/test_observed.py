"""Guidance by observations: exact for Gaussians, and blind to the batch."""

import pytest
import torch

from physgen.energy import Score
from physgen.grid import log_snr
from physgen.guidance import Fixed, Guidance, Guided
from physgen.observed import (
    Isotropic,
    Observed,
    Tweedie,
    Uncertainty,
    conjugate_gradients,
)
from physgen.predictor import DPMpp2M
from physgen.sampler import sample, unit_noise
from physgen.testbeds import ring, some_gaussian, source

LAW = some_gaussian(1)


def points(count: int = 8) -> torch.Tensor:
    return torch.randn(count, 3, dtype=torch.float64, generator=source(3))


def test_observing_is_exact_for_a_gaussian_at_every_level() -> None:
    operator = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]], dtype=torch.float64)
    seen = torch.tensor([0.3, -0.8], dtype=torch.float64)
    noise = 0.2
    posterior = LAW.observe(operator, seen, noise**2 * torch.eye(2, dtype=torch.float64))
    z = points()
    observed = Observed(LAW, lambda x: x @ operator.mT, seen.expand(8, 2), noise, iterations=2)
    for s in (0.05, 1.0, 10.0):
        torch.testing.assert_close(
            observed.shift(z, s), posterior.shift(z, s), atol=1e-9, rtol=1e-9
        )
    x = sample(
        Observed(LAW, lambda x: x @ operator.mT, seen.expand(4000, 2), noise, 2),
        unit_noise(4000, (3,), source(8), torch.float64),
        log_snr(40, 0.01, 30.0),
        DPMpp2M(),
        source(9),
    )
    torch.testing.assert_close(x.mean(0), posterior.mean[0], atol=0.03, rtol=0)
    torch.testing.assert_close(x.T.cov(), posterior.covariance[0], atol=0.03, rtol=0)


def test_an_isotropic_uncertainty_pulls_as_the_pseudoinverse_does() -> None:
    r"""Song et al. (2023): :math:`(y - A D)^\top (r^2 A A^\top + \sigma^2)^{-1} A\, J`."""
    operator = torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, -1.0]], dtype=torch.float64)
    seen, noise, s = torch.tensor([0.3, -0.8], dtype=torch.float64), 0.2, 0.7
    z = points()
    clean = LAW.denoise(z, s)
    r = s**2 / (s**2 + 1)
    total = r * operator @ operator.mT + noise**2 * torch.eye(2, dtype=torch.float64)
    back = torch.linalg.solve(total, (seen - clean @ operator.mT).mT).mT @ operator
    expected = clean + torch.einsum("bi,bij->bj", back, LAW.posterior_covariance(z, s))
    term = Observed(LAW, lambda x: x @ operator.mT, seen.expand(8, 2), noise, 2, Isotropic(1.0))
    torch.testing.assert_close(term.denoise(z, s), expected)


@pytest.mark.parametrize("uncertainty", [Tweedie(), Isotropic(1.0)], ids=repr)
def test_a_sample_does_not_see_its_batch(uncertainty: Uncertainty) -> None:
    law, z = ring(), torch.randn(6, 2, generator=source(3))
    seen = torch.randn(6, 1, generator=source(4))

    def term(rows: torch.Tensor) -> Score:
        return Observed(law, lambda x: x[:, :1], rows, 0.2, 1, uncertainty)

    together = term(seen).shift(z, 0.8)
    alone = [term(seen[k : k + 1]).shift(z[k : k + 1], 0.8) for k in range(6)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_a_cost_goes_beside_observations_and_not_around_them() -> None:
    def cost(x: torch.Tensor) -> torch.Tensor:
        return x.square().sum(1)

    seen = torch.zeros(8, 1, dtype=torch.float64)
    observed = Observed(LAW, lambda x: x[:, :1], seen, 0.2, 1)
    with pytest.raises(RuntimeError, match="put a cost beside it"):
        Guided(observed, cost, Fixed(1.0)).shift(points(), 0.5)
    beside = (observed + Guidance(LAW, cost, 1.0)).shift(points(), 0.5)
    apart = observed.shift(points(), 0.5) + Guidance(LAW, cost, 1.0).shift(points(), 0.5)
    torch.testing.assert_close(beside, apart)


def test_a_system_that_is_not_solved_says_so() -> None:
    right = torch.eye(3, dtype=torch.float64)
    stiff = torch.tensor([1.0, 30.0, 1000.0], dtype=torch.float64)
    mixed = right.roll(1, 0) + right
    exact = conjugate_gradients(lambda v: v * stiff, mixed, 3)
    torch.testing.assert_close(exact, mixed / stiff)
    with pytest.raises(RuntimeError, match=r"residual of 1 after 1 iterations, 0\.1 is"):
        conjugate_gradients(lambda v: v * stiff, mixed, 1)
    assert conjugate_gradients(lambda v: v * stiff, mixed, 1, tolerance=1.0).isfinite().all()


def test_more_conjugate_gradients_than_needed_change_nothing() -> None:
    right = torch.randn(5, 2, generator=source(1))
    few, many = (conjugate_gradients(lambda v: 3 * v, right, n) for n in (1, 60))
    torch.testing.assert_close(few, right / 3)
    torch.testing.assert_close(many, few)


def test_a_covariance_that_is_not_positive_is_refused() -> None:
    right = torch.tensor([[1.0, 0.2], [0.0, 1.0]])
    bent = torch.tensor([-1.0, 2.0])
    with pytest.raises(RuntimeError, match="not positive for 1 of 2 samples"):
        conjugate_gradients(lambda v: v * bent, right, 4)
    with pytest.raises(RuntimeError, match="not positive for 2 of 2 samples"):
        conjugate_gradients(lambda v: v * torch.nan, right, 4)


def ranks(narrower: float) -> torch.Tensor:
    """How many of nineteen draws lie below the truth, over 1200 truths of the prior."""
    truths, draws, noise = 1200, 19, 0.4
    truth = LAW.sample(truths, source(11))
    first = truth[:, :1] + noise * torch.randn(truths, 1, dtype=truth.dtype, generator=source(12))
    seen = Observed(LAW, lambda x: x[:, :1], first.repeat_interleave(draws, 0), noise, 1)
    start = unit_noise(truths * draws, (3,), source(13), torch.float64)
    x = sample(seen, start, log_snr(30, 0.01, 30.0), DPMpp2M(), source(14))
    x = x.view(truths, draws, 3)
    x = x.mean(1, keepdim=True) + narrower * (x - x.mean(1, keepdim=True))
    return (x < truth[:, None]).sum(1)


def unevenness(rank: torch.Tensor) -> float:
    """Chi-squared of twenty ranks, of nineteen degrees, the largest of three entries."""
    expected = len(rank) / 20
    counts = torch.stack([(rank == k).sum(0) for k in range(20)])
    return ((counts - expected).square() / expected).sum(0).max().item()


def test_truths_have_any_rank_among_draws_of_their_posteriors() -> None:
    """Simulation-based calibration (Talts et al., 2018, https://arxiv.org/abs/1804.06788): a
    chi-squared above 46 has a probability of 1 in 2000; draws a fifth too narrow are seen."""
    assert unevenness(ranks(1.0)) < 46
    assert unevenness(ranks(0.8)) > 46
