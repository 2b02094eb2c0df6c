"""A staggered grid of square cells: pressure in the middle, velocity on the faces it crosses."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Points = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Grid:
    """``nx`` by ``ny`` cells of one spacing; the corner of the first is at ``left, bottom``.

    Raises:
        ValueError: a count is odd or too small, or the spacing is not positive.
    """

    nx: int
    ny: int
    spacing: float = 1.0
    """In m."""
    left: float = 0.0
    bottom: float = 0.0

    def __post_init__(self) -> None:
        for name, count in (("nx", self.nx), ("ny", self.ny)):
            if count < 8 or count % 2:
                raise ValueError(f"{name} must be even and at least 8, got {count}")
        if not self.spacing > 0:
            raise ValueError(f"spacing must be positive, got {self.spacing}")

    @property
    def width(self) -> float:
        return self.nx * self.spacing

    @property
    def height(self) -> float:
        return self.ny * self.spacing

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def top(self) -> float:
        return self.bottom + self.height

    def centres(self, like: Tensor) -> Points:
        """Middles of the cells, ``nx`` by ``ny``."""
        return self._points(0.5, 0.5, like)

    def faces_x(self, like: Tensor) -> Points:
        """Where ``u`` lives, ``nx + 1`` by ``ny``."""
        return self._points(0.0, 0.5, like)

    def faces_y(self, like: Tensor) -> Points:
        """Where ``v`` lives, ``nx`` by ``ny + 1``."""
        return self._points(0.5, 0.0, like)

    def corners(self, like: Tensor) -> Points:
        """Corners of the cells, ``nx + 1`` by ``ny + 1``."""
        return self._points(0.0, 0.0, like)

    def _points(self, shift_x: float, shift_y: float, like: Tensor) -> Points:
        i = torch.arange(self.nx + (shift_x == 0.0), dtype=torch.float64) + shift_x
        j = torch.arange(self.ny + (shift_y == 0.0), dtype=torch.float64) + shift_y
        x, y = self.left + self.spacing * i, self.bottom + self.spacing * j
        x, y = torch.meshgrid(x, y, indexing="ij")
        return x.to(like), y.to(like)


def to_centres(
    u: Float[Tensor, "batch nx_faces ny"], v: Float[Tensor, "batch nx ny_faces"]
) -> Float[Tensor, "batch nx ny 2"]:
    """The velocity at the middles of the cells, the mean of the two faces of each."""
    return torch.stack([0.5 * (u[:, 1:] + u[:, :-1]), 0.5 * (v[:, :, 1:] + v[:, :, :-1])], dim=-1)


def curl(
    u: Float[Tensor, "batch nx_faces ny"], v: Float[Tensor, "batch nx ny_faces"], spacing: float
) -> Float[Tensor, "batch nx ny"]:
    """The vorticity at the middles of the cells, the mean of their corners; at the sides of the
    domain of the corners inside."""
    corner = (torch.diff(v, dim=1)[:, :, 1:-1] - torch.diff(u, dim=2)[:, 1:-1]) / spacing
    wide = torch.nn.functional.pad(corner[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    return 0.25 * (wide[:, 1:, 1:] + wide[:, :-1, 1:] + wide[:, 1:, :-1] + wide[:, :-1, :-1])
