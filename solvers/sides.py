"""The sides of a rectangular domain of flow, and what lies beyond them.

Velocities live on the faces of the cells: ``u`` on the ``nx + 1`` by ``ny`` faces across x, ``v``
on the ``nx`` by ``ny + 1`` faces across y. A side fixes the velocity through its faces (normal),
and what two rows of imagined cells beyond it hold, so that the same stencil serves everywhere.
"""

import abc
from dataclasses import dataclass

import torch
from torch import Tensor

Value = float | Tensor
"""A number, or a profile along the side: ``(n,)`` or ``(batch, n)``."""


class Side(abc.ABC):
    """One side of the domain."""

    @property
    @abc.abstractmethod
    def kind(self) -> str:
        """Its name in files."""

    @abc.abstractmethod
    def beyond(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Two imagined rows of a velocity along the side, the nearer first, from two rows inside."""

    @abc.abstractmethod
    def through(self) -> Value | None:
        """The velocity through the side along the axis, or None where the flow decides it."""


@dataclass(frozen=True)
class Inflow(Side):
    """Fluid enters (or leaves) with a prescribed velocity."""

    normal: Value = 1.0
    """In m/s along the axis, positive towards larger x or y."""
    tangential: float = 0.0
    """In m/s along the side."""

    @property
    def kind(self) -> str:
        return "INFLOW"

    def beyond(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        return _through(self.tangential, first, second)

    def through(self) -> Value | None:
        return self.normal


@dataclass(frozen=True)
class Outflow(Side):
    """Fluid leaves as it comes: every quantity is carried out at the mean speed of the side.

    The flux of all outflows is corrected by one constant to that of all other sides.
    """

    @property
    def kind(self) -> str:
        return "OUTFLOW"

    def beyond(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        return first, second

    def through(self) -> Value | None:
        return None


@dataclass(frozen=True)
class Slip(Side):
    """A wall without friction, or the far field beside a body."""

    @property
    def kind(self) -> str:
        return "SLIP"

    def beyond(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        return first, second

    def through(self) -> Value | None:
        return 0.0


@dataclass(frozen=True)
class Wall(Side):
    """A wall that the fluid sticks to."""

    speed: float = 0.0
    """Its velocity along itself in m/s, positive towards larger x or y."""

    @property
    def kind(self) -> str:
        return "WALL"

    def beyond(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        return _through(self.speed, first, second)

    def through(self) -> Value | None:
        return 0.0


@dataclass(frozen=True)
class Periodic(Side):
    """What leaves enters on the opposite side, which must be periodic too."""

    @property
    def kind(self) -> str:
        return "PERIODIC"

    def beyond(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        raise AssertionError("a periodic side has no beyond of its own: the field is wrapped")

    def through(self) -> Value | None:
        return None


def _through(value: float, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Rows beyond a side on which a parabola through both inner rows has ``value``."""
    beyond = (8 / 3) * value - 2 * first + second / 3
    return beyond, 2 * value - second


INFLOW, OUTFLOW, SLIP, WALL, PERIODIC = Inflow(), Outflow(), Slip(), Wall(), Periodic()


@dataclass(frozen=True)
class Sides:
    """The four sides; by default a stream along x between frictionless walls.

    Raises:
        ValueError: one side of an axis is periodic and the other is not.
    """

    left: Side = INFLOW
    right: Side = OUTFLOW
    bottom: Side = SLIP
    top: Side = SLIP

    def __post_init__(self) -> None:
        for name, low, high in (
            ("left and right", self.left, self.right),
            ("bottom and top", self.bottom, self.top),
        ):
            if isinstance(low, Periodic) != isinstance(high, Periodic):
                raise ValueError(
                    f"{name} must be periodic together, got {low.kind} and {high.kind}"
                )

    def along(self, axis: int) -> tuple[Side, Side]:
        """The low and the high side of axis 0 (x) or 1 (y)."""
        return (self.left, self.right) if axis == 0 else (self.bottom, self.top)

    def periodic(self, axis: int) -> bool:
        return isinstance(self.along(axis)[0], Periodic)

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each side by its name, for files."""
        return {name: getattr(self, name).kind for name in ("left", "right", "bottom", "top")}

    def ghosted(self, field: Tensor, axis: int) -> Tensor:
        """The velocity component along ``axis`` with two more rows on all four sides."""
        return self._along(self._across(field, axis), axis)

    def _along(self, field: Tensor, axis: int) -> Tensor:
        dim = axis + 1
        n = field.shape[dim]
        if self.periodic(axis):
            low, high = field.narrow(dim, n - 3, 2), field.narrow(dim, 1, 2)
        else:
            low, high = field.narrow(dim, 0, 1), field.narrow(dim, n - 1, 1)
            low, high = torch.cat([low, low], dim), torch.cat([high, high], dim)
        return torch.cat([low, field, high], dim)

    def _across(self, field: Tensor, axis: int) -> Tensor:
        other = 1 - axis
        dim = other + 1
        n = field.shape[dim]
        if self.periodic(other):
            low, high = field.narrow(dim, n - 2, 2), field.narrow(dim, 0, 2)
            return torch.cat([low, field, high], dim)
        below, above = self.along(other)
        near, far = below.beyond(field.narrow(dim, 0, 1), field.narrow(dim, 1, 1))
        high, higher = above.beyond(field.narrow(dim, n - 1, 1), field.narrow(dim, n - 2, 1))
        return torch.cat([far, near, field, high, higher], dim)

    def ghosted_scalar(self, field: Tensor, inflow: float = 0.0) -> Tensor:
        """A field at cell centres with two more rows: inflow carries a value, all else mirrors."""
        for axis in (0, 1):
            dim, n = field.dim() - 2 + axis, field.shape[field.dim() - 2 + axis]
            if self.periodic(axis):
                low, high = field.narrow(dim, n - 2, 2), field.narrow(dim, 0, 2)
            else:
                rows = (field.narrow(dim, 0, 1), field.narrow(dim, n - 1, 1))
                ends = [
                    2 * inflow - row if isinstance(side, Inflow) else row
                    for side, row in zip(self.along(axis), rows, strict=True)
                ]
                low, high = (torch.cat([end, end], dim) for end in ends)
            field = torch.cat([low, field, high], dim)
        return field
