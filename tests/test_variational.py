"""Autoencoders against probabilistic PCA, the linear one, whose likelihood is exact."""

import math
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from physgen.bridge import cross
from physgen.density import At, Density
from physgen.energy import positions
from physgen.fitting import fit
from physgen.gaussian import GaussianMixture, White, gaussian
from physgen.kernel import HMC
from physgen.sampler import chains
from physgen.testbeds import source
from physgen.variational import Autoencoder, Joint, bound

WEIGHTS = torch.tensor([[1.0, 0.5], [0.5, 0.8], [-0.7, -0.2], [0.2, 0.6]])
STD = 0.5
LAW = gaussian(torch.zeros(4), WEIGHTS @ WEIGHTS.T + STD**2 * torch.eye(4))
"""Probabilistic PCA (Tipping & Bishop, 1999), equation 4."""


class Affine(nn.Module):
    """Mean linear in the sample, log variance a constant."""

    def __init__(self, slope: Tensor, log_variance: Tensor) -> None:
        super().__init__()
        self.slope = nn.Parameter(slope)
        self.log_variance = nn.Parameter(log_variance)

    def forward(self, x: Tensor) -> Tensor:
        mean = x @ self.slope.T
        return torch.cat([mean, self.log_variance.expand_as(mean)], 1)


def linear(off: float = 0.0) -> Autoencoder:
    """The exact decoder, and the encoder whose mean is exact for ``off`` zero."""
    decoder = nn.Linear(2, 4, bias=False)
    decoder.weight.data = WEIGHTS.clone()
    precision = WEIGHTS.T @ WEIGHTS / STD**2 + torch.eye(2)
    slope = precision.inverse() @ WEIGHTS.T / STD**2
    encoder = Affine(slope + off, -precision.diagonal().log())
    return Autoencoder(encoder, decoder, 2, (4,), STD)


def fast(weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, 0.02)


def gaps(model: Autoencoder, count: int) -> float:
    """How far a bound is above the exact mean nats."""
    x = LAW.sample(2000, source(1))
    with torch.no_grad():
        exact = LAW.energy(x, 0.0)
        if count:
            nats = model.weighted_bound(x, count, source(2))
        else:
            nats = bound(model, *model.draw(x, source(2)))
    return (nats - exact).mean().item()


def test_the_bound_lies_above_the_likelihood_by_the_divergence_of_the_encoder() -> None:
    """Of a diagonal from a correlated Gaussian of the same mean: minus half a log determinant."""
    precision = WEIGHTS.T @ WEIGHTS / STD**2 + torch.eye(2)
    exact = (precision.diagonal().log().sum() - torch.logdet(precision)).item() / 2
    assert exact > 0.05
    assert gaps(linear(), 0) == pytest.approx(exact, abs=0.06)


def test_weighted_bounds_fall_to_the_likelihood() -> None:
    found = [gaps(linear(0.1), count) for count in (0, 1, 10, 300)]
    assert found[0] == pytest.approx(found[1], abs=0.1)
    assert found[1] > found[2] > found[3] > -0.02
    assert found[3] < 0.03 < found[1]


def test_training_reaches_the_likelihood_of_probabilistic_pca() -> None:
    torch.manual_seed(0)
    model = Autoencoder(
        Affine(0.1 * torch.randn(2, 4), torch.zeros(2)), nn.Linear(2, 4), 2, (4,), std=1.0
    )
    fit(model, bound, lambda _, g: model.draw(LAW.sample(256, g), g), 400, fast)
    assert model.log_std.exp().item() == pytest.approx(STD, abs=0.04)
    assert isinstance(model.decoder, nn.Linear)
    weights = model.decoder.weight.detach()
    learned = gaussian(torch.zeros(4), weights @ weights.T + STD**2 * torch.eye(4))
    assert (learned.covariance - LAW.covariance).abs().max() < 0.2
    assert gaps(model, 0) < 0.05


def test_the_joint_energy_is_normalised_and_its_marginal_is_the_likelihood() -> None:
    """Over latents, for one sample: annealed importance sampling finds log p(x)."""
    joint, x = Joint(linear()), LAW.sample(1, source(3))
    target = Density(lambda h: joint.energy(torch.cat([h, x.expand(len(h), 4)], 1), 0.0))
    shares = [k / 20 for k in range(21)]
    crossed = cross(White((2,)), target, HMC(0.25), shares, 500, source(4)).drawn
    assert crossed.log_z == pytest.approx(-LAW.energy(x, 0.0).item(), abs=0.1)


def test_what_is_drawn_together_has_the_covariance_of_both() -> None:
    z = Joint(linear()).sample(20_000, source(5))
    torch.testing.assert_close(z[:, 2:].T.cov(), LAW.covariance[0], atol=0.06, rtol=0)
    torch.testing.assert_close(z.T.cov()[2:, :2], WEIGHTS, atol=0.05, rtol=0)


def test_an_observation_adds_to_the_joint_energy() -> None:
    """Chains over sample and latent draw the sample's exact posterior."""
    seen = gaussian(torch.tensor([1.0]), torch.tensor([[0.04]]))
    total = Joint(linear()) + At(seen).on(positions(6)[2:3])
    start = Joint(linear()).sample(800, source(6))
    x = chains(total, HMC(0.15, 6), start, 40, 10, source(7)).z[..., 2:].flatten(0, 1)
    operator = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    exact: GaussianMixture = LAW.observe(operator, torch.ones(1), torch.tensor([[0.04]]))
    torch.testing.assert_close(x.mean(0), exact.mean[0], atol=0.1, rtol=0)
    torch.testing.assert_close(x.T.cov(), exact.covariance[0], atol=0.12, rtol=0)
    assert math.isfinite(total.energy(start, 0.0).sum().item())
