"""Normalizing flows: exact densities that are trained, drawn from, and added."""

import math

import pytest
import torch
from zuko.flows import MAF, NCSF, NSF

from physgen.bridge import cross
from physgen.fitting import fit
from physgen.gaussian import gaussian
from physgen.importance import importance
from physgen.kernel import HMC
from physgen.normalizing import NormalizingFlow, surprise
from physgen.testbeds import isotropic, source

TARGET = isotropic(torch.tensor([[-1.0, 0.0], [1.0, 0.6]]), 0.35, torch.tensor([0.4, 0.6]))


@pytest.fixture(scope="module")
def flow() -> NormalizingFlow:
    """Trained on draws of the target."""
    torch.manual_seed(0)
    network = NSF(2, transforms=2, hidden_features=(32, 32))
    fit(network, surprise, lambda _, g: (TARGET.sample(256, g),), 250)
    return NormalizingFlow(network, (2,))


def test_likelihood_comes_close_to_the_entropy_and_never_beats_it(flow: NormalizingFlow) -> None:
    x = TARGET.sample(4000, source(1))
    with torch.no_grad():
        gap = flow.energy(x, 0.0) - TARGET.energy(x, 0.0)
    assert 0 < gap.mean() < 0.08


def test_a_flow_is_normalised(flow: NormalizingFlow) -> None:
    ends = torch.linspace(-6, 6, 241)
    place = torch.cartesian_prod(ends, ends)
    with torch.no_grad():
        mass = (-flow.energy(place, 0.0)).exp().sum() * 0.05**2
    assert mass.item() == pytest.approx(1, abs=5e-3)


def test_a_flow_proposes_for_the_target_and_starts_its_bridge(flow: NormalizingFlow) -> None:
    weighed = importance(TARGET, flow, 2000, source(2))
    assert weighed.log_z == pytest.approx(0, abs=4 * weighed.log_z_error)
    assert weighed.ess > 0.7
    shares = [0.0, 0.5, 1.0]
    crossed = cross(flow, TARGET, HMC(0.2), shares, 500, source(3)).drawn
    assert crossed.log_z == pytest.approx(0, abs=4 * crossed.log_z_error)
    assert crossed.ess > weighed.ess


def test_draws_are_those_of_unit_noise(flow: NormalizingFlow) -> None:
    with torch.no_grad():
        noise = flow.flow().transform(flow.sample(4000, source(5)))
    torch.testing.assert_close(noise.mean(0), torch.zeros(2), atol=0.06, rtol=0)
    torch.testing.assert_close(noise.T.cov(), torch.eye(2), atol=0.09, rtol=0)


def test_a_flow_adds_to_other_energies(flow: NormalizingFlow) -> None:
    """The sum is weighed from the flow's draws: its normaliser is the overlap, known exactly."""
    other = gaussian(torch.tensor([0.5, 0.0]), 0.5 * torch.eye(2))
    weighed = importance(flow + other, flow, 2000, source(4))
    exact = TARGET.product(other)
    assert weighed.log_z == pytest.approx(exact.log_mass.item(), abs=0.1)
    found = weighed.mean(weighed.x).value
    assert math.dist(found.tolist(), exact.moments().mean.tolist()) < 0.1


def test_a_batch_of_fields_is_flattened_and_given_back() -> None:
    torch.manual_seed(0)
    flow = NormalizingFlow(MAF(6, transforms=1, hidden_features=(8,)), (2, 3))
    x = flow.sample(5, source())
    assert x.shape == (5, 2, 3)
    again = flow.sample(5, source())
    assert torch.equal(x, again)
    torch.testing.assert_close(flow.energy(x, 0.0), surprise(flow.flow, x.flatten(1)))


def test_flows_of_another_size_or_noise_are_refused() -> None:
    with pytest.raises(ValueError, match="have 3 entries, the flow was made for 2"):
        NormalizingFlow(MAF(2, transforms=1), (3,))
    with pytest.raises(ValueError, match="independent Gaussian noise, got BoxUniform"):
        NormalizingFlow(NCSF(2, transforms=1), (2,))
