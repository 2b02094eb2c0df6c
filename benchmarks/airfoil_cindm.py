"""Our designs in the set-up and the score of CinDM: a calibration, not a result.

64 x 64 cells, a chord of seven, no viscosity, the pressure's force only
(:mod:`physgen.solvers.lilypad`; ``docs/lilypad.md`` tells what is wrong with it). CinDM reports
53.6 % less drag and 66.1 % more lift over drag than each alone, for its best design; two NACA 0020
in line, by hand, have 58 % and 61 % there. Here are all designs of a ``physgen design airfoils``
run, the best by the true solver, and the best in this set-up, which is what CinDM's score picks.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from physgen.datasets.airfoil import Airfoils
from physgen.design_tasks.airfoil_files import read_designs
from physgen.design_tasks.airfoil_run import in_line
from physgen.design_tasks.airfoils import Formations
from physgen.design_tasks.flow_lilypad import CHORD, PUBLISHED, SIDE, mean_force
from physgen.solvers.lilypad import SemiLagrangian
from physgen.solvers.staggered import Grid
from physgen.verdict import middle


@dataclass(frozen=True)
class AirfoilCindm:
    """Score designs as CinDM did."""

    designs: Path = Path("runs/airfoils/designs.h5")
    """Designs of two airfoils."""
    leader: tuple[float, float] = (18.0, 32.0)
    """Where the first quarter point is, in cells."""


def changes(airfoils: Airfoils, leader: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Changes of drag and of lift over drag, in per cent, of each design."""
    solver = SemiLagrangian(Grid(SIDE, SIDE, 1.0, 0.5, 0.5))
    lines = CHORD * airfoils.outlines() + torch.tensor(leader)
    pair = mean_force(solver, lines, 300, 400)
    alone = mean_force(solver, lines.flatten(0, 1)[:, None], 300, 400)
    alone = alone.view(-1, 2, 2)
    (drag, lift), (own_drag, own_lift) = pair.sum(1).T, alone.sum(1).T
    return 100 * (drag / own_drag - 1), 100 * (lift / drag / (own_lift / own_drag) - 1)


def main(options: AirfoilCindm) -> None:
    airfoils, figures = read_designs(options.designs)
    allowed = figures["valid"] > 0
    airfoils = Airfoils(*(part[allowed] for part in airfoils))
    drag, ratio = changes(airfoils, options.leader)
    by_hand = in_line(Formations(), 2.0, 0.15)
    hand_drag, hand_ratio = changes(by_hand, options.leader)
    best = int(figures["drag_change"][allowed].argmin())
    table = Table("", "drag", "lift over drag", title="In CinDM's set-up, against each alone")
    rows = (
        ("CinDM, its best", *PUBLISHED),
        ("in line by hand, NACA 0012, one chord apart", float(hand_drag), float(hand_ratio)),
        (f"ours, median of {len(drag)}", float(middle(drag)), float(middle(ratio))),
        ("ours, the best by the true solver", float(drag[best]), float(ratio[best])),
        ("ours, the lowest drag here", float(drag.min()), float(ratio[int(drag.argmin())])),
        (
            "ours, the most lift over drag here",
            float(drag[int(ratio.argmax())]),
            float(ratio.max()),
        ),
    )
    for name, one, other in rows:
        table.add_row(name, f"{one:+.1f} %", f"{other:+.1f} %")
    Console().print(table)


if __name__ == "__main__":
    main(tyro.cli(AirfoilCindm))
