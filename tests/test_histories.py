"""Histories: means over whole periods, with an interval that is right and a drift that is told."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from physgen.solvers.histories import Summary, summarise, upcrossings
from physgen.testbeds import source

FREQUENCY, LENGTH, SPEED = 0.317, 0.5, 2.0
STROUHAL = FREQUENCY * LENGTH / SPEED


def irregular(end: float, steps: int, seed: int = 0) -> Tensor:
    """Instants from 0 to ``end`` whose steps vary by a factor of three."""
    step = torch.rand(steps, generator=source(seed), dtype=torch.float64) + 0.5
    return torch.cat([step.new_zeros(1), step.cumsum(0) / step.sum() * end])


def step_means(time: Tensor, phase: Tensor, amplitude: float = 1.0) -> Tensor:
    """The exact means of a sine over the steps; the first value opens the record."""
    omega = math.tau * FREQUENCY
    falls = (omega * time + phase[:, None]).cos()
    mean = (falls[:, :-1] - falls[:, 1:]) / omega / time.diff()
    return amplitude * torch.cat([mean[:, :1], mean], 1)


def sines(cycles: float = 20.37, mean: float = 0.4) -> tuple[Tensor, Tensor]:
    time = irregular(cycles / FREQUENCY, 1200)
    phase = torch.arange(7, dtype=torch.float64)
    return time, mean + step_means(time, phase)


def told(time: Tensor, values: Tensor, since: float = 0.0) -> Summary:
    return summarise(time, values, LENGTH, SPEED, since)


def noise(histories: int, steps: int, memory: float) -> Tensor:
    """Stationary AR(1) processes about 2, with unit variance."""
    draws = torch.randn(steps, histories, generator=source(3), dtype=torch.float64)
    x = [draws[0]]
    for draw in draws[1:]:
        x.append(memory * x[-1] + math.sqrt(1 - memory**2) * draw)
    return 2 + torch.stack(x, 1)


def test_the_mean_over_whole_periods_is_exact_where_the_plain_mean_is_not() -> None:
    time, values = sines()
    found = told(time, values)
    assert (found.mean - 0.4).abs().max() < 1e-4
    plain = (values[:, 1:] * time.diff()).sum(1) / (time[-1] - time[0])
    assert (plain - 0.4).abs().max() > 5e-3
    assert set(found.periods.tolist()) == {19, 20} and found.stationary.all()


def test_amplitude_and_rms_of_a_sine() -> None:
    found = told(*sines())
    torch.testing.assert_close(
        found.amplitude, torch.full_like(found.mean, 1.0), rtol=2e-3, atol=0
    )
    assert (found.rms - math.sqrt(0.5)).abs().max() < 1e-3


@pytest.mark.parametrize("loud", [0.0, 0.05])
def test_the_strouhal_number_of_an_irregularly_sampled_noisy_sine(loud: float) -> None:
    time, values = sines()
    hiss = torch.randn(values.shape, generator=source(1), dtype=torch.float64)
    found = told(time, values + loud * hiss)
    assert (found.strouhal / STROUHAL - 1).abs().max() < 1e-3
    assert (found.spread < (1e-3 + loud) * STROUHAL).all()


def test_noise_does_not_add_crossings() -> None:
    time, values = sines()
    hiss = 0.15 * torch.randn(values.shape, generator=source(1), dtype=torch.float64)
    count = upcrossings(time, values).isfinite().sum(1)
    assert torch.equal(upcrossings(time, values + hiss).isfinite().sum(1), count)


def test_a_batch_of_bodies_and_components_is_the_histories_one_by_one() -> None:
    time, values = sines()
    values = torch.cat([values, values[:5] * 0 + 0.3])
    together = told(time, values.reshape(2, 3, 2, -1))
    assert together.mean.shape == (2, 3, 2)
    for index, history in enumerate(values):
        alone = told(time, history[None])
        for name in ("mean", "amplitude", "rms", "strouhal", "spread", "periods", "stationary"):
            both = getattr(together, name).flatten()[index], getattr(alone, name)[0]
            torch.testing.assert_close(*both, equal_nan=True)


def test_a_steady_history_has_no_interval_and_no_strouhal_number() -> None:
    time = irregular(10.0, 100)
    found = told(time, torch.full((2, 101), 0.3, dtype=torch.float64))
    torch.testing.assert_close(found.mean, torch.full_like(found.mean, 0.3))
    low, high = found.ci95
    assert (high - low).abs().max() < 1e-12 and found.amplitude.max() == 0
    assert found.strouhal.isnan().all() and found.spread.isnan().all()
    assert found.periods.tolist() == [0, 0] and found.stationary.all()


def test_an_oscillation_below_the_threshold_is_none() -> None:
    time, values = sines(mean=0.0)
    assert told(time, 0.9e-3 * values).strouhal.isnan().all()
    assert told(time, 1.1e-3 * values).strouhal.isfinite().all()


def test_a_steady_mean_is_weighted_by_time() -> None:
    time = torch.cat([torch.linspace(0, 1, 101), torch.linspace(1, 3, 11)[1:]]).double()
    ramp = torch.cat([time[:1], (time[1:] + time[:-1]) / 2])[None]
    torch.testing.assert_close(told(time, ramp).mean, torch.tensor([1.5], dtype=torch.float64))


def test_an_interval_is_students_over_ten_blocks() -> None:
    blocks = torch.tensor([3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3]).double()
    values = torch.cat([blocks[:1], blocks.repeat_interleave(7)])[None]
    found = told(torch.arange(71.0).double(), values)
    expected = stats.t.interval(0.95, 9, loc=3.9, scale=stats.sem(blocks.numpy()))
    assert tuple(end.item() for end in found.ci95) == pytest.approx(expected)


def test_intervals_hold_the_true_mean_nineteen_times_in_twenty() -> None:
    values = noise(2000, 1000, memory=0.7)
    found = told(torch.arange(1000.0).double(), values)
    low, high = found.ci95
    held = ((low <= 2) & (high >= 2)).double().mean().item()
    assert held == pytest.approx(0.95, abs=0.015)
    assert found.strouhal.isnan().all(), "noise is no oscillation"


def test_one_stationary_record_in_twenty_is_called_transient() -> None:
    found = told(torch.arange(500.0).double(), noise(2000, 500, memory=0.5))
    assert found.stationary.double().mean().item() == pytest.approx(0.95, abs=0.02)


def test_intervals_over_unequal_blocks_of_periods_hold_the_true_mean() -> None:
    """Sixteen periods make ten blocks, of one or two periods."""
    time = torch.linspace(0, 17.9 / FREQUENCY, 700).double()
    hiss = 0.1 * (noise(2000, 700, memory=0.0) - 2)
    found = told(time, 2 + step_means(time, torch.zeros(2000).double()) + hiss)
    low, high = found.ci95
    assert ((low <= 2) & (high >= 2)).double().mean().item() == pytest.approx(0.95, abs=0.02)
    assert found.periods.double().mean().item() == pytest.approx(16, abs=0.1)


def test_a_mean_over_a_transient_says_so() -> None:
    time, values = sines(mean=0.0)
    decay = (-time / 8).exp()
    transients = torch.stack([decay, decay + 0.05 * values[0], 0.01 * time + 0.2 * values[1]])
    assert not told(time, transients).stationary.any()
    late = told(time, transients[:1], since=57.0)
    assert late.stationary.all() and late.mean.abs().max() < 1e-3


def test_an_oscillation_that_still_grows_is_not_stationary() -> None:
    time, values = sines(mean=0.0)
    assert not told(time, 0.05 * values * (time / 60).exp()).stationary.any()


def test_what_comes_before_the_window_does_not_matter() -> None:
    time, values = sines()
    before = time < 10
    other = torch.where(before, 50.0, values)
    torch.testing.assert_close(told(time, other, 10.0).mean, told(time, values, 10.0).mean)


def test_gradients_are_those_of_finite_differences() -> None:
    time = irregular(6.4 / FREQUENCY, 60)
    values = 0.4 + step_means(time, torch.tensor([0.3, 2.0]).double())
    values = torch.cat([values, torch.linspace(0, 1, 61).double()[None] ** 2])

    def statistics(x: Tensor) -> tuple[Tensor, ...]:
        found = told(time, x)
        return found.mean, found.rms, found.amplitude, found.drift, found.strouhal[:2]

    assert torch.autograd.gradcheck(statistics, values.requires_grad_(), fast_mode=True)


def test_a_constant_has_finite_gradients() -> None:
    x = torch.ones(1, 50, dtype=torch.float64, requires_grad=True)
    found = told(torch.arange(50.0).double(), x)
    (found.mean + found.rms + found.amplitude).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_the_precision_of_the_values_is_kept() -> None:
    time, values = sines()
    found = told(time.float(), values.float())
    assert found.mean.dtype == torch.float32
    assert (found.mean - 0.4).abs().max() < 1e-4


def test_bad_records_are_refused() -> None:
    time, values = sines()
    with pytest.raises(ValueError, match="length must be positive, got -1"):
        summarise(time, values, -1.0, 1.0, 0.0)
    with pytest.raises(ValueError, match="time must increase"):
        told(time.flip(0), values)
    with pytest.raises(ValueError, match="there are 0 steps after since = 900"):
        told(time, values, 900.0)
    values[2, 5] = math.nan
    with pytest.raises(FloatingPointError, match="1 of 7 histories are not finite"):
        told(time, values)
