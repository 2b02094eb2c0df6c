"""Periodic equations that every peer steps, and how its time is taken.

This module runs in every peer's environment: it imports nothing but the standard library.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

SPAN = 0.2
"""CPU seconds that one repetition takes at least."""


@dataclass(frozen=True)
class Work:
    """So many simulations side by side, in single precision, from sines of the mode numbers."""

    equation: str
    """burgers, kuramoto or vorticity."""
    points: int
    """Along each axis."""
    batch: int
    order: int
    """Of the exponential Runge-Kutta scheme."""
    dt: float
    """A time step, in s."""
    steps: int = 20
    """After how many of them they are compared."""


@dataclass(frozen=True)
class Timing:
    """What a step of the whole batch took, and where the first simulation was in the end."""

    cpu_ms: float
    wall_ms: float
    norm: float
    """Root mean square, by which peers are seen to solve the same problem."""


Advance = Callable[[int], float]
"""So many steps from the start, and the root mean square of the first simulation then."""


def main(prepare: Callable[[Work], Advance]) -> None:
    words = argparse.ArgumentParser()
    words.add_argument("--equation")
    for name in ("points", "batch", "order", "steps", "repeats"):
        words.add_argument(f"--{name}", type=int)
    words.add_argument("--dt", type=float)
    asked = words.parse_args()
    work = Work(asked.equation, asked.points, asked.batch, asked.order, asked.dt, asked.steps)
    advance = prepare(work)
    norm = advance(work.steps)
    began = time.process_time()
    advance(20)
    steps = max(20, round(20 * SPAN / (time.process_time() - began)))
    advance(steps)
    found = []
    for _ in range(asked.repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        advance(steps)
        found.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = (1e3 * min(each) / steps for each in zip(*found, strict=True))
    print(json.dumps(asdict(Timing(cpu, wall, norm))))
