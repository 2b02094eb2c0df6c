"""Where the time of N-body design goes, and what it is to the published procedure.

Three things, all measured in one run on one machine: the share of sampling time inside the
network, forwards and backwards, on one thread; how time grows with windows and pairs; and the
seconds a design of the published procedure over ours, with the objectives of both by the true
solver.
"""

import time
from dataclasses import dataclass

import torch
import tyro

from physgen.design_tasks.nbody import NBody, Start
from physgen.design_tasks.nbody_cindm import draw_cindm
from physgen.design_tasks.nbody_design import Drawn, draw, parts
from physgen.design_tasks.nbody_prior import load_prior
from physgen.energy import Score
from physgen.verdict import figure


@dataclass(frozen=True)
class Speed:
    """Time sampling."""

    designs: int = 60
    """Designs of four bodies, for our sampler."""
    published: int = 10
    """Designs of four bodies, for the published procedure; 0 to leave it out."""


def timed(prior: Score, bodies: int, frames: int, designs: int) -> tuple[Drawn, float]:
    task = NBody(bodies, frames, Start())
    began = time.perf_counter()
    drawn = draw(prior, task, designs, torch.Generator().manual_seed(0))
    return drawn, time.perf_counter() - began


def inside(prior: Score, designs: int) -> None:
    """The share of the network, where one thread does everything."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    drawn, seconds = timed(prior, 4, 24, designs)
    torch.set_num_threads(threads)
    print(f"sampling time inside the network: {100 * drawn.network_seconds / seconds:.1f} %")


def growth(prior: Score) -> None:
    """Milliseconds for each network evaluation, whatever there is to be composed."""
    print("\n| bodies | instants | windows of pairs | ms a design | ms an evaluation |")
    print("|---|---|---|---|---|")
    for bodies, frames in ((2, 24), (2, 34), (2, 54), (2, 94), (4, 24), (8, 24), (8, 44)):
        count = parts(NBody(bodies, frames, Start()))
        designs = max(4, 192 // count)
        drawn, seconds = timed(prior, bodies, frames, designs)
        each = 1e3 * seconds / designs
        one = each / (drawn.evaluations * count)
        print(f"| {bodies} | {frames} | {count} | {each:.0f} | {one:.2f} |", flush=True)


def compare(prior: Score, options: Speed) -> None:
    task = NBody(4, 24, Start())
    drawn, seconds = timed(prior, 4, 24, options.designs)
    ours = task.judge(drawn.motion)
    began = time.perf_counter()
    theirs_drawn = draw_cindm(prior, task, options.published, torch.Generator().manual_seed(0))
    theirs_seconds = time.perf_counter() - began
    theirs = task.judge(theirs_drawn.motion)
    each, theirs_each = seconds / options.designs, theirs_seconds / options.published
    print(f"\n4 bodies, 24 instants, the same network, {torch.get_num_threads()} threads:")
    print(
        f"ours:      {figure(ours.objective, '')}, MAE {figure(ours.mae, '')}, {each:.2f} s each"
    )
    print(
        f"published: {figure(theirs.objective, '')}, MAE {figure(theirs.mae, '')}, "
        f"{theirs_each:.2f} s each: {theirs_each / each:.0f} times as long"
    )


if __name__ == "__main__":
    options = tyro.cli(Speed)
    prior = load_prior()
    timed(prior, 2, 24, 32)
    inside(prior, options.designs)
    growth(prior)
    if options.published:
        compare(prior, options)
