"""The ground under a pressure that a few sensors saw, with intervals, in thirty lines.

python examples/darcy.py --problem both --sensors 60
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from physgen.design_tasks.inverse import EQUATIONS, PROBLEMS, InverseTask, Spread
from physgen.design_tasks.inverse_design import Guidance, draw
from physgen.design_tasks.inverse_prior import load_prior
from physgen.design_tasks.inverse_view import draw_case


@dataclass(frozen=True)
class Options:
    """What is seen."""

    problem: Literal["forward", "inverse", "both"] = "inverse"
    sensors: int = 123
    noise: float = 0.01
    levels: int = 20
    out: Path = Path("runs/darcy.png")


options, generator = tyro.cli(Options), torch.Generator().manual_seed(0)
prior = load_prior(EQUATIONS["darcy"])
sensors, known = Spread(options.sensors), (prior.standard.mean, prior.standard.scale)
problem = PROBLEMS[options.problem]
task = InverseTask(prior.equation, problem, sensors, options.noise, 1, *known, generator)
drawn = draw(prior, task, 19, generator, Guidance(levels=options.levels))
found = task.judge(drawn.draws)
print(f"error {found.relative_error.item():.1%}, in the interval {found.coverage90.item():.0%}")
options.out.parent.mkdir(parents=True, exist_ok=True)
draw_case(options.out, task, drawn.draws, 0)
