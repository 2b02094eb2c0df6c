r"""Intervals and rectangles at whose walls a field is zero.

The points lie evenly spaced between the walls and not on them: ``n`` points of an axis of length L
are at :math:`i L / (n + 1)`, i = 1 ... n.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from physgen.shapes import State


@dataclass(frozen=True)
class Walled:
    """Points between walls in one or two dimensions.

    Raises:
        ValueError: there are too few points, a length is not positive, or there are more axes.
    """

    points: tuple[int, ...]
    lengths: tuple[float, ...]
    """From wall to wall, in m."""

    def __post_init__(self) -> None:
        if len(self.points) != len(self.lengths) or not 1 <= len(self.points) <= 2:
            raise ValueError(
                "an interval or a rectangle needs points and a length for each axis, got "
                f"{self.points} and {self.lengths}"
            )
        if any(count < 2 for count in self.points):
            raise ValueError(f"points along an axis must be at least 2, got {self.points}")
        if not all(0 < length < math.inf for length in self.lengths):
            raise ValueError(f"lengths must be positive, got {self.lengths}")

    @property
    def axes(self) -> int:
        return len(self.points)

    @property
    def spacing(self) -> tuple[float, ...]:
        return tuple(L / (n + 1) for L, n in zip(self.lengths, self.points, strict=True))

    def places(self, like: Tensor) -> tuple[Tensor, ...]:
        """Coordinates of the points in m, one tensor ``(*space)`` for each axis."""
        lines = [
            h * torch.arange(1, n + 1, dtype=torch.float64)
            for h, n in zip(self.spacing, self.points, strict=True)
        ]
        return tuple(place.to(like) for place in torch.meshgrid(*lines, indexing="ij"))

    def laplacian(self, state: State) -> State:
        """The sum of second differences over the squares of their spacings."""
        total = torch.zeros_like(state)
        for axis, spacing in enumerate(self.spacing):
            low, high = neighbours(state, axis - self.axes)
            total = total + (low + high - 2 * state) / spacing**2
        return total


def neighbours(state: State, dim: int) -> tuple[State, State]:
    """What is one point lower and one point higher along an axis, zero at the walls."""
    beyond = [0, 0] * (-dim - 1) + [1, 1]
    wide, count = pad(state, beyond), state.shape[dim]
    return wide.narrow(dim, 0, count), wide.narrow(dim, 2, count)
