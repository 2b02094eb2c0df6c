"""The density of a denoiser by its flow: exact where the flow is, normalised for any network."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from physgen.denoiser import Learned, VelocityPrediction
from physgen.gaussian import White, gaussian
from physgen.importance import importance
from physgen.likelihood import Exact, FlowDensity, Hutchinson, signs
from physgen.ode import Adjoint, DormandPrince, RungeKutta
from physgen.path import Rectified
from physgen.perceptron import Perceptron
from physgen.preconditioned import Preconditioned
from physgen.testbeds import bars, ring, some_gaussian, source


def points(count: int, dimension: int = 3) -> Tensor:
    return torch.randn(count, dimension, generator=source(3), dtype=torch.float64)


def affine_flow() -> VelocityPrediction:
    """The flow-matching velocity of a Gaussian, which is affine in the sample."""
    law, path = some_gaussian(0), Rectified()
    mean, axes, variance = law.mean[0], law.axes[0], law.variance[0]

    def velocity(x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma, d_alpha, d_sigma = (scale[:, None] for scale in path.at(t))
        gain = alpha * variance / (alpha**2 * variance + sigma**2)
        clean = mean + (gain * ((x_t - alpha * mean) @ axes)) @ axes.mT
        said: Tensor = d_alpha * clean + d_sigma * (x_t - alpha * clean) / sigma
        return said

    return VelocityPrediction(velocity, path)


@pytest.mark.parametrize("s", [0.05, 1.0])
@pytest.mark.parametrize("integrator", [RungeKutta(40), DormandPrince(1e-5)])
def test_the_likelihood_of_an_affine_flow_is_exact(
    integrator: RungeKutta | DormandPrince, s: float
) -> None:
    law, z = some_gaussian(0), points(6)
    density = FlowDensity(affine_flow(), law, integrator)
    torch.testing.assert_close(density.energy(z, s), law.energy(z, s), atol=5e-4, rtol=0)


def test_a_white_base_costs_less_the_higher_its_level() -> None:
    law, z = some_gaussian(0), points(6)
    errors = []
    for high in (30.0, 300.0):
        density = FlowDensity(affine_flow(), White((3,)), RungeKutta(40), low=0.05, high=high)
        errors.append((density.energy(z, 0.0) - law.energy(z, 0.05)).abs().max().item())
    assert errors[0] < 0.1
    assert errors[1] < errors[0] / 5


def test_the_likelihood_of_a_mixture_is_exact() -> None:
    law, z = ring(std=0.3), 0.8 * torch.randn(20, 2, generator=source())
    density = FlowDensity(law, law, RungeKutta(40), low=0.02)
    torch.testing.assert_close(density.energy(z, 0.1), law.energy(z, 0.1), atol=2e-3, rtol=0)


def test_all_vectors_of_signs_together_give_the_exact_trace() -> None:
    every = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3)))
    z = points(4)
    exact = FlowDensity(affine_flow(), some_gaussian(0), RungeKutta(10))
    estimated = FlowDensity(exact.term, exact.base, exact.integrator, Hutchinson(every))
    torch.testing.assert_close(estimated.energy(z, 0.1), exact.energy(z, 0.1))
    some = FlowDensity(exact.term, exact.base, exact.integrator, Hutchinson(every[1:3]))
    assert (some.energy(z, 0.1) - exact.energy(z, 0.1)).abs().max() > 0.01


def test_vectors_of_signs_are_signs_of_either_kind() -> None:
    probes = signs(200, (2, 3), source()).probes
    assert probes.shape == (200, 2, 3)
    assert probes.abs().eq(1).all()
    assert probes.mean((0, 1, 2)).abs() < 0.1


def network() -> Preconditioned:
    torch.manual_seed(0)
    return Preconditioned(Perceptron(2, 1, 8, 1)).double()


def test_the_density_of_any_network_is_normalised() -> None:
    """Mass is carried, not made: no training is needed for it."""
    density = FlowDensity(Learned(network()), White((1,)), RungeKutta(30), low=0.1)
    z = torch.linspace(-8, 8, 801, dtype=torch.float64)[:, None]
    for s in (0.1, 0.7):
        with torch.no_grad():
            mass = (-density.energy(z, s)).exp().sum() * 0.02
        assert mass.item() == pytest.approx(1, abs=1e-4)


def test_gradients_by_the_adjoint_equal_those_through_every_step() -> None:
    model = network()
    found = []
    for integrator in (RungeKutta(40), Adjoint(RungeKutta(40), model.parameters())):
        model.zero_grad()
        z = points(3, 1).requires_grad_()
        FlowDensity(Learned(model), White((1,)), integrator, low=0.1).energy(
            z, 0.0
        ).sum().backward()
        assert z.grad is not None
        found.append([z.grad, *(weight.grad for weight in model.parameters())])
    for through, adjoint in zip(*found, strict=True):
        assert through is not None and adjoint is not None and through.abs().max() > 1e-3
        torch.testing.assert_close(adjoint, through, rtol=1e-4, atol=1e-6)


def test_the_score_of_the_density_is_the_denoisers() -> None:
    """Which an exact denoiser's flow knows already, and its density must repeat."""
    law, z = some_gaussian(0), points(5)
    density = FlowDensity(affine_flow(), law, RungeKutta(40))
    torch.testing.assert_close(density.shift(z, 0.5), law.shift(z, 0.5), atol=1e-3, rtol=0)


def test_a_level_for_each_sample_and_one_for_all_agree_and_company_does_not_matter() -> None:
    density = FlowDensity(affine_flow(), some_gaussian(0), RungeKutta(20), Exact())
    z = points(3)
    levels = torch.tensor([0.02, 0.5, 200.0], dtype=torch.float64)
    together = density.energy(z, levels)
    alone = torch.cat([density.energy(z[i : i + 1], levels[i].item()) for i in range(3)])
    torch.testing.assert_close(together, alone)


def test_what_the_flow_draws_has_the_weights_of_its_density() -> None:
    """As an importance proposal for the same density without flow: all weights are one."""
    law = gaussian(torch.tensor([1.0, -0.5]), torch.tensor([[1.0, 0.4], [0.4, 0.5]]))
    density = FlowDensity(law, law, RungeKutta(40), low=0.01)
    drawn = importance(law, density, 200, source())
    assert drawn.log_z == pytest.approx(0, abs=3e-3)
    assert drawn.ess > 0.999
    assert math.dist(drawn.x.mean(0).tolist(), (1.0, -0.5)) < 0.25


def test_a_sum_of_scores_has_no_flow() -> None:
    with pytest.raises(ValueError, match="no flow carries it"):
        FlowDensity(ring() + bars(), White((2,)))
    with pytest.raises(ValueError, match="0 < low < high"):
        FlowDensity(ring(), White((2,)), low=2.0, high=1.0)
