"""Two airfoils that fly together, in thirty lines: draw, judge, and look at the best.

python examples/airfoils.py --designs 4
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from physgen.datasets.airfoil import Airfoils
from physgen.design_tasks.airfoil_design import draw
from physgen.design_tasks.airfoil_prior import load_prior
from physgen.design_tasks.airfoil_view import draw_best
from physgen.design_tasks.airfoils import Formations


@dataclass(frozen=True)
class Options:
    """What is asked."""

    designs: int = 4
    reynolds: float = 500.0
    lift: float = 0.3
    cells: int = 24
    seed: int = 0
    out: Path = Path("runs/example.png")


options = tyro.cli(Options)
gap = max(0.2, 4.5 / options.cells)  # nearer than four cells the solver cannot tell them apart
task = Formations(bodies=2, reynolds=options.reynolds, lift=options.lift, gap=gap)
drawn = draw(load_prior(), task, options.designs, torch.Generator().manual_seed(options.seed))
judged = task.judge(drawn.airfoils, options.cells)
for k, change in enumerate(judged.drag_change.tolist()):
    drag, lift = judged.drag[k].item(), judged.lift[k].item()
    print(f"design {k}: drag {drag:.4f}, lift {lift:.3f}, {100 * change:+.1f} % at equal lift")
best = int(judged.drag_change.argmin())
chosen = Airfoils(*(part[best : best + 1] for part in drawn.airfoils))
draw_best(options.out, task, chosen, judged, best, options.cells)
print(f"look at {options.out}")
