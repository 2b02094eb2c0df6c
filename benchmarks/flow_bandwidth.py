"""Cell updates a second of the flow solver, against what memory allows: on a GPU if there is one.

``python benchmarks/flow_bandwidth.py`` steps batches of flows past a circle, the step compiled.
The bound is that of a step that reads all fields of a state once and writes them once, at the
bandwidth of a copy that is measured first: a step by Heun's method with two exact projections needs
several times that, as each projection looks at the whole domain. *Copies* is how often a step could have
copied its state.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor

from physgen.solvers.bodies import Circle
from physgen.solvers.fluid import Fixed, Flow, FlowState
from physgen.solvers.staggered import Grid

FIELDS = ("u", "v", "pressure", "predicted")
"""Of a state that every step reads and writes."""


@dataclass(frozen=True)
class Bandwidth:
    """What to time."""

    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    sizes: tuple[tuple[int, int], ...] = (
        (64, 16),
        (64, 256),
        (128, 64),
        (256, 16),
        (512, 4),
        (1024, 1),
    )
    """Cells along each side, and flows at a time."""
    steps: int = 20
    """Between two looks at the clock."""
    graph: bool = False
    """Replay the step as a CUDA graph."""


def seconds(work: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    """The best of several, after one that does not count."""
    work()
    best = float("inf")
    for _ in range(repeats):
        _wait(device)
        began = time.perf_counter()
        work()
        _wait(device)
        best = min(best, time.perf_counter() - began)
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copied(device: torch.device) -> float:
    """Bytes a second, those read and those written, of a copy that no cache holds."""
    size = 2**30 if device.type == "cuda" else 2**27
    source = torch.rand(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * size / seconds(lambda: target.copy_(source), device)


def begun(
    cells: int, batch: int, device: torch.device
) -> tuple[Callable[[FlowState], FlowState], FlowState]:
    """A compiled step and where it starts."""
    like = torch.zeros(1, device=device)
    flow = Flow(Grid(cells, cells), cells / 800, clock=Fixed(0.2))
    middle = torch.full((batch, 1), cells / 4, device=device)
    immersed = flow.immerse(Circle(middle, cells / 2, cells / 16), like)
    state = flow.start(immersed)
    advance = torch.compile(Flow.advance, dynamic=False)
    dt = state.u.new_tensor(0.2)
    return lambda one: advance(flow, one, immersed, dt), state


def replayed(
    step: Callable[[FlowState], FlowState], state: FlowState, count: int
) -> Callable[[], object]:
    """So many steps as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # Compiled, and memory found, before anything is captured.
        _several(step, state, 4)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        _several(step, state, count)
    return graph.replay


def _several(step: Callable[[FlowState], FlowState], state: FlowState, count: int) -> Tensor:
    for _ in range(count):
        state = step(state)
    return state.u


@torch.no_grad()
def main(options: Bandwidth) -> None:
    device = torch.device(options.device)
    if options.graph and device.type != "cuda":
        raise SystemExit(f"--graph needs a GPU, got --device {options.device}")
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{torch.get_num_threads()} threads"
    )
    bandwidth = copied(device)
    console = Console(width=100)
    console.print(f"{name}: a copy moves {bandwidth / 1e9:.0f} GB/s")
    table = Table(
        "cells", "flows", "ms a step", "cell updates a second", "bound", "of it", "copies"
    )
    for cells, batch in options.sizes:
        torch.compiler.reset()
        step, state = begun(cells, batch, device)
        work = (
            replayed(step, state, options.steps)
            if options.graph
            else partial(_several, step, state, options.steps)
        )
        one = seconds(work, device) / options.steps
        moved = 2 * sum(getattr(state, field).nbytes for field in FIELDS)
        updates, bound = cells**2 * batch / one, cells**2 * batch * bandwidth / moved
        row = (
            *(f"{cells} x {cells}", str(batch), f"{1e3 * one:.3f}", f"{updates:.3g}"),
            *(f"{bound:.3g}", f"{updates / bound:.1%}", f"{one * bandwidth / moved:.0f}"),
        )
        console.print(*row, sep="  ", style="dim")
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    main(tyro.cli(Bandwidth))
