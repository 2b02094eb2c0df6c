"""Training along a path: what is asked is what is read, and straight paths need fewer steps."""

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from physgen.carrier import Carrier
from physgen.denoiser import (
    Adapted,
    DataPrediction,
    NoisePrediction,
    ScorePrediction,
    VelocityPrediction,
    VPrediction,
)
from physgen.energy import Score, ScoreSum, check_score
from physgen.fitting import fit
from physgen.grid import from_path
from physgen.kernel import ULA
from physgen.likelihood import FlowDensity
from physgen.matching import CoupledFlow, Matching, Transported
from physgen.ode import RungeKutta
from physgen.path import Cosine, Path, Rectified, VarianceExploding, VariancePreserving
from physgen.perceptron import Perceptron
from physgen.predictor import DDIM, Ancestral
from physgen.sampler import anneal, sample, unit_noise
from physgen.testbeds import isotropic, source, wasserstein

KINDS = [NoisePrediction, DataPrediction, VPrediction, VelocityPrediction, ScorePrediction]
GRID = from_path(Rectified(), 4, 0.99)
TARGET = isotropic(torch.tensor([[-1.5, 0.0], [1.5, 0.7], [0.3, -1.6]]), 0.25)


@pytest.mark.parametrize(
    "path", [Cosine(), VariancePreserving(), VarianceExploding(), Rectified()]
)
@pytest.mark.parametrize("kind", KINDS)
def test_who_says_what_is_asked_is_read_as_the_clean_sample(
    kind: type[Adapted], path: Path
) -> None:
    x, noise = torch.randn(2, 6, 3, generator=source(), dtype=torch.float64)
    t = torch.linspace(0.1, 0.9, 6, dtype=torch.float64)
    scales = path.at(t)
    adapted = kind(lambda x_t, t: x_t, path)
    z = x + (scales.sigma / scales.alpha)[:, None] * noise
    torch.testing.assert_close(adapted.read(adapted.asked(x, noise, t), z, t), x)
    told = kind(lambda x_t, t: adapted.asked(x, noise, t), path)
    torch.testing.assert_close(told.loss(x, noise, t), torch.zeros(6, dtype=torch.float64))


@pytest.mark.parametrize("path", [Cosine(), VariancePreserving(), Rectified()])
def test_the_score_is_learned_as_the_noise_is_evenly_over_times(path: Path) -> None:
    """A network that knows nothing has the same loss at every time, and that of the noise."""
    x, noise = torch.randn(2, 6, 3, generator=source(), dtype=torch.float64)
    t = torch.logspace(-3, -0.01, 6, dtype=torch.float64)
    silent = [kind(lambda x_t, t: 0 * x_t, path) for kind in (ScorePrediction, NoisePrediction)]
    score, of_noise = (one.loss(x, noise, t) for one in silent)
    torch.testing.assert_close(score, of_noise)


def test_the_velocity_asked_for_is_how_fast_the_path_moves() -> None:
    x, noise = torch.randn(2, 6, 3, generator=source(), dtype=torch.float64)
    t, h, path = torch.linspace(0.1, 0.9, 6, dtype=torch.float64), 1e-6, Cosine()

    def at(time: Tensor) -> Tensor:
        scales = path.at(time)
        x_t: Tensor = scales.alpha[:, None] * x + scales.sigma[:, None] * noise
        return x_t

    asked = VelocityPrediction(lambda x_t, t: x_t, path).asked(x, noise, t)
    torch.testing.assert_close(asked, (at(t + h) - at(t - h)) / (2 * h), rtol=1e-7, atol=1e-8)


def test_transported_noise_is_the_same_noise_paired_at_the_least_cost() -> None:
    x, noise = torch.randn(2, 5, 2, generator=source())
    paired = Transported().pair(x, noise)
    assert torch.equal(paired.sort(0).values, noise.sort(0).values)
    costs = [
        (x - noise[list(order)]).square().sum().item()
        for order in itertools.permutations(range(5))
    ]
    assert (x - paired).square().sum().item() == pytest.approx(min(costs))


