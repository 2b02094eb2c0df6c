"""Futures of a chaotic state that is known up to noise: how long can it be foretold?

python examples/simulate.py --time 30
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from physgen.design_tasks.simulate import SimulateTask
from physgen.design_tasks.simulate_design import Walk, draw
from physgen.design_tasks.simulate_prior import load_prior
from physgen.design_tasks.simulate_view import draw_simulation


@dataclass(frozen=True)
class Options:
    cases: int = 4
    time: int = 30
    noise: float = 0.02
    levels: int = 8
    out: Path = Path("runs/simulate-example")


options, generator = tyro.cli(Options), torch.Generator().manual_seed(0)
prior = load_prior()
start = (options.noise, prior.scale, prior.base.spectrum)
task = SimulateTask(options.cases, options.time, *start, generator)
methods = {"linear prior": prior.gaussian, "prior": prior.denoise}
drawn = {
    name: draw(prior, task, 19, generator, Walk(options.levels), denoise).members
    for name, denoise in methods.items()
}
for name, members in drawn.items():
    found = task.judge(members)
    print(f"{name}: CRPS {found.crps.mean():.3f}, good for {found.horizon.mean():.0f} s")
options.out.mkdir(parents=True, exist_ok=True)
curves = {name: task.curves(members) for name, members in drawn.items()}
draw_simulation(options.out / "simulate.png", task, drawn["prior"], 0, curves)
