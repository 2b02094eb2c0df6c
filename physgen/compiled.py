"""Densities whose value and gradient are one compiled function."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.energy import Energy, Flight, check_each, mixed
from physgen.shapes import Level, PerSample, Sample

TOGETHER = (12, 3, 1)
"""Leapfrog steps in one compiled piece: what calls it costs less the more there are, and it takes
longer to compile; few kinds, as the compiler makes eight at most."""

OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {"pattern_matcher": False}
"""Of the compiler, which else joins a matrix product to a sum and so copies the sum's other part."""


class Compiled(Energy):
    r"""A density by its energy, like :class:`physgen.density.Density`, for chains of many moves.

    ``torch.compile`` makes one function of the energy and its gradient, and one of several leapfrog
    steps, when a batch of some shape is first seen, which takes seconds to a minute and a C++ compiler; after that an energy of small
    vectors, whose time is spent between its operations, takes a fraction. It adds, is rescaled
    and tempered like any energy, and has first derivatives only. Torch compiles eight of a kind in a
    process, for all densities and shapes, and goes on without; ``torch.compiler.reset()`` lets it begin
    anew.

    Arguments:
        function: The energy of every sample of a batch, of tensor operations alone, differentiable.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function

        def total(z: Tensor) -> tuple[Tensor, Tensor]:
            energy = function(z)
            return energy.sum(), energy

        slope = torch.func.grad_and_value(total, has_aux=True)
        self.slope = torch.compile(slope, options=OPTIONS)

        def leaps(
            z: Tensor,
            momentum: Tensor,
            shift: Tensor,
            stride: Tensor,
            kick: Tensor,
            mixing: Tensor | None,
            square: Tensor,
            count: int,
        ) -> Flight:
            energy = z
            turned = None if mixing is None else mixing.T
            momentum = momentum + kick / 2 * mixed(shift, mixing)
            for left in reversed(range(count)):
                z = z + stride * mixed(momentum, turned)
                gradient, (_, energy) = slope(z)
                shift = -square * gradient
                momentum = momentum + (kick if left else kick / 2) * mixed(shift, mixing)
            return Flight(z, momentum, energy, shift)

        self.leaps = torch.compile(leaps, dynamic=False, options=OPTIONS)

    def energy(self, z: Sample, s: Level) -> PerSample:
        value: Tensor
        if torch.is_grad_enabled() and z.requires_grad:
            value = _Node.apply(z, self.slope)  # type: ignore[no-untyped-call]
        else:
            value = self.function(z)
        check_each(value, z, "the energy of a Compiled density")
        return value

    def leap(
        self,
        there: Flight,
        stride: Tensor,
        kick: Tensor,
        mixing: Float[Tensor, "entry entry"] | None,
        count: int,
        s: float,
    ) -> Flight:
        if torch.is_grad_enabled():
            return super().leap(there, stride, kick, mixing, count, s)
        square = kick.new_full((), s**2)
        for some in TOGETHER:
            for _ in range(count // some):
                z, momentum, _, shift = there
                there = self.leaps(z, momentum, shift, stride, kick, mixing, square, some)
            count %= some
        return there


class _Node(torch.autograd.Function):
    """A value that brings its gradient along."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, slope: Callable[[Tensor], Any]) -> Tensor:  # noqa: ANN401
        gradient, (_, energy) = slope(z.detach())
        ctx.save_for_backward(gradient)
        value: Tensor = energy
        return value

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        if torch.is_grad_enabled():
            raise RuntimeError("a compiled density has first derivatives only: take a Density")
        (gradient,) = ctx.saved_tensors
        (outer,) = grad_outputs
        return outer.view(-1, *[1] * (gradient.ndim - 1)) * gradient, None
