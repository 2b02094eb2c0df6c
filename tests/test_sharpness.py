"""SAM: the step of its rule, where it comes to rest, and what it shares with the inner one."""

import copy

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


def test_a_run_goes_on_from_its_state_as_if_it_had_not_stopped() -> None:
    """Adam remembers gradients: its memory is in the state, and is restored."""
    weights = [nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2)]
    first, second = (SAM(torch.optim.Adam([weight], lr=0.1)) for weight in weights)

    def step(optimiser: SAM, weight: nn.Parameter) -> None:
        def closure() -> float:
            optimiser.zero_grad()
            value = (weight**4).sum() + weight[0] * weight[1]
            value.backward()
            return value.item()

        optimiser.step(closure)

    for _ in range(3):
        step(first, weights[0])
    weights[1].data.copy_(weights[0].data)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.param_groups[0]["lr"] = first.param_groups[0]["lr"] = 0.05
    for _ in range(2):
        step(first, weights[0])
        step(second, weights[1])
    assert torch.equal(weights[0], weights[1])


def test_without_a_closure_it_refuses() -> None:
    with pytest.raises(ValueError, match="give step\\(\\) a closure"):
        SAM(torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1)).step()
    with pytest.raises(ValueError, match="radius cannot be negative"):
        SAM(torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1), -1.0)
