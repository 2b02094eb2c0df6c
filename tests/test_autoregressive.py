"""Sequences frame by frame, against a Gaussian process of first order."""

import math

import pytest
import torch
from torch import Tensor, nn

from physgen.autoregressive import Chained, Forecasting, NextFrame, extend
from physgen.compositional import Conditional
from physgen.energy import Energy, wide
from physgen.fitting import fit
from physgen.gaussian import White, gaussian
from physgen.grid import log_snr
from physgen.likelihood import FlowDensity
from physgen.ode import RungeKutta
from physgen.preconditioned import Denoising, Preconditioned
from physgen.predictor import DPMpp2M
from physgen.shapes import Level, PerSample, Sample
from physgen.testbeds import source

KEPT = 0.8
"""Of a frame in the next; frames have variance one."""
NEW = 1 - KEPT**2
GRID = log_snr(16, 0.02, 20.0)


class Frame(Energy):
    """The exact next frame, with noise added."""

    def __init__(self, past: Tensor) -> None:
        self.mean = KEPT * past[:, -1]

    @property
    def marginal(self) -> bool:
        return True

    def energy(self, z: Sample, s: Level) -> PerSample:
        variance = NEW + wide(s, z) ** 2 + torch.zeros_like(z)
        return ((z - self.mean).square() / variance + (math.tau * variance).log()).sum(1) / 2


class Frames(Conditional):
    def given(self, observed: Tensor) -> Energy:
        return Frame(observed)


def process(count: int, length: int) -> Tensor:
    frames = [torch.randn(count, 1, generator=source(5))]
    for step in range(length - 1):
        new = torch.randn(count, 1, generator=source(10 + step))
        frames.append(KEPT * frames[-1] + math.sqrt(NEW) * new)
    return torch.stack(frames, 1)


def covariance(length: int) -> Tensor:
    index = torch.arange(length)
    return KEPT ** (index[:, None] - index).abs().float()


def test_a_sequence_drawn_by_exact_conditionals_is_the_process() -> None:
    first = torch.randn(5000, 1, 1, generator=source())
    drawn = extend(Frames(), first, 3, GRID, DPMpp2M(), source(1))
    assert drawn.shape == (5000, 4, 1) and torch.equal(drawn[:, :1], first)
    torch.testing.assert_close(drawn[..., 0].T.cov(), covariance(4), atol=0.08, rtol=0)


def test_frames_judged_one_by_one_are_the_sequence_judged_whole() -> None:
    x = process(7, 6)
    whole = gaussian(torch.zeros(6), covariance(6))
    first = White((1,))
    chained = Chained(Frame, 1).energy(x, 0.0) + first.energy(x[:, 0], 0.0)
    torch.testing.assert_close(chained, whole.energy(x[..., 0], 0.0), atol=1e-4, rtol=0)


class Linear(nn.Module):
    """Of noisy frame and the two before, each scaled as the level says."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.by_level = nn.Sequential(nn.Linear(1, 24), nn.SiLU(), nn.Linear(24, 3))

    def forward(self, x: Tensor, level: Tensor, past: Tensor) -> Tensor:
        scale: Tensor = self.by_level(level[:, None])
        return (scale * torch.cat([x, past], 1)).sum(1, keepdim=True)


@pytest.fixture(scope="module")
def trained() -> NextFrame:
    model = Preconditioned(Linear())
    forecasting = Forecasting(Denoising(mean=0.0), memory=2)
    sequences = process(4000, 8)

    def draw(_: int, g: torch.Generator) -> tuple[Tensor, ...]:
        return forecasting.draw(sequences[torch.randint(4000, (256,), generator=g)], g)

    fit(model, forecasting, draw, 300, lambda weights: torch.optim.Adam(weights, 0.01))
    return NextFrame(model)


def test_a_trained_frame_depends_on_the_last_as_the_process_does(trained: NextFrame) -> None:
    """And not on the one before it; drawn sequences have the process's covariance."""
    drawn = extend(trained, process(3000, 2), 3, GRID, DPMpp2M(), source(3))
    torch.testing.assert_close(drawn[..., 0].T.cov(), covariance(5), atol=0.2, rtol=0)


def test_the_density_of_a_trained_sequence_is_the_processs(trained: NextFrame) -> None:
    def frame(past: Tensor) -> Energy:
        return FlowDensity(trained.given(past), White((1,)), RungeKutta(12), high=50.0)

    x = process(30, 4)
    with torch.no_grad():
        learned = Chained(frame, 2).energy(x, 0.0)
    exact = Chained(Frame, 1).energy(x[:, 1:], 0.0)
    assert (learned - exact).mean().abs() < 0.15
    assert (learned - exact).std() < 0.4


def test_what_is_told_of_a_frame_are_the_frames_before_it() -> None:
    count = torch.arange(10.0).expand(50, 10)[..., None]
    x, _, _, past = Forecasting(Denoising(), 3).draw(count, source())
    assert torch.equal(past, x - torch.tensor([3.0, 2.0, 1.0]))
    assert set(x.flatten().tolist()) == set(range(3, 10))
    with pytest.raises(ValueError, match="longer than the memory of 3 frames, got 3"):
        Forecasting(Denoising(), 3).draw(count[:, :3], source())
