r"""What flows through the faces of cells: carried by advection, and evened out by diffusion.

A scheme sees four values along an axis around each face, ``before, left | right, after`` the
flow, and the velocity through the face. With ``c`` the first value upstream, ``u`` the second
and ``d`` the first downstream (Hoffmann's normalised variables; Leonard, 1979,
https://doi.org/10.1016/0045-7825(79)90034-3) the face has the value :math:`c + g(c - u, d - c)`:

* :class:`Quick`: :math:`\mathrm{median}((5c + 2d - u)/6,\; c,\;
  \mathrm{median}(10c - 9u,\, c,\, d))`, third order where the field is smooth and bounded where
  it is not (WaterLily's form; Weymouth & Font, 2025). The design work of physgen uses it.
* :class:`VanLeer`: :math:`c + \tfrac12 \phi(r)(d - c)`, :math:`\phi = (r + |r|)/(1 + |r|)`,
  :math:`r = (c - u)/(d - c)`: second order, smoother, more diffusive (van Leer, 1974).
* :class:`Central`: :math:`(c + d)/2`: second order, no numerical diffusion, not bounded.

A scheme knows the derivative of its ``g`` too. So :func:`flux` and :func:`momentum` keep for their
own derivatives what they were given, and no more. Composed from their parts they would keep a
dozen fields for each flux, and the gradient of many steps would need their memory.
"""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad


class Scheme(abc.ABC):
    """How a face gets its value from the cells around it."""

    @abc.abstractmethod
    def gain(self, rise: Tensor, fall: Tensor) -> Tensor:
        """``g``: by what the face's value is above ``c``, from ``c - u`` and ``d - c``.

        Twice as steep a field gains twice as much.
        """

    @abc.abstractmethod
    def slopes(self, rise: Tensor, fall: Tensor) -> tuple[Tensor, Tensor]:
        """The derivatives of ``g`` by both."""

    @property
    @abc.abstractmethod
    def stable(self) -> float:
        """The largest stable Courant number with Heun's method, with a margin."""


