"""Denoisers: one law behind every parameterisation and every path."""

import pytest
import torch
from torch import Tensor

from physgen.denoiser import (
    Adapted,
    DataPrediction,
    EnergyDenoiser,
    EnergyNetwork,
    NoisePrediction,
    ScorePrediction,
    VelocityPrediction,
    VPrediction,
)
from physgen.network import TrajectoryTransformer
from physgen.path import Cosine, Path, Rectified, VarianceExploding, VariancePreserving
from physgen.testbeds import some_gaussian, source

PATHS = [Cosine(), VariancePreserving(), VarianceExploding(), Rectified()]
LEVELS = [0.01, 0.3, 1.0, 5.0]


def exact(kind: type[Adapted], path: Path) -> Adapted:
    """What a perfectly trained network of a kind would say, from the exact clean estimate."""
    law = some_gaussian(0)

    def network(x_t: Tensor, t: Tensor) -> Tensor:
        alpha, sigma, d_alpha, d_sigma = (scale[:, None] for scale in path.at(t))
        s = (sigma / alpha)[:, 0]
        x = law.denoise(x_t / alpha, s)
        noise = (x_t - alpha * x) / sigma
        said: dict[type[Adapted], Tensor] = {
            NoisePrediction: noise,
            DataPrediction: x,
            VPrediction: alpha * noise - sigma * x,
            VelocityPrediction: d_alpha * x + d_sigma * noise,
            ScorePrediction: -noise / sigma,
        }
        return said[kind]

    return kind(network, path)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize(
    "kind", [NoisePrediction, DataPrediction, VPrediction, VelocityPrediction, ScorePrediction]
)
def test_networks_that_predict_different_things_agree_on_the_clean_estimate(
    kind: type[Adapted], path: Path
) -> None:
    law, adapted = some_gaussian(0), exact(kind, path)
    z = torch.randn(5, 3, generator=source(), dtype=torch.float64)
    for s in LEVELS:
        clean = adapted.denoise(z, s)
        torch.testing.assert_close(clean, law.denoise(z, s), atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
def test_a_path_finds_the_time_of_a_level(path: Path) -> None:
    s = torch.tensor([1e-3, 0.1, 1.0, 10.0], dtype=torch.float64)
    scales = path.at(path.t_of(s))
    torch.testing.assert_close(scales.sigma / scales.alpha, s, rtol=1e-9, atol=0)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
def test_derivatives_of_a_path_are_those_of_its_scales(path: Path) -> None:
    t, h = torch.linspace(0.1, 0.9, 9, dtype=torch.float64), 1e-6
    above, below, here = path.at(t + h), path.at(t - h), path.at(t)
    for k in (0, 1):
        difference = (above[k] - below[k]) / (2 * h)
        torch.testing.assert_close(here[k + 2], difference, rtol=1e-7, atol=1e-8)


def energy_network() -> EnergyNetwork:
    torch.manual_seed(0)
    net = TrajectoryTransformer(features=2, frames=4, width=16, layers=1, heads=2).double()
    torch.nn.init.normal_(net.read.weight, std=0.3)
    return EnergyNetwork(net)


def test_the_shift_of_an_energy_network_is_its_gradient() -> None:
    term = energy_network()
    z = torch.randn(3, 4, 1, 2, dtype=torch.float64, generator=source())
    way = torch.randn(z.shape, dtype=torch.float64, generator=source(1))
    h, s = 1e-6, 0.5
    rise = (term.energy(z + h * way, s) - term.energy(z - h * way, s)) / (2 * h)
    slope = (term.score(z, s) * way).flatten(1).sum(1)
    torch.testing.assert_close(slope, -rise, rtol=1e-6, atol=1e-8)


def test_an_untrained_energy_network_shrinks_as_a_gaussian_would() -> None:
    net = TrajectoryTransformer(features=2, frames=4, width=16, layers=1, heads=2)
    z = torch.randn(3, 4, 1, 2, generator=source())
    torch.testing.assert_close(EnergyDenoiser(net)(z, torch.full((3,), 2.0)), z / 5)
