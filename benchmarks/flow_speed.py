"""What a step of the flow solver costs, and its gradient: ``python benchmarks/flow_speed.py``.

CPU time of one thread, the best of several repetitions: flow past a circle whose diameter is an
eighth of the domain, at Reynolds number 100. ``benchmarks/flow_peers.py`` sets it beside others.
"""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import tyro
from rich.console import Console
from rich.table import Table

from physgen.solvers.bodies import Circle
from physgen.solvers.fluid import Fixed, Flow, FlowState
from physgen.solvers.immersion import Immersed
from physgen.solvers.marching import differentiable
from physgen.solvers.staggered import Grid


@dataclass(frozen=True)
class Speed:
    """What to time."""

    compile: bool = True
    """Also the compiled step (a minute for each size, the first time)."""
    gradient: int = 1000
    """Steps of the gradient on 128 x 128 cells; 0 for none."""


def ready(cells: int, batch: int) -> tuple[Flow, Immersed, FlowState]:
    flow = Flow(Grid(cells, cells), cells / 800, clock=Fixed(0.2))
    middle = torch.full((batch, 1), cells / 4)
    immersed = flow.immerse(Circle(middle, cells / 2, cells / 16), torch.zeros(1))
    return flow, immersed, flow.start(immersed)


def milliseconds(step: Callable[[], object], repeats: int = 7) -> float:
    step()
    began = time.process_time()
    step()
    count = max(1, round(0.4 / (time.process_time() - began)))
    best = float("inf")
    for _ in range(repeats):
        began = time.process_time()
        for _ in range(count):
            step()
        best = min(best, (time.process_time() - began) / count)
    return 1e3 * best


@torch.no_grad()
def steps(compiled: bool) -> Table:
    grid = Table(title=f"CPU milliseconds a step, {'compiled' if compiled else 'as it is'}")
    for column in ("cells", "batch", "step", "a simulation"):
        grid.add_column(column)
    for cells, batch in ((64, 1), (64, 16), (128, 1), (128, 4), (256, 1)):
        flow, immersed, state = ready(cells, batch)
        advance = torch.compile(flow.advance) if compiled else flow.advance
        dt = state.u.new_tensor(0.2)
        found = milliseconds(partial(advance, state, immersed, dt))
        grid.add_row(f"{cells} x {cells}", str(batch), f"{found:.3f}", f"{found / batch:.3f}")
    return grid


def gradient(count: int) -> str:
    """Time and memory of the gradient of the mean drag by the circle's place and radius."""
    flow = Flow(Grid(128, 128), 0.16, clock=Fixed(0.2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    y, radius = (torch.tensor(v, requires_grad=True) for v in (64.2, 8.0))
    immersed = flow.immerse(Circle(32.0, y, radius), torch.zeros(1))
    began = time.process_time()
    with torch.no_grad():
        differentiable(flow, flow.start(immersed), immersed, count)
    plain = time.process_time() - began
    began = time.process_time()
    _, force = differentiable(flow, flow.start(immersed), immersed, count)
    forward = time.process_time() - began
    torch.autograd.grad(force[0, :, 0, 0].mean(), [y, radius])
    backward = time.process_time() - began - forward
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (
        f"{count} steps at 128 x 128: {plain:.1f} s; for their gradient forward {forward:.1f} s and "
        f"backward {backward:.1f} s ({backward / plain:.2f} times the steps alone); peak memory "
        f"{memory / 1e6:.2f} GB, {before / 1e6:.2f} GB of it before"
    )


if __name__ == "__main__":
    options = tyro.cli(Speed)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    console = Console()
    if options.gradient:
        console.print(gradient(options.gradient))
    console.print(steps(False))
    if options.compile:
        console.print(steps(True))
