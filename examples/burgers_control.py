"""A force that takes a velocity from one state to another, in thirty lines: draw, aim, judge.

python examples/burgers_control.py --setting po-fc --targets 20
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from physgen.design_tasks.burgers_control import SETTINGS, BurgersControl
from physgen.design_tasks.burgers_design import Flow, aim, polish, proposer
from physgen.design_tasks.burgers_prior import load_prior
from physgen.design_tasks.burgers_view import draw_designs


@dataclass(frozen=True)
class Options:
    """What is asked."""

    setting: Literal["fo-pc", "po-fc", "po-pc"] = "fo-pc"
    targets: int = 10
    seed: int = 0
    out: Path = Path("runs/example-burgers.png")


options = tyro.cli(Options)
task = BurgersControl(SETTINGS[options.setting], options.targets)
propose = proposer(load_prior(), task, Flow(8), torch.Generator().manual_seed(options.seed))
drawn = propose(task.first, task.last)  # 8 evaluations of the network, no solver
aimed = aim(task, propose, 3).drawn  # and 3 simulations, after each of which it is asked again
polished = polish(task, aimed, 5).drawn  # and 5 gradients through the solver
for name, found in (("drawn", drawn), ("aimed", aimed), ("polished", polished)):
    judged = task.judge(found.force, found.velocity)
    missed, energy = judged.objective.mean().item(), judged.energy.mean().item()
    print(f"{name:<9}misses by {missed:.1e} m²/s², energy {energy:.0f}")
options.out.parent.mkdir(parents=True, exist_ok=True)
draw_designs(options.out, task, polished, judged)
print(f"look at {options.out}")
