r"""Boxes whose opposite sides are one, and the Fourier modes of fields on them.

Points are evenly spaced; the first is at the origin and the last one spacing before the end, which
is the first again. A real field has complex amplitudes :math:`\hat u_k`, those of the last axis
for :math:`k \ge 0` only, as ``torch.fft.rfftn`` has them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Complex, Float
from torch import Tensor

Spectrum = Complex[Tensor, "batch channel *mode"]
"""Amplitudes of the Fourier modes of a state."""


@dataclass(frozen=True)
class Periodic:
    """A periodic box in one or more dimensions.

    Raises:
        ValueError: there are too few points, or a length is not positive.
    """

    points: tuple[int, ...]
    lengths: tuple[float, ...]
    """Of the sides, in m."""

    def __post_init__(self) -> None:
        if len(self.points) != len(self.lengths) or not self.points:
            raise ValueError(
                f"a box needs a length for each axis, got {self.points} and {self.lengths}"
            )
        if any(count < 4 or count % 2 for count in self.points):
            raise ValueError(
                f"points along an axis must be even and at least 4, got {self.points}"
            )
        if not all(0 < length < math.inf for length in self.lengths):
            raise ValueError(f"lengths must be positive, got {self.lengths}")

    @property
    def axes(self) -> int:
        return len(self.points)

    @property
    def spacing(self) -> tuple[float, ...]:
        return tuple(L / n for L, n in zip(self.lengths, self.points, strict=True))

    def places(self, like: Tensor) -> tuple[Tensor, ...]:
        """Coordinates of the points in m, one tensor ``(*space)`` for each axis."""
        lines = [
            h * torch.arange(n, dtype=torch.float64)
            for h, n in zip(self.spacing, self.points, strict=True)
        ]
        return tuple(place.to(like) for place in torch.meshgrid(*lines, indexing="ij"))


@dataclass(frozen=True, eq=False)
class Modes:
    """Fourier modes of a box, where and in the precision in which a state lives.

    Products of fields are free of aliases if every factor keeps the modes below
    ``points / (degree + 1)`` only: two thirds of all for the product of two, half for that of
    three (Orszag, 1971, https://doi.org/10.1175/1520-0469(1971)028<1074:OTEOAI>2.0.CO;2).
    """

    grid: Periodic
    degree: int
    """The highest number of fields that are multiplied."""
    like: Tensor

    def _indices(self) -> list[Tensor]:
        *whole, last = self.grid.points
        lines = [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) for n in whole]
        lines.append(torch.fft.rfftfreq(last, 1 / last, dtype=torch.float64))
        return list(torch.meshgrid(*lines, indexing="ij"))

    @cached_property
    def k(self) -> Sequence[Float[Tensor, "*mode"]]:
        """Wave numbers along each axis in rad/m, for derivatives of odd order: the highest mode,
        half a turn a point, has none that is real, and counts as zero."""
        found = []
        for index, n, length in zip(
            self._indices(), self.grid.points, self.grid.lengths, strict=True
        ):
            odd = torch.where(2 * index.abs() == n, 0.0, index)
            found.append((2 * torch.pi / length * odd).to(self.like))
        return found

    @cached_property
    def laplacian(self) -> Float[Tensor, "*mode"]:
        r""":math:`-|k|^2`, with the highest modes."""
        parts = zip(self._indices(), self.grid.lengths, strict=True)
        squares = torch.stack(
            [(2 * torch.pi / length * index).square() for index, length in parts]
        )
        return -squares.sum(0).to(self.like)

    @cached_property
    def inverse_laplacian(self) -> Complex[Tensor, "*mode"]:
        """One over the Laplacian, and zero for the mean."""
        inverse = 1 / torch.where(self.laplacian == 0, torch.inf, self.laplacian)
        return self.weight(inverse)

    @cached_property
    def kept(self) -> Complex[Tensor, "*mode"]:
        """One for the modes that products keep, zero for the others."""
        inside = torch.stack(
            [
                index.abs() * (self.degree + 1) < n
                for index, n in zip(self._indices(), self.grid.points, strict=True)
            ]
        )
        return self.weight(inside.all(0))

    def weight(self, factor: Tensor) -> Complex[Tensor, "*modes"]:
        """What amplitudes are multiplied with: complex, as otherwise each product would convert it."""
        return factor.to(dtype=self.like.dtype.to_complex(), device=self.like.device)

    def forward(self, state: Float[Tensor, "*batch_space"]) -> Complex[Tensor, "*batch_mode"]:
        """Amplitudes of the modes of fields."""
        found: Tensor = torch.fft.rfftn(state, dim=self._dims)
        return found

    def back(self, spectrum: Complex[Tensor, "*batch_mode"]) -> Float[Tensor, "*batch_space"]:
        """The fields of some amplitudes."""
        found: Tensor = torch.fft.irfftn(spectrum, s=self.grid.points, dim=self._dims)
        return found

    def fields(self, spectrum: Complex[Tensor, "*batch_mode"]) -> Float[Tensor, "*batch_space"]:
        """The fields of the kept modes: what may be multiplied."""
        return self.back(self.kept * spectrum)

    def product(self, field: Float[Tensor, "*batch_space"]) -> Complex[Tensor, "*batch_mode"]:
        """Amplitudes of a product of fields, those that no alias has spoiled."""
        return self.kept * self.forward(field)

    def slope(
        self, spectrum: Complex[Tensor, "*batch_mode"], axis: int
    ) -> Complex[Tensor, "*batch_mode"]:
        """The derivative along an axis."""
        return self._turns[axis] * spectrum

    def kept_slope(
        self, spectrum: Complex[Tensor, "*batch_mode"], axis: int
    ) -> Complex[Tensor, "*batch_mode"]:
        """The derivative along an axis of a product of fields, those modes that no alias has
        spoiled."""
        return self._kept_turns[axis] * spectrum

    @cached_property
    def _turns(self) -> Sequence[Complex[Tensor, "*mode"]]:
        return [1j * k for k in self.k]

    @cached_property
    def _kept_turns(self) -> Sequence[Complex[Tensor, "*mode"]]:
        return [self.kept * turn for turn in self._turns]

    @property
    def _dims(self) -> tuple[int, ...]:
        return tuple(range(-self.grid.axes, 0))
