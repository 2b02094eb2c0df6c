"""SAM: the step of its rule, where it comes to rest, and what it shares with the inner one."""

import pytest
import torch
from torch import Tensor, nn

from physgen.sharpness import SAM


def test_a_step_uses_the_gradient_from_the_worst_point_nearby() -> None:
    first, second = nn.Parameter(torch.tensor([1.0, -2.0])), nn.Parameter(torch.tensor(0.5))
    groups: list[dict[str, object]] = [{"params": [first]}, {"params": [second], "lr": 0.2}]
    inner = torch.optim.SGD(groups, lr=0.1)
    optimiser = SAM(inner, radius=0.3)

    def loss() -> Tensor:
        return (first**4).sum() + first[0] * second + second**2

    def closure() -> float:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return value.item()

    slope = torch.tensor([4 * 1.0**3 + 0.5, 4 * (-2.0) ** 3, 1.0 + 2 * 0.5])
    away = torch.tensor([1.0, -2.0, 0.5]) + 0.3 * slope / slope.norm()
    there = torch.tensor([4 * away[0] ** 3 + away[2], 4 * away[1] ** 3, away[0] + 2 * away[2]])
    told = optimiser.step(closure)
    assert told == pytest.approx(1 + 16 + 0.5 + 0.25)
    torch.testing.assert_close(first.data, torch.tensor([1.0, -2.0]) - 0.1 * there[:2])
    torch.testing.assert_close(second.data, torch.tensor(0.5) - 0.2 * there[2])


@pytest.mark.parametrize("curvature", [0.5, 4.0])
def test_it_hovers_about_a_minimum_the_further_the_sharper_that_is(curvature: float) -> None:
    """Of a parabola, where x -> x - h c (x + r) = -x: at h c r / (2 - h c)."""
    place, rate, radius = nn.Parameter(torch.tensor(1.0)), 0.1, 0.3
    optimiser = SAM(torch.optim.SGD([place], rate), radius)

    def closure() -> float:
        optimiser.zero_grad()
        value = curvature * place.square() / 2
        value.backward()
        return value.item()

    for _ in range(200):
        optimiser.step(closure)
    hovering = rate * curvature * radius / (2 - rate * curvature)
    assert abs(place.item()) == pytest.approx(hovering, rel=1e-3)


def test_rates_set_on_the_wrapper_are_the_inner_ones() -> None:
    weight = nn.Parameter(torch.ones(1))
    inner = torch.optim.SGD([weight], lr=0.1)
    SAM(inner).param_groups[0]["lr"] = 0.0
    assert inner.param_groups[0]["lr"] == 0.0


def test_without_a_closure_it_refuses() -> None:
    with pytest.raises(ValueError, match="give step\\(\\) a closure"):
        SAM(torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1)).step()
    with pytest.raises(ValueError, match="radius cannot be negative"):
        SAM(torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1), -1.0)
