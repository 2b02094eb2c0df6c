r"""What draws of inverse problems are held against: the mean, linear estimates, and descent.

*Linear* is the estimate of least squared error among all that are linear in what is seen, from the same
training data as the prior. *Kriging and solver* knows the law of the coefficient itself: it
interpolates where a is seen by its exact covariance, and solves once. *Adjoint* knows the law too:
it goes down

.. math:: \frac1{2 \sigma_y^2} |y - A(a(\xi), S(a(\xi)))|^2 + \frac12 |\xi|^2

through the true solver S, from :math:`\xi = 0`, over unit noise :math:`\xi` of the random field. Of
Darcy's two permeabilities a logistic function of the field is taken, :data:`WIDTH` of its spread
wide, and what is seen of it is allowed a misfit of :data:`BLURRED` for that; what is seen of the state
keeps its own noise.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.datasets.steady import DarcyData, SteadyData
from physgen.descent import descend
from physgen.design_tasks.inverse import COEFFICIENT, STATE, InverseTask, Pairs
from physgen.design_tasks.inverse_design import HIGHEST
from physgen.design_tasks.inverse_prior import InversePrior
from physgen.sensed import Sensed
from physgen.shapes import PerSample
from physgen.solvers.random_field import GaussianField
from physgen.verdict import Baseline, figure

WIDTH = 0.2
"""Of the step between two permeabilities, over the spread of the field."""
BLURRED = 0.1
"""Standard deviation of what is seen of two permeabilities that descent allows at least."""
MANY = 1000
"""Observations that kriging takes at most."""


class Estimate(NamedTuple):
    """One pair for each case."""

    pairs: Pairs
    calls: int
    """Solutions of the equation, for each."""


def nothing(prior: InversePrior, task: InverseTask) -> Estimate:
    """The mean of the training data."""
    return Estimate(prior.standard.mean.expand(len(task.truth), -1, -1, -1), 0)


def linear(prior: InversePrior, task: InverseTask) -> Estimate:
    """The posterior mean of the Gaussian of the training data."""
    far = 1e3 * HIGHEST
    best = Sensed(prior.gaussian, prior.gaussian, task.seen).denoise(
        torch.zeros(len(task.truth), 2, *prior.gaussian.space), far
    )
    return Estimate(prior.standard.physical(best.double()), 0)


def kriging(task: InverseTask) -> Estimate:
    """The best linear estimate of the coefficient by its exact covariance, and its state."""
    data = task.equation.data(task.cells.cells[0])
    law = GaussianField(data.alpha, data.tau)
    places = task.sensors[COEFFICIENT][..., 0]
    values = task.seen.values[:, : places.shape[1]].double() * task.scale[COEFFICIENT]
    values = values + task.mean[COEFFICIENT].flatten()[places] - _middle(data)
    noise = (task.seen.noise * task.scale[COEFFICIENT]) ** 2
    every = torch.arange(math.prod(task.cells.cells)).split(64)
    own = [law.covariance(task.cells, part).flatten(1)[:, part].diagonal() for part in every]
    spread = torch.cat(own).sqrt()
    found = []
    for here, value in zip(places, values, strict=True):
        across = law.covariance(task.cells, here).flatten(1)
        if isinstance(data, DarcyData):
            half = (data.high - data.low) / 2
            across = covariance_of_signs(across / (spread[here, None] * spread)) * half**2
        system = across[:, here] + noise * torch.eye(len(here), dtype=torch.float64)
        found.append(torch.linalg.solve(system, value) @ across)
    coefficient = torch.stack(found).unflatten(1, task.cells.cells) + _middle(data)
    state = task.solver.solve(task.equation.boundary(coefficient))
    return Estimate(torch.cat([coefficient[:, None], state], 1), 1)


def _middle(data: SteadyData) -> float:
    return (data.low + data.high) / 2 if isinstance(data, DarcyData) else 0.0


def covariance_of_signs(correlation: Tensor) -> Tensor:
    r"""The covariance of the signs of a Gaussian field, :math:`\frac2\pi \arcsin \rho`."""
    found: Tensor = 2 / math.pi * correlation.clamp(-1, 1).asin()
    return found


def allowed(task: InverseTask) -> Float[Tensor, "case observation"]:
    """The standard deviation that descent allows each observation."""
    noise = torch.full_like(task.seen.values, task.seen.noise)
    if task.equation.gaussian:
        return noise
    of_state = task.seen.places[..., 0] >= math.prod(task.cells.cells)
    return noise.where(of_state, noise.clamp(min=BLURRED))


def adjoint(prior: InversePrior, task: InverseTask, gradients: int) -> Estimate:
    """Descent through the true solver, where the state is seen."""
    data = task.equation.data(task.cells.cells[0])
    law = GaussianField(data.alpha, data.tau)
    spread = law.deviations(2).square().sum().sqrt()
    noise = allowed(task)
    sees_state = STATE in task.problem.seen
    mean, scale = prior.standard.mean, prior.standard.scale[:, None, None]

    def made(white: Tensor) -> Tensor:
        field = law.compose(task.cells, white)
        if not isinstance(data, DarcyData):
            return field
        return data.low + (data.high - data.low) * torch.sigmoid(field / (WIDTH * spread))

    def both(white: Tensor) -> Pairs:
        coefficient = made(white)
        if not sees_state:
            return torch.stack([coefficient, mean[STATE].expand_as(coefficient)], 1)
        state = task.solver.solve(task.equation.boundary(coefficient))
        return torch.cat([coefficient[:, None], state], 1)

    def cost(white: Tensor) -> PerSample:
        seen = task.seen.see((both(white) - mean) / scale)
        misfit = ((seen - task.seen.values) / noise).square().sum(1)
        found: PerSample = (misfit + white.square().flatten(1).sum(1)) / 2
        return found

    start = torch.zeros(len(task.truth), law.highest, law.highest, dtype=torch.float64)
    with torch.no_grad():
        coefficient = made(descend(cost, start, gradients).x)
        state = task.solver.solve(task.equation.boundary(coefficient))
    # Each gradient is a solution and that of its adjoint.
    calls = 2 * gradients + 1 if sees_state else 1
    return Estimate(torch.cat([coefficient[:, None], state], 1), calls)


def compare(
    prior: InversePrior,
    task: InverseTask,
    few: InverseTask,
    gradients: int,
    found: PerSample,
) -> dict[str, Baseline]:
    """The baselines, and how much more than the draws each misses by on its own cases, paired.

    Arguments:
        prior: Its training data.
        task: All cases.
        few: Those that descent is run for, the first of them.
        gradients: Of descent, for each.
        found: The relative error of the draws, of all cases.
    """
    rows: dict[str, tuple[InverseTask, Callable[[], Estimate]]] = {
        "prior mean": (task, lambda: nothing(prior, task)),
        "linear": (task, lambda: linear(prior, task)),
    }
    coefficient = task.sensors.get(COEFFICIENT)
    if coefficient is not None and coefficient.shape[2] == 1 and coefficient.shape[1] <= MANY:
        rows["kriging and solver"] = (task, lambda: kriging(task))
    rows[f"adjoint, {gradients}"] = (few, lambda: adjoint(prior, few, gradients))
    baselines = {}
    for name, (asked, search) in rows.items():
        began = time.perf_counter()
        result = search()
        seconds = time.perf_counter() - began
        errors = asked.errors(result.pairs)
        wanted = asked.wanted(errors)
        figures = {
            "relative_error": figure(wanted, "1"),
            "relative_error_above": figure(wanted - found[: len(wanted)], "1"),
            "error_coefficient": figure(errors[:, COEFFICIENT], "1"),
            "error_state": figure(errors[:, STATE], "1"),
        }
        baselines[name] = Baseline(figures, result.calls, seconds, len(errors))
    return baselines