def trained(matching: Matching) -> Carrier:
    torch.manual_seed(0)
    network = Perceptron(3, 2, 48, 2)
    fit(network, matching, lambda _, g: matching.draw(TARGET.sample(128, g), g), 500)
    return matching.of(network)


def off(flow: Carrier, path: Path, steps: int) -> float:
    """How far draws in so many evaluations are from the target."""
    start = unit_noise(400, (2,), source(1))
    x = sample(flow, start, from_path(path, steps, 0.998), DDIM(), source(2))
    return wasserstein(x, TARGET.sample(400, source(3)))


def test_straight_paths_need_fewer_evaluations_and_transported_ones_the_fewest() -> None:
    """What diffusion along the linear schedule reaches in twenty: in eight, and in two."""
    diffusion = VariancePreserving()
    reached = off(trained(Matching(NoisePrediction, diffusion)), diffusion, 20)
    straight = trained(Matching(VelocityPrediction, Rectified()))
    transported = trained(Matching(VelocityPrediction, Rectified(), Transported()))
    assert off(straight, Rectified(), 8) < reached < off(straight, Rectified(), 2)
    assert off(transported, Rectified(), 2) < reached < 0.6


def transported() -> CoupledFlow:
    """What a network becomes that was trained on noise coupled with its data."""
    flow = Matching(VelocityPrediction, Rectified(), Transported()).of(lambda x_t, t: 0 * x_t)
    assert isinstance(flow, CoupledFlow)
    return flow


def test_the_coupling_decides_whether_a_network_has_a_score() -> None:
    assert isinstance(Matching(VelocityPrediction, Rectified()).of(lambda x, t: x), Score)
    assert not isinstance(transported(), Score)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda flow: isotropic(torch.zeros(1, 2), 1.0) + flow,
        lambda flow: flow + isotropic(torch.zeros(1, 2), 1.0),
        lambda flow: 0.5 * flow,
        lambda flow: ScoreSum((flow, 1.0)),
        lambda flow: sample(flow, torch.zeros(3, 2), GRID, Ancestral(), source()),
        lambda flow: sample(flow, torch.zeros(3, 2), GRID, DDIM(), source(), repeats=2),
        lambda flow: anneal(flow, torch.zeros(3, 2), GRID, source(), kernel=ULA(0.1)),
    ],
)
def test_a_coupled_flow_neither_adds_nor_takes_moves_or_fresh_noise(
    wrong: Callable[[CoupledFlow], object],
) -> None:
    with pytest.raises(TypeError):
        wrong(transported())


def test_why_a_coupled_flow_is_no_score_is_said() -> None:
    with pytest.raises(TypeError, match=r"CoupledFlow has no score.* Carry it by DDIM\(\)"):
        check_score(transported())


def test_a_coupled_flow_has_the_density_of_where_it_leads() -> None:
    """Straight lines to half the noise: a Gaussian of half its width, at the level of no noise."""
    half = VelocityPrediction(lambda x_t, t: x_t / (1 + t[:, None]), Rectified())
    flow = CoupledFlow(half)
    start = unit_noise(20, (2,), source(), torch.float64)
    grid = from_path(Rectified(), 6, 0.999)
    ends = sample(flow, start, grid, DDIM(), source())
    torch.testing.assert_close(ends, start / 2, rtol=2e-3, atol=0)
    wide = isotropic(torch.zeros(1, 2, dtype=torch.float64), 1e-3)
    density = FlowDensity(flow, wide, RungeKutta(60), low=1e-3, high=1e3)
    assert not density.marginal
    exact = isotropic(torch.zeros(1, 2, dtype=torch.float64), 0.5).energy(ends, 0.0)
    torch.testing.assert_close(density.energy(ends, 0.0), exact, rtol=0, atol=0.02)
