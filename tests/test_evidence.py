"""The evidence bound against closed forms on Gaussian data, and variances that are learned."""

import math

import pytest
import torch
from torch import Tensor, nn

from physgen import guidance
from physgen.denoiser import DataPrediction
from physgen.evidence import Fixed, Hybrid, Largest, Said, Smallest, TwoHeaded, Wide, evidence
from physgen.fitting import fit
from physgen.gaussian import White, gaussian
from physgen.grid import Grid, log_snr
from physgen.guidance import Guided
from physgen.path import Cosine
from physgen.perceptron import Perceptron
from physgen.predictor import Ancestral
from physgen.sampler import sample, unit_noise
from physgen.testbeds import source

STD = 0.6
LAW = White((4,), STD)
GRID = log_snr(7, 0.1, 20.0)


def mean_nats(variance: Fixed, grid: Grid) -> tuple[float, float]:
    """Of the exact denoiser of white data, and the standard error."""
    x = LAW.sample(10_000, source()).double()
    nats = evidence(LAW, variance, LAW, x, grid, source(1)).nats
    return nats.mean().item(), nats.std().item() / math.sqrt(len(x))


def entropy() -> float:
    return 2 * math.log(math.tau * math.e * STD**2)


@pytest.mark.parametrize(("steps", "high"), [(1, 20.0), (7, 20.0), (30, 20.0), (3, 0.5)])
def test_with_the_right_variance_the_bound_is_the_entropy_on_any_grid(
    steps: int, high: float
) -> None:
    """A Gaussian's steps down are Gaussian, so that nothing is lost, however few they are, and
    wherever they begin."""
    nats, error = mean_nats(Largest(STD), log_snr(steps, 0.1, high))
    assert nats == pytest.approx(entropy(), abs=4 * error)
    assert error < 0.06


def test_with_the_smallest_variance_the_bound_is_off_by_its_closed_form() -> None:
    """Each step but the last by (r - 1 - ln r) / 2 an entry, r the true variance over it."""
    lost = 0.0
    for above, below in zip(GRID.levels[:-2], GRID.levels[1:-1], strict=True):
        small = below**2 * (1 - below**2 / above**2)
        clean = above**2 * STD**2 / (above**2 + STD**2)
        ratio = 1 + (1 - below**2 / above**2) ** 2 * clean / small
        lost += 4 * (ratio - 1 - math.log(ratio)) / 2
    nats, error = mean_nats(Smallest(STD), GRID)
    assert lost > 1
    assert nats - entropy() == pytest.approx(lost, abs=4 * error)


def test_the_steps_of_the_smallest_variance_are_ancestral_ones() -> None:
    start = unit_noise(50, (4,), source())
    ours = sample(LAW, start, GRID, Wide(Smallest(STD)), source(1))
    theirs = sample(LAW, start, GRID, Ancestral(), source(1))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_steps_of_the_right_variance_draw_exactly_from_few_levels() -> None:
    """Up to the noise that the last step leaves out; ancestral steps are too narrow."""
    start = unit_noise(20_000, (4,), source())
    left = STD**2 - 0.1**2 * STD**2 / (0.1**2 + STD**2)
    right = sample(LAW, start, GRID, Wide(Largest(STD)), source(1)).square().mean().item()
    narrow = sample(LAW, start, GRID, Ancestral(), source(1)).square().mean().item()
    assert right == pytest.approx(left, rel=0.02)
    assert narrow < 0.9 * left


class Told(nn.Module):
    """The exact clean estimate of two entries of different spread, and a learned variance."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.place = Perceptron(1, 2, 16, 1)

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        scales = Cosine().at(t)
        s = scales.sigma / scales.alpha
        clean = PAIR.denoise(x_t / scales.alpha[:, None], s)
        return torch.cat([clean, self.place(t[:, None])], 1)


PAIR = gaussian(torch.zeros(2), torch.diag(torch.tensor([1.0, 0.01])))


def test_learned_variances_find_those_of_each_entry_and_close_the_gap() -> None:
    """One entry is as white as the widest steps take it to be, the other nearly without spread."""
    grid, network = log_snr(5, 0.1, 20.0), Told()
    hybrid = Hybrid(DataPrediction, Cosine(), grid, weight=1.0)
    fit(network, hybrid, lambda _, g: hybrid.draw(PAIR.sample(256, g), g), 400)
    model = TwoHeaded(network, DataPrediction, Cosine())
    x, base = PAIR.sample(8000, source(1)), White((2,))
    exact = math.log(math.tau * math.e) + math.log(0.01) / 2
    lost = {
        type(variance).__name__: evidence(model, variance, base, x, grid, source(2)).nats.mean()
        - exact
        for variance in (Smallest(), Largest(), Said(model))
    }
    assert lost["Said"] < 0.1
    assert lost["Smallest"] > 0.5
    assert lost["Largest"] > 0.5


def test_steps_of_said_variance_go_where_guidance_leads() -> None:
    model, start = TwoHeaded(Told(), DataPrediction, Cosine()), unit_noise(5, (2,), source())
    guided = Guided(model, lambda x: (x - 1).square().sum(1), guidance.Fixed(2.0))
    x = sample(guided, start, log_snr(1, 0.5, 2.0), Wide(Said(model)), source(1))
    torch.testing.assert_close(x, guided.denoise(2 * start, 2.0))


def test_the_bounds_gradient_does_not_reach_what_is_predicted() -> None:
    torch.manual_seed(0)
    network = nn.Linear(2, 4)

    class Timeless(nn.Module):
        def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
            out: Tensor = network(x_t)
            return out

    slopes = []
    for weight in (0.0, 1.0):
        hybrid = Hybrid(DataPrediction, Cosine(), GRID, weight=weight)
        network.zero_grad()
        hybrid(Timeless(), *hybrid.draw(PAIR.sample(32, source()), source(1))).sum().backward()
        assert network.weight.grad is not None
        slopes.append(network.weight.grad.clone())
    assert torch.equal(slopes[0][:2], slopes[1][:2])
    assert slopes[0][2:].abs().max() == 0 < slopes[1][2:].abs().max()
