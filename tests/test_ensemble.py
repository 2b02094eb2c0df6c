"""Figures of ensembles, held to closed forms."""

import math

import pytest
import torch

from physgen.ensemble import correlation, covered, crps, mean_error, spread_skill


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def test_the_score_is_that_of_all_pairs_of_members() -> None:
    members, truth = normal(3, 5, 2, 7), normal(3, 2, 7, seed=1)
    miss = (members - truth[:, None]).abs().mean(1)
    pairs = (members[:, :, None] - members[:, None]).abs().sum((1, 2)) / (5 * 4)
    torch.testing.assert_close(crps(members, truth), (miss - pairs / 2).mean(-1))
    one = members[:, :1]
    torch.testing.assert_close(crps(one, truth), (one[:, 0] - truth).abs().mean(-1))


def test_the_score_of_the_right_normal_law_is_its_closed_form() -> None:
    members, truth = normal(1, 19, 40_000), normal(1, 40_000, seed=1)
    assert crps(members, truth).item() == pytest.approx(1 / math.sqrt(math.pi), rel=0.01)
    for wrong in (0.6 * members, 1.5 * members, members + 0.5):
        assert crps(wrong, truth).item() > 1.02 / math.sqrt(math.pi)


def test_where_the_truth_may_be_a_member_spread_is_skill_and_intervals_hold_nine_in_ten() -> None:
    common = normal(50, 1, 4, 400, seed=2)
    members, truth = (
        common + normal(50, 19, 4, 400),
        (common + normal(50, 1, 4, 400, seed=3))[:, 0],
    )
    torch.testing.assert_close(
        spread_skill(members, truth), torch.ones(4, dtype=torch.float64), atol=0.015, rtol=0
    )
    assert covered(members, truth).mean().item() == pytest.approx(0.9, abs=0.005)
    assert mean_error(members, truth).mean().item() == pytest.approx(math.sqrt(1.05), rel=0.01)
    narrow = common + 0.5 * (members - common)
    assert spread_skill(narrow, truth).max() < 0.6
    assert covered(narrow, truth).mean() < 0.7


def test_the_mean_of_members_correlates_whatever_its_size_and_level() -> None:
    truth = normal(3, 2, 50)
    torch.testing.assert_close(
        correlation(0.1 * truth[:, None] + 4, truth), torch.ones(3, 2, dtype=torch.float64)
    )
    torch.testing.assert_close(
        correlation(-truth[:, None], truth), -torch.ones(3, 2, dtype=torch.float64)
    )
    assert (correlation(torch.zeros_like(truth)[:, None], truth) == 0).all()


def test_members_without_intervals_are_refused() -> None:
    with pytest.raises(ValueError, match="19, 39, 59"):
        covered(normal(1, 18, 3), normal(1, 3))
