"""What each part of N-body design is worth: the same designs with one part changed.

Every row is drawn with the same seed and judged by the true solver.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import tyro

from physgen.design_tasks.nbody import VARIANTS, NBody
from physgen.design_tasks.nbody_costs import Prices
from physgen.design_tasks.nbody_design import (
    Composition,
    Descent,
    FactorGraph,
    MeanOfPairs,
    SumOfPairs,
    draw,
)
from physgen.design_tasks.nbody_prior import load_prior
from physgen.design_tasks.nbody_run import polished
from physgen.energy import Score
from physgen.search import Found
from physgen.verdict import figure


@dataclass(frozen=True)
class Ablation:
    """Leave out one part at a time."""

    designs: int = 64
    """Designs in each row."""
    seed: int = 0
    """Of the noise."""


@dataclass(frozen=True)
class Change:
    """One part, changed."""

    name: str
    composition: Composition = field(default_factory=FactorGraph)
    prices: Prices = field(default_factory=Prices)
    descent: Descent = field(default_factory=Descent)


CHANGES = (
    Change("as it is"),
    Change("no price on departures from straight flight", prices=Prices(flight=0.0)),
    Change("constraints in full from the first level", prices=Prices(seen=1e9, straight=1e9)),
    Change("guidance ends at noise 0.1", descent=Descent(until=0.1)),
    Change("a third of the price of the end", prices=Prices(objective=1000.0)),
    Change("twice the levels", descent=Descent(steps=48)),
    Change("mean of pairs", MeanOfPairs()),
    Change("sum of pairs and windows", SumOfPairs()),
)
MOVING = (
    Change("as it is"),
    Change("two candidates", descent=Descent(candidates=2)),
    Change("first level at noise 4", descent=Descent(highest=4.0)),
    Change("three times the price of the end", prices=Prices(moving=3000.0)),
)


def row(prior: Score, task: NBody, change: Change, options: Ablation) -> tuple[str, torch.Tensor]:
    source = torch.Generator().manual_seed(options.seed)
    how = (change.composition, change.prices, change.descent)
    motion = draw(prior, task, options.designs, source, *how).motion
    judged = task.judge(motion)
    objective, mae = figure(judged.objective, ""), figure(judged.mae, "")
    name = f"{task.variant.name}, {task.bodies}, {task.frames}"
    return f"| {name} | {change.name} | {objective} | {mae} |", motion[:, 0]


def main(options: Ablation) -> None:
    prior = load_prior()
    print("| variant, bodies, instants | changed | objective | MAE |\n|---|---|---|---|")
    for bodies, frames in ((2, 54), (4, 24)):
        for change in CHANGES:
            task = NBody(bodies, frames, VARIANTS["classic"])
            print(row(prior, task, change, options)[0], flush=True)
    task = NBody(2, 24, VARIANTS["moving"])
    starts = []
    for change in MOVING:
        line, start = row(prior, task, change, options)
        starts.append(start)
        print(line, flush=True)
    random = task.random(options.designs, torch.Generator().manual_seed(options.seed))
    polishes: dict[str, Callable[[], Found]] = {
        "20 simulations of polish": lambda: polished(task, starts[0], 20),
        "20 simulations of polish, from random starts": lambda: polished(task, random, 20),
    }
    for name, polish in polishes.items():
        print(f"| moving, 2, 24 | {name} | {figure(polish().cost, '')} | |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Ablation))
