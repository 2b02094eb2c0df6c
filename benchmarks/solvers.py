"""Periodic equations by physgen and by exponax: CPU milliseconds a step, on one core, in one run.

Both take the same steps of the same exponential Runge-Kutta scheme on the same grid from the same
state, in single precision, and so make the same errors; that they end alike is checked. exponax is
jitted, with the batch by vmap; its time to compile is left out. It gets a virtual environment of
its own, as the peers of ``flow_peers.py`` do.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import tyro
from peers.environment import ENVS, JAX, Contender, run
from peers.periodic import Timing, Work
from rich.console import Console
from rich.table import Table

OURS = Contender("physgen", "physgen_periodic", ())
THEIRS = Contender("exponax 0.2.0", "exponax_periodic", ("exponax==0.2.0", *JAX))
WORK = (
    *(Work("burgers", 256, batch, order) for batch in (1, 64, 512) for order in (2, 4)),
    *(Work("kuramoto", 256, batch, 4) for batch in (64, 512)),
    *(Work("vorticity", 64, batch, order) for batch in (1, 16) for order in (2, 4)),
    Work("vorticity", 128, 8, 4),
)


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
    columns = ("", "points", "batch", "order", "physgen, ms", "exponax, ms", "ratio", "apart")
    table = Table(*columns, title="CPU time of a step of the whole batch")
    console = Console(width=100)
    for work in WORK:
        if options.only not in ("", work.equation):
            continue
        facts = {**vars(work), "repeats": options.repeats}
        words = tuple(word for name, value in facts.items() for word in (f"--{name}", str(value)))
        ours, theirs = (
            Timing(**json.loads(run(one, options.envs, options.core, words)))
            for one in (OURS, THEIRS)
        )
        table.add_row(
            work.equation, str(work.points), str(work.batch), str(work.order),
            f"{ours.cpu_ms:.3g}", f"{theirs.cpu_ms:.3g}", f"{ours.cpu_ms / theirs.cpu_ms:.2f}",
            f"{abs(ours.norm / theirs.norm - 1):.0e}",
        )  # fmt: skip
        console.print(f"{work} done", style="dim")
    console.print(table)
    console.print(f"load over the last 1, 5 and 15 minutes: {os.getloadavg()}", highlight=False)


if __name__ == "__main__":
    main(tyro.cli(Solvers))
