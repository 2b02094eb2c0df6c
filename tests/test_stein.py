"""Stein's discrepancy: mean zero under the density, and what it sees and does not."""

import pytest
import torch
from torch.func import grad, jacrev

from physgen.density import At, Density
from physgen.stein import stein_discrepancy, stein_kernel, stein_test
from physgen.testbeds import isotropic, source

NORMAL = Density(lambda z: z.square().flatten(1).sum(1) / 2)
TRIALS = 40


def normal(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 2, generator=source(seed))


def test_the_kernel_is_steins_operator_on_both_sides() -> None:
    x = torch.randn(5, 3, generator=source(1), dtype=torch.float64)
    width = torch.pdist(x).median().square()

    def kernel(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (width + (a - b).square().sum()).rsqrt()

    a, b = x[1], x[4]
    slopes = grad(kernel, 0)(a, b), grad(kernel, 1)(a, b)
    trace = jacrev(grad(kernel, 0), 1)(a, b).trace()
    wanted = a @ b * kernel(a, b) - a @ slopes[1] - b @ slopes[0] + trace
    torch.testing.assert_close(stein_kernel(NORMAL, x)[1, 4].detach(), wanted)


def test_the_discrepancy_of_exact_draws_is_zero_on_average() -> None:
    found = torch.tensor([stein_discrepancy(NORMAL, normal(100, k)) for k in range(TRIALS)])
    assert found.mean().abs() < 3 * found.std() / TRIALS**0.5
    assert found.std() < 0.1


def test_exact_draws_are_rejected_as_often_as_asked() -> None:
    p = torch.tensor([stein_test(NORMAL, normal(200, k), source(k)).p_value for k in range(100)])
    assert (p < 0.1).float().mean() < 0.2  # 10 % are expected; three standard errors
    assert 0.38 < p.mean() < 0.62


def test_a_shift_of_a_fifth_is_seen() -> None:
    fits = [stein_test(NORMAL, normal(300, k) + 0.2, source(k)) for k in range(10)]
    assert sum(fit.p_value < 0.05 for fit in fits) >= 9
    assert all(fit.squared > 0 for fit in fits)


def test_signs_that_persist_allow_for_the_memory_of_a_chain() -> None:
    """Taken as independent, draws with a memory are rejected far too often."""
    hasty, patient = [], []
    for k in range(30):
        g, x, kept = source(k), normal(1, 100 + k), []
        for _ in range(300):
            x = 0.9 * x + 0.19**0.5 * torch.randn(1, 2, generator=g)
            kept.append(x)
        chain = torch.cat(kept)
        hasty.append(stein_test(NORMAL, chain, g).p_value < 0.05)
        patient.append(stein_test(NORMAL, chain, g, kept=0.95).p_value < 0.05)
    assert sum(hasty) > 15
    assert sum(patient) < 8


def test_weights_of_distant_modes_are_not_seen() -> None:
    modes = torch.tensor([[-4.0, 0.0], [4.0, 0.0]])
    right, wrong = (isotropic(modes, 0.5, torch.tensor(w)) for w in ([0.3, 0.7], [0.5, 0.5]))
    fits = [stein_test(At(right), wrong.sample(300, source(k)), source(k)) for k in range(10)]
    assert sum(fit.p_value < 0.05 for fit in fits) <= 4


def test_normalisers_and_other_samples_order_play_no_part() -> None:
    x = normal(50, 1)
    shifted = Density(lambda z: NORMAL.energy(z, 0.0) + 7)
    value = stein_discrepancy(NORMAL, x)
    assert abs(stein_discrepancy(shifted, x) - value) < 1e-6
    assert abs(stein_discrepancy(NORMAL, x.flip(0)) - value) < 1e-6


def test_two_samples_have_one_distance() -> None:
    """The width is theirs, not that of each from itself."""
    x = torch.tensor([[0.0], [3.0]], dtype=torch.float64)
    here, there = (NORMAL.score(each, 1.0) for each in x[:, None])
    base = 18.0
    wanted = here * there + (here - there) * -3 / base + 1 / base - 27 / base**2
    torch.testing.assert_close(stein_kernel(NORMAL, x)[0, 1], base**-0.5 * wanted[0, 0])


def test_samples_that_coincide_or_have_no_score_are_refused() -> None:
    with pytest.raises(ValueError, match="the samples coincide"):
        stein_discrepancy(NORMAL, torch.full((40, 2), 3.7))
    holed = Density(lambda z: torch.where(z[:, 0] > 0, z.square().sum(1), torch.nan * z[:, 0]))
    with pytest.raises(FloatingPointError, match="or the scores there, are not finite"):
        stein_test(holed, normal(20, 1), source(1))
