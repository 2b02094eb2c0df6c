"""Windows whose steps have a level each, held to a Gaussian process whose law is known."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from physgen.asynchronous import Ladder, Moving, PreconditionedSteps, carried
from physgen.preconditioned import Preconditioned

MEMORY = 0.8
"""Of the process: each step is so much of the one before it, and unit spread in all."""
HORIZON = 6


def law_after(last: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(batch, step)`` and covariance of the next steps, given the last one ``(batch,)``."""
    ahead = 1 + torch.arange(HORIZON, dtype=torch.float64)
    mean = last[:, None] * MEMORY**ahead
    lag = (ahead[:, None] - ahead).abs()
    covariance = MEMORY**lag - MEMORY ** (ahead[:, None] + ahead)
    return mean, covariance


def exact(last: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    """The clean estimate of windows with noise, ``m + C (C + S²)⁻¹ (z - m)``."""
    mean, covariance = law_after(last)

    def denoise(z: Tensor, levels: Tensor) -> Tensor:
        gain = covariance @ torch.linalg.inv(covariance + torch.diag(levels.square()))
        clean: Tensor = mean + (z - mean) @ gain.T
        return clean

    return denoise


def noised(levels: Tensor) -> Tensor:
    return law_after(torch.zeros(1, dtype=torch.float64))[1] + torch.diag(levels.square())


def covariance_of(stages: Tensor) -> Tensor:
    """Of what becomes of the law at the first levels: the way is linear, so its axes tell all."""
    axes = torch.linalg.cholesky(noised(stages[0])).T
    reached = carried(exact(torch.zeros(HORIZON, dtype=torch.float64)), axes, stages)
    return reached.T @ reached


def test_unequal_levels_are_reached_by_the_law_with_that_noise() -> None:
    ladder = Ladder(HORIZON)
    errors = []
    for evaluations in (20, 40, 80):
        stages = ladder.start((HORIZON - 1) * evaluations).double()
        right = noised(stages[-1])
        spread = right.diagonal().sqrt()
        off = (covariance_of(stages) - right) / spread.outer(spread)
        errors.append(off.abs().max().item())
    assert errors[-1] < 1e-2
    assert 1.7 < errors[0] / errors[1] < 2.3  # Euler's method is of first order
    assert 1.7 < errors[1] / errors[2] < 2.3


def test_a_window_drawn_as_a_whole_has_the_clean_law() -> None:
    stages = Ladder(HORIZON).whole(2000).double()
    clean = law_after(torch.zeros(1, dtype=torch.float64))[1]
    assert (covariance_of(stages) - clean).abs().max() < 0.02


def test_steps_that_leave_moved_windows_follow_the_process() -> None:
    count, turns = 20_000, 8
    generator = torch.Generator().manual_seed(0)
    moving = Moving(Ladder(HORIZON), 40, generator)
    last = torch.randn(count, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, HORIZON, generator=generator, dtype=torch.float64)
    waiting = moving.begin(exact(last), noise)
    steps = [last]
    for _ in range(turns):
        last, waiting = moving.turn(exact(last), waiting)
        steps.append(last)
    found = torch.cov(torch.stack(steps))
    lag = (torch.arange(turns + 1)[:, None] - torch.arange(turns + 1)).abs()
    assert (found - MEMORY ** lag.double()).abs().max() < 0.04  # a standard error is 0.01


def heeded(lowest: float) -> float:
    """The share of a surprise that the next step follows: the world is at two, not where expected."""
    generator = torch.Generator().manual_seed(1)
    moving = Moving(Ladder(HORIZON, lowest=lowest), 20, generator)
    rest = torch.zeros(10_000, dtype=torch.float64)
    noise = torch.randn(len(rest), HORIZON, generator=generator, dtype=torch.float64)
    waiting = moving.begin(exact(rest), noise)
    drawn, _ = moving.turn(exact(rest + 2), waiting)
    return drawn.mean().item() / (2 * MEMORY)


def test_a_surprise_is_heeded_as_far_as_the_lowest_rung_is_noisy() -> None:
    little, some, most = (heeded(lowest) for lowest in (0.05, 0.5, 0.95))
    assert little < 0.1
    assert little < some < most
    assert abs(most - 1) < 0.05


def test_moving_on_costs_one_evaluation_and_a_window_anew_one_for_each_rung() -> None:
    calls = []

    def denoise(z: Tensor, levels: Tensor) -> Tensor:
        calls.append(levels)
        return 0 * z

    ladder, generator = Ladder(HORIZON), torch.Generator().manual_seed(0)
    moving = Moving(ladder, 1, generator)
    waiting = moving.begin(denoise, torch.randn(2, HORIZON, 3, generator=generator))
    begun = len(calls)
    moving.turn(denoise, waiting)
    assert (begun, len(calls) - begun) == (HORIZON - 1, 1)
    torch.testing.assert_close(calls[-1], ladder.at(torch.arange(1.0, HORIZON + 1)))
    carried(denoise, waiting, ladder.whole(HORIZON))
    assert len(calls) - begun - 1 == HORIZON
    calls.clear()
    once = Moving(ladder, 1, generator, first=1).begin(denoise, torch.ones(2, HORIZON, 3))
    assert len(calls) == 1 and set(calls[0].tolist()) == {ladder.top}
    torch.testing.assert_close(once[0, :, 0], ladder.at(torch.arange(1.0, HORIZON + 1)))


def test_a_turn_ends_where_the_next_begins_one_step_on() -> None:
    ladder = Ladder(HORIZON)
    stages = ladder.turn(3)
    assert stages[-1, 0] == 0
    torch.testing.assert_close(stages[-1, 1:], stages[0, :-1])
    torch.testing.assert_close(ladder.start(3)[-1], stages[0])
    assert stages[0, -1] == ladder.top


def test_levels_of_training_lie_on_all_ways_down_the_ladder() -> None:
    """Of a turn, steps are a rung apart; on a start the far ones wait; of a whole all are equal."""
    rungs = Ladder(HORIZON).draw(4000, torch.Generator().manual_seed(0))
    apart = rungs.diff(dim=1)
    moving = (apart - 1).abs().amax(1) < 1e-4
    together = apart.abs().amax(1) < 1e-4
    starting = ~moving & ~together & (apart >= -1e-4).all(1) & (apart <= 1 + 1e-4).all(1)
    assert (moving | together | starting).all()
    assert 0.55 < moving.float().mean() < 0.68
    assert 0.18 < together.float().mean() < 0.28
    assert rungs.min() > 0


class Mixing(nn.Module):
    """Any network: it looks at the sample and at the mean of the conditions."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        mean = condition.flatten(1).mean(1) if condition.ndim > 1 else condition
        return torch.tanh(x.flip(1)) + mean[:, None, None]


def test_equal_levels_are_one_level() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(3, 4, 5, generator=generator)
    level = torch.tensor([0.1, 1.0, 7.0])
    one = Preconditioned(Mixing())(z, level)
    many = PreconditionedSteps(Mixing())(z, level[:, None].expand(-1, 4))
    torch.testing.assert_close(many, one)


def test_a_step_without_noise_is_what_it_is() -> None:
    z = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    levels = torch.tensor([[1e-6, 1.0, 9.0]]).expand(2, -1)
    clean = PreconditionedSteps(Mixing())(z, levels)
    torch.testing.assert_close(clean[:, 0], z[:, 0], atol=1e-4, rtol=0)


def test_a_ladder_that_does_not_rise_or_a_turn_without_evaluations_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two steps, got 1"):
        Ladder(1)
    with pytest.raises(ValueError, match=r"lowest 0\.99 and first 0\.98"):
        Ladder(4, lowest=0.99)
    with pytest.raises(ValueError, match="at least one evaluation, got 0"):
        Moving(Ladder(2), 0, torch.Generator())
    with pytest.raises(ValueError, match="first windows need at least one evaluation, got 0"):
        Moving(Ladder(2), 1, torch.Generator(), first=0)
