r"""Costs of N-body design: what is wanted of a motion, and what every motion obeys.

What is wanted, from the first level on: an end close to the centre and, for classic starts, little
speed. What every motion obeys, asked as the noise falls: discs neither overlap nor enter walls,
and a disc that touches nothing flies straight. The latter two say of a motion, without a call of
the solver, whether it can be one.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.design_tasks.nbody import CONTACT, RADIUS, SECONDS, Motion, MovingStart, NBody
from physgen.design_tasks.nbody_prior import FRAMES, unscaled
from physgen.guidance import Constraint
from physgen.options import check_least
from physgen.shapes import PerSample


@dataclass(frozen=True)
class Prices:
    """Weights of the costs, which are exponents, ``exp(-weight * cost)``, and where they begin."""

    objective: float = 3000.0
    """Of the distance to the centre at the end, in boxes, for each disc of a classic design."""
    moving: float = 1000.0
    """The same for a moving design, whose meetings the prior knows less well than rest."""
    speed: float = 20000.0
    """Of the square speed of a classic design, in boxes a second, for each disc and window."""
    start: float = 1e4
    """Of the squared error of a moving start's speed, for each disc."""
    overlap: float = 3e5
    """Of the squared overlaps between discs and with walls, in boxes."""
    flight: float = 1e6
    """Of the squared departures from straight flight, in boxes, for each disc and instant."""
    seen: float = 0.3
    """Noise level below which places are known well enough to ask that discs do not overlap."""
    straight: float = 0.1
    """Noise level below which paths are known well enough to ask that they are straight."""

    def __post_init__(self) -> None:
        check_least(self, 0, *(one.name for one in fields(self)))

    def of_end(self, task: NBody) -> float:
        """The price of the task's objective."""
        each = self.moving if isinstance(task.variant, MovingStart) else self.objective
        return each * task.bodies


def wanted(task: NBody, prices: Prices) -> Callable[[Tensor], PerSample]:
    """The cost of what a clean sample fails to be as a design."""

    def cost(x: Tensor) -> PerSample:
        motion = unscaled(x)
        total = prices.of_end(task) * task.distance(motion)
        velocity = motion[..., 2:]
        if isinstance(task.variant, MovingStart):
            speed = velocity[:, 0].square().sum(-1).clamp(min=1e-8).sqrt()
            return total + prices.start * (speed - task.variant.speed).square().sum(-1)
        windows = task.frames / FRAMES
        return total + prices.speed * windows * velocity.square().sum(-1).mean(1).sum(1)

    return cost


def obeyed(prices: Prices) -> tuple[Constraint, Constraint]:
    """The costs of what a clean sample fails to be as a motion."""
    return (
        Constraint(lambda x: prices.overlap * overlap(unscaled(x)), prices.seen),
        Constraint(lambda x: prices.flight * departure(unscaled(x)), prices.straight),
    )


def gaps(
    motion: Motion,
) -> tuple[Float[Tensor, "batch time pair"], Float[Tensor, "batch time body 2"]]:
    """Between the discs of each pair and between each disc and the walls; negative inside."""
    position = motion[..., :2]
    first, second = _pairs(motion)
    apart = (position[:, :, first] - position[:, :, second]).square().sum(-1)
    return apart.clamp(min=1e-8).sqrt() - 2 * RADIUS, 0.5 - CONTACT - (position - 0.5).abs()


def overlap(motion: Motion) -> PerSample:
    """Squared overlaps of discs with each other and with walls.

    Averaged over instants, with a third of the last instant's on top: there, where the
    objective pulls, a twenty-fourth would be too cheap.
    """
    between, wall = gaps(motion)
    depth = between.clamp(max=0).square().sum(-1) + wall.clamp(max=0).square().sum((-1, -2))
    total: PerSample = depth.mean(1) + 0.3 * depth[:, -1]
    return total


def departure(motion: Motion) -> PerSample:
    r"""Squared departures from straight flight, wherever nothing was touched.

    .. math:: \sum_{i,t} f_{it} \bigl(|p_i(t+\tau) - p_i(t) - \tau v_i(t)|^2
        + \tau^2 |v_i(t+\tau) - v_i(t)|^2\bigr)

    with :math:`f_{it} = 0` where the disc may have touched another or a wall between the two
    instants, because the gaps at both together are less than the way that was closed, and 1
    elsewhere. It is zero for true motions.
    """
    position, velocity = motion.split(2, dim=-1)
    hop = position[:, 1:] - position[:, :-1] - SECONDS * velocity[:, :-1]
    turn = SECONDS * (velocity[:, 1:] - velocity[:, :-1])
    bent = (hop.square() + turn.square()).sum(-1)
    total: PerSample = (free(motion.detach()) * bent).sum((1, 2))
    return total


def free(motion: Motion) -> Float[Tensor, "batch time-1 body"]:
    """One where a disc touched nothing between two instants, zero where it may have."""
    velocity = motion[..., 2:]
    first, second = _pairs(motion)
    between, wall = gaps(motion)
    closing = (velocity[:, :, first] - velocity[:, :, second]).square().sum(-1).sqrt()
    met = (_both(between) < SECONDS * _faster(closing)).to(motion.dtype)
    hit = (_both(wall) < SECONDS * _faster(velocity.abs())).any(-1).to(motion.dtype)
    touched = hit.index_add(2, first, met).index_add(2, second, met)
    return (touched == 0).to(motion.dtype)


def _both(gap: Tensor) -> Tensor:
    """The gaps at two instants, added."""
    return gap[:, 1:] + gap[:, :-1]


def _faster(speed: Tensor) -> Tensor:
    """The larger of the speeds at two instants."""
    return torch.maximum(speed[:, 1:], speed[:, :-1])


def _pairs(motion: Motion) -> Tensor:
    return torch.triu_indices(motion.shape[2], motion.shape[2], 1, device=motion.device)