class Central(Scheme):
    """Mean of both sides. With Heun's method it amplifies slowly: keep to small steps."""

    def gain(self, rise: Tensor, fall: Tensor) -> Tensor:
        return 0.5 * fall

    def slopes(self, rise: Tensor, fall: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(rise), torch.full_like(fall, 0.5)

    @property
    def stable(self) -> float:
        return 0.5


class Quick(Scheme):
    """Quadratic upstream interpolation with a median limiter."""

    def gain(self, rise: Tensor, fall: Tensor) -> Tensor:
        # A median of three is the first clamped between the others.
        limit = torch.clamp(9 * rise, fall.clamp(max=0), fall.clamp(min=0))
        curved = torch.add(rise, fall, alpha=2) / 6
        return torch.clamp(curved, limit.clamp(max=0), limit.clamp(min=0))

    def slopes(self, rise: Tensor, fall: Tensor) -> tuple[Tensor, Tensor]:
        # By rise / fall it is 0, 9 rise from 0 on, the parabola from 2/53 on, fall from 4 on.
        way = torch.ones_like(fall).copysign(fall)
        rise, fall = way * rise, way * fall
        some, curved = _reached(rise), _reached(torch.sub(rise, fall, alpha=2 / 53))
        level = torch.sub(rise, fall, alpha=4).sign_().clamp_(min=0)
        parabola, steep = curved - level, some.sub_(curved).mul_(9)
        return steep.add_(parabola, alpha=1 / 6), level.add_(parabola, alpha=1 / 3)

    @property
    def stable(self) -> float:
        return 0.9


class VanLeer(Scheme):
    """Van Leer's harmonic limiter."""

    def gain(self, rise: Tensor, fall: Tensor) -> Tensor:
        # phi(r)(d - c)/2 = rise fall / (rise + fall) where both have one sign, zero elsewhere.
        return (rise * fall).clamp(min=0) / _total(rise, fall)

    def slopes(self, rise: Tensor, fall: Tensor) -> tuple[Tensor, Tensor]:
        some = (rise * fall).sign().clamp(min=0) / _total(rise, fall).square()
        return some * fall.square(), some * rise.square()

    @property
    def stable(self) -> float:
        return 0.8


def _total(rise: Tensor, fall: Tensor) -> Tensor:
    """Their sum where both have one sign, and one elsewhere."""
    return torch.where(rise * fall > 0, rise + fall, torch.ones_like(rise))


def _reached(value: Tensor) -> Tensor:
    """One from zero on, else zero. Numbers are several times as quick to make as truth values."""
    return value.sign().add_(1).clamp_(max=1)


def flux(
    scheme: Scheme, values: Tensor, speed: Tensor, conductance: float | Tensor, dim: int
) -> Tensor:
    """``speed`` times the value in a face, less ``conductance`` times the rise across it.

    Through each face with two cells on both sides of it. It can be differentiated once.

    Arguments:
        values: Of all cells.
        speed: Through the faces, three fewer along ``dim``; positive to the right.
        conductance: Diffusivity over the cells' width, one or for each face.
        dim: The axis across the faces.
    """
    apply: Callable[..., Tensor] = _Flux.apply
    return apply(values, speed, _tensor(conductance, values), scheme, dim)


def momentum(
    scheme: Scheme,
    u: Float[Tensor, "batch wide_faces_x wide_y"],
    v: Float[Tensor, "batch wide_x wide_faces_y"],
    conductance: float | Tensor,
) -> tuple[Float[Tensor, "batch faces_x y"], Float[Tensor, "batch x faces_y"]]:
    """What flows into the cells around the faces of a staggered grid, of both velocities.

    They carry each other: the speed through a cell's side is the mean of the two that are known
    nearest to it. Both come with two more rows on all four sides. It can be differentiated once.
    """
    apply: Callable[..., tuple[Tensor, Tensor]] = _Momentum.apply
    return apply(u, v, _tensor(conductance, u), scheme)


def _tensor(number: float | Tensor, like: Tensor) -> Tensor:
    return number if isinstance(number, Tensor) else like.new_full((), number)


class _Around(NamedTuple):
    """What a scheme sees of a face, and which way it looks."""

    forward: Tensor
    """One where fluid moves to the right, else zero; or, in compiled code, whether it does."""
    across: Tensor
    """How much more ``right`` is than ``left``."""
    c: Tensor
    rise: Tensor
    fall: Tensor


def _around(values: Tensor, speed: Tensor, dim: int) -> _Around:
    n = values.shape[dim] - 3
    rises = torch.diff(values, dim=dim)
    behind, across, beyond = (rises.narrow(dim, k, n) for k in range(3))
    left, right = values.narrow(dim, 1, n), values.narrow(dim, 2, n)
    forward = _forward(speed)
    c, rise = _either(forward, left, right), _either(forward, behind, -beyond)
    return _Around(forward, across, c, rise, _either(forward, across, -across))


def _forward(speed: Tensor) -> Tensor:
    return speed > 0 if torch.compiler.is_compiling() else speed.sign().clamp(min=0)


def _either(forward: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Where fluid moves to the right the one, else the other.

    Compiled code chooses by one instruction. Elsewhere choosing costs several times as much as
    blending by exactly 1 or 0, and more yet where fluid moves to and fro.
    """
    if forward.dtype == torch.bool:
        return torch.where(forward, one, other)
    return torch.lerp(other, one, forward)


def _through(
    scheme: Scheme, values: Tensor, speed: Tensor, conductance: Tensor, dim: int
) -> Tensor:
    """:func:`flux`, as far as its value goes."""
    seen = _around(values, speed, dim)
    value = seen.c + scheme.gain(seen.rise, seen.fall)
    return speed * value - conductance * seen.across


def _back(
    scheme: Scheme,
    values: Tensor,
    speed: Tensor,
    conductance: Tensor,
    dim: int,
    slope: Tensor,
    found: Tensor,
) -> tuple[Tensor, Tensor]:
    """The gradients by speed and by conductance from that by a flux, for each face; that by values
    is added to what is ``found`` of it."""
    seen = _around(values, speed, dim)
    by_rise, by_fall = scheme.slopes(seen.rise, seen.fall)
    # By Euler's theorem on homogeneous functions.
    value = seen.c.addcmul_(by_rise, seen.rise).addcmul_(by_fall, seen.fall)
    carried = slope * speed
    beyond, fall = by_rise.mul_(carried), by_fall.mul_(carried)
    behind = seen.forward * beyond
    beyond -= behind
    across = (2 * fall).sub_(carried).mul_(seen.forward).sub_(fall).sub_(conductance * slope)
    before, left, right, after = (found.narrow(dim, k, slope.shape[dim]) for k in range(4))
    before -= behind
    left += behind.sub_(across)
    right += carried.add_(across).add_(beyond)
    after -= beyond
    return value.mul_(slope), seen.across.mul(slope).neg_()


class _Flux(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        values: Tensor,
        speed: Tensor,
        conductance: Tensor,
        scheme: Scheme,
        dim: int,
    ) -> Tensor:
        ctx.save_for_backward(values, speed, conductance)
        ctx.scheme, ctx.dim = scheme, dim
        return _through(scheme, values, speed, conductance, dim)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        values, speed, conductance = ctx.saved_tensors
        found = torch.zeros_like(values)
        parts = _back(ctx.scheme, values, speed, conductance, ctx.dim, slope, found)
        of_speed, of_conductance = (
            part.sum_to_size(one.shape)
            for part, one in zip(parts, (speed, conductance), strict=True)
        )
        return found, of_speed, of_conductance, None, None


class _Side(NamedTuple):
    """What flows through one kind of side of the cells around faces."""

    values: Tensor
    first: Tensor
    """Of the two velocities whose mean is the speed."""
    second: Tensor
    dim: int

    @property
    def speed(self) -> Tensor:
        return 0.5 * (self.first + self.second)


def _four(u: Tensor, v: Tensor) -> tuple[_Side, _Side, _Side, _Side]:
    """Of ``u`` along x and y, then of ``v`` along x and y: views, of velocities or of gradients."""
    of_u, of_v = u[:, :, 2:-2], v[:, 2:-2]
    across_u, across_v = u[:, 2:-2, 1:-1], v[:, 1:-1, 2:-2]
    return (
        _Side(of_u, of_u[:, 1:-2], of_u[:, 2:-1], 1),
        _Side(u[:, 2:-2], across_v[:, :-1], across_v[:, 1:], 2),
        _Side(v[:, :, 2:-2], across_u[:, :, :-1], across_u[:, :, 1:], 1),
        _Side(of_v, of_v[:, :, 1:-2], of_v[:, :, 2:-1], 2),
    )


class _Momentum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        u: Tensor,
        v: Tensor,
        conductance: Tensor,
        scheme: Scheme,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(u, v, conductance)
        ctx.scheme = scheme
        gain = [
            torch.diff(
                _through(scheme, side.values, side.speed, conductance, side.dim), dim=side.dim
            )
            for side in _four(u, v)
        ]
        return -(gain[0] + gain[1]), -(gain[2] + gain[3])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_u: Tensor, of_v: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        u, v, conductance = ctx.saved_tensors
        found_u, found_v, found = (torch.zeros_like(one) for one in (u, v, conductance))
        sides = zip(_four(u, v), _four(found_u, found_v), (of_u, of_u, of_v, of_v), strict=True)
        for side, into, slope in sides:
            ends = (0, 0, 1, 1) if side.dim == 1 else (1, 1)
            slope = torch.diff(pad(slope, ends), dim=side.dim)
            by_speed, by_conductance = _back(
                ctx.scheme, side.values, side.speed, conductance, side.dim, slope, into.values
            )
            by_speed *= 0.5
            into.first.add_(by_speed)
            into.second.add_(by_speed)
            if ctx.needs_input_grad[2]:
                found += by_conductance.sum_to_size(found.shape)
        return found_u, found_v, found, None


QUICK = Quick()
