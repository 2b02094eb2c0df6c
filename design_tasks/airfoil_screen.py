"""The solver's choice among designs: one simulation each, and the least price wins.

The prior is off by a few per cent of a force, and designs differ by more than that: it makes the
candidates, the solver chooses. A call here is a simulation without a gradient.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from physgen import workers
from physgen.datasets.airfoil import Airfoils
from physgen.design_tasks.airfoil_decode import parameters_of, unit_of
from physgen.design_tasks.airfoil_price import Prices, price
from physgen.design_tasks.airfoils import Formations, portions
from physgen.shapes import PerSample


def solver_price(
    task: Formations,
    airfoils: Airfoils,
    prices: Prices,
    cells: int,
    tell: Callable[[float], None] = lambda share: None,
) -> PerSample:
    """The price of designs by one simulation each, with so many cells a chord.

    What is not allowed, or too close for the cells to tell the airfoils apart, is not simulated and
    costs one and more. One design at a time: what is found of one depends on no other.
    """
    apart = replace(task, gap=max(task.gap, 4.5 / cells))
    bad = apart.violation(airfoils)
    own = Airfoils(*(part.flatten(0, 1)[:, None] for part in airfoils))
    parameters = parameters_of(own)
    parameters[:, 13:] = 0.0  # A place is no part of a section.
    faith = unit_of(parameters).square().sum(1).view(len(bad), -1).sum(1)
    cost = 1 + bad + prices.faith * faith
    allowed = Airfoils(*(part[bad == 0] for part in airfoils))
    if len(allowed.x):
        work = portions(allowed, 1)
        found = workers.each(lambda one: 2 * task.simulate(one, cells).force, work, tell)
        cost[bad == 0] += price(task, prices, torch.cat(found)) - 1
    return cost


def choice(cost: PerSample, candidates: int) -> Tensor:
    """The number of the cheapest of each so many in a row."""
    groups = cost.view(-1, candidates)
    return torch.arange(len(groups), device=cost.device) * candidates + groups.argmin(1)
