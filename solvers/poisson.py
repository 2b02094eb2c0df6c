r"""Poisson's equation with a variable coefficient, on rectangles, batched.

.. math:: A\phi = \delta_x(\beta_x\,\delta_x\phi) + \delta_y(\beta_y\,\delta_y\phi) = b

at the centres of ``nx`` by ``ny`` square cells, with :math:`\delta` the difference of neighbours
(spacing 1) and no flux through the sides that are not periodic. :math:`\beta` is 1 in the fluid
and falls to 0 within bodies. Without bodies cosines (or a Fourier basis where periodic) make
:math:`A` diagonal; each transform is two multiplications by dense matrices, halved by the parity
of the basis about the middle, which up to some 500 cells an axis is as fast as an FFT.

With bodies there are two solvers:

* :class:`Direct`, for bodies that stay: :math:`A = L + P E P^T` differs from the constant
  operator :math:`L` in the ``m`` cells around the bodies only, and by Woodbury's identity

  .. math:: \phi = L^+ (b - P W P^T L^+ b), \qquad W = E (1 + P^T L^+ P\, E)^{-1},

  the capacitance-matrix method (Buzbee, Dorr, George & Golub, 1971,
  https://doi.org/10.1137/0708066; Proskurowski & Widlund, 1976). It is exact and costs about
  one and a half transforms. ``W`` is made once, in float64.
* :class:`ConjugateGradients`, preconditioned with :math:`L^+` and started from a guess, for
  bodies that move.

Both are differentiable by their **implicit adjoint**: with :math:`A\lambda = \partial J /
\partial\phi`, :math:`\partial J/\partial b = \lambda` and :math:`\partial J/\partial\beta =
\delta\lambda\,\delta\phi` on each face. Nothing of the iteration is stored.

Cells whose faces are all shut (sum of :math:`\beta` below :data:`SHUT`), and pockets of fluid
cut off from the largest region, are *dead*: their :math:`b` counts as zero, no flux enters them
and their :math:`\phi` has no meaning. Over the live cells :math:`b` is made to sum to zero, as
the equation asks.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor
from torch.nn.functional import pad

SHUT = 1e-3
"""Sum of beta over a cell's faces below which nothing flows through it."""

Cells = Float[Tensor, "batch x y"]


