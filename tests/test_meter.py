"""A metered score is the score, and its account is right."""

import time

import pytest
import torch
from torch import Tensor

from physgen.energy import Score, positions
from physgen.guidance import Fixed, Guided
from physgen.meter import Metered, MeteredEnergy
from physgen.shapes import Level
from physgen.testbeds import some_gaussian, source

LAW = some_gaussian(0, dimension=2)


def points(count: int, dimension: int) -> Tensor:
    return torch.randn(count, dimension, dtype=torch.float64, generator=source())


def test_evaluations_are_counted_for_every_part() -> None:
    metered = Metered(LAW)
    at = positions(4)
    total = metered.over(torch.stack([at[0:2], at[1:3], at[2:4]]))
    total.shift(points(5, 4), 1.0)
    assert (metered.calls, metered.rows) == (1, 15)


def test_a_gradient_through_it_is_that_of_the_score() -> None:
    def cost(x: Tensor) -> Tensor:
        return x.square().sum(1)

    z = points(5, 2)
    plain, metered = (Guided(law, cost, Fixed(0.3)) for law in (LAW, Metered(LAW)))
    with torch.no_grad():
        torch.testing.assert_close(metered.shift(z, 0.7), plain.shift(z, 0.7))


def test_second_derivatives_are_refused_rather_than_wrong() -> None:
    z = points(5, 2).requires_grad_()
    out = Metered(LAW).shift(z, 1.0)
    with pytest.raises(RuntimeError, match="first derivatives only"):
        torch.autograd.grad(out.sum(), z, create_graph=True)


class Slow(Score):
    """A score that takes its time, in both directions."""

    def shift(self, z: Tensor, s: Level) -> Tensor:
        time.sleep(0.02)
        out = -z
        if out.requires_grad:
            out.register_hook(lambda slope: time.sleep(0.03))
        return out


def test_the_time_of_both_directions_is_kept() -> None:
    metered = Metered(Slow())
    metered.shift(points(5, 2), 1.0)
    assert 0.02 <= metered.seconds < 0.03
    z = points(5, 2).requires_grad_()
    torch.autograd.grad(metered.shift(z, 1.0).sum(), z)
    assert 0.07 <= metered.seconds < 0.15


def test_gradients_are_counted_apart_from_evaluations() -> None:
    metered = Metered(LAW)
    guided = Guided(metered, lambda x: x.square().sum(1), Fixed(0.3))
    with torch.no_grad():
        guided.shift(points(5, 2), 0.7)
        guided.shift(points(3, 2), 0.7)
    assert (metered.rows, metered.gradients) == (8, 8)


def test_an_energy_is_metered_with_its_value_and_its_score() -> None:
    z, metered = points(5, 2), MeteredEnergy(LAW)
    torch.testing.assert_close(metered.energy(z, 0.7), LAW.energy(z, 0.7))
    torch.testing.assert_close(metered.score(z, 0.7), LAW.score(z, 0.7))
    assert metered.rows == 10
