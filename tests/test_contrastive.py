"""Energies by contrastive divergence: at rest where likelihood is, and added like any other."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from physgen.contrastive import Contrastive, divergence
from physgen.density import Density
from physgen.energy import Energy
from physgen.fitting import fit
from physgen.gaussian import GaussianMixture, White, gaussian
from physgen.kernel import MALA, ULA
from physgen.sampler import chains
from physgen.sgld import SGLD
from physgen.shapes import Level, PerSample, Sample
from physgen.testbeds import source

TALL = gaussian(torch.tensor([0.5, 0.0]), torch.tensor([[0.5, 0.2], [0.2, 1.0]]))
WIDE = gaussian(torch.tensor([-0.5, 0.3]), torch.tensor([[1.2, -0.3], [-0.3, 0.6]]))


class Quadratic(nn.Module):
    """All Gaussians: what is learned is compared with moments, in closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.precision = nn.Parameter(torch.eye(2))
        self.pull = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bi,ij,bj->b", x, self.precision, x) / 2 - x @ self.pull

    def moments(self) -> tuple[Tensor, Tensor]:
        covariance = (self.precision + self.precision.T).inverse() * 2
        return (covariance @ self.pull).detach(), covariance.detach()


def fast(weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, 0.05)


def learned(law: GaussianMixture) -> Quadratic:
    model = Contrastive(
        Quadratic(), MALA(0.3), White((2,)), 2000, source(), moves=3, fresh=0.0, penalty=0.0
    )
    fit(model, divergence, lambda _, g: model.draw(law.sample(1000, g), g), 150, fast)
    network = model.network
    assert isinstance(network, Quadratic)
    return network


@pytest.fixture(scope="module")
def pair() -> tuple[Quadratic, Quadratic]:
    return learned(TALL), learned(WIDE)


def test_training_rests_at_the_moments_of_the_data(pair: tuple[Quadratic, Quadratic]) -> None:
    for network, law in zip(pair, (TALL, WIDE), strict=True):
        mean, covariance = network.moments()
        torch.testing.assert_close(mean, law.mean[0], atol=0.06, rtol=0)
        torch.testing.assert_close(covariance, law.covariance[0], atol=0.09, rtol=0)


def test_the_product_of_two_learned_energies_is_that_of_their_densities(
    pair: tuple[Quadratic, Quadratic],
) -> None:
    total = Density(pair[0]) + Density(pair[1])
    start = torch.randn(1000, 2, generator=source(1))
    x = chains(total, MALA(0.2), start, 40, 20, source(2)).z.flatten(0, 1)
    exact = TALL.product(WIDE)
    torch.testing.assert_close(x.mean(0), exact.mean[0], atol=0.07, rtol=0)
    torch.testing.assert_close(x.T.cov(), exact.covariance[0], atol=0.06, rtol=0)


def test_chains_persist_and_some_begin_again() -> None:
    still = ULA(1e-12)  # a kernel that hardly moves shows who is who
    model = Contrastive(Quadratic(), still, White((2,)), 50, source(), 1, fresh=0.0)
    before = model.buffer.clone()
    model(torch.zeros(20, 2), torch.full((20,), 7))
    torch.testing.assert_close(model.buffer, before, atol=1e-4, rtol=0)
    model.fresh = 0.5
    model(torch.zeros(50, 2), torch.full((50,), 7))
    moved = (model.buffer - before).norm(dim=1) > 1e-3
    assert 10 <= moved.sum() <= 40
    assert "buffer" in model.state_dict()


def test_the_seed_of_a_step_decides_its_moves() -> None:
    def loss(seed: int) -> Tensor:
        model = Contrastive(Quadratic(), ULA(0.1), White((2,)), 50, source())
        x, seeds = model.draw(torch.zeros(10, 2), source(seed))
        out: Tensor = model(x, seeds)
        return out

    assert torch.equal(loss(1), loss(1))
    assert not torch.equal(loss(1), loss(2))


def test_processes_that_share_a_batch_move_their_chains_apart() -> None:
    """Each takes every other row of what all of them draw, and with it a seed of its own."""
    model = Contrastive(Quadratic(), ULA(0.1), White((2,)), 50, source())
    x, seeds = model.draw(torch.zeros(10, 2), source(3))
    model(x[0::2], seeds[0::2])
    first = model.buffer.clone()
    model.buffer.copy_(Contrastive(Quadratic(), ULA(0.1), White((2,)), 50, source()).buffer)
    model(x[1::2], seeds[1::2])
    assert not torch.equal(model.buffer, first)


def test_what_cannot_be_followed_is_refused() -> None:
    with pytest.raises(ValueError, match="a buffer needs chains"):
        Contrastive(Quadratic(), ULA(0.1), White((2,)), 0, source())
    model = Contrastive(Quadratic(), ULA(0.1), White((2,)), 5, source())
    with pytest.raises(ValueError, match="6 chains are wanted of a buffer of 5"):
        model.follow(6, source())


class Noisy(Energy):
    """A Gaussian whose score errs by chance at every call, as by part of the data."""

    def __init__(self) -> None:
        self.chance = source(9)

    def energy(self, z: Sample, s: Level) -> PerSample:
        off = 0.5 * torch.randn(z.shape, generator=self.chance)
        return (z.square() / 2 + off * z).sum(1)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_sgld_follows_a_noisy_score_to_its_temperature(temperature: float) -> None:
    """An Euler step h gives T / (1 - h / 2), and the score's variance v adds h v / (2 - h)."""
    start = torch.randn(3000, 2, generator=source())
    size = 0.1
    drawn = chains(Noisy(), SGLD(size, temperature), start, 60, 10, source(1))
    exact = temperature / (1 - size / 2) + size * 0.25 / (2 - size)
    assert drawn.z.square().mean().item() == pytest.approx(exact, rel=0.03)


def test_no_step_of_sgld_is_longer_than_allowed() -> None:
    steep = Density(lambda z: 1e6 * z.square().sum(1))
    z = torch.ones(4, 2)
    chain, _ = SGLD(1.0, 0.0, longest=0.5).step(
        SGLD(1.0).init(steep, z, 1.0), steep, 1.0, source()
    )
    torch.testing.assert_close((chain.z - z).norm(dim=1), torch.full((4,), 0.5))
