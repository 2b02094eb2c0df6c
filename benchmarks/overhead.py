"""What the sampling loop itself costs: microseconds a step, with a network that does nothing.

The denoiser returns its argument, so all time is the library's. The same update, written by
hand without any of it, is timed in the same run: the ratio is what the abstraction costs.
"""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import tyro
from torch import Tensor

from physgen.denoiser import Denoiser
from physgen.grid import karras
from physgen.predictor import DDIM, Ancestral, DPMpp2M, Heun, Predictor
from physgen.sampler import sample
from physgen.shapes import Level


class Trivial(Denoiser):
    """Says that every sample is clean."""

    def clean(self, z: Tensor, s: Level) -> Tensor:
        return z


@dataclass(frozen=True)
class Overhead:
    """Time the loop of every predictor."""

    steps: int = 1000
    """Levels."""
    repeats: int = 20
    """Runs, of which the fastest counts."""


def microseconds(run: Callable[[], object], steps: int, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return 1e6 * min(times) / steps


@torch.no_grad()
def by_hand(start: Tensor, levels: tuple[float, ...]) -> Tensor:
    """Euler's steps of the probability flow, and nothing else."""
    z = levels[0] * start
    for above, below in itertools.pairwise(levels):
        clean = z
        z = clean + (below / above) * (z - clean)
    return z


def main(options: Overhead) -> None:
    torch.set_num_threads(1)
    grid = karras(options.steps, 0.01, 10.0)
    start = torch.randn(4, 8)
    term = Trivial()
    hand = microseconds(lambda: by_hand(start, grid.levels), options.steps, options.repeats)
    print(f"{'by hand (Euler)':<20}{hand:6.1f} µs a step")
    predictors: tuple[Predictor, ...] = (DDIM(), Heun(), DPMpp2M(), Ancestral())
    for predictor in predictors:

        def run(predictor: Predictor = predictor) -> Tensor:
            return sample(term, start, grid, predictor, torch.Generator().manual_seed(0))

        cost = microseconds(run, options.steps, options.repeats)
        name = type(predictor).__name__
        print(f"{name:<20}{cost:6.1f} µs a step, {cost / hand:.1f} times by hand")


if __name__ == "__main__":
    main(tyro.cli(Overhead))
