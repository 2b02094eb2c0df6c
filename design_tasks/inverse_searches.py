r"""What draws of inverse problems are held against: the mean, linear estimates, and descent.

*Linear* is the estimate of least squared error among all that are linear in what is seen, from the same
training data as the prior. *Kriging and solver* knows the law of the coefficient itself: it
interpolates where a is seen by its exact covariance, and solves once. *Adjoint* knows the law too:
it goes down

.. math:: \frac1{2 \sigma_y^2} |y - A(a(\xi), S(a(\xi)))|^2 + \frac12 |\xi|^2

through the true solver S, from :math:`\xi = 0`, over unit noise :math:`\xi` of the random field. Of
Darcy's two permeabilities a logistic function of the field is taken
(:data:`~physgen.design_tasks.inverse_steady.WIDTH`), and what is seen of it is allowed a misfit of
:data:`BLURRED` for that; what is seen of the state keeps its own noise.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.descent import descend
from physgen.design_tasks.inverse import COEFFICIENT, STATE, InverseTask
from physgen.design_tasks.inverse_design import HIGHEST
from physgen.design_tasks.inverse_equation import Pairs
from physgen.design_tasks.inverse_prior import InversePrior
from physgen.sensed import Sensed
from physgen.shapes import PerSample
from physgen.verdict import Baseline, figure

BLURRED = 0.1
"""Standard deviation of what is seen of two permeabilities that descent allows at least."""
MANY = 1000
"""Observations that kriging takes at most."""


class Estimate(NamedTuple):
    """One sample for each case."""

    pairs: Pairs
    calls: int
    """Solutions of the equation, for each."""


def nothing(prior: InversePrior, task: InverseTask) -> Estimate:
    """The mean of the training data."""
    return Estimate(prior.standard.mean.expand(len(task.truth), -1, -1, -1), 0)


def linear(prior: InversePrior, task: InverseTask) -> Estimate:
    """The posterior mean of the Gaussian of the training data."""
    far, nothing = 1e3 * HIGHEST, torch.zeros(len(task.truth), *task.mean.shape)
    best = Sensed(prior.gaussian, prior.gaussian, task.seen).denoise(nothing, far)
    return Estimate(prior.standard.physical(best.double()), 0)


def kriging(task: InverseTask) -> Estimate:
    """The best linear estimate of the coefficient or start by its exact covariance, and its state."""
    given, law = task.given, task.law
    channel = given.channel
    places = task.sensors[given][..., 0]
    values = task.seen.values[:, : places.shape[1]].double() * task.scale[channel]
    values = values + task.mean.flatten()[places] - law.middle
    noise = (task.seen.noise * task.scale[channel]) ** 2
    own = given.places(len(task.mean), law.space)
    found = []
    for here, value in zip(places - own.min(), values, strict=True):
        across = law.covariance(here)
        system = across[:, here] + noise * torch.eye(len(here), dtype=torch.float64)
        found.append(torch.linalg.solve(system, value) @ across)
    return Estimate(law.completed(torch.stack(found).unflatten(1, own.shape) + law.middle), 1)


def allowed(task: InverseTask) -> Float[Tensor, "case observation"]:
    """The standard deviation that descent allows each observation."""
    noise = torch.full_like(task.seen.values, task.seen.noise)
    if not task.equation.two_valued:
        return noise
    of_state = task.seen.places[..., 0] >= math.prod(task.law.space)
    return noise.where(of_state, noise.clamp(min=BLURRED))


def adjoint(prior: InversePrior, task: InverseTask, gradients: int) -> Estimate:
    """Descent through the true solver, where the state is seen."""
    law, noise = task.law, allowed(task)
    sees_state = list(task.sensors) != [task.given]
    mean, scale = prior.standard.mean, prior.standard.scale[:, None, None]

    def sample(white: Tensor) -> Pairs:
        given = law.composed(white)
        if sees_state:
            return law.completed(given)
        return task.given.instead(mean.expand(len(given), *mean.shape), given)

    def cost(white: Tensor) -> PerSample:
        seen = task.seen.see((sample(white) - mean) / scale)
        misfit = ((seen - task.seen.values) / noise).square().sum(1)
        found: PerSample = (misfit + white.square().flatten(1).sum(1)) / 2
        return found

    start = torch.zeros(len(task.truth), *law.white, dtype=torch.float64)
    with torch.no_grad():
        found = law.completed(law.composed(descend(cost, start, gradients).x))
    # Each gradient is a solution and that of its adjoint.
    return Estimate(found, 2 * gradients + 1 if sees_state else 1)


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
    coefficient = task.sensors.get(task.given)
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