@dataclass(frozen=True)
class Axis:
    """An orthonormal basis of one axis that makes the second difference diagonal."""

    cells: int
    periodic: bool

    def __post_init__(self) -> None:
        if self.cells < 4 or self.cells % 2:
            raise ValueError(f"cells along an axis must be even and at least 4, got {self.cells}")

    @property
    def angles(self) -> Float[Tensor, "2 half"]:
        """Phase per cell of the even and of the odd basis functions."""
        k = torch.arange(self.cells // 2, dtype=torch.float64)
        if self.periodic:
            return 2 * torch.pi / self.cells * torch.stack([k, k + 1])
        return torch.pi / self.cells * torch.stack([2 * k, 2 * k + 1])

    @property
    def eigenvalues(self) -> Float[Tensor, "2 half"]:
        found: Tensor = 2 * self.angles.cos() - 2
        return found

    @property
    def basis(self) -> Float[Tensor, "2 half cell"]:
        """Rows are basis functions, columns the cells of the first half."""
        return self.at(torch.arange(self.cells // 2))

    def at(self, cell: Int[Tensor, " points"]) -> Float[Tensor, "2 half points"]:
        """The even and the odd basis functions in some cells."""
        phase = self.angles[..., None] * (cell + 0.5)
        even, odd = phase[0].cos(), (phase[1].sin() if self.periodic else phase[1].cos())
        middle = (torch.arange(self.cells) + 0.5) * self.angles[..., None]
        full = torch.stack(
            [middle[0].cos(), middle[1].sin() if self.periodic else middle[1].cos()]
        )
        found: Tensor = torch.stack([even, odd]) / full.norm(dim=-1, keepdim=True)
        return found

    def kernel(self, offset: Int[Tensor, " offset"]) -> tuple[Float[Tensor, "offset mode"], bool]:
        r"""Rows over the modes such that :math:`e(i) e(k)` is their value at ``i - k``, plus,
        for cosines (said by the flag), at ``i + k + 1``."""
        angle = self.angles.flatten()
        phase = angle * offset[:, None]
        weight = torch.full_like(angle, 2.0 / self.cells)
        weight[angle == 0] = 1.0 / self.cells
        if self.periodic:
            weight[self.cells - 1] = 1.0 / self.cells
            # A sine and a cosine of one frequency together give one cosine of the difference.
            weight = weight / torch.where((angle == 0) | (weight * self.cells == 1.0), 1.0, 2.0)
            return weight * phase.cos(), False
        return 0.5 * weight * phase.cos(), True


class Laplacian:
    """The constant-coefficient operator and its pseudo-inverse, by transforms of both axes."""

    def __init__(self, x: Axis, y: Axis, like: Tensor) -> None:
        self.x, self.y = x, y
        eigenvalues = x.eigenvalues[:, None, :, None] + y.eigenvalues[None, :, None, :]
        inverse = 1 / torch.where(eigenvalues == 0, torch.inf, eigenvalues)
        self.exact_inverse = inverse
        self.inverse = inverse.to(like)
        self._forward_x = x.basis.to(like)[:, None].expand(2, 2, -1, -1).contiguous()
        self._forward_y = y.basis.to(like).mT[None].expand(2, 2, -1, -1).contiguous()
        self._back_x, self._back_y = (
            self._forward_x.mT.contiguous(),
            self._forward_y.mT.contiguous(),
        )

    def forward(self, field: Cells) -> Float[Tensor, "batch 2 2 kx ky"]:
        return self._forward_x @ (_fold(field) @ self._forward_y)

    def back(self, spectrum: Float[Tensor, "batch 2 2 kx ky"]) -> Cells:
        return _unfold(self._back_x @ (spectrum @ self._back_y))

    def solve(self, field: Cells) -> Cells:
        """The field of mean zero whose Laplacian is ``field`` less its mean."""
        return self.back(self.forward(field) * self.inverse)


def _fold(field: Tensor) -> Tensor:
    """Even and odd parts about the middle of both axes."""
    half_x, half_y = field.shape[-2] // 2, field.shape[-1] // 2
    low, high = field[:, :half_x], field[:, half_x:].flip(1)
    field = torch.stack([low + high, low - high], 1)
    low, high = field[..., :half_y], field[..., half_y:].flip(-1)
    return torch.stack([low + high, low - high], 2)


def _unfold(parts: Tensor) -> Tensor:
    even, odd = parts[:, :, 0], parts[:, :, 1]
    field = torch.cat([even + odd, (even - odd).flip(-1)], -1)
    even, odd = field[:, 0], field[:, 1]
    return torch.cat([even + odd, (even - odd).flip(1)], 1)


@dataclass(frozen=True)
class Openness:
    """The coefficient on the faces between cells, and which cells take part.

    A face that lies on a side of the domain has the coefficient of the face opposite where the
    axis is periodic, and zero elsewhere.
    """

    x: Float[Tensor, "batch x_faces y"]
    y: Float[Tensor, "batch x y_faces"]
    live: Bool[Tensor, "batch x y"]
    mask: Float[Tensor, "batch x y"]
    """The same as numbers."""
    share: Float[Tensor, "batch x y"]
    """One over the number of live cells, and zero in the dead ones: it sums to one."""

    def apply(self, field: Cells) -> Cells:
        flux_x = self.x * differences(field, 1)
        flux_y = self.y * differences(field, 2)
        return flux_x[:, 1:] - flux_x[:, :-1] + flux_y[:, :, 1:] - flux_y[:, :, :-1]

    def allowed(self, field: Cells) -> Cells:
        """``field`` without what the equation cannot answer: dead cells, and the mean of live."""
        return (field - (field * self.share).sum((1, 2), keepdim=True)) * self.mask


def differences(field: Float[Tensor, "batch x y"], dim: int) -> Tensor:
    """Differences of neighbours on all faces across ``dim``; those of the sides wrap around.

    Where a side is not periodic its value is meaningless, and is multiplied by zero.
    """
    first, last = field.narrow(dim, 0, 1), field.narrow(dim, field.shape[dim] - 1, 1)
    inner = torch.diff(field, dim=dim)
    return torch.cat([first - last, inner, first - last], dim)


def openness(
    mu_x: Float[Tensor, "batch x_faces y"],
    mu_y: Float[Tensor, "batch x y_faces"],
    x: Axis,
    y: Axis,
) -> Openness:
    """The coefficient from the fluid's share of each face, shut at the sides and at dead cells."""
    mu_x, mu_y = _sided(mu_x, 1, x.periodic), _sided(mu_y, 2, y.periodic)
    with torch.no_grad():
        total = mu_x[:, 1:] + mu_x[:, :-1] + mu_y[:, :, 1:] + mu_y[:, :, :-1]
        live = total >= SHUT
        if not bool(live.all()):
            live = _largest(live, mu_x, mu_y, x, y)
    mask = live.to(mu_x)
    share = mask / mask.sum((1, 2), keepdim=True)
    along_x, along_y = mu_x * _both(live, 1).to(mu_x), mu_y * _both(live, 2).to(mu_y)
    return Openness(along_x, along_y, live, mask, share)


def _sided(mu: Tensor, dim: int, periodic: bool) -> Tensor:
    if periodic:
        return mu
    n = mu.shape[dim]
    ends = (0, 0, 1, 1) if dim == 1 else (1, 1, 0, 0)
    return pad(mu.narrow(dim, 1, n - 2), ends)


def _both(live: Tensor, dim: int) -> Tensor:
    """Faces across ``dim`` both of whose cells live (those of the sides wrap around)."""
    n = live.shape[dim]
    ends = live.narrow(dim, 0, 1) & live.narrow(dim, n - 1, 1)
    inner = live.narrow(dim, 1, n - 1) & live.narrow(dim, 0, n - 1)
    return torch.cat([ends, inner, ends], dim)


def _largest(live: Tensor, mu_x: Tensor, mu_y: Tensor, x: Axis, y: Axis) -> Tensor:
    """The largest connected region of each sample: what a body encloses has no pressure of its own."""
    found = live.clone()
    for sample in range(len(live)):
        # Cells that touch by a shut face are not connected: label on a grid of cells and faces.
        fine = torch.zeros(2 * x.cells + 1, 2 * y.cells + 1, dtype=torch.bool)
        fine[1::2, 1::2] = live[sample].cpu()
        fine[::2, 1::2] = mu_x[sample].cpu() > 0
        fine[1::2, ::2] = mu_y[sample].cpu() > 0
        inside = fine.clone()
        inside[2:-1:2, 1::2] &= fine[1:-2:2, 1::2] & fine[3::2, 1::2]
        inside[1::2, 2:-1:2] &= fine[1::2, 1:-2:2] & fine[1::2, 3::2]
        labels, count = ndimage.label(inside.numpy())
        if count > 1:
            cells = torch.from_numpy(labels[1::2, 1::2].copy())
            sizes = torch.bincount(cells.flatten(), minlength=count + 1)
            sizes[0] = 0
            found[sample] &= (cells == int(sizes.argmax())).to(live.device)
    return found


@dataclass(frozen=True)
class Room:
    """Cells set aside for bodies, from ``low`` up to ``high``, and how many of them they may touch.

    What is computed at bodies then has one size for all that fit: code compiled for one serves
    for another.

    Raises:
        ValueError: the room is empty, or smaller than what may be touched of it.
    """

    low_x: int
    high_x: int
    low_y: int
    high_y: int
    cells: int
    """Cells at which the operator may differ from the one without bodies."""

    def __post_init__(self) -> None:
        area = (self.high_x - self.low_x) * (self.high_y - self.low_y)
        if not (self.high_x > self.low_x >= 0 <= self.low_y < self.high_y):
            raise ValueError(
                f"a room for bodies must have low ends below its high ones, got {self}"
            )
        if not 0 < self.cells <= area:
            raise ValueError(
                f"bodies may touch from 1 cell to all {area} of their room, got {self.cells}"
            )


class System(abc.ABC):
    """Something that solves for one or many right sides under one coefficient."""

    @abc.abstractmethod
    def answer(self, right: Cells, guess: Cells) -> Cells:
        """The solution without any derivative."""


class PressureSolver(abc.ABC):
    """A way to solve Poisson's equation."""

    @abc.abstractmethod
    def system(self, laplacian: Laplacian, openness: Openness, room: Room | None = None) -> System:
        """Made ready for one coefficient; for any that fits, the same size, if there is a room."""


def solve(system: System, openness: Openness, right: Cells, guess: Cells) -> Cells:
    """The solution, differentiable in ``right`` and in the coefficient of ``openness``."""
    apply: Callable[..., Tensor] = _Implicit.apply
    return apply(right, openness.x, openness.y, system, openness, guess)


def project(
    system: System,
    openness: Openness,
    u: Float[Tensor, "batch x_faces y"],
    v: Float[Tensor, "batch x y_faces"],
    guess: Cells,
) -> tuple[Float[Tensor, "batch x_faces y"], Float[Tensor, "batch x y_faces"], Cells]:
    r"""The nearest flow without divergence, and the potential whose gradient that takes away.

    .. math:: u - \beta_x\,\delta_x\phi, \qquad v - \beta_y\,\delta_y\phi, \qquad
        A\phi = \operatorname{div}(u, v),

    differentiable in the flow and in the coefficient. It keeps the potential only.
    """
    apply: Callable[..., tuple[Tensor, Tensor, Tensor]] = _Projection.apply
    return apply(u, v, openness.x, openness.y, system, openness, guess)


def _divergence(u: Tensor, v: Tensor) -> Cells:
    return torch.diff(u, dim=1) + torch.diff(v, dim=2)


def _adjoint(system: System, openness: Openness, gradient: Cells) -> Cells:
    """The gradient by the right side, up to what is not allowed, from that by the solution."""
    gradient = openness.allowed(gradient)
    # A tolerance is meant for the flow's scale, and a gradient may have any: solve for one of 1.
    size = _safe(gradient.abs().amax((1, 2), keepdim=True))
    return size * system.answer(gradient / size, torch.zeros_like(gradient))


class _Implicit(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        right: Tensor,
        x: Tensor,
        y: Tensor,
        system: System,
        openness: Openness,
        guess: Tensor,
    ) -> Tensor:
        found = system.answer(openness.allowed(right), guess)
        ctx.system, ctx.openness = system, openness  # type: ignore[attr-defined]
        ctx.save_for_backward(found)
        return found

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        (found,) = ctx.saved_tensors
        adjoint = _adjoint(ctx.system, ctx.openness, gradient)
        along_x = along_y = None
        if ctx.needs_input_grad[1]:
            along_x = differences(adjoint, 1) * differences(found, 1)
        if ctx.needs_input_grad[2]:
            along_y = differences(adjoint, 2) * differences(found, 2)
        return ctx.openness.allowed(adjoint), along_x, along_y, None, None, None


class _Projection(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        u: Tensor,
        v: Tensor,
        x: Tensor,
        y: Tensor,
        system: System,
        openness: Openness,
        guess: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        found = system.answer(openness.allowed(_divergence(u, v)), guess)
        ctx.system, ctx.openness = system, openness  # type: ignore[attr-defined]
        ctx.save_for_backward(found)
        return u - x * differences(found, 1), v - y * differences(found, 2), found

    @staticmethod
    def backward(ctx, of_u: Tensor, of_v: Tensor, of_found: Tensor):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN205
        (found,) = ctx.saved_tensors
        openness: Openness = ctx.openness
        gradient = of_found - _gathered(openness.x * of_u, 1) - _gathered(openness.y * of_v, 2)
        adjoint = _adjoint(ctx.system, openness, gradient)
        along_x = along_y = None
        if ctx.needs_input_grad[2]:
            along_x = differences(found, 1) * (differences(adjoint, 1) - of_u)
        if ctx.needs_input_grad[3]:
            along_y = differences(found, 2) * (differences(adjoint, 2) - of_v)
        right = openness.allowed(adjoint)
        of_u = of_u - torch.diff(pad(right, (0, 0, 1, 1)), dim=1)
        of_v = of_v - torch.diff(pad(right, (1, 1)), dim=2)
        return of_u, of_v, along_x, along_y, None, None, None


def _gathered(slope: Tensor, dim: int) -> Cells:
    """The gradient by a field from that by its :func:`differences`."""
    n = slope.shape[dim] - 1
    found = slope.narrow(dim, 0, n) - slope.narrow(dim, 1, n)
    found.narrow(dim, 0, 1).add_(slope.narrow(dim, n, 1))
    found.narrow(dim, n - 1, 1).sub_(slope.narrow(dim, 0, 1))
    return found


@dataclass(frozen=True)
class ConjugateGradients(PressureSolver):
    """Conjugate gradients, preconditioned with the exact solve without bodies.

    Each sample stops by itself; a converged one is left as it is while others go on.

    Raises:
        FloatingPointError: the right side is not finite, or the tolerance was not reached within
            ``limit`` iterations.
    """

    tolerance: float = 1e-5
    """Largest residual of any live cell, relative to ``scale``."""
    scale: float = 1.0
    """What the residual is compared with: a speed, as the residual is a divergence times h."""
    limit: int = 200

    def system(self, laplacian: Laplacian, openness: Openness, room: Room | None = None) -> System:
        detached = replace(openness, x=openness.x.detach(), y=openness.y.detach())
        return _Conjugate(self, laplacian, detached)


class _Conjugate(System):
    def __init__(
        self, method: ConjugateGradients, laplacian: Laplacian, openness: Openness
    ) -> None:
        self.method, self.laplacian, self.openness = method, laplacian, openness
        self.iterations = 0

    @torch.no_grad()
    def answer(self, right: Cells, guess: Cells) -> Cells:
        allowed, apply = self.openness.allowed, self.openness.apply
        goal = self.method.tolerance * self.method.scale
        x, residual = guess, allowed(right - apply(guess))
        z = allowed(self.laplacian.solve(residual))
        direction, weight = z, _dot(residual, z)
        if not weight.isfinite().all():
            raise FloatingPointError(
                f"the pressure's right side is not finite in {int((~weight.isfinite()).sum())} of "
                f"{len(weight)} samples: if the flow blew up, use a shorter time step"
            )
        for iteration in range(self.method.limit + 1):
            going = ~(residual.abs().amax((1, 2), keepdim=True) <= goal)
            if not bool(going.any()):
                self.iterations += iteration
                return x
            image = apply(direction)
            alpha = going * weight / _safe(_dot(direction, image))
            x, residual = x + alpha * direction, residual - alpha * image
            z = allowed(self.laplacian.solve(residual))
            fresh = _dot(residual, z)
            direction, weight = z + (fresh / _safe(weight)) * direction, fresh
        worst = float(residual.abs().max())
        raise FloatingPointError(
            f"the pressure did not converge: residual {worst:.1e} after {self.method.limit} "
            f"iterations, wanted {goal:.1e}: do bodies touch, or enclose fluid?"
        )


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2), keepdim=True)


def _safe(number: Tensor) -> Tensor:
    return torch.where(number == 0, torch.ones_like(number), number)


@dataclass(frozen=True)
class Direct(PressureSolver):
    """The exact solution by a capacitance matrix of the cells around the bodies.

    Raises:
        ValueError: the matrices of the batch would need more than ``limit`` bytes.
    """

    limit: float = 4e9
    """Memory for the matrices in bytes."""

    def system(self, laplacian: Laplacian, openness: Openness, room: Room | None = None) -> System:
        return _Capacitance(self, laplacian, openness, room)


class _Capacitance(System):
    """Holds ``W`` of the module's docstring, and the box of cells that it acts on."""

    @torch.no_grad()
    def __init__(
        self, method: Direct, laplacian: Laplacian, openness: Openness, room: Room | None
    ) -> None:
        self.laplacian = laplacian
        beta_x, beta_y, mass = _regular(openness, laplacian)
        changed = _touched(beta_x, beta_y, laplacian) | (mass > 0)
        self.cells = int(changed.flatten(1).sum(1).max())
        if self.cells == 0:
            return
        if room is not None:
            self.cells = _fitting(changed, self.cells, room)
        like = laplacian.inverse
        needed = len(changed) * self.cells**2 * like.element_size()
        if needed > method.limit:
            raise ValueError(
                f"the direct pressure solver needs {needed / 1e9:.1f} GB for {len(changed)} "
                f"samples with {self.cells} cells at bodies: use ConjugateGradients(), "
                "or smaller batches"
            )
        rows, columns = (
            changed.any(0).any(1).nonzero()[:, 0],
            changed.any(0).any(0).nonzero()[:, 0],
        )
        self.low = int(rows[0]), int(columns[0])
        self.size = int(rows[-1]) + 1 - self.low[0], int(columns[-1]) + 1 - self.low[1]
        if room is not None:
            self.low = room.low_x, room.low_y
            self.size = room.high_x - room.low_x, room.high_y - room.low_y
        box = changed[
            :, self.low[0] : self.low[0] + self.size[0], self.low[1] : self.low[1] + self.size[1]
        ]
        order = torch.argsort(~box.flatten(1), dim=1, stable=True)[:, : self.cells]
        self.index = order
        self.used = torch.gather(box.flatten(1), 1, order)
        green = _green(laplacian, self.low, self.size)
        place = order // self.size[1], order % self.size[1]
        rim = _Rim(*place, self.used, beta_x, beta_y, mass, self.low)
        self.matrix = torch.cat(
            [_matrix(green, rim.sample(k)).to(like) for k in range(len(order))]
        )
        points_x = torch.arange(self.low[0], self.low[0] + self.size[0])
        points_y = torch.arange(self.low[1], self.low[1] + self.size[1])
        basis_x, basis_y = laplacian.x.at(points_x), laplacian.y.at(points_y)
        self.from_x = basis_x.mT.contiguous().to(like)[:, None]  # 2 1 points modes
        self.to_x = basis_x.contiguous().to(like)[:, None]
        self.from_y = basis_y.flatten(0, 1).contiguous().to(like)  # modes points
        self.to_y = self.from_y.mT.contiguous()

    @torch.no_grad()
    def answer(self, right: Cells, guess: Cells) -> Cells:
        spectrum = self.laplacian.forward(right) * self.laplacian.inverse
        if self.cells:
            spectrum = spectrum - self._image(spectrum) * self.laplacian.inverse
        return self.laplacian.back(spectrum)

    def _image(self, spectrum: Tensor) -> Tensor:
        """The transform of ``P W P^T phi`` from that of ``phi``."""
        batch, ky = len(spectrum), spectrum.shape[-1]
        rows = (self.from_x @ spectrum).sum(1)  # batch 2 points ky
        rows = rows.transpose(1, 2).reshape(batch, self.size[0], 2 * ky)
        inside = (rows @ self.from_y).flatten(1)
        there = torch.gather(inside, 1, self.index) * self.used
        # Of one column a compiler makes a loop of its own that gathers anew for every row.
        twice = there[..., None].expand(-1, -1, 2)
        source = (self.matrix @ twice)[..., 0] * self.used
        box = torch.zeros_like(inside).scatter_add(1, self.index, source)
        rows = box.view(batch, *self.size) @ self.to_y
        rows = rows.view(batch, 1, self.size[0], 2, ky).transpose(2, 3)
        return self.to_x @ rows


def _fitting(changed: Tensor, cells: int, room: Room) -> int:
    """The room's number of cells.

    Raises:
        ValueError: the bodies touch more, or others.
    """
    outside = changed.clone()
    outside[:, room.low_x : room.high_x, room.low_y : room.high_y] = False
    if bool(outside.any()) or cells > room.cells:
        raise ValueError(
            f"bodies touch {cells} cells, {int(outside.flatten(1).sum(1).max())} of them outside "
            f"their {room}: make it larger, or do without"
        )
    return room.cells


def _regular(openness: Openness, laplacian: Laplacian) -> tuple[Tensor, Tensor, Tensor]:
    """The coefficient made regular: dead regions are filled with fluid held by a mass at their rim.

    They stay cut off from the live cells, and with a right side of zero hold zero.
    """
    live = openness.live
    dead_x, dead_y = _both(~live, 1), _both(~live, 2)
    if not laplacian.x.periodic:
        dead_x[:, 0] = dead_x[:, -1] = False
    if not laplacian.y.periodic:
        dead_y[:, :, 0] = dead_y[:, :, -1] = False
    beta_x = torch.where(dead_x, torch.ones_like(openness.x), openness.x)
    beta_y = torch.where(dead_y, torch.ones_like(openness.y), openness.y)
    shut = _touched(beta_x, beta_y, laplacian)
    return beta_x.double(), beta_y.double(), (shut & ~live).double()


def _touched(beta_x: Tensor, beta_y: Tensor, laplacian: Laplacian) -> Tensor:
    """Cells with a face whose coefficient is not that of the constant operator."""
    other_x, other_y = beta_x != 1, beta_y != 1
    if not laplacian.x.periodic:
        other_x[:, 0] = other_x[:, -1] = False
    if not laplacian.y.periodic:
        other_y[:, :, 0] = other_y[:, :, -1] = False
    return other_x[:, 1:] | other_x[:, :-1] | other_y[:, :, 1:] | other_y[:, :, :-1]


@dataclass(frozen=True)
class _Green:
    """The response in one cell of a box to a unit source in another, as a table of offsets."""

    table: Tensor
    """``(2 or 1 kinds of x offset, offsets, kinds of y offset, offsets)``."""


def _green(laplacian: Laplacian, low: tuple[int, int], size: tuple[int, int]) -> _Green:
    rows = []
    for axis, start, length in zip((laplacian.x, laplacian.y), low, size, strict=True):
        span = 2 * length - 1
        difference, mirrored = axis.kernel(torch.arange(span) - (length - 1))
        parts = [difference]
        if mirrored:
            parts.append(axis.kernel(torch.arange(span) + 2 * start + 1)[0])
        rows.append(torch.stack(parts))
    kx, ky = laplacian.x.cells, laplacian.y.cells
    inverse = laplacian.exact_inverse.permute(0, 2, 1, 3).reshape(kx, ky)
    table = torch.einsum("amp,pq,bnq->ambn", rows[0], inverse, rows[1])
    return _Green(table.to(laplacian.inverse.device))


class _Rim(NamedTuple):
    """The cells around the bodies of some samples, where the operator differs."""

    i: Tensor
    """``(samples, cells)`` along x, from the corner of the box that holds all of them."""
    j: Tensor
    used: Tensor
    """Which are there: samples with fewer are filled up."""
    beta_x: Tensor
    """The coefficient on the faces, made regular."""
    beta_y: Tensor
    mass: Tensor
    low: tuple[int, int]
    """The box's corner."""

    def sample(self, k: int) -> "_Rim":
        """One of them."""
        own = slice(k, k + 1)
        faces = self.beta_x[own], self.beta_y[own], self.mass[own]
        return _Rim(self.i[own], self.j[own], self.used[own], *faces, self.low)

    def change(self) -> Tensor:
        """``E``: the operator with bodies less the one without, among these cells."""
        (batch, m), used = self.i.shape, self.used
        nx, ny = self.mass.shape[1], self.mass.shape[2]
        x, y = self.i + self.low[0], self.j + self.low[1]
        sample = torch.arange(batch, device=used.device)[:, None].expand(batch, m)
        place = torch.full((batch, nx, ny), -1, dtype=torch.long, device=used.device)
        number = torch.arange(m, device=used.device).expand(batch, m)
        place[sample[used], x[used], y[used]] = number[used]
        change = torch.zeros(batch, m, m, dtype=torch.float64, device=used.device)
        diagonal = -self.mass[sample, x, y]
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            beta = self.beta_x if dx else self.beta_y
            face = beta[sample, x + (dx > 0), y + (dy > 0)] - 1
            neighbour = place[sample, (x + dx) % nx, (y + dy) % ny]
            # A face on a side that is not periodic belongs to neither operator.
            inside = (x + dx >= 0) & (x + dx < nx) & (y + dy >= 0) & (y + dy < ny)
            wraps = ~inside & (face + 1 != 0)
            exists = (inside | wraps) & used & (face != 0)
            diagonal = diagonal - torch.where(exists, face, 0.0)
            linked = exists & (neighbour >= 0)
            change[sample[linked], number[linked], neighbour[linked]] += face[linked]
        change.diagonal(dim1=1, dim2=2).add_(torch.where(used, diagonal, 0.0))
        return change


def _matrix(green: _Green, rim: _Rim) -> Tensor:
    """``W`` of some samples."""
    table, i, j = green.table, rim.i, rim.j
    half_x, half_y = table.shape[1] // 2, table.shape[3] // 2
    offsets_x = (i[:, :, None] - i[:, None] + half_x, i[:, :, None] + i[:, None])
    offsets_y = (j[:, :, None] - j[:, None] + half_y, j[:, :, None] + j[:, None])
    response = sum(
        table[a, offsets_x[a], b, offsets_y[b]]
        for a in range(table.shape[0])
        for b in range(table.shape[2])
    )
    assert isinstance(response, Tensor)
    change = rim.change()
    one = torch.eye(i.shape[1], dtype=torch.float64, device=i.device)
    found: Tensor = torch.linalg.solve(one + response @ change, change, left=False)
    return found
