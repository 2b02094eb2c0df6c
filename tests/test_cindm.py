"""The published procedure, on a prior whose answer is known."""

import math

import pytest
import torch
from torch import Tensor

from physgen.denoiser import Denoiser
from physgen.design_tasks.nbody import NBody, Start
from physgen.design_tasks.nbody_cindm import CinDM, draw_cindm
from physgen.design_tasks.nbody_prior import scaled
from physgen.energy import wide
from physgen.shapes import Level
from physgen.testbeds import source

TASK = NBody(2, 24, Start())


class Narrow(Denoiser):
    """A Gaussian law of windows around one point, with a small spread."""

    spread = 0.3

    def clean(self, z: Tensor, s: Level) -> Tensor:
        gain = self.spread**2 / (self.spread**2 + wide(s, z) ** 2)
        return (1 - gain) * self.middle(z) + gain * z

    def middle(self, z: Tensor) -> Tensor:
        place = z.new_tensor([[0.3, 0.4, 0.1, 0.0], [0.7, 0.6, 0.0, 0.1]])
        return scaled(place.expand(1, 24, 2, 4))


def test_the_schedule_is_the_published_cosine() -> None:
    bars = CinDM().alphas()
    assert len(bars) == 1000
    assert bars == sorted(bars, reverse=True)
    exact = (
        math.cos((0.5 + 0.008) / 1.008 * math.pi / 2) ** 2
        / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    )
    assert bars[499] == pytest.approx(exact, rel=1e-9)
    assert 0 < bars[-1] < 1e-4


def test_without_guidance_and_repeats_it_draws_from_the_prior() -> None:
    recipe = CinDM(steps=100, repeats=1, objective=0.0, consistency=0.0)
    drawn = draw_cindm(Narrow(), TASK, 200, source(), recipe=recipe)
    x = scaled(drawn.motion)[:, 1:]
    middle = Narrow().middle(x)[:, 1:]
    torch.testing.assert_close(x.mean(0, keepdim=True), middle, atol=0.1, rtol=0)
    assert x.std(0).mean().item() == pytest.approx(Narrow.spread, rel=0.1)
    assert drawn.evaluations == 100


def test_the_objective_pulls_the_last_instant_to_the_centre() -> None:
    draws = [
        draw_cindm(
            Narrow(), TASK, 60, source(), recipe=CinDM(100, 2, objective=weight, consistency=0.0)
        )
        for weight in (0.0, 0.2)
    ]
    free, pulled = (TASK.distance(one.motion).mean().item() for one in draws)
    assert pulled < free - 0.1


def test_going_through_a_level_twice_narrows_what_is_drawn() -> None:
    """As published, noise is added back to the mean of a step, not to a draw from it."""
    recipe = CinDM(steps=100, repeats=2, objective=0.0, consistency=0.0)
    drawn = draw_cindm(Narrow(), TASK, 200, source(), recipe=recipe)
    assert drawn.evaluations == 200
    assert scaled(drawn.motion)[:, 1:].std(0).mean().item() < 0.85 * Narrow.spread
