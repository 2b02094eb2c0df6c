"""A compiled density is the density, with its gradient."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from physgen.compiled import Compiled
from physgen.density import Density
from physgen.energy import Energy
from physgen.kernel import HMC
from physgen.metric import Dense, Diagonal, Metric
from physgen.sampler import chains
from physgen.testbeds import source
from physgen.tuning import Rescaled


def valley(z: Tensor) -> Tensor:
    return (z[:, 0] - 1) ** 2 + 2 * (z[:, 1] - z[:, 0] ** 2) ** 2


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the compiler's own work, which takes half a minute."""

    def same(function: Callable[..., Any], **options: bool) -> Callable[..., Any]:
        return function

    monkeypatch.setattr(torch, "compile", same)


METRICS = (
    Diagonal(torch.tensor([0.5, 2.0])),
    Dense(torch.tensor([[0.5, 0.0], [1.0, 2.0]])),
)


def moved(term: Energy, metric: Metric) -> Tensor:
    kernel = Rescaled(HMC(0.1, leapfrogs=21), metric)
    start = torch.randn(20, 2, generator=source(1))
    return chains(term, kernel, start, 0, 3, source(2)).z


@torch.no_grad()
def agrees() -> None:
    z = torch.randn(50, 2, generator=source(3))
    for term, other in (
        (Compiled(valley), Density(valley)),
        (0.5 * Compiled(valley) + Density(valley), 1.5 * Density(valley)),
    ):
        for found, expected in zip(term.both(z, 0.7), other.both(z, 0.7), strict=True):
            torch.testing.assert_close(found, expected)
        torch.testing.assert_close(term.energy(z, 1.0), other.energy(z, 1.0))
    for metric in METRICS:
        torch.testing.assert_close(
            moved(Compiled(valley), metric), moved(Density(valley), metric), atol=1e-4, rtol=1e-4
        )


@pytest.mark.usefixtures("uncompiled")
def test_value_gradient_sum_and_moves_are_those_of_the_density() -> None:
    agrees()


@pytest.mark.usefixtures("uncompiled")
def test_a_second_derivative_is_refused() -> None:
    z = torch.randn(5, 2, generator=source(3), requires_grad=True)
    total = Compiled(valley) + Density(valley)
    with pytest.raises(RuntimeError, match="first derivatives only: take a Density"):
        total.shift(z, 1.0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the compiler's own parts
def test_so_are_those_of_what_the_compiler_makes() -> None:
    agrees()


@pytest.mark.parametrize("followed", [False, True])
@pytest.mark.usefixtures("uncompiled")
def test_a_compiled_energy_is_one_number_a_sample(followed: bool) -> None:
    term, z = Compiled(lambda z: z.square().sum() / 2), torch.zeros(3, 2)
    with pytest.raises(
        ValueError, match=r"one number a sample, of shape \(3,\), got the shape \(\)"
    ):
        term.both(z, 1.0) if followed else term.energy(z, 1.0)
