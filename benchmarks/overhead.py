"""What the sampling loop itself costs: microseconds a step, with a network that does nothing.

The denoiser returns its argument, so all time is the library's. The same update, written by
hand without any of it, is timed in the same run: the ratio is what the abstraction costs. Other
libraries' loops follow, on the same torch; what they are made of is put into a folder of its own, without
what they would draw in. Times are of the processor, the fastest of some runs.
"""

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from peers.environment import ENVS
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

    steps: int = 500
    """Levels."""
    repeats: int = 20
    """Runs, of which the fastest counts."""
    peers: bool = True
    """Whether other libraries are timed too."""
    envs: Path = ENVS
    """Where they are installed, and found again."""


def microseconds(run: Callable[[], object], steps: int, repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        times.append(time.process_time() - began)
    return 1e6 * min(times) / steps


@torch.no_grad()
def by_hand(start: Tensor, levels: tuple[float, ...]) -> Tensor:
    """Euler's steps of the probability flow, and nothing else."""
    z = levels[0] * start
    for above, below in itertools.pairwise(levels):
        clean = z
        z = clean + (below / above) * (z - clean)
    return z


PEERS = (
    *("azula==0.11.1", "einops==0.8.2", "tqdm==4.70.1", "diffusers==0.42.1", "regex==2026.11.19"),
    *("huggingface_hub==2.4.0", "httpx2==2.16.2", "httpcore2==2.16.2", "truststore==0.10.5"),
    *("anyio==4.16.0", "h11==0.16.0", "hf_xet==1.8.0", "requests==2.34.2"),
    *("charset_normalizer==3.5.3", "idna==3.20", "certifi==2026.10.19.post1", "urllib3==2.8.0"),
)
"""And what their loops import; torchcfm has none of its own, and its examples call torchdiffeq."""


def others(options: Overhead) -> dict[str, float]:
    """Microseconds a step of other libraries, by name."""
    folder = options.envs / "overhead"
    complete, wanted = folder / "packages.txt", "\n".join(PEERS)
    if not complete.exists() or complete.read_text() != wanted:
        install = (sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--upgrade")
        subprocess.run([*install, "--target", str(folder), *PEERS], check=True)
        complete.write_text(wanted)
    here = Path(__file__).parent
    ended = subprocess.run(
        [sys.executable, "-m", "peers.overhead_loops", str(options.steps), str(options.repeats)],
        check=True,
        cwd=here,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(here.parent), str(folder)))},
        capture_output=True,
        text=True,
    )
    found: dict[str, float] = json.loads(ended.stdout.strip().rpartition("\n")[2])
    return found


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
    if options.peers:
        for name, cost in others(options).items():
            print(f"{name:<20}{cost:6.1f} µs a step, {cost / hand:.1f} times by hand")
    print(f"load over the last 1, 5 and 15 minutes: {os.getloadavg()}")


if __name__ == "__main__":
    main(tyro.cli(Overhead))
