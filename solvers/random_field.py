r"""Gaussian random fields of a given roughness: the grounds and sources of steady problems.

.. math:: u \sim N\bigl(0,\; \tau^{2 \alpha - 2}\, (-\Delta + \tau^2)^{-\alpha}\bigr)

on a box of side 1 whose walls let nothing through, so that the cosines are its modes, or on one that is
periodic, with sines and cosines. The larger alpha the smoother the field, and :math:`1 / \tau` is the
length of its largest features.

Sources:
    Fourier neural operator for parametric partial differential equations (Li et al., 2021,
    https://arxiv.org/abs/2010.08895), appendix A.3.2: :math:`N(0, (-\Delta + 9)^{-2})` and its
    two-valued image are the permeabilities of Darcy's problem, there and in DiffusionPDE (Huang et
    al., 2024, https://arxiv.org/abs/2406.17763).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from physgen.solvers.elliptic import Cells
from physgen.solvers.periodic import Periodic


@dataclass(frozen=True)
class GaussianField:
    """The law of a field.

    Raises:
        ValueError: it is too rough to have values at points, or a number is not positive.
    """

    alpha: float = 2.0
    tau: float = 3.0
    highest: int = 64
    """Modes that are drawn along each axis, the mean among them, which is zero."""

    def __post_init__(self) -> None:
        if not (self.alpha > 1 and self.tau > 0 and self.highest > 1):
            raise ValueError(
                "a field needs alpha > 1, tau > 0 and highest > 1, got "
                f"{self.alpha}, {self.tau} and {self.highest}"
            )

    def deviations(self, axes: int) -> Float[Tensor, "*mode"]:
        """Standard deviations of the amplitudes of the orthonormal modes."""
        index = torch.arange(self.highest, dtype=torch.float64)
        squares = torch.stack(torch.meshgrid(*[index.square()] * axes, indexing="ij")).sum(0)
        found: Tensor = self.tau ** (self.alpha - 1) * (torch.pi**2 * squares + self.tau**2) ** (
            -self.alpha / 2
        )
        found.view(-1)[0] = 0
        return found

    def draw(
        self, cells: Cells, count: int, generator: torch.Generator
    ) -> Float[Tensor, "batch *space"]:
        """Fields at the centres of cells, in double precision.

        Numbers are drawn for all modes of the law, and those that cells are too few for are left
        out: one seed gives one field on cells of any fineness, as far as they can show it. The box
        is stretched to the lengths of the cells.
        """
        shape = (count, *[self.highest] * len(cells.cells))
        device = generator.device
        white = torch.randn(shape, generator=generator, dtype=torch.float64, device=device)
        return self.compose(cells, white)

    def compose(
        self, cells: Cells, white: Float[Tensor, "batch *mode"]
    ) -> Float[Tensor, "batch *space"]:
        """The fields that unit noise makes, one number for each mode of the law."""
        field = self.deviations(len(cells.cells)).to(white) * white
        return _synthesis(field, [_cosines(n, self.highest) for n in cells.cells])

    def covariance(
        self, cells: Cells, places: Int[Tensor, " place"]
    ) -> Float[Tensor, "place *space"]:
        """Of the field at some places, numbers of the flattened cells, with the field at all cells."""
        modes = [_cosines(n, self.highest) for n in cells.cells]
        here = _analysis(modes, torch.unravel_index(places, cells.cells))
        kept = self.deviations(len(modes))
        for axis, one in enumerate(modes):
            kept = kept.narrow(axis, 0, len(one))
        return self.compose(cells, self._padded(kept * here))

    def _padded(self, amplitude: Tensor) -> Tensor:
        """With zeros for modes that cells are too few for."""
        whole = amplitude.new_zeros(len(amplitude), *[self.highest] * (amplitude.ndim - 1))
        whole[tuple(slice(0, size) for size in amplitude.shape)] = amplitude
        return whole


def _cosines(count: int, highest: int) -> Float[Tensor, "mode cell"]:
    """Cosines of mean square one at the centres of cells."""
    mode = torch.arange(min(count, highest), dtype=torch.float64)[:, None]
    place = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    waves = torch.cos(torch.pi * mode * place)
    waves[1:] *= 2**0.5
    return waves


@dataclass(frozen=True)
class PeriodicField:
    """The law of a field without a mean on a box that is periodic.

    Raises:
        ValueError: it is too rough to have values at points, or a number is not positive.
    """

    alpha: float
    tau: float
    deviation: float
    """Standard deviation at each point, in the field's unit; it takes the place of the power of tau."""
    highest: int
    """Periods along a side of the finest waves."""

    def __post_init__(self) -> None:
        if not (self.alpha > 1 and min(self.tau, self.deviation) > 0 and self.highest > 0):
            raise ValueError(
                "a field needs alpha > 1, and tau, deviation and highest > 0, got "
                f"{self.alpha}, {self.tau}, {self.deviation} and {self.highest}"
            )

    @property
    def modes(self) -> int:
        """Waves along each axis: a constant, cosines and sines."""
        return 2 * self.highest + 1

    def deviations(self, axes: int) -> Float[Tensor, "*mode"]:
        """Standard deviations of the amplitudes of waves of mean square one."""
        index = (torch.arange(self.modes, dtype=torch.float64) + 1).div(2, rounding_mode="floor")
        square = (2 * torch.pi * index).square()
        squares = torch.stack(torch.meshgrid(*[square] * axes, indexing="ij")).sum(0)
        found: Tensor = (squares + self.tau**2) ** (-self.alpha / 2)
        found.view(-1)[0] = 0
        unit: Tensor = found / found.norm()
        return self.deviation * unit

    def draw(
        self, grid: Periodic, count: int, generator: torch.Generator
    ) -> Float[Tensor, "batch *space"]:
        """Fields at points, in double precision: one seed gives one field on any of them."""
        shape, device = (count, *[self.modes] * grid.axes), generator.device
        white = torch.randn(shape, generator=generator, dtype=torch.float64, device=device)
        return self.compose(grid, white)

    def compose(
        self, grid: Periodic, white: Float[Tensor, "batch *mode"]
    ) -> Float[Tensor, "batch *space"]:
        """The fields that unit noise makes, one number for each wave of the law."""
        field = self.deviations(grid.axes).to(white) * white
        return _synthesis(field, [_circles(n, self.modes) for n in grid.points])

    def covariance(
        self, grid: Periodic, places: Int[Tensor, " place"]
    ) -> Float[Tensor, "place *space"]:
        """Of the field at some places, numbers of the flattened points, with the field at all."""
        waves = [_circles(n, self.modes) for n in grid.points]
        here = _analysis(waves, torch.unravel_index(places, grid.points))
        return self.compose(grid, self.deviations(grid.axes) * here)


