"""Flow past a circle at Re = 100: the case that every peer simulates, and how its time is taken.

Lengths are in cells and velocities in those of the free stream, so that one unit of time carries
the stream over one cell. This module runs in every peer's environment: it imports nothing but
the standard library.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

REYNOLDS = 100.0
"""Of the diameter."""
DURATION = 100
"""Of the run for its drag, in diameters over speed."""
SETTLED = 60
"""When the vortex street is there and the mean drag begins, likewise."""
SAMPLES = 4
"""Forces in each diameter over speed."""
SPAN = 0.5
"""CPU seconds that one repetition takes at least, so that the clock's own steps are small."""


@dataclass(frozen=True)
class Circle:
    """A circle in a rectangle of cells."""

    cells: tuple[int, int]
    """Along the stream and across it."""
    diameter: float
    """In cells."""
    centre: tuple[float, float]
    """In cells from the corner."""

    @property
    def viscosity(self) -> float:
        return self.diameter / REYNOLDS

    @property
    def spot(self) -> tuple[float, float]:
        """Behind the circle, from where r is: every peer starts with a cross-flow of
        0.3 exp(-r²/D²), for a symmetric start sheds no vortices for a hundred diameters."""
        return self.centre[0] + 1.5 * self.diameter, self.centre[1]


def in_square(size: int) -> Circle:
    """Cells size x size, a diameter of size/8: the case for milliseconds a step."""
    return Circle((size, size), size / 8, (size / 4, size / 2))


LONG = Circle((240, 192), 16.0, (80.0, 96.0))
"""15 D x 12 D, the case for drag. (A few cells more and PhiFlow 3.4.0 fails: 46340 are its most.)"""


@dataclass(frozen=True)
class Simulation:
    """A flow under way; what it holds moves on with each call."""

    dt: float
    """Time a step, in cells over speed."""
    advance: Callable[[int], float]
    """Makes so many steps, waits for them, and gives the largest velocity."""
    forces: Callable[[int], tuple[float, float]]
    """Makes so many steps and gives drag and lift, force / (½ U² D), over them or at their end."""


@dataclass(frozen=True)
class Step:
    """What one step costs."""

    size: int
    dt: float
    cpu_ms: float
    wall_ms: float
    start_s: float
    """CPU seconds to set up and compile."""


@dataclass(frozen=True)
class Solution:
    """What 100 D/U of the long case cost, and the drag they gave."""

    steps: int
    cpu_s: float
    start_s: float
    drag: float
    lift_rms: float
    """About its mean: 0.23 in an unbounded stream."""


@dataclass(frozen=True)
class Taken:
    """Seconds that something took."""

    cpu: float
    wall: float


def timed(run: Callable[[], object]) -> Taken:
    cpu, wall = time.process_time(), time.perf_counter()
    run()
    return Taken(time.process_time() - cpu, time.perf_counter() - wall)


def step(simulate: Callable[[Circle], Simulation], size: int, repeats: int) -> Step:
    """The fastest of several repetitions, after one to compile and one to see how long it takes."""
    began = time.process_time()
    flow = simulate(in_square(size))
    flow.advance(8)
    ready = time.process_time()
    flow.advance(8)
    each = (time.process_time() - ready) / 8
    steps = max(8, math.ceil(SPAN / each))
    taken = [timed(lambda: flow.advance(steps)) for _ in range(repeats)]
    speed = flow.advance(1)
    if not speed < 4:
        raise ArithmeticError(f"diverged: a velocity of {speed:g} in a stream of 1")
    return Step(
        size=size,
        dt=flow.dt,
        cpu_ms=1e3 * min(one.cpu for one in taken) / steps,
        wall_ms=1e3 * min(one.wall for one in taken) / steps,
        start_s=ready - began,
    )


def solution(simulate: Callable[[Circle], Simulation]) -> Solution:
    """The first steps, which compile, are left out of the seconds and come on top of 100 D/U."""
    began = time.process_time()
    flow = simulate(LONG)
    steps = round(LONG.diameter / flow.dt / SAMPLES)
    flow.forces(steps)
    ready = time.process_time()
    history = [flow.forces(steps) for _ in range(DURATION * SAMPLES)]
    seconds = time.process_time() - ready
    late = history[SETTLED * SAMPLES :]
    drag = statistics.fmean(drag for drag, _ in late)
    if not math.isfinite(drag):
        raise ArithmeticError("diverged: the drag is no number")
    return Solution(
        steps=steps * len(history),
        cpu_s=seconds,
        start_s=ready - began,
        drag=drag,
        lift_rms=statistics.pstdev(lift for _, lift in late),
    )


def main(simulate: Callable[[Circle], Simulation]) -> None:
    """Says, as the last line and in JSON, what ``--size`` costs or, without it, the long case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    if options.size:
        print(json.dumps(asdict(step(simulate, options.size, options.repeats))))
    else:
        print(json.dumps(asdict(solution(simulate))))
