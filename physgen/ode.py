r"""Ordinary differential equations by torchdiffeq, from one end of an interval to the other.

A field :math:`\dot y = f(r, y)` of a tuple of batches is followed from :math:`r = 0` to 1, or
back. Gradients pass through every step; :class:`Adjoint` solves for them instead, backwards in
:math:`r`, in memory that does not grow with the steps.

References:
    Neural Ordinary Differential Equations (Chen et al., 2018), https://arxiv.org/abs/1806.07366,
    for the adjoint.
    A Family of Embedded Runge-Kutta Formulae (Dormand & Prince, 1980).
"""

import abc
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

Batches = tuple[Tensor, ...]
"""What is followed: tensors that share their first axis."""

Field = Callable[[Tensor, Batches], Batches]
"""The rate of change of each, at a time."""


class Method(NamedTuple):
    """A method in the words of torchdiffeq."""

    name: str
    options: dict[str, Any]
    relative: float = 0.0
    absolute: float = 0.0


class Integrator(abc.ABC):
    """A way to follow a field."""

    @property
    @abc.abstractmethod
    def method(self) -> Method:
        """The method it steps by."""

    @abc.abstractmethod
    def follow(self, field: Field, start: Batches, times: tuple[float, float]) -> Batches:
        """Where the field leads between two times."""


class Direct(Integrator):
    """Gradients pass through every step, all of which are remembered for it."""

    def follow(self, field: Field, start: Batches, times: tuple[float, float]) -> Batches:
        return _solve(odeint, self.method, field, start, times)


@dataclass(frozen=True)
class RungeKutta(Direct):
    """Equal steps of fourth order; each sample goes its way whatever else is in its batch."""

    steps: int = 40
    """Of four evaluations each."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"a way needs at least one step, got {self.steps}")

    @property
    def method(self) -> Method:
        def grid(field: object, start: Tensor, times: Tensor) -> Tensor:
            share = torch.linspace(0, 1, self.steps + 1, dtype=times.dtype, device=times.device)
            return torch.lerp(times[0], times[-1], share)

        return Method("rk4", {"grid_constructor": grid})


@dataclass(frozen=True)
class DormandPrince(Direct):
    """Steps of fifth order, as long as an estimate of their error allows.

    The steps are one for the whole batch, short enough for its worst sample; a sample followed in
    other company therefore ends elsewhere by about the tolerance.
    """

    tolerance: float = 1e-6
    """Of the error of a step, absolute and relative."""

    def __post_init__(self) -> None:
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be positive, got {self.tolerance}")

    @property
    def method(self) -> Method:
        return Method("dopri5", {}, self.tolerance, self.tolerance)


class Adjoint(Integrator):
    """Steps as another integrator's, and gradients by the equation of the adjoint.

    They are those of the exact flow rather than of its steps, and agree with the latter as the
    steps get short. There are first derivatives only.

    Arguments:
        inner: Takes the steps, there and back.
        weights: The parameters of the field.
    """

    def __init__(self, inner: Direct, weights: Iterable[nn.Parameter]) -> None:
        self.inner = inner
        self.weights = tuple(weights)

    @property
    def method(self) -> Method:
        return self.inner.method

    def follow(self, field: Field, start: Batches, times: tuple[float, float]) -> Batches:
        return _solve(
            odeint_adjoint, self.method, field, start, times, adjoint_params=self.weights
        )


def _solve(
    solve: Callable[..., Any],
    method: Method,
    field: Field,
    start: Batches,
    times: tuple[float, float],
    **others: Any,  # noqa: ANN401
) -> Batches:
    ends = solve(
        field,
        start,
        torch.tensor(times, dtype=start[0].dtype, device=start[0].device),
        rtol=method.relative,
        atol=method.absolute,
        method=method.name,
        options=method.options,
        **others,
    )
    return tuple(end[-1] for end in ends)
