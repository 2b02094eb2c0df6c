"""Formations by every method, each judged by the same true solver: who saves most drag?

Each method makes so many formations for each seed; a method's row has the change of drag at equal
lift (median, mean with its 95 % interval, best), the price that all methods lower (drag, and what
lift is off the wanted one), drag and lift themselves, how many were not allowed (they count as no
change), simulations for each design before it was judged, and seconds. A row is kept in ``--out``
when it is done, and not made again. The prior's 1904 training flows, of one airfoil each, come on
top of its calls: 19 for each of a hundred designs.
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
from physgen.design_tasks.airfoil_averaged import Averaged
from physgen.design_tasks.airfoil_decode import parameters_at, placed
from physgen.design_tasks.airfoil_design import draw
from physgen.design_tasks.airfoil_formation import Composition, Coupled, PlaceLaw, Superposed
from physgen.design_tasks.airfoil_polish import Polish, polish
from physgen.design_tasks.airfoil_price import Prices
from physgen.design_tasks.airfoil_prior import WEIGHTS, AirfoilPrior, load_prior
from physgen.design_tasks.airfoil_run import in_line
from physgen.design_tasks.airfoil_screen import choice, solver_price
from physgen.design_tasks.airfoils import Formations, Judged
from physgen.files import write_json
from physgen.progress import Silent
from physgen.search import evolve
from physgen.verdict import figure, middle

COUPLED, PRICES = Coupled(), Prices()


@dataclass(frozen=True)
class Airfoilsbench:
    """Compare ways to design formations."""

    methods: tuple[str, ...] = (
        "guided", "superposed", "cindm", "random", "by hand", "polished", "random polished",
        "chosen", "chosen polished", "best of", "placement", "cma", "bayes",
    )  # fmt: skip
    """guided, superposed, cindm: the prior, composed in these ways; random: the prior, nothing
    asked; by hand: in line; polished, random polished: from guided and from random designs, with
    gradients of the solver; best of: random designs, the solver's choice; placement: guided single
    airfoils, their places searched by CMA-ES; cma: CMA-ES of shapes and places; bayes: Bayesian
    optimisation of both (extra baselines)."""
    calls: int = 20
    """Simulations for each design, by those that search."""
    seeds: int = 4
    """Seeds of each."""
    designs: int = 10
    """Formations for each seed."""
    bodies: int = 2
    reynolds: float = 500.0
    lift: float = 0.3
    cells: int = 24
    """Of the judge."""
    coarse: int = 16
    """Of the solver that searches ask, as the polish does."""
    weights: Path = WEIGHTS
    out: Path = Path("runs/bench-airfoils")
    """Folder of the rows."""


Made = tuple[Airfoils, int]
"""Designs, and the simulations that each of them took."""


@dataclass(frozen=True)
class Bench:
    options: Airfoilsbench
    task: Formations
    prior: AirfoilPrior

    def guided(self, seed: int) -> Made:
        return self._drawn(seed), 0

    def random(self, seed: int) -> Made:
        return self._drawn(seed, prices=None), 0

    def superposed(self, seed: int) -> Made:
        return self._drawn(seed, Superposed()), 0

    def cindm(self, seed: int) -> Made:
        return self._drawn(seed, Averaged()), 0

    def by_hand(self, seed: int) -> Made:
        """In line, with gaps from 1.3 to 2.5 chords between quarter points."""
        gaps = torch.linspace(1.3, 2.5, self.options.designs)
        rows = [in_line(self.task, float(gap)) for gap in gaps]
        return Airfoils(*(torch.cat(part) for part in zip(*rows, strict=True))), 0

    def polished(self, seed: int) -> Made:
        return self._polished(self._drawn(seed))

    def random_polished(self, seed: int) -> Made:
        return self._polished(self._drawn(seed, prices=None))

    def best_of(self, seed: int) -> Made:
        return self._chosen(seed, self.options.calls, None), self.options.calls

    def chosen(self, seed: int) -> Made:
        """Guided, and the solver's choice."""
        return self._chosen(seed, self.options.calls, PRICES), self.options.calls

    def chosen_polished(self, seed: int) -> Made:
        """Half of the calls to choose among guided designs, the others to polish the choice."""
        half = self.options.calls // 2
        found = self._chosen(seed, half, PRICES)
        how = Polish(half - 1, self.options.coarse, self.options.cells)
        return polish(self.task, found, PRICES, how, Silent()), 2 * half

    def _chosen(self, seed: int, tries: int, prices: Prices | None) -> Airfoils:
        wide = replace(self, options=replace(self.options, designs=tries * self.options.designs))
        found = wide._drawn(seed, prices=prices)
        which = choice(self._priced(found), tries)
        return Airfoils(*(part[which] for part in found))

    def placement(self, seed: int) -> Made:
        """Single airfoils are designed alone; CMA-ES finds where they shall be."""
        alone = self._drawn(seed, Superposed())
        steps, law = 2 * (self.task.bodies - 1), PlaceLaw()
        generations, each = max(1, self.options.calls // 5), len(alone.x)

        def airfoils(rows: Tensor) -> Airfoils:
            place = law.of(rows.float().unflatten(1, (self.task.bodies - 1, 2)))
            wide = [part.repeat_interleave(len(rows) // each, 0) for part in alone]
            upper, lower, _, _, incidence = wide
            return Airfoils(upper, lower, place[..., 0], place[..., 1], incidence)

        start = torch.zeros(each, steps)
        found = evolve(lambda r: self._priced(airfoils(r)), start, 1.0, 5, generations, seed)
        return airfoils(found.design), found.calls

    def cma(self, seed: int) -> Made:
        population = 10 if self.options.calls < 100 else 14
        generations = max(1, self.options.calls // population)
        found = evolve(
            lambda rows: self._priced(self._of(rows)),
            self._start(seed, 1)[:, 0],
            0.5,
            population,
            generations,
            seed,
        )
        return self._of(found.design), found.calls

    def bayes(self, seed: int) -> Made:
        from physgen.bayesian import optimise

        first = max(2, self.options.calls // 2)
        together = 2 if self.options.calls < 100 else 10
        found = optimise(
            lambda rows: self._priced(self._of(rows)),
            self._start(seed, first),
            2.0,
            (self.options.calls - first) // together,
            together,
            seed,
        )
        return self._of(found.design), found.calls

    def _start(self, seed: int, first: int) -> Tensor:
        """Real sections and places, as numbers of unit variance."""
        generator = torch.Generator().manual_seed(seed)
        size = self.task.bodies * 13 + 2 * (self.task.bodies - 1)
        return 0.5 * torch.randn(self.options.designs, first, size, generator=generator)

    def _of(self, rows: Tensor) -> Airfoils:
        rows, bodies = rows.float(), self.task.bodies
        unit = torch.zeros(len(rows), bodies, 15)
        unit[..., :13] = rows[:, : 13 * bodies].unflatten(1, (bodies, 13))
        place = PlaceLaw().of(rows[:, 13 * bodies :].unflatten(1, (bodies - 1, 2)))
        return placed(parameters_at(unit), place)

    def _drawn(
        self,
        seed: int,
        way: Composition = COUPLED,
        prices: Prices | None = PRICES,
    ) -> Airfoils:
        generator = torch.Generator().manual_seed(seed)
        return draw(self.prior, self.task, self.options.designs, generator, way, prices).airfoils

    def _polished(self, airfoils: Airfoils) -> Made:
        how = Polish(self.options.calls, self.options.coarse, self.options.cells)
        return polish(self.task, airfoils, PRICES, how, Silent()), how.calls + 1

    def _priced(self, airfoils: Airfoils) -> Tensor:
        """By one simulation each on coarse cells."""
        return solver_price(self.task, airfoils, PRICES, self.options.coarse)


def main(options: Airfoilsbench) -> None:
    task = Formations(options.bodies, options.reynolds, options.lift)
    bench = Bench(options, task, load_prior(options.weights))
    console = Console(width=120)
    for name in options.methods:
        make: Callable[[int], Made] = getattr(bench, name.replace(" ", "_"))
        for seed in range(1 if name == "by hand" else options.seeds):
            path = options.out / f"{stem(name, options)}_{seed}.json"
            if path.exists():
                continue
            console.print(f"{name}, seed {seed}", style="dim")
            began = time.perf_counter()
            airfoils, calls = make(seed)
            seconds = time.perf_counter() - began
            judged = task.judge(airfoils, options.cells)
            write_json(path, _row(judged, calls, seconds / len(airfoils.x)))
    console.print(table(options))


FREE = ("guided", "superposed", "cindm", "random", "by hand")
"""Methods that ask no solver."""


def stem(name: str, options: Airfoilsbench) -> str:
    calls = "" if name in FREE else f"_{options.calls}"
    return f"{name.replace(' ', '_')}{calls}_{options.bodies}"


def _row(judged: Judged, calls: int, seconds: float) -> dict[str, object]:
    names = ("drag_change", "lift_to_drag_change", "drag", "lift", "reference", "valid")
    rows = {name: getattr(judged, name).tolist() for name in names}
    return {**rows, "calls": calls, "seconds": seconds}


def table(options: Airfoilsbench) -> Table:
    """All rows there are."""
    columns = (
        "method", "designs", "calls", "drag change: median", "mean", "best", "L/D change",
        "price, median", "drag", "lift", "not allowed", "s a design",
    )  # fmt: skip
    grid = Table(*columns, title=f"{options.bodies} airfoils, Re {options.reynolds:g}")
    for name in options.methods:
        paths = sorted(options.out.glob(f"{stem(name, options)}_*.json"))
        rows = [json.loads(path.read_text()) for path in paths]
        if not rows:
            continue

        def joined(key: str, rows: list[dict[str, list[float]]] = rows) -> Tensor:
            if key == "price":
                return joined("drag") + PRICES.lift * (joined("lift") - options.lift).square()
            return torch.tensor([value for row in rows for value in row[key]])

        change, valid = figure(joined("drag_change"), ""), joined("valid") > 0
        grid.add_row(
            name,
            str(len(valid)),
            str(rows[0]["calls"]),
            f"{100 * change.median:+.1f} %",
            f"{change.written(100, 1)} %",
            f"{100 * joined('drag_change').min():+.1f} %",
            f"{100 * middle(joined('lift_to_drag_change')):+.1f} %",
            f"{middle(joined('price')[valid]):.4f}",
            f"{joined('drag')[valid].mean():.4f}",
            f"{joined('lift')[valid].mean():.3f}",
            f"{100 * (1 - valid.float().mean()):.0f} %",
            f"{math.fsum(row['seconds'] for row in rows) / len(rows):.1f}",
        )
    return grid


if __name__ == "__main__":
    main(tyro.cli(Airfoilsbench))
