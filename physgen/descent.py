r"""Descent of smooth costs by L-BFGS, for a batch of problems that do not see each other.

``torch.optim.LBFGS`` treats all of a tensor as one problem: steps and curvature are shared by
its rows, and a row's result depends on its neighbours. Here every row has its own.

References:
    Numerical Optimization (Nocedal & Wright, 2006), algorithm 7.4 for the direction and 3.1 for
    the step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.energy import check_each
from physgen.shapes import PerSample, Sample


@dataclass(frozen=True)
class Descent:
    """Where a descent ended."""

    x: Sample
    cost: PerSample
    slope: PerSample
    """The length of the gradient there."""
    costs: Float[Tensor, "evaluation batch"]
    """The least cost met until each evaluation."""


def descend(
    cost: Callable[[Sample], PerSample],
    start: Sample,
    steps: int,
    memory: int = 20,
    bound: float = -math.inf,
) -> Descent:
    r"""Go down from every row of ``start``; no row ends higher than it began.

    Each evaluation is one trial of every row. Where the cost has fallen by enough the row moves
    on, with a new direction from its last moves; elsewhere its step is halved.

    Arguments:
        cost: Smooth, one number a row.
        start: Where to begin; not changed.
        steps: Evaluations.
        memory: Moves from which a row takes its curvature.
        bound: Below which no cost can be. The first move, which knows no curvature, is then as long
            as Polyak's (1969), :math:`(c - c_0) / |\nabla c|`; otherwise it has length one.

    Raises:
        ValueError: a cost is not one number a row.
        FloatingPointError: a cost or its gradient is not finite at the start.
    """
    shape, x = start.shape, start.detach().flatten(1)
    value, slope = _evaluated(cost, x, shape)
    lost = ~(value.isfinite() & slope.isfinite().all(1))
    if lost.any():
        raise FloatingPointError(
            f"the cost or its gradient is not finite at {int(lost.sum())} of {len(x)} starts"
        )
    moves = x.new_zeros(memory, *x.shape)
    turns, inverse = torch.zeros_like(moves), x.new_zeros(memory, len(x))
    length = 1 / slope.norm(dim=1).clamp(min=1e-20)
    if bound > -math.inf:
        length = (value - bound).clamp(min=0) * length.square()
    scale = torch.ones_like(length)
    direction = -slope
    costs = [value]
    for _ in range(steps - 1):
        there = x + length[:, None] * direction
        after, new = _evaluated(cost, there, shape)
        fall = 1e-4 * length * (slope * direction).sum(1)
        moved = (after <= value + fall) & after.isfinite() & new.isfinite().all(1)
        move, turn = there - x, new - slope
        bend = (move * turn).sum(1)
        curved = moved & (bend > 1e-12 * turn.square().sum(1))
        moves = torch.where(curved[:, None], torch.cat([moves[1:], move[None]]), moves)
        turns = torch.where(curved[:, None], torch.cat([turns[1:], turn[None]]), turns)
        inverse = torch.where(curved, torch.cat([inverse[1:], 1 / bend[None]]), inverse)
        scale = torch.where(curved, bend / turn.square().sum(1), scale)
        x = torch.where(moved[:, None], there, x)
        slope = torch.where(moved[:, None], new, slope)
        value = torch.where(moved, after, value)
        ahead = -_curved(slope, moves, turns, inverse, scale)
        direction = torch.where(moved[:, None], ahead, direction)
        length = torch.where(moved, 1.0, length / 2)
        costs.append(value)
    return Descent(x.view(shape), value, slope.norm(dim=1), torch.stack(costs))


def _evaluated(
    cost: Callable[[Sample], PerSample], flat: Tensor, shape: torch.Size
) -> tuple[Tensor, Tensor]:
    """The cost of flattened rows of a shape, and its gradient."""
    with torch.enable_grad():
        x = flat.detach().requires_grad_()
        value = cost(x.view(shape))
        check_each(value, x, "a cost")
        (slope,) = torch.autograd.grad(value.sum(), x)
    return value.detach(), slope


def _curved(slope: Tensor, moves: Tensor, turns: Tensor, inverse: Tensor, scale: Tensor) -> Tensor:
    """The gradient times the inverse Hessian, by two loops over what is remembered."""
    shares = []
    out = slope
    for move, turn, one in zip(moves.flip(0), turns.flip(0), inverse.flip(0), strict=True):
        share = one * (move * out).sum(1)
        out = out - share[:, None] * turn
        shares.append(share)
    out = scale[:, None] * out
    for move, turn, one, share in zip(moves, turns, inverse, reversed(shares), strict=True):
        out = out + (share - one * (turn * out).sum(1))[:, None] * move
    return out
