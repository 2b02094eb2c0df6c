r"""Viscous Burgers between two walls, driven by a force.

.. math:: u_t + \tfrac12 (u^2)_x = \nu\, u_{xx} + w(t, x), \qquad u(t, 0) = u(t, L) = 0

by central differences at the n points between the walls, :math:`\Delta x = L / (n + 1)`, and
explicit Euler steps,

.. math:: u_i \leftarrow u_i + \Delta t \Bigl( \frac{u_{i-1}^2 - u_{i+1}^2}{4 \Delta x}
    + \nu\, \frac{u_{i-1} - 2 u_i + u_{i+1}}{\Delta x^2} + w_i \Bigr),

which with the defaults is the discretisation of DiffPhyCon's control task, to the letter.

Behaviour: as :mod:`physgen.solvers.burgers`, but fronts run into the walls and vanish there. Errors
are of first order in the step and second in the spacing; fronts need some four points,
:math:`\Delta x < \nu / |u|`, or they ring.
Good values: the defaults, velocities up to 3 m/s; steps five times as long change the state after
one second by some 1e-4 m/s.

Sources: DiffPhyCon (Wei et al., 2024, https://arxiv.org/abs/2407.06494) and its published
code.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual
from torch.autograd.function import once_differentiable

from physgen.shapes import Boundary, State
from physgen.solvers.evolution import Controls, Evolution, refuse_other_grid
from physgen.solvers.walled import Walled, neighbours


class WalledBurgers(Evolution):
    """Burgers with Dirichlet ends. The state is a velocity, the boundary data the force on it, in
    m/s², constant in a step, or no channels.

    Arguments:
        points: Between the walls.
        viscosity: nu, in m²/s.
        dt: The time step, in s.
        length: From wall to wall, in m.

    Raises:
        ValueError: the viscosity is not positive, or the step too long for it.
    """

    def __init__(
        self, points: int = 128, viscosity: float = 0.01, dt: float = 1e-4, length: float = 1.0
    ) -> None:
        if not viscosity > 0:
            raise ValueError(f"viscosity must be positive, got {viscosity}")
        if not dt > 0:
            raise ValueError(f"dt must be positive, got {dt}")
        self.grid = Walled((points,), (length,))
        self.viscosity = viscosity
        self.dt = dt
        (spacing,) = self.grid.spacing
        if dt > (longest := spacing**2 / (2 * viscosity)):
            raise ValueError(
                f"an explicit step must not exceed dx^2 / (2 nu) = {longest:.3g} s on this grid, "
                f"got {dt:g} s"
            )

    @property
    def fastest(self) -> float:
        r"""The speed up to which a step is stable, :math:`\sqrt{2 \nu / \Delta t}`, in m/s."""
        found: float = (2 * self.viscosity / self.dt) ** 0.5
        return found

    def march(self, state: State, boundary: Boundary, steps: int) -> State:
        self._check(state, boundary)
        speed = float(state.detach().abs().amax()) if state.numel() else 0.0
        if speed > self.fastest:
            raise ValueError(
                f"at {speed:.3g} m/s an explicit step must not exceed 2 nu / u^2 = "
                f"{2 * self.viscosity / speed**2:.3g} s, got {self.dt:g} s"
            )
        (spacing,) = self.grid.spacing
        spread = self.viscosity * self.dt / spacing**2
        push = self.dt / (4 * spacing)
        force = self.dt * boundary if boundary.shape[1] else torch.zeros_like(state)
        force = force.expand_as(state)
        followed = torch.is_grad_enabled() and any(
            x.requires_grad or unpack_dual(x).tangent is not None for x in (state, force)
        )
        found = _March.apply(state, force, spread, push, steps, followed)  # type: ignore[no-untyped-call]
        last: State = found[0]
        return last

    def rate(self, state: State, boundary: Boundary) -> State:
        self._check(state, boundary)
        (spacing,) = self.grid.spacing
        low, high = neighbours(state, -1)
        transport = (low.square() - high.square()) / (4 * spacing)
        rate = transport + self.viscosity * self.grid.laplacian(state)
        return rate + boundary if boundary.shape[1] else rate

    def _check(self, state: State, boundary: Boundary) -> None:
        refuse_other_grid(state, 1, self.grid.points)
        if boundary.shape[1]:
            refuse_other_grid(boundary, 1, self.grid.points)


class _March(torch.autograd.Function):
    r"""Explicit steps, and their derivatives forward and back.

    With :math:`\lambda` the gradient after a step, the one before it is

    .. math:: \lambda_i \leftarrow (1 - 2 r) \lambda_i + r (\lambda_{i-1} + \lambda_{i+1})
        + 2 p\, u_i (\lambda_{i+1} - \lambda_{i-1}), \qquad
        r = \frac{\nu \Delta t}{\Delta x^2}, \quad p = \frac{\Delta t}{4 \Delta x},

    and the force's is the sum of all :math:`\lambda`. Points are the first axis here, so that
    neighbours are whole rows, with a row of zeros for each wall. There and back, a step takes a
    small part of the time that a graph of its operations takes.
    """

    @staticmethod
    def forward(
        state: Tensor, force: Tensor, spread: float, push: float, steps: int, followed: bool
    ) -> tuple[Tensor, Tensor]:
        """The last state, and all of them if they are needed for a derivative."""
        rows, pushed = _rows(state), _rows(force)
        count = steps + 1 if followed else 2
        kept = rows.new_zeros(count, len(rows) + 2, rows.shape[1])
        kept[0, 1:-1] = rows
        total, moved = torch.empty_like(rows), torch.empty_like(rows)
        for k in range(steps):
            now, then = kept[k % count], kept[(k + 1) % count]
            low, high = now[:-2], now[2:]
            torch.add(low, high, out=total)
            # (low - high)(low + high) is the difference of squares.
            torch.sub(low, high, out=moved).mul_(push).add_(spread).mul_(total).add_(pushed)
            torch.add(moved, now[1:-1], alpha=1 - 2 * spread, out=then[1:-1])
        return _states(kept[steps % count, 1:-1], state), kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:  # noqa: ANN401
        _, _, ctx.spread, ctx.push, ctx.steps, _ = inputs
        kept = output[1]
        ctx.mark_non_differentiable(kept)
        ctx.save_for_backward(kept)
        ctx.save_for_forward(kept)

    @staticmethod
    def jvp(ctx: Any, state: Tensor, force: Tensor, *_: None) -> tuple[Tensor, None]:  # noqa: ANN401
        (kept,) = ctx.saved_tensors
        tangent, pushed = torch.zeros_like(kept[0]), _rows(force)
        tangent[1:-1] = _rows(state)
        for now in kept[: ctx.steps]:
            low, high = tangent[:-2], tangent[2:]
            moved = now[:-2] * low - now[2:] * high
            moved = ctx.spread * (low + high) + 2 * ctx.push * moved + pushed
            tangent[1:-1] = moved + (1 - 2 * ctx.spread) * tangent[1:-1]
        return _states(tangent[1:-1], state), None

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (kept,) = ctx.saved_tensors
        both = torch.zeros_like(kept[:2])
        both[0, 1:-1] = _rows(slope)
        of_force = torch.zeros_like(both[0, 1:-1])
        moved = torch.empty_like(of_force)
        for k in range(ctx.steps):
            after, before = both[k % 2], both[(k + 1) % 2]
            low, high, inner = after[:-2], after[2:], before[1:-1]
            of_force.add_(after[1:-1])
            torch.add(low, high, out=inner).mul_(ctx.spread)
            torch.sub(high, low, out=moved).mul_(kept[ctx.steps - 1 - k, 1:-1])
            inner.add_(moved, alpha=2 * ctx.push).add_(after[1:-1], alpha=1 - 2 * ctx.spread)
        of_state = _states(both[ctx.steps % 2, 1:-1], slope)
        return of_state, _states(of_force, slope), None, None, None, None


def _rows(states: State) -> Tensor:
    """Points first, ``(x, batch)``."""
    return states.flatten(0, 1).T.contiguous()


def _states(rows: Tensor, like: State) -> State:
    """A copy, so that no state holds all steps before it."""
    states: State = rows.T.unflatten(0, like.shape[:2]).clone(
        memory_format=torch.contiguous_format
    )
    return states


def two_humps(count: int, place: Tensor, generator: torch.Generator) -> State:
    r"""DiffPhyCon's states to begin with: a hump that runs right and one that runs left.

    .. math:: u(x) = a_1 e^{-(x - b_1)^2 / 2 s_1^2} + a_2 e^{-(x - b_2)^2 / 2 s_2^2}

    with a in [0, 2] and [-2, 0], b in [0.2, 0.4] and [0.6, 0.8], s in [0.05, 0.15], all uniform.

    Arguments:
        count: How many.
        place: The points in m, ``(x,)``, on an interval of 1 m.
        generator: Source of the numbers.
    """
    drawn = _uniform((count, 3, 2), generator).to(place)
    size = drawn[:, 0] * place.new_tensor([2.0, -2.0])
    centre = 0.2 + 0.2 * drawn[:, 1] + place.new_tensor([0.0, 0.4])
    humps = size[..., None] * _bell(place, centre, 0.05 + 0.1 * drawn[:, 2])
    return humps.sum(1)[:, None]


def eight_pushes(
    count: int, intervals: int, place: Tensor, generator: torch.Generator
) -> Controls:
    r"""DiffPhyCon's forces for a second, with full control: up to eight bells in space and time.

    .. math:: w(t, x) = \sum_{i=1}^{8} c_i\, a_i\, e^{-(x - b_i)^2 / 2 s_i^2}
        e^{-(t - d_i)^2 / 2 r_i^2}

    with c one for the first and a fair coin for the others, a in [-3, 3], b and d in [0, 1], s and r in
    [0.05, 0.2], all uniform; the j-th of n intervals has t = j / (n + 1), as published.

    Arguments:
        count: How many.
        intervals: In the second.
        place: The points in m, ``(x,)``, on an interval of 1 m.
        generator: Source of the numbers.
    """
    drawn = _uniform((count, 6, 8), generator).to(place)
    there = (drawn[:, 5] < 0.5) | (torch.arange(8, device=place.device) == 0)
    size = (6 * drawn[:, 0] - 3) * there.to(place)
    in_space = _bell(place, drawn[:, 1], 0.05 + 0.15 * drawn[:, 2])
    time = torch.arange(1, intervals + 1, dtype=place.dtype, device=place.device)
    time = time / (intervals + 1)
    in_time = _bell(time, drawn[:, 3], 0.05 + 0.15 * drawn[:, 4])
    return torch.einsum("bk,bkt,bkx->btx", size, in_time, in_space)[:, :, None]


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device)


def _bell(place: Tensor, centre: Tensor, width: Tensor) -> Tensor:
    return torch.exp(-0.5 * ((place - centre[..., None]) / width[..., None]).square())
