"""Discriminators are log ratios of densities, and generators learn from them."""

from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

from physgen.adversarial import Adversarial, Through, Told, contest, telling
from physgen.density import At
from physgen.fitting import fit
from physgen.gaussian import White, gaussian
from physgen.importance import importance
from physgen.kernel import HMC
from physgen.perceptron import Perceptron
from physgen.sampler import chains
from physgen.testbeds import bars, source


class Logit(nn.Module):
    """A perceptron with one answer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner = Perceptron(2, 1, 32, 2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)[:, 0]
        return out


def fast(weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(weights, 0.01)


P, Q = bars(), gaussian(torch.zeros(2), torch.eye(2))


@pytest.fixture(scope="module")
def discriminator() -> Logit:
    """Trained to tell draws of two known densities apart."""
    network = Logit()
    fit(network, telling, lambda _, g: (P.sample(512, g), Q.sample(512, g)), 400, fast)
    return network


def test_a_trained_discriminators_logit_is_the_log_ratio_of_the_densities(
    discriminator: Logit,
) -> None:
    x = torch.cat([P.sample(1000, source(1)), Q.sample(1000, source(2))])
    exact = Q.energy(x, 0.0) - P.energy(x, 0.0)
    with torch.no_grad():
        off = (discriminator(x) - exact)[exact > -3]  # where there are draws of both
    assert off.square().mean().sqrt() < 0.3
    assert off.mean().abs() < 0.1
    assert exact.std() > 1


def test_a_discriminator_corrects_the_density_it_was_trained_against(
    discriminator: Logit,
) -> None:
    weighed = importance(Q + Told(discriminator), Q, 4000, source(2))
    assert weighed.log_z == pytest.approx(0, abs=0.1)
    second = weighed.mean(weighed.x.square()).value
    exact = P.moments()
    torch.testing.assert_close(second, exact.variance + exact.mean.square(), atol=0.1, rtol=0)


def test_latents_are_drawn_where_the_discriminator_sends_them(discriminator: Logit) -> None:
    """A generator that scales noise to half is corrected through its latents."""

    def half(h: Tensor) -> Tensor:
        return h / 2

    law = gaussian(torch.zeros(2), torch.eye(2) / 4)
    exact_logit = Told(lambda x: law.energy(x, 0.0) - P.energy(x, 0.0))
    latent = At(White((2,))) + Through(exact_logit, half)
    start = torch.randn(600, 2, generator=source(3))
    x = half(chains(latent, HMC(0.4, 4), start, 60, 10, source(4)).z.flatten(0, 1))
    exact = P.moments()
    torch.testing.assert_close(x.square().mean(0), exact.variance, atol=0.06, rtol=0)


class Bilinear(nn.Module):
    """Logits of second order, enough to tell Gaussians apart."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.zeros(2, 2))
        self.vector = nn.Parameter(torch.zeros(2))
        self.number = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bi,ij,bj->b", x, self.matrix, x) + x @ self.vector + self.number


LAW = gaussian(torch.tensor([0.6, -0.4]), torch.tensor([[0.8, 0.3], [0.3, 0.5]]))


def test_a_generator_learns_the_moments_and_the_discriminator_gives_up() -> None:
    torch.manual_seed(0)
    model = Adversarial(nn.Linear(2, 2), Bilinear(), White((2,)), penalty=0.5)
    fit(model, contest, lambda _, g: model.draw(LAW.sample(256, g), g), 800)
    x = model.sample(8000, source(1))
    torch.testing.assert_close(x.mean(0), LAW.mean[0], atol=0.12, rtol=0)
    torch.testing.assert_close(x.T.cov(), LAW.covariance[0], atol=0.12, rtol=0)
    with torch.no_grad():
        assert model.discriminator(x).abs().mean() < 0.2


def test_neither_network_is_moved_by_the_others_loss() -> None:
    """The discriminator's slope is that of telling alone, the generator's that of fooling alone."""
    torch.manual_seed(0)
    made, told = nn.Linear(2, 2), Logit()
    model = Adversarial(made, told, White((2,)), penalty=0.0)
    x, h = model.draw(LAW.sample(16, source()), source(1))
    model(x, h).sum().backward()
    both = [weight.grad.clone() for weight in told.parameters() if weight.grad is not None]
    told.zero_grad()
    telling(told, x, made(h).detach()).sum().backward()
    alone = [weight.grad for weight in told.parameters() if weight.grad is not None]
    for ours, theirs in zip(both, alone, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert made.weight.grad is not None
    (fooling,) = torch.autograd.grad(
        torch.nn.functional.softplus(-told(made(h))).sum(), made.weight
    )
    torch.testing.assert_close(made.weight.grad, fooling)


def test_the_penalty_is_half_the_squared_slope_at_data() -> None:
    linear = Bilinear()
    linear.vector.data = torch.tensor([3.0, 4.0])
    losses = []
    for penalty in (0.0, 0.2):
        model = Adversarial(nn.Linear(2, 2), linear, White((2,)), penalty)
        losses.append(model(*model.draw(LAW.sample(5, source()), source(1))))
        torch.manual_seed(0)
        model.generator = nn.Linear(2, 2)
        losses[-1] = model(*model.draw(LAW.sample(5, source()), source(1)))
    torch.testing.assert_close(losses[1] - losses[0], torch.full((5,), 0.1 * 25))
