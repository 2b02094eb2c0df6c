r"""Steady equations with Dirichlet walls: one operator, and ways to invert it.

.. math:: A(a)\, u = -\nabla \cdot (a\, \nabla u) - q\, u = f, \qquad u = 0 \text{ at the walls}

at the centres of cells, by finite volumes. The flux between two cells meets both of their
resistances in line, which is the harmonic mean of a and exact where a jumps from one cell to the
next; walls are half a cell away. What flows out through the walls is what the sources give, to
rounding; errors are of second order in the spacing where a is smooth.

:math:`A` is symmetric, and inverted by

* :class:`SparseFactors`: sparse factors (SuperLU) of the matrix of all samples at once, whatever a and q;
* :class:`SineConjugateGradients`, for :math:`A > 0`: preconditioned by the exact inverse for a constant a,
  which sines make diagonal. Its count of iterations does not depend on the grid.

Solutions have the **implicit adjoint**: for a cost J, :math:`A \lambda = \partial J / \partial u`
gives :math:`\partial J / \partial f = \lambda` and :math:`\partial J / \partial a =
-\lambda^T (\partial A / \partial a)\, u`, one more solution, and nothing of an iteration is kept.
"""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor
from torch.autograd.function import once_differentiable

from physgen.shapes import Boundary, PerSample, State

Field = Float[Tensor, "batch *space"]


class Steady(abc.ABC):
    """An equation without time: boundary data, among them coefficients, have one state."""

    @abc.abstractmethod
    def solve(self, boundary: Boundary) -> State:
        """The state of some boundary data."""

    @abc.abstractmethod
    def residual(self, state: State, boundary: Boundary) -> State:
        """The left side of the equation less its right side, in the units of the source."""


@dataclass(frozen=True)
class Cells:
    """Cells of an interval or a rectangle, up to its walls.

    Raises:
        ValueError: there are too few cells, a length is not positive, or there are more axes.
    """

    cells: tuple[int, ...]
    lengths: tuple[float, ...]
    """Of the sides, in m."""

    def __post_init__(self) -> None:
        if len(self.cells) != len(self.lengths) or not 1 <= len(self.cells) <= 2:
            raise ValueError(
                "an interval or a rectangle needs cells and a length for each axis, got "
                f"{self.cells} and {self.lengths}"
            )
        if any(count < 2 for count in self.cells):
            raise ValueError(f"cells along an axis must be at least 2, got {self.cells}")
        if not all(0 < length < math.inf for length in self.lengths):
            raise ValueError(f"lengths must be positive, got {self.lengths}")

    @property
    def spacing(self) -> tuple[float, ...]:
        return tuple(L / n for L, n in zip(self.lengths, self.cells, strict=True))

    def places(self, like: Tensor) -> tuple[Tensor, ...]:
        """Centres of the cells in m, one tensor ``(*space)`` for each axis."""
        lines = [
            h * (torch.arange(n, dtype=torch.float64) + 0.5)
            for h, n in zip(self.spacing, self.cells, strict=True)
        ]
        return tuple(place.to(like) for place in torch.meshgrid(*lines, indexing="ij"))

    def check(self, field: State, channels: int, what: str) -> None:
        """Refuse what does not lie on these cells.

        Raises:
            ValueError: its channels or cells are others.
        """
        if field.shape[1:] != (channels, *self.cells):
            raise ValueError(
                f"{what} must have {channels} channels on {self.cells} cells, got "
                f"{tuple(field.shape[1:])}: was it made for another grid?"
            )

    def conductances(self, coefficient: Field) -> list[Tensor]:
        """What flows through the faces across each axis for a difference of one, over the area of a
        cell; the faces at the walls are the first and the last."""
        return [
            _conductances(coefficient, axis - len(self.cells), h)
            for axis, h in enumerate(self.spacing)
        ]

    def apply(self, coefficient: Field, shift: float, field: Field) -> Field:
        r""":math:`A u`, for a coefficient a and a shift q."""
        total = -shift * field
        for axis, conductance in enumerate(self.conductances(coefficient)):
            dim = axis - len(self.cells)
            zero = torch.zeros_like(field.narrow(dim, 0, 1))
            flux = conductance * torch.diff(field, dim=dim, prepend=zero, append=zero)
            total = total - torch.diff(flux, dim=dim)
        return total

    def outflow(self, coefficient: Field, field: Field) -> PerSample:
        """What flows out through all walls, over the area of a cell."""
        total = torch.zeros(len(field), dtype=field.dtype, device=field.device)
        for axis, conductance in enumerate(self.conductances(coefficient)):
            dim, last = axis - len(self.cells), self.cells[axis] - 1
            low = conductance.narrow(dim, 0, 1) * field.narrow(dim, 0, 1)
            high = conductance.narrow(dim, last + 1, 1) * field.narrow(dim, last, 1)
            total = total + (low + high).flatten(1).sum(1)
        return total

    def strength(self, coefficient: Field, shift: float) -> Field:
        """Sums of the sizes of the numbers in each row of A: how far rounding in u is felt in A u."""
        total = torch.full_like(coefficient, abs(shift))
        for axis, conductance in enumerate(self.conductances(coefficient)):
            dim, count = axis - len(self.cells), self.cells[axis]
            total = total + 2 * conductance.narrow(dim, 0, count)
            total = total + 2 * conductance.narrow(dim, 1, count)
        return total

    @cached_property
    def sines(self) -> list[Float[Tensor, "mode cell"]]:
        """For each axis the orthonormal sines that make A diagonal where a is constant."""
        return [_sines(count) for count in self.cells]

    @cached_property
    def eigenvalues(self) -> Float[Tensor, "*mode"]:
        """Of A for a = 1 and q = 0, in 1/m²."""
        lines = []
        for count, h in zip(self.cells, self.spacing, strict=True):
            angle = torch.arange(1, count + 1, dtype=torch.float64) * torch.pi / (2 * count)
            lines.append((2 / h * angle.sin()).square())
        found: Tensor = torch.stack(list(torch.meshgrid(*lines, indexing="ij"))).sum(0)
        return found


