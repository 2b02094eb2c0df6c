"""Simulation: the whole table, break-even, and the equation's help, paired.

``python benchmarks/simulate.py`` draws futures of 50 test starts that are seen with 2 % noise, and prints
CRPS, calibration and residual with 95 % intervals beside those of a surrogate, of the prior without its
network, and of solvers on coarse grids with their seconds. *Paired* is the mean change by the
equation over what it was without, case by case, with the p-value of Student's paired test.
"""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from scipy import stats

from physgen.checkpoint import fingerprint, load_tensors
from physgen.cli import stages
from physgen.design_tasks.simulate_prior import WEIGHTS
from physgen.design_tasks.simulate_run import SimulateOptions, design_simulate
from physgen.options import plain
from physgen.verdict import Figure, Verdict, load_verdict


@dataclass(frozen=True)
class Table:
    """The table of simulations."""

    cases: int = 50
    """Test starts."""
    time: float = 45.0
    """How long, in s."""
    noise: float = 0.02
    """Of what is seen, over the spread."""
    seed: int = 0
    """Of noise and draws."""
    residual: float = 0.5
    """Share of the step towards the equation in the paired row."""
    out: Path = Path("runs/benchmark-simulate")
    """Folder for the verdicts; those of the same options and weights are not made again."""


def run(options: SimulateOptions) -> tuple[Verdict, dict[str, np.ndarray]]:
    """A verdict and its cases, made or found."""
    path = options.out / "verdict.json"
    found = load_verdict(path) if path.exists() else None
    mark = fingerprint(load_tensors(WEIGHTS)[0])
    if found is None or found.versions["weights"] != mark or found.options != plain(options):
        with stages() as shown:
            found = design_simulate(options, shown)
    with (options.out / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return found, {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def cell(figure: Figure | None) -> str:
    if figure is None:
        return f"{'':>17}"
    return f"{figure.written(digits=3):>16} "


SHOWN = ("crps", "coverage90", "spread_skill", "horizon", "spectrum", "residual")


def main(table: Table) -> None:
    base = SimulateOptions(
        cases=table.cases,
        time=table.time,
        noise=table.noise,
        seed=table.seed,
        out=table.out / "prior",
    )
    alone, cases = run(base)
    print(f"{alone.task}, {alone.designs} cases of {base.members} members")
    print(f"{'':<26}{''.join(f'{name:>17}' for name in SHOWN)}  s a case")
    rows = {name: (row.figures, row.seconds) for name, row in alone.baselines.items()}
    rows[alone.method] = (alone.figures, alone.seconds["sampling"])
    walk = replace(base.walk, residual=table.residual)
    led, others = run(
        replace(base, walk=walk, baselines=False, out=table.out / "prior-and-residual")
    )
    rows[led.method] = (led.figures, led.seconds["sampling"])
    for name, (figures, seconds) in rows.items():
        cells = "".join(cell(figures.get(figure)) for figure in SHOWN)
        print(f"{name:<26}{cells}{seconds / table.cases:>10.2g}")
    for line in alone.warnings:
        print(line)
    for name in ("residual", "crps", "rmse", "coverage90"):
        change = others[name] - cases[name]
        test = stats.ttest_1samp(change, 0.0)
        print(
            f"paired, {name}: {100 * change.mean() / cases[name].mean():+.1f} %, "
            f"p = {test.pvalue:.1e}"
        )


if __name__ == "__main__":
    main(tyro.cli(Table))
