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
    target: float,
    steps: int,
    project: Callable[[Sample], Sample] = lambda x: x,
    longest: float = 0.1,
) -> Found:
    r"""Descend the true objective from given designs, each on its own.

    .. math:: x \leftarrow P\Bigl(x^* - \gamma \frac{J(x^*) - J_0}{|g|^2}\, g\Bigr)

    is the step of Polyak (1969) from the best design met, :math:`x^*`, towards the target
    :math:`J_0`. Objectives of contacts have kinks, at which the gradient of one side leads
    nowhere: where a step does not improve on the best design, :math:`g` becomes the shortest
    vector between it and the gradient that was found there, as in the conjugate subgradients of
    Wolfe (1975), and the next step starts from :math:`x^*` again with 0.7 :math:`\gamma`. An
    improvement sets :math:`g` to the gradient there. The best design met is returned, which is
    never worse than the start.

    Arguments:
        objective: Differentiable almost everywhere; one call is one simulation a design.
        start: The designs.
        target: What the descent aims at: a lower bound of the objective, or a little less.
        steps: Calls of the objective, the first at the start.
        project: Takes a design to the nearest allowed one.
        longest: The longest step, in the norm of a design.
    """
    best = x = project(start.detach())
    cost = torch.full((len(best),), math.inf, dtype=best.dtype, device=best.device)
    towards = torch.zeros_like(best)
    share = torch.ones_like(cost)
    for _ in range(steps):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            value = objective(x)
            (slope,) = torch.autograd.grad(value.sum(), x)
        x, value = x.detach(), value.detach()
        better = value < cost
        best = torch.where(_wide(better, x), x, best)
        towards = torch.where(_wide(better, x), slope, _shortest(towards, slope))
        cost = torch.where(better, value, cost)
        share = torch.where(better, (1.5 * share).clamp(max=1.0), 0.7 * share)
        size = towards.flatten(1).norm(dim=1).clamp(min=1e-12)
        length = (share * (cost - target).clamp(min=0) / size).clamp(max=longest)
        x = project(best - _wide(length / size, x) * towards)
    return Found(best, cost, steps)


def _wide(each: Tensor, like: Tensor) -> Tensor:
    """One number a sample, with axes added."""
    return each.view(-1, *[1] * (like.ndim - 1))


def _shortest(a: Sample, b: Sample) -> Sample:
    """The shortest vector on the segment from one to the other."""
    apart = a - b
    along = (apart * a).flatten(1).sum(1) / apart.square().flatten(1).sum(1).clamp(min=1e-20)
    return a - _wide(along.clamp(0, 1), a) * apart


def adam(slope: Tensor, moments: list[Tensor], step: int) -> Tensor:
    """Adam's direction, about one in each number (Kingma & Ba, 2015, algorithm 1).

    For descents of some ten steps, whose moments forget faster than those of a training.

    Arguments:
        slope: The gradient.
        moments: Its mean and its mean square, carried from step to step; zeros at first.
        step: The number of the step, from 1.
    """
    first, second = moments
    first.lerp_(slope, 0.2)
    second.lerp_(slope.square(), 0.1)
    lead, spread = first / (1 - 0.8**step), second / (1 - 0.9**step)
    return lead / (spread.sqrt() + 1e-8)
