"""Formations by every method, each judged by the same true solver: who saves most drag?

Each method makes so many formations for each seed; a method's row has the change of drag at equal
lift (median, mean with its 95 % interval, best), the drag itself, how many were not allowed (they
count as no change), simulations for each design before it was judged, and seconds. A row is kept in
``--out`` when it is done, and not made again.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from physgen.datasets.airfoil import Airfoils
from physgen.design_tasks.airfoil_decode import parameters_at, parameters_of, placed, unit_of
from physgen.design_tasks.airfoil_design import draw
from physgen.design_tasks.airfoil_formation import Coupled, PlaceLaw, Superposed
from physgen.design_tasks.airfoil_polish import Polish, polish
from physgen.design_tasks.airfoil_price import Prices, price
from physgen.design_tasks.airfoil_prior import WEIGHTS, AirfoilPrior, load_prior
from physgen.design_tasks.airfoil_run import in_line
from physgen.design_tasks.airfoils import Formations, Judged, in_threads, portions
from physgen.files import write_json
from physgen.progress import Silent
from physgen.search import evolve
from physgen.verdict import figure


@dataclass(frozen=True)
class Airfoilsbench:
    """Compare ways to design formations."""

    methods: tuple[str, ...] = ("guided", "random", "superposed", "by hand")
    """guided, random, superposed, by hand, polished (guided, then 20 gradients), random polished,
    cma (CMA-ES, 200 simulations), best of (20 random ones, the solver's choice)."""
    seeds: int = 4
    """Seeds of each."""
    designs: int = 10
    """Formations for each seed."""
    bodies: int = 2
    reynolds: float = 500.0
    lift: float = 0.3
    cells: int = 24
    """Of the judge."""
    weights: Path = WEIGHTS
    out: Path = Path("runs/bench-airfoils")
    """Folder of the rows."""


@dataclass(frozen=True)
class Bench:
    options: Airfoilsbench
    task: Formations
    prior: AirfoilPrior

    def guided(self, seed: int) -> tuple[Airfoils, int]:
        return self._drawn(seed), 0

    def random(self, seed: int) -> tuple[Airfoils, int]:
        return self._drawn(seed, prices=None), 0

    def superposed(self, seed: int) -> tuple[Airfoils, int]:
        generator = torch.Generator().manual_seed(seed)
        found = draw(
            self.prior, self.task, self.options.designs, generator, composition=Superposed()
        )
        return found.airfoils, 0

    def by_hand(self, seed: int) -> tuple[Airfoils, int]:
        """In line, with gaps from 1.3 to 2.5 chords between quarter points."""
        gaps = torch.linspace(1.3, 2.5, self.options.designs)
        rows = [in_line(self.task, float(gap)) for gap in gaps]
        return Airfoils(*(torch.cat(part) for part in zip(*rows, strict=True))), 0

    def polished(self, seed: int) -> tuple[Airfoils, int]:
        return self._polished(self._drawn(seed))

    def random_polished(self, seed: int) -> tuple[Airfoils, int]:
        return self._polished(self._drawn(seed, prices=None))

    def best_of(self, seed: int) -> tuple[Airfoils, int]:
        tries, count = 20, self.options.designs
        wide = replace(self, options=replace(self.options, designs=tries * count))
        found = wide._drawn(seed, prices=None)
        cost = self._priced(found).view(count, tries)
        chosen = torch.arange(count) * tries + cost.argmin(1)
        return Airfoils(*(part[chosen] for part in found)), tries

    def cma(self, seed: int) -> tuple[Airfoils, int]:
        count, bodies, law = self.options.designs, self.task.bodies, PlaceLaw()
        start = torch.zeros(count, bodies * 13 + 2 * (bodies - 1))
        generator = torch.Generator().manual_seed(seed)
        start = 0.5 * torch.randn(start.shape, generator=generator)

        def airfoils(rows: Tensor) -> Airfoils:
            unit = torch.zeros(len(rows), bodies, 15)
            unit[..., :13] = rows[:, : 13 * bodies].unflatten(1, (bodies, 13))
            place = law.of(rows[:, 13 * bodies :].unflatten(1, (bodies - 1, 2)))
            return placed(parameters_at(unit), place)

        population, generations = 14, 14
        found = evolve(
            lambda rows: self._priced(airfoils(rows.float())),
            start,
            0.5,
            population,
            generations,
            seed,
        )
        return airfoils(found.design.float()), found.calls

    def _drawn(self, seed: int, prices: Prices | None = Prices()) -> Airfoils:  # noqa: B008
        generator = torch.Generator().manual_seed(seed)
        found = draw(self.prior, self.task, self.options.designs, generator, COUPLED, prices)
        return found.airfoils

    def _polished(self, airfoils: Airfoils) -> tuple[Airfoils, int]:
        how = Polish()
        return polish(self.task, airfoils, Prices(), how, Silent()), how.calls

    def _priced(self, airfoils: Airfoils) -> Tensor:
        """By one simulation each; what is not allowed costs one and more."""
        bad = self.task.violation(airfoils)
        own = Airfoils(*(part.flatten(0, 1)[:, None] for part in airfoils))
        faith = unit_of(parameters_of(own)).square().sum(1).view(len(bad), -1).sum(1)
        cost = 1 + bad + Prices().faith * faith
        allowed = Airfoils(*(part[bad == 0] for part in airfoils))
        if len(allowed.x):
            means = in_threads(self.task.simulate, portions(allowed, 4), lambda share: None)
            force = torch.cat([2 * one.force for one in means])
            cost[bad == 0] += price(self.task, Prices(), force) - 1
        return cost


COUPLED = Coupled()


def main(options: Airfoilsbench) -> None:
    task = Formations(options.bodies, options.reynolds, options.lift)
    bench = Bench(options, task, load_prior(options.weights))
    ways: dict[str, Callable[[int], tuple[Airfoils, int]]] = {
        "guided": bench.guided,
        "random": bench.random,
        "superposed": bench.superposed,
        "by hand": bench.by_hand,
        "polished": bench.polished,
        "random polished": bench.random_polished,
        "best of": bench.best_of,
        "cma": bench.cma,
    }
    console = Console(width=120)
    for name in options.methods:
        for seed in range(1 if name == "by hand" else options.seeds):
            path = options.out / f"{name.replace(' ', '_')}_{options.bodies}_{seed}.json"
            if path.exists():
                continue
            console.print(f"{name}, seed {seed}", style="dim")
            began = time.perf_counter()
            airfoils, calls = ways[name](seed)
            seconds = time.perf_counter() - began
            judged = task.judge(airfoils, options.cells)
            write_json(path, _row(judged, calls, seconds / len(airfoils.x)))
    console.print(table(options))


def _row(judged: Judged, calls: int, seconds: float) -> dict[str, object]:
    names = ("drag_change", "lift_to_drag_change", "drag", "lift", "reference", "valid")
    rows = {name: getattr(judged, name).tolist() for name in names}
    return {**rows, "calls": calls, "seconds": seconds}


def table(options: Airfoilsbench) -> Table:
    """All rows there are."""
    columns = (
        "method", "designs", "calls", "drag change: median", "mean", "best", "L/D change",
        "drag", "lift", "not allowed", "s a design",
    )  # fmt: skip
    grid = Table(*columns, title=f"{options.bodies} airfoils, Re {options.reynolds:g}")
    for name in options.methods:
        stem = f"{name.replace(' ', '_')}_{options.bodies}_"
        rows = [json.loads(p.read_text()) for p in sorted(options.out.glob(f"{stem}*.json"))]
        if not rows:
            continue

        def joined(key: str, rows: list[dict[str, list[float]]] = rows) -> Tensor:
            return torch.tensor([value for row in rows for value in row[key]])

        change, valid = figure(joined("drag_change"), ""), joined("valid") > 0
        half = 50 * (change.ci95[1] - change.ci95[0])
        grid.add_row(
            name,
            str(len(valid)),
            str(rows[0]["calls"]),
            f"{100 * change.median:+.1f} %",
            f"{100 * change.mean:+.1f} ± {half:.1f} %",
            f"{100 * change.best:+.1f} %",
            f"{100 * joined('lift_to_drag_change').median():+.1f} %",
            f"{joined('drag')[valid].mean():.4f}",
            f"{joined('lift')[valid].mean():.3f}",
            f"{100 * (1 - valid.float().mean()):.0f} %",
            f"{math.fsum(row['seconds'] for row in rows) / len(rows):.1f}",
        )
    return grid


if __name__ == "__main__":
    main(tyro.cli(Airfoilsbench))
