"""What is wanted of airfoils, as prices that add to their drag.

All are of clean samples, and differentiable: they guide a prior, refine what it drew, and polish
by the true solver alike.
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.design_tasks.airfoil_formation import seen_from
from physgen.design_tasks.airfoil_prior import CELL
from physgen.design_tasks.airfoils import Formations
from physgen.options import check_least, check_shares
from physgen.shapes import PerSample
from physgen.solvers.sections import kulfan


@dataclass(frozen=True)
class Prices:
    """What counts beside drag, each as much drag coefficient as it is worth."""

    lift: float = 12.0
    """For the square of what lift is off the wanted one."""
    gap: float = 20.0
    """For the square of how much too close airfoils are, in chords, over an area."""
    thin: float = 100.0
    """For the square of the thickness that a section lacks, in chords."""
    area: float = 200.0
    """For the square of the area that a section lacks, in chords squared."""
    weight: float = 300.0
    """How hard all of it pulls: the prior is as likely as drag is low, to this power."""
    faith: float = 0.0004
    """For each squared standard deviation from the mean of real sections, once decoded."""
    share: float = 0.3
    """At most this share of the cost is taken off at a level."""

    def __post_init__(self) -> None:
        check_least(self, 0, *(one.name for one in fields(self)))
        check_shares(self, "share")


def price(task: Formations, prices: Prices, force: Tensor) -> PerSample:
    """Drag, and what lift is off, of estimated forces ``[batch, body, 2]``."""
    mean = force.mean(1)
    found: PerSample = mean[:, 0] + prices.lift * (mean[:, 1] - task.lift).square()
    return found


def crowding(task: Formations, distance: Tensor, place: Tensor) -> PerSample:
    """Where two airfoils are too close: the square of by how much, over an area."""
    found = distance.new_zeros(len(distance))
    for one in range(distance.shape[1]):
        for other in range(one + 1, distance.shape[1]):
            there = distance[:, other, None].expand(-1, 3, -1, -1)
            there = seen_from(there, place[:, one] - place[:, other])[:, 0]
            # Little more than allowed, as an image is known to a part of a cell only.
            lack = (task.gap + 0.08 - distance[:, one] - there).clamp(min=0)
            found = found + lack.square().sum((1, 2)) * CELL**2 / task.gap
    return found


def smallness(task: Formations, distance: Tensor) -> PerSample:
    """The square of the area that sections lack."""
    area = torch.sigmoid(-distance / (0.3 * CELL)).sum((2, 3)) * CELL**2
    found: PerSample = (task.smallest + 0.01 - area).clamp(min=0).square().sum(1)
    return found


def thinness(task: Formations, parameters: Float[Tensor, "batch body parameter"]) -> PerSample:
    """The square of the thickness that sections lack."""
    half = parameters[..., 6:12]
    height = 2 * kulfan(half, -half, points=61)[..., 1].amax(-1)
    found: PerSample = (task.thinnest + 0.004 - height).clamp(min=0).square().sum(1)
    return found
