"""Burgers tracking: all controllers under the same noise, with force everywhere and in part.

``python benchmarks/burgers_tracking.py`` follows 50 test trajectories for eight seconds and prints
what each controller misses by, and how much more than the window that moves with one evaluation an
interval, paired: the same targets and noise.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro
from readme_rows import head, row, small

from physgen.cli import stages
from physgen.design_tasks.burgers_tracking import REACHES
from physgen.design_tasks.burgers_tracking_prior import WEIGHTS
from physgen.design_tasks.burgers_tracking_run import NAME, TrackingOptions, design_tracking


@dataclass(frozen=True)
class Table:
    """Rows of the table of Burgers tracking."""

    targets: int = 50
    """Test trajectories."""
    noise: float = 0.05
    """Of an interval, as a share of the velocity's spread."""
    ahead: int = 4
    """Intervals that L-BFGS looks ahead."""
    weights: Path = WEIGHTS
    """The trained prior."""
    out: Path = Path("runs/benchmark-tracking")
    """Folder for the verdicts."""


def main(options: Table) -> None:
    head("reach", "controller", "network", "solver", "$J$, m²/s²", "above", "energy", "seconds")
    for name in REACHES:
        asked = TrackingOptions(
            reach=name,
            targets=options.targets,
            noise=options.noise,
            ahead=options.ahead,
            weights=options.weights,
            out=options.out / name,
        )
        with stages() as progress:
            verdict = design_tracking(asked, progress)
        each = asked.intervals
        for other, found in verdict.baselines.items():
            figures = found.figures
            row(
                name,
                other,
                f"{figures['evaluations'].mean:.3g}",
                f"{found.solver_calls / each:.3g}",
                small(figures["objective"]),
                small(figures["objective_above"]),
                f"{figures['energy'].mean:.0f}",
                f"{found.seconds:.1f}",
            )
        own = verdict.figures
        cells = f"{own['evaluations'].mean:.3g}", 0, small(own["objective"]), ""
        row(name, NAME, *cells, f"{own['energy'].mean:.0f}", f"{verdict.seconds['sampling']:.1f}")


if __name__ == "__main__":
    main(tyro.cli(Table))
