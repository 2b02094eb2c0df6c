"""Densities of every kind that samplers meet, with exact draws of each to hold theirs to."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from physgen.density import Density, Drawable
from physgen.energy import Energy
from physgen.gaussian import gaussian
from physgen.shapes import Sample
from physgen.stein import stein_test
from physgen.testbeds import Banana, Funnel, Waiting, correlated, isotropic, ring, source
from physgen.testbeds.quality import Quality, judge_draws

HIDDEN = 2.0
"""Minus the logarithm of the mass that the densities have: samplers are not told of it."""


def _all(x: Tensor) -> Tensor:
    return x


def _depth(x: Tensor) -> Tensor:
    """A funnel's first entry; the moments of the others are those of a few draws in its mouth."""
    return x[:, :1]


def _nothing(x: Tensor) -> dict[str, float]:
    return {}


def _width(x: Tensor) -> dict[str, float]:
    """Of a funnel's other entries, in units of what the first one gives them."""
    return {"width": (x[:, 1:] * (-x[:, :1] / 2).exp()).std().item()}


@dataclass(frozen=True)
class Target:
    """A density that exact draws are known of."""

    law: Drawable
    seen: Callable[[Tensor], Tensor] = _all
    """By which entries draws are judged."""
    told: Callable[[Tensor], dict[str, float]] = _nothing
    """What else is asked of them."""
    apart: float = 0.3
    """How far from one another chains begin."""

    @property
    def energy(self) -> Energy:
        """Without levels, and with the hidden mass."""
        return Density(lambda z: self.law.energy(z, 0.0) + HIDDEN)

    def judge(self, x: Sample) -> Quality:
        """Hold draws to exact ones; biases are in units of the density's own deviations."""
        right = _exact(self)
        return judge_draws(self.seen(x).to(right), right, right.std(0))

    def fit(self, x: Sample) -> float:
        """Stein's p, of draws that are independent of one another."""
        return stein_test(self.energy, x, source(9)).p_value

    def mean(self) -> Tensor:
        """Of exact draws."""
        return _exact(self).mean(0)


@cache
def _exact(target: Target) -> Tensor:
    """Ten thousand, fewer of many entries."""
    entries = target.law.sample(1, source()).shape[1]
    return target.seen(target.law.sample(min(10_000, 200_000 // entries), source(3)))


HILLS = Target(isotropic(torch.tensor([[-1.5], [1.0]]), 0.5, torch.tensor([0.3, 0.7])))
WAITING = Target(Waiting())
RING = Target(ring(std=0.15))
BANANA = Target(Banana())
FAR = Target(
    isotropic(torch.tensor([[-4.0, 0.0], [4.0, 0.0]]), 0.7, torch.tensor([0.3, 0.7])),
    apart=4.0,
)
HUNDRED = Target(correlated(100))
FUNNEL = Target(Funnel(4), _depth, _width)
TARGETS = (HILLS, WAITING, RING, BANANA, FAR, HUNDRED, FUNNEL)
WIDE = gaussian(torch.zeros(2), torch.eye(2))
BELL = Target(WIDE)
