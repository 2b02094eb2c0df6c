"""Guidance by observations: exact for Gaussians, and blind to the batch."""

import pytest
import torch

from physgen.energy import Score
from physgen.grid import log_snr
from physgen.guidance import Fixed, Guidance, Guided
from physgen.observed import Isotropic, Observed, Tweedie, Uncertainty
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
    term = Observed(LAW, lambda x: x @ operator.mT, seen.expand(8, 2), noise, 2, Isotropic())
    torch.testing.assert_close(term.denoise(z, s), expected)


@pytest.mark.parametrize("uncertainty", [Tweedie(), Isotropic()], ids=repr)
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