def _conductances(coefficient: Field, dim: int, spacing: float) -> Tensor:
    """Two half cells in line between neighbours, one at each wall."""
    count = coefficient.shape[dim]
    low, high = coefficient.narrow(dim, 0, count - 1), coefficient.narrow(dim, 1, count - 1)
    inner = 2 * low * high / (low + high)
    first, last = coefficient.narrow(dim, 0, 1), coefficient.narrow(dim, count - 1, 1)
    return torch.cat([2 * first, inner, 2 * last], dim) / spacing**2


def _sines(count: int) -> Tensor:
    mode = torch.arange(1, count + 1, dtype=torch.float64)[:, None]
    place = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    waves = torch.sin(torch.pi * mode * place)
    found: Tensor = waves / waves.norm(dim=1, keepdim=True)
    return found


class Inversion(abc.ABC):
    """A way to solve A u = f."""

    @abc.abstractmethod
    def ready(self, cells: Cells, coefficient: Field, shift: float) -> Callable[[Field], Field]:
        """A function of the right side, made for one coefficient and shift.

        Raises:
            ValueError: the operator is not one that this way inverts.
        """


class SparseFactors(Inversion):
    r"""Sparse factors, in double precision on the processor, kept for the adjoint.

    All samples are blocks of one matrix, so that a batch is one call; memory grows like
    :math:`n \log n` with the cells of a sample.
    """

    def ready(self, cells: Cells, coefficient: Field, shift: float) -> Callable[[Field], Field]:
        factors = splu(_matrix(cells, coefficient.detach(), shift))

        def answer(right: Field) -> Field:
            flat = right.detach().double().cpu().flatten().numpy()
            found = torch.from_numpy(factors.solve(flat)).view(right.shape)
            return found.to(right)

        return answer


def _matrix(cells: Cells, coefficient: Field, shift: float) -> sparse.csc_array:
    """A of all samples as blocks on the diagonal."""
    shape = coefficient.shape
    index = np.arange(coefficient.numel()).reshape(shape)
    diagonal = torch.full(shape, -shift, dtype=torch.float64)
    rows, columns, values = [], [], []
    for axis, found in enumerate(cells.conductances(coefficient.double().cpu())):
        dim, count = axis - len(cells.cells), cells.cells[axis]
        diagonal = diagonal + found.narrow(dim, 0, count) + found.narrow(dim, 1, count)
        inner = -found.narrow(dim, 1, count - 1).numpy().ravel()
        low = np.take(index, range(count - 1), dim).ravel()
        high = np.take(index, range(1, count), dim).ravel()
        rows += [low, high]
        columns += [high, low]
        values += [inner, inner]
    rows.append(index.ravel())
    columns.append(index.ravel())
    values.append(diagonal.numpy().ravel())
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return sparse.csc_array(entries, shape=(index.size, index.size))


