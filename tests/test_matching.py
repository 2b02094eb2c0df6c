"""Training along a path: what is asked is what is read, and straight paths need fewer steps."""

import itertools

import pytest
import torch
from torch import Tensor

from physgen.denoiser import (
    Adapted,
    DataPrediction,
    NoisePrediction,
    ScorePrediction,
    VelocityPrediction,
    VPrediction,
)
from physgen.fitting import fit
from physgen.grid import from_path
from physgen.matching import Matching, Transported
from physgen.path import Cosine, Path, Rectified, VarianceExploding, VariancePreserving
from physgen.perceptron import Perceptron
from physgen.predictor import DDIM
from physgen.sampler import sample, unit_noise
from physgen.testbeds import isotropic, source, wasserstein

KINDS = [NoisePrediction, DataPrediction, VPrediction, VelocityPrediction, ScorePrediction]
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


def trained(matching: Matching) -> Adapted:
    torch.manual_seed(0)
    network = Perceptron(3, 2, 48, 2)
    fit(network, matching, lambda _, g: matching.draw(TARGET.sample(128, g), g), 500)
    return matching.kind(network, matching.path)


def off(flow: Adapted, path: Path, steps: int) -> float:
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
