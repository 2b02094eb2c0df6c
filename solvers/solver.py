"""Solvers: a state, one step later."""

import abc
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.shapes import Boundary, State, Trajectory

Inner = TypeVar("Inner")
Outer = TypeVar("Outer")


class Solver(abc.ABC, Generic[Inner, Outer]):
    """A step of a physical system under boundary data, batched and built from tensors.

    ``Inner`` is its state and ``Outer`` its boundary data: one tensor each where nothing else is
    needed, a tuple of named tensors for a flow.
    """

    @abc.abstractmethod
    def step(self, state: Inner, boundary: Outer) -> Inner:
        """The state one time step later."""


def rollout(
    solver: Solver[State, Boundary], state: State, boundary: Boundary, steps: int, stride: int = 1
) -> Trajectory:
    """The states at steps ``0, stride, 2 * stride, …, steps``, the first one ``state`` itself.

    Raises:
        ValueError: ``steps`` is not a multiple of ``stride``.
        FloatingPointError: the trajectory left the finite numbers.
    """
    if stride < 1 or steps < 0 or steps % stride:
        raise ValueError(
            f"steps must be a non-negative multiple of stride, got {steps} and {stride}"
        )
    states = [state]
    for index in range(1, steps + 1):
        state = solver.step(state, boundary)
        if index % stride == 0:
            states.append(state)
    trajectory = torch.stack(states, dim=1)
    if not trajectory.isfinite().all():
        bad = int((~trajectory.isfinite().flatten(1).all(1)).sum())
        raise FloatingPointError(
            f"{bad} of {len(trajectory)} simulations are not finite after {steps} steps: "
            "is every initial state finite?"
        )
    return trajectory


def residual(
    solver: Solver[State, Boundary], trajectory: Trajectory, boundary: Boundary
) -> Float[Tensor, "batch time-1 channel *space"]:
    """How far each state lies from where the solver would have carried the one before."""
    stepped = [solver.step(u, boundary) for u in trajectory[:, :-1].unbind(1)]
    return trajectory[:, 1:] - torch.stack(stepped, dim=1)
