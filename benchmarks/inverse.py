"""Inverse problems: the whole table, with and without the equation, paired.

``python benchmarks/inverse.py`` draws for 50 test cases of each equation and problem, and prints
errors of the wanted part with 95 % intervals beside those of linear estimates and of descent through the
solver, coverage, and residuals. *Paired* is the mean change of the error by the residual, over the error
without it, case by case, with the p-value of Student's paired test. *Above* is what a baseline's
error is above that of the draws, on its own cases. Poisson's and Helmholtz' fields are Gaussian. In *forward*
kriging by the exact covariance is their posterior mean, which no estimate beats in mean squared error; in
*inverse* and *both* that bound is not printed, and *linear* comes near it as far as data tell.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tyro
from scipy import stats

from physgen.checkpoint import fingerprint, load_tensors
from physgen.cli import stages
from physgen.design_tasks.inverse import EQUATIONS
from physgen.design_tasks.inverse_design import Guidance
from physgen.design_tasks.inverse_prior import weights_of
from physgen.design_tasks.inverse_run import InverseOptions, design_inverse
from physgen.options import plain
from physgen.verdict import Figure, Verdict, load_verdict


@dataclass(frozen=True)
class Table:
    """Rows of the table of inverse problems."""

    equations: tuple[str, ...] = tuple(EQUATIONS)
    """Which."""
    problems: tuple[str, ...] = ("forward", "inverse", "both")
    """Which."""
    look: str = "spread"
    """spread or scattered sensors, or another look of 'physgen design inverse'."""
    cases: int = 50
    """Test cases of each row."""
    levels: int = 20
    """Of noise."""
    baselines: int = 10
    """Cases of descent through the solver; 0 for no baselines."""
    seed: int = 0
    """Of sensors, noise and draws."""
    out: Path = Path("runs/benchmark-inverse")
    """Folder for the verdicts; those of the same options and weights are not made again."""


def run(options: InverseOptions) -> tuple[Verdict, Mapping[str, np.ndarray]]:
    """A verdict and its cases, made or found."""
    path = options.out / "verdict.json"
    mark = fingerprint(load_tensors(weights_of(options.equation))[0])
    found = load_verdict(path) if path.exists() else None
    same = found is not None and found.versions["weights"] == mark
    wanted = {**plain(options), "guidance": dict(vars(options.guidance))}
    if not same or found is None or found.options != wanted:
        with stages() as shown:
            found = design_inverse(options, shown)
    with (options.out / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return found, {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def percent(figure: Figure) -> str:
    return f"{figure.written(100, 2)} %"


def row(table: Table, equation: str, problem: str) -> None:
    base = InverseOptions(
        equation=equation,
        problem=problem,
        look=table.look,
        cases=table.cases,
        baselines=table.baselines,
        seed=table.seed,
        guidance=Guidance(levels=table.levels),
        out=table.out / f"{equation}-{problem}-{table.look}",
    )
    guidance = replace(base.guidance, residual=0.0)
    alone = replace(base, guidance=guidance, baselines=0, out=Path(f"{base.out}-alone"))
    led, cases = run(base)
    free, others = run(alone)
    print(f"\n{equation}, {problem}: {led.task.split(': ', 1)[1]}, {table.cases} cases")
    told = EQUATIONS[equation].coverage
    for name, verdict in (("prior and residual", led), ("prior", free)):
        found = verdict.figures
        parts = zip(EQUATIONS[equation].fields, ("coefficient", "state"), strict=True)
        print(
            f"  {name:<20}{percent(found['relative_error']):>18}   {told.replace('_', ' of the ')} "
            f"{percent(found[told])}   residual {found['residual'].mean:.3f}   "
            f"solver {100 * found['solver_error'].mean:.2f} %   CRPS {found['crps'].mean:.4f}   "
            f"{verdict.seconds['sampling'] / table.cases:.1f} s a case"
        )
        for called, part in parts:
            print(
                f"    {called:<18}{percent(found[f'error_{part}']):>18}   coverage "
                f"{percent(found[f'coverage_{part}'])}"
            )
    change = cases["relative_error"] - others["relative_error"]
    test = stats.ttest_1samp(change, 0.0)
    fall = (others["residual"] / cases["residual"]).min()
    print(
        f"  paired: error {100 * change.mean() / others['relative_error'].mean():+.1f} %, "
        f"p = {test.pvalue:.1e}; residual at least {fall:.1f} times lower in every case"
    )
    for name, baseline in led.baselines.items():
        print(
            f"  {name:<20}{percent(baseline.figures['relative_error']):>18}   above by "
            f"{percent(baseline.figures['relative_error_above'])}   "
            f"{baseline.designs} cases, {baseline.solver_calls} solutions and "
            f"{baseline.seconds / baseline.designs:.1f} s a case"
        )


if __name__ == "__main__":
    chosen = tyro.cli(Table)
    for one in chosen.equations:
        for asked in chosen.problems:
            row(chosen, one, asked)