def _synthesis(field: Float[Tensor, "batch *mode"], waves: list[Tensor]) -> Tensor:
    """The fields of amplitudes of so many of their first waves."""
    for one in waves:
        # Each pass turns the first axis of amplitudes into the last axis of space.
        field = torch.tensordot(field.narrow(1, 0, len(one)), one.to(field), ([1], [0]))
    return field


def _analysis(waves: list[Tensor], index: tuple[Tensor, ...]) -> Float[Tensor, "place *mode"]:
    """All waves at some places."""
    here = torch.ones(len(index[0]), dtype=torch.float64)
    for one, place in zip(waves, index, strict=True):
        line = one[:, place].mT
        here = here[..., None] * line.view(len(line), *[1] * (here.ndim - 1), len(one))
    return here


def _circles(points: int, modes: int) -> Float[Tensor, "mode point"]:
    """A constant, then a cosine and a sine of each number, of mean square one, at points of a ring."""
    mode = torch.arange(modes, dtype=torch.float64)[:, None]
    place = torch.arange(points, dtype=torch.float64) / points
    phase = 2 * torch.pi * (mode + 1).div(2, rounding_mode="floor") * place
    waves = 2**0.5 * torch.where(mode % 2 == 1, phase.cos(), phase.sin())
    waves[0] = 1
    return waves
