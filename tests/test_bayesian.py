"""Bayesian optimisation, where botorch is installed."""

import pytest
import torch
from torch import Tensor

pytest.importorskip("botorch")

from physgen.bayesian import optimise


def test_a_bowl_is_searched_better_than_by_chance_each_problem_for_itself() -> None:
    middle = torch.tensor([[0.5, -0.3], [-1.0, 0.8]])
    asked: list[int] = []

    def cost(rows: Tensor) -> Tensor:
        asked.append(len(rows))
        found: Tensor = (rows.view(2, -1, 2) - middle[:, None]).square().sum(2).flatten()
        return found

    generator = torch.Generator().manual_seed(0)
    start = torch.randn(2, 4, 2, generator=generator)
    found = optimise(cost, start, 2.0, rounds=2, together=2, seed=0)
    assert found.calls == 8 and sum(asked) == 2 * 8
    chance = cost(4 * torch.rand(2, 8, 2, generator=generator).flatten(0, 1) - 2).view(2, 8)
    assert (found.cost < chance.amin(1)).all()
    assert (found.cost < cost(start.flatten(0, 1)).view(2, 4).amin(1)).all()
    torch.testing.assert_close(cost(found.design), found.cost)
