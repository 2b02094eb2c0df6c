"""Search on a true objective: what every learned design is held against, and polished by.

All searches treat a batch of independent problems, and evaluate the candidates of all of them
in one call; none lets one problem see another.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.shapes import PerSample, Sample

Objective = Callable[[Tensor], Tensor]
"""The true cost of every design of a batch, lower being better."""


@dataclass(frozen=True)
class Found:
    """The best design met for every problem, its cost, and what that took."""

    design: Tensor
    cost: Tensor
    calls: int
    """Evaluations of the objective for each problem."""


def best_of(
    draw: Callable[[int, torch.Generator], Tensor],
    objective: Objective,
    problems: int,
    tries: int,
    generator: torch.Generator,
    chunk: int = 50_000,
) -> Found:
    """The best of ``tries`` random designs for every problem.

    Arguments:
        draw: Makes a number of designs.
        objective: Their cost.
        problems: How many times to search.
        tries: Designs for each.
        generator: Source of the designs.
        chunk: Designs evaluated at once, to bound memory.
    """
    best, cost = None, torch.full((problems,), math.inf)
    at_once = max(1, chunk // problems)
    for start in range(0, tries, at_once):
        count = min(at_once, tries - start)
        designs = draw(problems * count, generator)
        costs = objective(designs).view(problems, count)
        least, where = costs.min(dim=1)
        chosen = designs.view(problems, count, *designs.shape[1:])[torch.arange(problems), where]
        better = (least < cost).view(-1, *[1] * (chosen.ndim - 1))
        best = chosen if best is None else torch.where(better, chosen, best)
        cost = torch.minimum(cost, least)
    assert best is not None
    return Found(best, cost, tries)


def evolve(
    objective: Objective,
    start: Float[Tensor, "problem variable"],
    spread: float,
    population: int,
    generations: int,
    seed: int,
) -> Found:
    """CMA-ES (Hansen, 2016, https://arxiv.org/abs/1604.00772), one run for every problem.

    Arguments:
        objective: The cost of rows of variables.
        start: Where each run begins; variables should have similar scales.
        spread: The first step size.
        population: Designs a generation.
        generations: How many.
        seed: Seed of the first run; the others follow it.
    """
    import cma

    problems = len(start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runs = [
            cma.CMAEvolutionStrategy(
                row.tolist(),
                spread,
                {"popsize": population, "seed": seed + 1 + k, "verbose": -9, "maxiter": 10**9},
            )
            for k, row in enumerate(start.double())
        ]
        best, cost = start.clone(), torch.full((problems,), math.inf)
        for _ in range(generations):
            asked = [run.ask() for run in runs]
            designs = torch.tensor(asked, dtype=start.dtype)
            costs = objective(designs.flatten(0, 1)).view(problems, population)
            for run, candidates, values in zip(runs, asked, costs.tolist(), strict=True):
                run.tell(candidates, values)
            least, where = costs.min(dim=1)
            better = least < cost
            best = torch.where(better[:, None], designs[torch.arange(problems), where], best)
            cost = torch.where(better, least, cost)
    return Found(best, cost, population * generations)


def polish(
    objective: Callable[[Sample], PerSample],
    start: Sample,
    bound: float,
    steps: int,
    project: Callable[[Sample], Sample] = lambda x: x,
    longest: float = 0.05,
) -> Found:
    r"""Descend the true objective from given designs, each on its own.

    .. math:: x \leftarrow P\bigl(x - \gamma \frac{J(x) - J^*}{|\nabla J(x)|^2} \nabla J(x)\bigr)

    is the step of Polyak (1969) towards a known bound :math:`J^*`. Where a step does not
    improve on the best design met, the next starts from there again with half the
    :math:`\gamma`. The best design met is returned, which is never worse than the start.

    Arguments:
        objective: Differentiable; one call is one simulation a design.
        start: The designs.
        bound: A lower bound of the objective.
        steps: Calls of the objective, the first at the start.
        project: Takes a design to the nearest allowed one.
        longest: The longest step, in the norm of a design.
    """
    best = project(start.detach())
    cost = torch.full((len(best),), math.inf, dtype=best.dtype, device=best.device)
    gradient = torch.zeros_like(best)
    share = torch.ones_like(cost)
    x = best
    for call in range(steps):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            value = objective(x)
            (slope,) = torch.autograd.grad(value.sum(), x)
        x, value = x.detach(), value.detach()
        better = value < cost
        wide = better.view(-1, *[1] * (x.ndim - 1))
        best, gradient = torch.where(wide, x, best), torch.where(wide, slope, gradient)
        cost = torch.where(better, value, cost)
        share = torch.where(better, (1.5 * share).clamp(max=1.0), share / 2)
        if call + 1 == steps:
            break
        size = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
        length = (share * (cost - bound).clamp(min=0) / size).clamp(max=longest)
        x = project(best - (length / size).view(-1, *[1] * (x.ndim - 1)) * gradient)
    return Found(best, cost, steps)
