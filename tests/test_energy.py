"""The algebra: what sums, weights, parts and mixtures mean."""

import pytest
import torch

from physgen.energy import Average, Energy, Mixture, Score, check_proper, mean, positions
from physgen.meter import Metered
from physgen.testbeds import some_gaussian, source

A, B = some_gaussian(1), some_gaussian(2)
PAIR = some_gaussian(3, dimension=2)


def points(count: int = 6, dimension: int = 3) -> torch.Tensor:
    return torch.randn(count, dimension, dtype=torch.float64, generator=source(4))


def test_the_score_of_a_weighted_sum_is_the_weighted_sum_of_scores() -> None:
    z = points()
    expected = A.score(z, 0.3) + 3 * B.score(z, 0.3)
    torch.testing.assert_close((A + 3.0 * B).score(z, 0.3), expected)
    torch.testing.assert_close((Metered(A) + 3.0 * B).score(z, 0.3), expected)


def test_a_difference_and_a_negation_are_what_they_say() -> None:
    z = points()
    expected = A.score(z, 0.3) - B.score(z, 0.3)
    torch.testing.assert_close((A - B).score(z, 0.3), expected)
    torch.testing.assert_close((Metered(A) - Metered(B)).score(z, 0.3), expected)
    torch.testing.assert_close((-A).score(z, 0.3), -A.score(z, 0.3))


def test_a_mean_is_the_sum_over_the_number_of_terms() -> None:
    z = points()
    expected = (A.score(z, 0.3) + B.score(z, 0.3)) / 2
    torch.testing.assert_close(mean(A, B).score(z, 0.3), expected)


def test_only_a_sum_of_energies_has_a_value() -> None:
    assert isinstance(A + B, Energy)
    assert isinstance(2.0 * A, Energy)
    assert isinstance(A.on(positions(5)[1:4]), Energy)
    for term in (A + Metered(B), Metered(A) + B, 2.0 * Metered(A), Average(A, positions(1, 3))):
        assert isinstance(term, Score) and not isinstance(term, Energy)


def test_a_mixture_of_two_gaussians_is_their_gaussian_mixture() -> None:
    z = points()
    logs = torch.stack([-A.energy(z, 0.2), -B.energy(z, 0.2)])
    weights = torch.tensor([0.3, 0.7], dtype=torch.float64).log()
    expected = -(logs + weights[:, None]).logsumexp(0)
    torch.testing.assert_close(Mixture((A, 0.3), (B, 0.7)).energy(z, 0.2), expected)


def test_a_term_on_a_part_acts_there_and_nowhere_else() -> None:
    z = points(dimension=4)
    score = PAIR.on(positions(4)[[3, 1]]).score(z, 0.3)
    expected = torch.zeros_like(z)
    expected[:, [3, 1]] = PAIR.score(z[:, [3, 1]], 0.3)
    torch.testing.assert_close(score, expected)


def test_many_parts_in_one_call_are_the_sum_of_the_parts() -> None:
    z, at = points(dimension=4), positions(4)
    parts = [at[0:2], at[1:3], at[2:4], at[[0, 3]]]
    expected = sum((PAIR.on(part).score(z, 0.3) for part in parts), torch.zeros_like(z))
    for term in (PAIR, Metered(PAIR)):
        torch.testing.assert_close(term.over(torch.stack(parts)).score(z, 0.3), expected)


def test_an_average_divides_each_entry_by_the_parts_that_hold_it() -> None:
    z, at = points(dimension=3), positions(3)
    parts = torch.stack([at[0:2], at[1:3]])
    expected = PAIR.over(parts).score(z, 0.3) / torch.tensor([1, 2, 1])
    torch.testing.assert_close(Average(PAIR, parts).score(z, 0.3), expected)


def test_an_average_that_leaves_entries_out_is_refused() -> None:
    with pytest.raises(ValueError, match="1 entries of the sample lie in no part"):
        Average(PAIR, positions(3)[None, 0:2]).score(points(), 0.3)


def test_levels_may_differ_between_samples() -> None:
    z, at = points(dimension=4), positions(4)
    levels = torch.rand(6, dtype=torch.float64, generator=source()) + 0.1
    term = Metered(PAIR).over(torch.stack([at[0:2], at[2:4]]))
    together = term.shift(z, levels)
    alone = torch.cat([term.shift(z[k : k + 1], levels[k].item()) for k in range(6)])
    torch.testing.assert_close(together, alone)


def test_gradients_flow_through_a_shift() -> None:
    z = points().requires_grad_()
    (slope,) = torch.autograd.grad((A + B).shift(z, 0.5).square().sum(), z)
    h = 1e-6 * torch.randn(z.shape, dtype=torch.float64, generator=source(7))
    with torch.no_grad():
        rise = (A + B).shift(z + h, 0.5).square().sum() - (A + B).shift(z - h, 0.5).square().sum()
    torch.testing.assert_close((slope * 2 * h).sum(), rise, rtol=1e-6, atol=1e-14)


def test_the_callers_tensor_is_left_alone() -> None:
    z = points()
    kept = z.clone()
    (A + B).shift(z, 0.5)
    assert torch.equal(z, kept) and not z.requires_grad


def test_curvature_far_out_adds_and_tells_improper_sums() -> None:
    shape, s = torch.Size((3,)), 2.0
    total = (A + B).precision(s, shape)
    first, second = A.precision(s, shape), B.precision(s, shape)
    assert total and first and second
    torch.testing.assert_close(total.low, first.low + second.low)
    check_proper(2.0 * A - 0.5 * A, (50.0, 0.0), shape)
    with pytest.raises(ValueError, match="improper at noise level 50"):
        check_proper(A - 1.1 * A, (50.0, 0.0), shape)
