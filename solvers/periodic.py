r"""Boxes whose opposite sides are one, and the Fourier modes of fields on them.

Points are evenly spaced; the first is at the origin and the last one spacing before the end, which
is the first again. A real field has complex amplitudes :math:`\hat u_k`, those of the last axis
for :math:`k \ge 0` only, as ``torch.fft.rfftn`` has them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Complex, Float, Num
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
    three (Orszag, 1971, https://doi.org/10.1175/1520-0469(1971)028<1074:OTEOAI>2.0.CO;2). Spectra
    have these modes and no others, so that nothing is computed of those that are not kept; transforms of
    several axes leave out the lines that hold none.
    """

    grid: Periodic
    degree: int
    """The highest number of fields that are multiplied; for none all modes are kept."""
    like: Tensor
    padded: bool = False
    """Whether spectra have all modes all the same, of which :meth:`forward` leaves those that are not
    kept at zero, and :meth:`back` does not look at them."""
    _made: dict[object, Tensor] = field(default_factory=dict, init=False)

    @cached_property
    def _counts(self) -> list[tuple[int, int]]:
        """How many modes along each axis are kept of those from zero up, and of those below."""
        return _kept(self.grid, self.degree)

    def _indices(self) -> list[Tensor]:
        counts = _kept(self.grid, 0) if self.padded else self._counts
        lines = [torch.cat([torch.arange(up), torch.arange(-down, 0)]) for up, down in counts]
        return list(torch.meshgrid(*(line.double() for line in lines), indexing="ij"))

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

    def derivative(self, *orders: int) -> Complex[Tensor, "*mode"]:
        """What amplitudes are multiplied with for a derivative of an order along each axis."""
        if orders not in self._made:
            with torch.inference_mode(False):  # or it would serve no gradient later
                factor = torch.ones((), dtype=torch.complex128)
                for order, k in zip(orders, self.k, strict=True):
                    factor = factor * (1j * k.double().cpu()) ** order
                self._made[orders] = self.weight(factor)
        return self._made[orders]

    def once(self, make: Callable[["Modes"], Tensor]) -> Tensor:
        """What an equation makes of modes alone, made once."""
        if make not in self._made:
            with torch.inference_mode(False):
                self._made[make] = make(self)
        return self._made[make]

    def weight(self, factor: Tensor) -> Complex[Tensor, "*modes"]:
        """What amplitudes are multiplied with: complex, as otherwise each product would convert it."""
        return factor.to(dtype=self.like.dtype.to_complex(), device=self.like.device)

    @cached_property
    def _lines(self) -> tuple[int, int, Sequence[tuple[int, tuple[int, int], int]]]:
        """Modes and points of the last axis; of each other its place, modes, and points."""
        points = self.grid.points
        whole = [(axis, self._counts[axis], points[axis]) for axis in range(-self.grid.axes, -1)]
        return self._counts[-1][0], points[-1], whole

    def forward(self, state: Float[Tensor, "*batch_space"]) -> Complex[Tensor, "*batch_mode"]:
        """Amplitudes of the modes of fields, or of a product of fields, those that no alias has
        spoiled."""
        up, _, whole = self._lines
        found: Tensor = torch.fft.rfft(state).narrow(-1, 0, up)
        for axis, counts, _ in reversed(whole):
            found = _low(torch.fft.fft(found, dim=axis), axis, counts)
        return self._filled(found) if self.padded else found

    def back(self, spectrum: Complex[Tensor, "*batch_mode"]) -> Float[Tensor, "*batch_space"]:
        """The fields of some amplitudes: what may be multiplied."""
        _, last, whole = self._lines
        if self.padded:
            spectrum = self._cut(spectrum)
        for axis, counts, points in whole:
            spectrum = torch.fft.ifft(_between(spectrum, axis, counts, points), dim=axis)
        found: Tensor = torch.fft.irfft(spectrum, last)
        return found

    def part(self, spectrum: Num[Tensor, "*batch_all"]) -> Num[Tensor, "*batch_mode"]:
        """Amplitudes, or their factors, of the modes of a spectrum from those of all, as ``rfftn`` has
        them."""
        return spectrum if self.padded else self._cut(spectrum)

    def whole(self, spectrum: Complex[Tensor, "*batch_mode"]) -> Complex[Tensor, "*batch_all"]:
        """Amplitudes of all modes, of which those that a spectrum does not have are zero."""
        return spectrum if self.padded else self._filled(spectrum)

    def _cut(self, spectrum: Tensor) -> Tensor:
        for axis in range(-self.grid.axes, 0):
            spectrum = _low(spectrum, axis, self._counts[axis])
        return spectrum

    def _filled(self, spectrum: Tensor) -> Tensor:
        points = (*self.grid.points[:-1], self.grid.points[-1] // 2 + 1)
        for axis in range(-self.grid.axes, 0):
            spectrum = _between(spectrum, axis, self._counts[axis], points[axis])
        return spectrum

    def slope(
        self, spectrum: Complex[Tensor, "*batch_mode"], axis: int
    ) -> Complex[Tensor, "*batch_mode"]:
        """The derivative along an axis."""
        orders = [0] * self.grid.axes
        orders[axis] = 1
        return self.derivative(*orders) * spectrum


def _kept(grid: Periodic, degree: int) -> list[tuple[int, int]]:
    """How many modes along each axis products keep of those from zero up, and of those below."""
    highest = [-(-n // (degree + 1)) - 1 if degree else n // 2 for n in grid.points]
    # Of both signs of the very highest mode there is but one.
    whole = [(most + 1 if degree else most, most) for most in highest[:-1]]
    return [*whole, (highest[-1] + 1, 0)]


def _low(spectrum: Tensor, axis: int, counts: tuple[int, int]) -> Tensor:
    """So many modes from zero up along an axis, and so many below zero, of all."""
    up, down = counts
    if up + down == spectrum.shape[axis]:
        return spectrum
    first = spectrum.narrow(axis, 0, up)
    return torch.cat([first, spectrum.narrow(axis, -down, down)], axis) if down else first


def _between(spectrum: Tensor, axis: int, counts: tuple[int, int], points: int) -> Tensor:
    """So many modes along an axis, zeros between those from zero up and those below."""
    up, down = counts
    if up + down == points:
        return spectrum
    shape = list(spectrum.shape)
    shape[axis] = points - up - down
    zeros = spectrum.new_zeros(shape)
    return torch.cat([spectrum.narrow(axis, 0, up), zeros, spectrum.narrow(axis, up, down)], axis)
