r"""Fluxes of advection: the value that a flux carries through a face.

A scheme sees four values along an axis around each face, ``before, left | right, after`` the
flow, and the velocity through the face. With ``c`` the first value upstream, ``u`` the second
and ``d`` the first downstream (Hoffmann's normalised variables; Leonard, 1979,
https://doi.org/10.1016/0045-7825(79)90034-3):

* :class:`Quick`: :math:`\mathrm{median}((5c + 2d - u)/6,\; c,\;
  \mathrm{median}(10c - 9u,\, c,\, d))`, third order where the field is smooth and bounded where
  it is not (WaterLily's form; Weymouth & Font, 2025). The design work of physgen uses it.
* :class:`VanLeer`: :math:`c + \tfrac12 \phi(r)(d - c)`, :math:`\phi = (r + |r|)/(1 + |r|)`,
  :math:`r = (c - u)/(d - c)`: second order, smoother, more diffusive (van Leer, 1974).
* :class:`Central`: :math:`(c + d)/2`: second order, no numerical diffusion, not bounded.
"""

import abc
from typing import Any

import torch
from torch import Tensor


class Scheme(abc.ABC):
    """How a face gets its value from the cells around it."""

    @abc.abstractmethod
    def value(self, values: Tensor, speed: Tensor, dim: int) -> Tensor:
        """The value at each face with two cells on both sides of it.

        Arguments:
            values: Of all cells.
            speed: Through the faces, three fewer along ``dim``; positive to the right.
            dim: The axis across the faces.
        """

    @property
    @abc.abstractmethod
    def stable(self) -> float:
        """The largest stable Courant number with Heun's method, with a margin."""


class Central(Scheme):
    """Mean of both sides. With Heun's method it amplifies slowly: keep to small steps."""

    def value(self, values: Tensor, speed: Tensor, dim: int) -> Tensor:
        _, left, right, _ = _around(values, dim)
        return 0.5 * (left + right)

    @property
    def stable(self) -> float:
        return 0.5


class Quick(Scheme):
    """Quadratic upstream interpolation with a median limiter."""

    def value(self, values: Tensor, speed: Tensor, dim: int) -> Tensor:
        if torch.is_grad_enabled() and values.requires_grad:
            found: Tensor = _QuickOnce.apply(values, speed.detach(), dim)  # type: ignore[no-untyped-call]
            return found
        c, rise, fall = _along(values, speed, dim)
        return c + _bounded(rise, fall)[0]

    @property
    def stable(self) -> float:
        return 0.9


class VanLeer(Scheme):
    """Van Leer's harmonic limiter."""

    def value(self, values: Tensor, speed: Tensor, dim: int) -> Tensor:
        c, rise, fall = _along(values, speed, dim)
        product = (rise * fall).clamp(min=0)
        steep = product > 0
        total = torch.where(steep, rise + fall, torch.ones_like(rise))
        # phi(r)(d - c)/2 = rise fall / (rise + fall) where both have one sign, zero elsewhere.
        return c + product / total

    @property
    def stable(self) -> float:
        return 0.8


def _around(values: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Before, left | right, after each face."""
    n = values.shape[dim] - 3
    before, left, right, after = (values.narrow(dim, k, n) for k in range(4))
    return before, left, right, after


def _forward(speed: Tensor) -> Tensor:
    """One where fluid moves to the right, else zero.

    Blending by exactly 0 or 1 costs the same wherever fluid moves; choosing costs several times as
    much where it moves to and fro, and no less where it does not.
    """
    return speed.sign().clamp(min=0)


def _along(values: Tensor, speed: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """The first value upstream ``c``, and the rises ``c - u`` up to it and ``d - c`` from it."""
    before, left, right, after = _around(values, dim)
    forward, ahead = _forward(speed), right - left
    c = torch.lerp(right, left, forward)
    rise = torch.lerp(right - after, left - before, forward)
    return c, rise, torch.lerp(-ahead, ahead, forward)


def _bounded(rise: Tensor, fall: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both medians less ``c``: of the value, and of the limit and the parabola that make it.

    A median of three is the first clamped between the others.
    """
    limit = torch.clamp(9 * rise, fall.clamp(max=0), fall.clamp(min=0))
    curved = torch.add(rise, fall, alpha=2) / 6
    return torch.clamp(curved, limit.clamp(max=0), limit.clamp(min=0)), limit, curved


class _QuickOnce(torch.autograd.Function):
    """QUICK, whose value is one of four linear functions of the cells: which of them is kept.

    Composed from its parts it would keep a dozen fields for its derivative, and go through all.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, speed: Tensor, dim: int) -> Tensor:  # noqa: ANN401
        c, rise, fall = _along(values, speed, dim)
        value, limit, curved = _bounded(rise, fall)
        on_curve, steep, level = value == curved, limit == 9 * rise, limit == fall
        limited = ~on_curve & (value == limit)
        of_rise = on_curve.to(c) / 6 + 9 * (limited & steep).to(c)
        of_fall = on_curve.to(c) / 3 + (limited & level & ~steep).to(c)
        ctx.save_for_backward(_forward(speed).expand_as(c), of_rise, of_fall)
        ctx.dim, ctx.shape = dim, values.shape
        return c + value

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        forward, of_rise, of_fall = ctx.saved_tensors
        rise, fall = slope * of_rise, slope * of_fall
        both = slope + rise
        up, along, across = forward * rise, forward * both, (2 * forward - 1) * fall
        found = slope.new_zeros(ctx.shape)
        before, left, right, after = _around(found, ctx.dim)
        before -= up
        left += along - across
        right += both - along + across
        after -= rise - up
        return found, None, None


QUICK = Quick()