@dataclass(frozen=True)
class SineConjugateGradients(Inversion):
    r"""Conjugate gradients with a preconditioner of sines; each sample stops by itself.

    What is held to the tolerance is the true residual, computed anew at the end: where rounding made
    that of the iteration part from it, the iteration begins again from there. No residual can be
    smaller than what rounding u leaves of it, :math:`\epsilon \| |A|\, |u| \|` at most, and one
    below that is accepted too: in single precision some 1e-4 of the right side at 64 cells an axis
    and four times that at 128, while u is right to 1e-6. Take double precision for less.

    Raises:
        ValueError: A is not positive.
        FloatingPointError: the right side is not finite, or the tolerance was not reached within
            ``limit`` iterations.
    """

    tolerance: float = 1e-6
    """The norm of the residual over that of the right side, if rounding allows it."""
    limit: int = 500

    def ready(self, cells: Cells, coefficient: Field, shift: float) -> Callable[[Field], Field]:
        coefficient = coefficient.detach()
        lowest = float(coefficient.min() * cells.eigenvalues.min())
        if shift >= lowest:
            raise ValueError(
                f"conjugate gradients need q below the lowest eigenvalue, surely {lowest:.4g} /m² "
                f"here, got {shift:g}: take SparseFactors()"
            )
        axes = list(range(1, coefficient.ndim))
        typical = (coefficient.amin(axes) * coefficient.amax(axes)).sqrt()
        typical = typical.view(-1, *[1] * len(axes))
        inverse = 1 / (typical * cells.eigenvalues.to(coefficient) - shift)
        sines = [one.to(coefficient) for one in cells.sines]

        def nearly(right: Field) -> Field:
            return _in_sines(inverse * _in_sines(right, sines), [one.mT for one in sines])

        rounding = torch.finfo(coefficient.dtype).eps * cells.strength(coefficient, shift)

        def answer(right: Field) -> Field:
            return self._descend(
                lambda field: cells.apply(coefficient, shift, field),
                nearly,
                rounding,
                right.detach(),
            )

        return answer

    def _descend(
        self,
        apply: Callable[[Field], Field],
        nearly: Callable[[Field], Field],
        rounding: Field,
        right: Field,
    ) -> Field:
        goal = self.tolerance * _size(right)
        if not goal.isfinite().all():
            raise FloatingPointError(
                f"the right side is not finite in {int((~goal.isfinite()).sum())} of {len(goal)} "
                "samples: in a backward pass it is the gradient of the cost by the solution"
            )
        found, left = torch.zeros_like(right), right
        step = nearly(left)
        weight = _dot(left, step)
        for _ in range(self.limit):
            going = ~(_size(left) <= goal)
            if not bool(going.any()):
                left = right - apply(found)
                goal = torch.maximum(goal, _size(rounding * found))
                going = ~(_size(left) <= goal)
                if not bool(going.any()):
                    return found
                step = nearly(left)
                weight = _dot(left, step)
            going = _wide(going, left)
            image = apply(step)
            length = torch.where(going, _wide(weight / _safe(_dot(step, image)), left), 0.0)
            found, left = found + length * step, left - length * image
            fresh = nearly(left)
            later = _dot(left, fresh)
            step, weight = fresh + _wide(later / _safe(weight), left) * step, later
        worst = float((_size(left) / _safe(_size(right))).max())
        raise FloatingPointError(
            f"conjugate gradients did not converge: residual {worst:.1e} after {self.limit} "
            f"iterations, asked for {self.tolerance:g}: take SparseFactors(), or double precision"
        )


def _in_sines(field: Field, sines: list[Tensor]) -> Field:
    """Amplitudes of a field, or with transposed sines the field of some amplitudes."""
    if len(sines) == 1:
        return field @ sines[0].mT
    return sines[0] @ field @ sines[1].mT


def _dot(a: Field, b: Field) -> PerSample:
    found: Tensor = (a * b).flatten(1).sum(1)
    return found


def _size(field: Field) -> PerSample:
    found: Tensor = field.flatten(1).norm(dim=1)
    return found


def _safe(value: PerSample) -> PerSample:
    return torch.where(value == 0, torch.ones_like(value), value)


def _wide(each: Tensor, like: Tensor) -> Tensor:
    """One value a sample, with axes added."""
    return each.view(-1, *[1] * (like.ndim - 1))


def solve(
    inversion: Inversion, cells: Cells, coefficient: Field, shift: float, source: Field
) -> Field:
    """The solution of A u = f, differentiable in the coefficient and in the source."""
    answer = inversion.ready(cells, coefficient, shift)
    apply: Callable[..., Tensor] = _Implicit.apply
    return apply(coefficient, source, cells, shift, answer)


class _Implicit(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        coefficient: Tensor,
        source: Tensor,
        cells: Cells,
        shift: float,
        answer: Callable[[Field], Field],
    ) -> Tensor:
        found = answer(source)
        ctx.cells, ctx.shift, ctx.answer = cells, shift, answer  # type: ignore[attr-defined]
        ctx.save_for_backward(coefficient, found)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        coefficient, found = ctx.saved_tensors
        adjoint = ctx.answer(gradient)
        by_coefficient = None
        if ctx.needs_input_grad[0]:
            with torch.enable_grad():
                free = coefficient.detach().requires_grad_()
                image = ctx.cells.apply(free, ctx.shift, found)
                (by_coefficient,) = torch.autograd.grad(image, free, -adjoint)
        return by_coefficient, adjoint, None, None, None
