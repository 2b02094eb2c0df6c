"""Flow past a circle by other libraries: CPU milliseconds a step, and CPU seconds to a drag.

Each library gets a virtual environment of its own in ``--envs``, with the versions written below,
and runs on one core there (``benchmarks/peers/`` has a module for each). The first table is the
circle of diameter N/8 on N x N cells at Re = 100. Schemes differ in how far a step goes, so it
also divides by that: a millisecond for the stream to cross a cell. The second is the whole
question: 100 D/U of a circle of 16 cells in a box of 15 D x 12 D, and how far the mean drag is
from 1.35, which is an unbounded stream's. The box raises it: it is the same for all, but
periodic for jax-cfd.

CPU time of one process, best of several repetitions, bears most of what other work on the machine
does to it, but not all: look at the load that is printed, and run it again.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import tyro
from peers.circle import DURATION, Solution, Step
from peers.environment import ENVS, JAX, Contender, run
from rich.console import Console
from rich.table import Table

DRAG = 1.35
"""Of a circle at Re = 100 in an unbounded stream (Liu, Zheng and Sung 1998: 1.350 ± 0.012)."""


CONTENDERS = (
    Contender("physgen", "physgen_circle", (), "immersed boundary"),
    Contender("jax-cfd 0.2.1", "jax_cfd_circle", ("jax-cfd==0.2.1", *JAX), "penalty"),
    Contender("XLB 0.3.1", "xlb_circle", ("xlb==0.3.1", "warp-lang==1.10.1", *JAX), "bounce-back"),
    Contender(
        "PhiFlow 3.4.0",
        "phiflow_circle",
        ("phiflow==3.4.0", "phiml==1.16.1", *JAX),
        "masked cells",
    ),
    Contender(
        "PhiFlow 3.3.0",
        "phiflow_circle",
        ("phiflow==3.3.0", "phiml==1.13.1", *JAX),
        "masked cells",
    ),
)
"""PhiFlow twice: 3.4.0 with PhiML 1.16.1 fails for more than 46340 cells, 3.3.0 does not."""


@dataclass(frozen=True)
class FlowPeers:
    """Time other libraries' flow past a circle."""

    sizes: tuple[int, ...] = (64, 128, 256)
    """Cells along an edge, for milliseconds a step."""
    repeats: int = 7
    """Repetitions, of which the fastest counts."""
    solution: bool = True
    """Also run to a mean drag: minutes."""
    only: tuple[str, ...] = ()
    """Names, or parts of names, of those to run; all if none is given."""
    against: str = "jax-cfd"
    """Name, or a part of it, of the one that the ratios are made with."""
    envs: Path = ENVS
    """Where the environments are made, and found again."""
    core: int = 0
    """The processor that does the work."""


def main(options: FlowPeers) -> None:
    contenders = [
        one
        for one in CONTENDERS
        if not options.only or any(part in one.name for part in options.only)
    ]
    steps: dict[tuple[int, str], Step] = {}
    solutions: dict[str, Solution] = {}
    failures: list[str] = []
    console = Console(width=100)
    for contender in contenders:
        for size in options.sizes:
            console.print(f"{contender.name}, {size} x {size} ...", style="dim")
            try:
                words = ("--size", str(size), "--repeats", str(options.repeats))
                said = run(contender, options.envs, options.core, words)
                steps[size, contender.name] = Step(**json.loads(said))
            except RuntimeError as error:
                failures.append(f"{contender.name}, {size} x {size}: {error}")
        if options.solution:
            console.print(f"{contender.name}, to a mean drag ...", style="dim")
            try:
                solutions[contender.name] = Solution(
                    **json.loads(run(contender, options.envs, options.core, ()))
                )
            except RuntimeError as error:
                failures.append(f"{contender.name}, to a mean drag: {error}")
    if steps:
        console.print(of_steps(steps, options.against))
    if solutions:
        console.print(of_solutions(solutions, options.against))
    for failure in failures:
        console.print(failure, style="red", highlight=False)
    console.print(f"load over the last 1, 5 and 15 minutes: {os.getloadavg()}", highlight=False)


def ratio(cost: float, reference: float | None) -> str:
    return "" if reference is None else f"{cost / reference:.3g}"


def of_steps(steps: dict[tuple[int, str], Step], against: str) -> Table:
    columns = ("cells", "", "CPU ms a step", "wall ms", "cells a step", "CPU ms a cell", "ratio")
    table = Table(*columns, title="Circle of diameter N/8 on N x N cells, Re = 100")
    costs = {size: one.cpu_ms / one.dt for (size, name), one in steps.items() if against in name}
    for (size, name), one in sorted(steps.items(), key=lambda item: item[0][0]):
        cost = one.cpu_ms / one.dt
        row = (f"{one.cpu_ms:.3g}", f"{one.wall_ms:.3g}", f"{one.dt:g}", f"{cost:.3g}")
        table.add_row(str(size), name, *row, ratio(cost, costs.get(size)))
    return table


def of_solutions(solutions: dict[str, Solution], against: str) -> Table:
    columns = ("", "body", "steps", "CPU s", "start s", "ratio", "drag", "off", "lift rms")
    table = Table(*columns, title=f"{DURATION} D/U at D = 16 cells in 15 D x 12 D, Re = 100")
    reference = next((one.cpu_s for name, one in solutions.items() if against in name), None)
    bodies = {one.name: one.body for one in CONTENDERS}
    for name, one in solutions.items():
        times = (str(one.steps), f"{one.cpu_s:.1f}", f"{one.start_s:.1f}")
        off = f"{100 * (one.drag / DRAG - 1):+.0f} %"
        drag = (f"{one.drag:.3f}", off, f"{one.lift_rms:.3f}")
        table.add_row(name, bodies[name], *times, ratio(one.cpu_s, reference), *drag)
    return table


if __name__ == "__main__":
    main(tyro.cli(FlowPeers))
