"""The founding claim: samplers draw from the product of priors, and which ones do not."""

import pytest
import torch

from physgen.density import Density
from physgen.energy import positions
from physgen.gaussian import GaussianMixture
from physgen.grid import log_snr
from physgen.kernel import HMC, MALA, ULA, Kernel, Renoise, UnadjustedHMC
from physgen.meter import Metered
from physgen.predictor import DDIM, Ancestral
from physgen.sampler import AsMarginal, Resample, anneal, sample, unit_noise
from physgen.testbeds import bars, mode_error, ring, some_gaussian, source, wasserstein

CHAINS = 2000
GRID = log_snr(62, 0.01, 10.0)


@pytest.fixture(scope="module")
def product() -> GaussianMixture:
    return ring().product(bars()).normalised()


@pytest.fixture(scope="module")
def exact(product: GaussianMixture) -> torch.Tensor:
    return product.sample(1000, source(9))


@pytest.fixture(scope="module")
def floor(product: GaussianMixture, exact: torch.Tensor) -> float:
    """The largest W2 from ``exact`` of some other exact draws of the same number."""
    return max(wasserstein(product.sample(1000, source(10 + k)), exact) for k in range(5))


def test_ancestral_steps_and_mala_reach_the_product_of_ring_and_bars(
    product: GaussianMixture, exact: torch.Tensor, floor: float
) -> None:
    result = anneal(
        ring() + bars(),
        unit_noise(CHAINS, (2,), source(1)),
        GRID,
        source(2),
        predictor=Ancestral(),
        kernel=MALA(0.8, spread=0.08),
        inner=6,
    )
    assert wasserstein(result.x[:1000], exact) <= 1.1 * floor
    assert mode_error(result.x, product) <= 0.04
    assert min(result.acceptance) > 0.3


def test_the_plain_ode_fails_on_the_product(
    product: GaussianMixture, exact: torch.Tensor, floor: float
) -> None:
    start = unit_noise(CHAINS, (2,), source(1))
    x = sample(ring() + bars(), start, GRID, DDIM(), source(2), consent=AsMarginal())
    assert wasserstein(x[:1000], exact) > 1.5 * floor
    assert mode_error(x, product) > 0.2


def test_the_plain_reverse_sde_is_biased_on_the_product(product: GaussianMixture) -> None:
    start = unit_noise(CHAINS, (2,), source(1))
    x = sample(ring() + bars(), start, GRID, Ancestral(), source(2))
    assert mode_error(x, product) > 0.05


def test_a_deterministic_predictor_refuses_a_sum() -> None:
    start = unit_noise(4, (2,), source(1))
    with pytest.raises(ValueError, match="no deterministic predictor carries it"):
        sample(ring() + bars(), start, GRID, DDIM(), source(2))


def test_hmc_at_each_level_reaches_the_product(
    product: GaussianMixture, exact: torch.Tensor, floor: float
) -> None:
    start = unit_noise(CHAINS, (2,), source(1))
    result = anneal(
        ring() + bars(),
        start,
        log_snr(40, 0.01, 10.0),
        source(2),
        kernel=HMC(0.8, spread=0.08),
        inner=6,
    )
    assert wasserstein(result.x[:1000], exact) <= 1.1 * floor
    assert mode_error(result.x, product) <= 0.04


def test_a_sum_of_scores_without_values_is_corrected_by_the_line_integral(
    product: GaussianMixture, exact: torch.Tensor, floor: float
) -> None:
    total = Metered(ring()) + Metered(bars())
    start = unit_noise(CHAINS, (2,), source(1))
    result = anneal(
        total,
        start,
        GRID,
        source(2),
        predictor=Ancestral(),
        kernel=MALA(0.8, spread=0.08),
        inner=6,
    )
    assert wasserstein(result.x[:1000], exact) <= 1.1 * floor
    assert mode_error(result.x, product) <= 0.04


def test_annealed_smc_estimates_the_normaliser_of_the_product() -> None:
    truth = ring().product(bars()).log_mass.item()
    estimates = []
    for seed in range(6):
        result = anneal(
            ring() + bars(),
            unit_noise(1000, (2,), source(seed)),
            log_snr(31, 0.01, 10.0),
            source(100 + seed),
            kernel=MALA(0.8, spread=0.08),
            resample=Resample(),
        )
        estimates.append(result.drawn.log_z)
    mean = torch.tensor(estimates)
    error = mean.std().item() / 6**0.5
    assert abs(mean.mean().item() - truth) < 4 * error + 0.02
    assert error < 0.1


