r"""Advection: the value that a flux carries through a face.

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

import torch
from torch import Tensor


class Scheme(abc.ABC):
    """How a face gets its value from the cells around it."""

    @abc.abstractmethod
    def value(
        self, before: Tensor, left: Tensor, right: Tensor, after: Tensor, speed: Tensor
    ) -> Tensor:
        """The value at each face, whose fluid moves to the right where ``speed`` is positive."""

    @property
    @abc.abstractmethod
    def stable(self) -> float:
        """The largest stable Courant number with Heun's method, with a margin."""


class Central(Scheme):
    """Mean of both sides. With Heun's method it amplifies slowly: keep to small steps."""

    def value(
        self, before: Tensor, left: Tensor, right: Tensor, after: Tensor, speed: Tensor
    ) -> Tensor:
        return 0.5 * (left + right)

    @property
    def stable(self) -> float:
        return 0.5


class Quick(Scheme):
    """Quadratic upstream interpolation with a median limiter."""

    def value(
        self, before: Tensor, left: Tensor, right: Tensor, after: Tensor, speed: Tensor
    ) -> Tensor:
        c, rise, fall = _along(before, left, right, after, speed)
        # Both medians less c; a median of three is the first clamped between the others.
        limit = torch.clamp(9 * rise, fall.clamp(max=0), fall.clamp(min=0))
        curved = torch.add(rise, fall, alpha=2) / 6
        return c + torch.clamp(curved, limit.clamp(max=0), limit.clamp(min=0))

    @property
    def stable(self) -> float:
        return 0.9


class VanLeer(Scheme):
    """Van Leer's harmonic limiter."""

    def value(
        self, before: Tensor, left: Tensor, right: Tensor, after: Tensor, speed: Tensor
    ) -> Tensor:
        c, rise, fall = _along(before, left, right, after, speed)
        product = (rise * fall).clamp(min=0)
        steep = product > 0
        total = torch.where(steep, rise + fall, torch.ones_like(rise))
        # phi(r)(d - c)/2 = rise fall / (rise + fall) where both have one sign, zero elsewhere.
        return c + product / total

    @property
    def stable(self) -> float:
        return 0.8


def _along(
    before: Tensor, left: Tensor, right: Tensor, after: Tensor, speed: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The first value upstream ``c``, and the rises ``c - u`` up to it and ``d - c`` from it."""
    # Blending by exactly 0 or 1 is several times faster than choosing; nothing flows at zero.
    forward = speed.sign().clamp(min=0)
    ahead = right - left
    c = torch.lerp(right, left, forward)
    rise = torch.lerp(right - after, left - before, forward)
    return c, rise, torch.lerp(-ahead, ahead, forward)


QUICK = Quick()
