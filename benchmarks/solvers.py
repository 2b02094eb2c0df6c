"""Periodic equations by physgen, exponax and PhiFlow: CPU milliseconds a step, on one core, in one run.

physgen and exponax take the same steps of the same exponential Runge-Kutta scheme on the same grid
from the same state, in single precision, and so make the same errors; that they end alike is
checked. PhiFlow's steps are of first order: there the question is what each takes to simulate a time
on the same grid at an error that is no larger. The others are jitted; their time to compile is left
out. Each gets a virtual environment of its own, as the peers of ``flow_peers.py`` do.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import tyro
from peers.environment import ENVS, JAX, Contender, run
from peers.periodic import Timing, Work
from rich.console import Console
from rich.table import Table

OURS = Contender("physgen", "physgen_periodic", ())
THEIRS = Contender("exponax 0.2.0", "exponax_periodic", ("exponax==0.2.0", *JAX))
PHIFLOW = Contender("PhiFlow 3.4", "phiflow_periodic", ("phiflow==3.4.0", "phiml==1.16.1", *JAX))
WORK = (
    *(Work("burgers", 256, batch, order, 1e-3) for batch in (1, 64, 512) for order in (2, 4)),
    *(Work("kuramoto", 256, batch, 4, 0.02) for batch in (64, 512)),
    *(Work("vorticity", 64, batch, order, 2e-3) for batch in (1, 16) for order in (2, 4)),
    Work("vorticity", 128, 8, 4, 2e-3),
)
TIMED = (Work("burgers", 256, 64, 2, 1e-3, 400), Work("vorticity", 64, 16, 2, 2e-3, 200))
"""With PhiFlow's steps."""
LONGER = (1, 2, 4, 8)
"""How many of its steps ours are."""


@dataclass(frozen=True)
class Solvers:
    """Time steps of periodic equations beside exponax."""

    repeats: int = 5
    """Repetitions, of which the fastest counts."""
    only: str = ""
    """An equation; all if none is named."""
    envs: Path = ENVS
    """Where exponax' environment is made, and found again."""
    core: int = 0
    """The processor that does the work."""


def main(options: Solvers) -> None:
    console = Console(width=100)

    def time(contender: Contender, work: Work) -> Timing:
        facts = {**vars(work), "repeats": options.repeats}
        words = tuple(word for name, value in facts.items() for word in (f"--{name}", str(value)))
        console.print(f"{contender.name}: {work}", style="dim", highlight=False)
        return Timing(**json.loads(run(contender, options.envs, options.core, words)))

    def asked(works: tuple[Work, ...]) -> list[Work]:
        return [work for work in works if options.only in ("", work.equation)]

    tables = [beside_exponax(asked(WORK), time), beside_phiflow(asked(TIMED), time)]
    for table in tables:
        console.print(table)
    console.print(f"load over the last 1, 5 and 15 minutes: {os.getloadavg()}", highlight=False)


Timed = Callable[[Contender, Work], Timing]


def beside_exponax(works: list[Work], time: Timed) -> Table:
    columns = ("", "points", "batch", "order", "physgen, ms", "exponax, ms", "ratio", "apart")
    table = Table(*columns, title="CPU time of a step of the whole batch")
    for work in works:
        ours, theirs = time(OURS, work), time(THEIRS, work)
        table.add_row(
            work.equation, str(work.points), str(work.batch), str(work.order),
            f"{ours.cpu_ms:.3g}", f"{theirs.cpu_ms:.3g}", f"{ours.cpu_ms / theirs.cpu_ms:.2f}",
            f"{abs(ours.norm / theirs.norm - 1):.0e}",
        )  # fmt: skip
    return table


def beside_phiflow(works: list[Work], time: Timed) -> Table:
    columns = (
        "",
        "points",
        "batch",
        "by",
        "step, s",
        "a step, ms",
        "all, ms",
        "error",
        "PhiFlow's over it",
    )
    table = Table(*columns, title="CPU time of a simulated time, and the error of its rms")
    for work in works:
        exact = time(OURS, replace(work, order=4, dt=work.dt / 4, steps=4 * work.steps)).norm
        theirs = time(PHIFLOW, work)
        rows = [("PhiFlow", work, theirs)]
        for longer in LONGER:
            part = replace(work, dt=longer * work.dt, steps=work.steps // longer)
            rows.append((f"physgen, order {work.order}", part, time(OURS, part)))
        for name, one, timing in rows:
            whole = one.steps * timing.cpu_ms
            table.add_row(
                work.equation, str(work.points), str(work.batch), name, f"{one.dt:g}",
                f"{timing.cpu_ms:.3g}", f"{whole:.3g}", f"{abs(timing.norm / exact - 1):.1e}",
                f"{work.steps * theirs.cpu_ms / whole:.1f}",
            )  # fmt: skip
    return table


if __name__ == "__main__":
    main(tyro.cli(Solvers))