@pytest.mark.parametrize(
    "kernel", [HMC(0.8), UnadjustedHMC(1.2, 3), ULA(0.8)], ids=lambda k: type(k).__name__
)
def test_annealed_weights_take_up_what_moves_owe(kernel: Kernel) -> None:
    """The mean weight is the normaliser, one, for moves that are tested or not."""
    law = some_gaussian(1)
    start = unit_noise(4000, (3,), source(3), torch.float64)
    grid = log_snr(6, 0.5, 4.0)
    result = anneal(law, start, grid, source(4), kernel=kernel, inner=2)
    weight = result.drawn.log_weight.exp()
    assert abs(weight.mean() - 1) < 4 * weight.std() / 4000**0.5 < 0.4
    assert result.drawn.log_z == pytest.approx(weight.mean().log().item())


def test_errors_are_those_of_lineages_once_samples_are_resampled() -> None:
    """In units of their errors, which weights alone take for ten times smaller, estimates have
    unit variance."""
    exact = some_gaussian(1).product(some_gaussian(2))
    total, grid, off = some_gaussian(1) + some_gaussian(2), log_snr(20, 0.05, 10.0), []
    for seed in range(24):
        start = unit_noise(300, (3,), source(seed), torch.float64)
        moves, often = MALA(0.5, spread=0.4), Resample(0.9)
        drawn = anneal(total, start, grid, source(50 + seed), None, moves, resample=often).drawn
        mean = drawn.mean(drawn.x)
        mass = (drawn.log_z - exact.log_mass.item()) / drawn.log_z_error
        off.append([mass, *((mean.value - exact.mean[0]) / mean.error).tolist()])
        whole = drawn.integral(torch.ones(300, dtype=torch.float64))
        assert (whole.error / whole.value).item() == pytest.approx(drawn.log_z_error)
    size = torch.tensor(off).square().mean(0).sqrt()
    assert (size > 0.7).all() and (size < 1.5).all()


def test_weights_are_refused_where_they_would_be_wrong_or_not_numbers() -> None:
    start = unit_noise(20, (3,), source(3), torch.float64)
    grid = log_snr(6, 0.5, 4.0)
    with pytest.raises(ValueError, match="neither tests its moves"):
        anneal(some_gaussian(1), start, grid, source(4), kernel=Renoise(1.1))
    holed = Density(lambda z: torch.where(z[:, 0] > 0, z.square().sum(1), torch.nan))
    with pytest.raises(FloatingPointError, match="weights are not finite"):
        anneal(holed, start, grid, source(4), kernel=MALA(0.1))


def test_the_product_of_two_gaussians_has_their_mean_and_covariance() -> None:
    first, second = some_gaussian(1), some_gaussian(2)
    target = first.product(second)
    start = unit_noise(8000, (3,), source(3), dtype=torch.float64)
    grid = log_snr(30, 0.02, 10.0)
    x = anneal(
        first + second, start, grid, source(4), Ancestral(), MALA(0.3, spread=0.4), inner=4
    ).x
    error = (target.covariance[0].diagonal() / 8000).sqrt()
    assert ((x.mean(0) - target.mean[0]).abs() < 5 * error).all()
    torch.testing.assert_close(x.T.cov(), target.covariance[0], atol=0.03, rtol=0.06)


def test_windows_of_a_short_prior_make_a_long_chain() -> None:
    """Three windows of a pair, less the overlaps, are a Markov chain of four with closed form."""
    rho = 0.8
    covariance = torch.tensor([[1.0, rho], [rho, 1.0]], dtype=torch.float64)
    zero = torch.zeros(1, dtype=torch.float64)
    pair = GaussianMixture(zero, zero.expand(1, 2), covariance[None])
    single = pair.marginalise(torch.tensor([0]))
    at = positions(4)
    windows = torch.stack([at[0:2], at[1:3], at[2:4]])
    chain = pair.over(windows) - single.over(torch.stack([at[1:2], at[2:3]]))
    start = unit_noise(8000, (4,), source(5), dtype=torch.float64)
    grid = log_snr(30, 0.02, 3.0)
    x = anneal(chain, start, grid, source(6), Ancestral(), MALA(0.3, spread=0.4), inner=8).x
    lag = (torch.arange(4)[:, None] - torch.arange(4)).abs()
    torch.testing.assert_close(x.T.cov(), rho ** lag.double(), atol=0.06, rtol=0)


def test_an_improper_sum_is_refused_when_annealing_begins() -> None:
    wide_, narrow = some_gaussian(1), some_gaussian(2)
    total = 1.0 * narrow - 1.5 * wide_
    start = unit_noise(4, (3,), source(0), dtype=torch.float64)
    with pytest.raises(ValueError, match=r"improper at noise level 10"):
        anneal(total, start, log_snr(10, 0.1, 10.0), source(0), Ancestral(), MALA(0.1))
