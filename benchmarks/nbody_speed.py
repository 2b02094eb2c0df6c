"""Where the time of N-body design goes, and what it is to the published procedure.

Three things, all measured in one run on one machine: the share of sampling time inside the
network, forwards and backwards; how time grows with windows and pairs; and the seconds a design
of the published procedure over ours, with the objectives of both by the true solver.
"""

import time
from dataclasses import dataclass

import torch
import tyro
from torch import Tensor

from physgen.design_tasks.nbody import NBody, Start
from physgen.design_tasks.nbody_cindm import draw_cindm
from physgen.design_tasks.nbody_design import Drawn, draw, parts
from physgen.design_tasks.nbody_prior import load_prior
from physgen.energy import Score
from physgen.shapes import Level
from physgen.verdict import figure


@dataclass(frozen=True)
class Speed:
    """Time sampling."""

    designs: int = 60
    """Designs of four bodies, for our sampler."""
    published: int = 20
    """Designs of four bodies, for the published procedure; 0 to leave it out."""


class Timed(Score):
    """A score that adds up the time spent in another, and in its backward pass."""

    def __init__(self, term: Score) -> None:
        self.term = term
        self.seconds = 0.0

    def shift(self, z: Tensor, s: Level) -> Tensor:
        began = time.perf_counter()
        out: Tensor = Watched.apply(z, self, s)  # type: ignore[no-untyped-call]
        self.seconds += time.perf_counter() - began
        return out

    @property
    def marginal(self) -> bool:
        return self.term.marginal


class Watched(torch.autograd.Function):
    """A score as one node of the graph, so that its backward pass can be timed."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, *arguments: object) -> Tensor:
        z, timed, s = arguments
        assert isinstance(z, Tensor) and isinstance(timed, Timed)
        assert isinstance(s, float | Tensor)
        with torch.enable_grad():
            ctx.z = z.detach().requires_grad_(z.requires_grad)  # type: ignore[attr-defined]
            ctx.out = timed.term.shift(ctx.z, s)  # type: ignore[attr-defined]
        ctx.timed = timed  # type: ignore[attr-defined]
        out: Tensor = ctx.out.detach()  # type: ignore[attr-defined]
        return out

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, *slopes: Tensor
    ) -> tuple[Tensor, None, None]:
        began = time.perf_counter()
        (slope,) = torch.autograd.grad(ctx.out, ctx.z, slopes[0])  # type: ignore[attr-defined]
        ctx.timed.seconds += time.perf_counter() - began  # type: ignore[attr-defined]
        return slope, None, None


def timed(prior: Score, bodies: int, frames: int, designs: int) -> tuple[Drawn, float]:
    task = NBody(bodies, frames, Start())
    began = time.perf_counter()
    drawn = draw(prior, task, designs, torch.Generator().manual_seed(0))
    return drawn, time.perf_counter() - began


def main(options: Speed) -> None:
    prior = load_prior()
    timed(prior, 2, 24, 32)
    watched = Timed(prior)
    _, seconds = timed(watched, 4, 24, options.designs)
    print(f"share of sampling time inside the network: {100 * watched.seconds / seconds:.1f} %")
    print("\n| bodies | instants | windows of pairs | ms a design | ms for each of them |")
    print("|---|---|---|---|---|")
    for bodies, frames in ((2, 24), (2, 34), (2, 54), (2, 94), (4, 24), (8, 24), (8, 44)):
        count = parts(NBody(bodies, frames, Start()))
        designs = max(4, 192 // count)
        _, seconds = timed(prior, bodies, frames, designs)
        each = 1e3 * seconds / designs
        print(f"| {bodies} | {frames} | {count} | {each:.0f} | {each / count:.1f} |", flush=True)
    if options.published:
        compare(prior, options)


def compare(prior: Score, options: Speed) -> None:
    task = NBody(4, 24, Start())
    drawn, seconds = timed(prior, 4, 24, options.designs)
    ours = task.judge(drawn.motion)
    began = time.perf_counter()
    theirs_drawn = draw_cindm(prior, task, options.published, torch.Generator().manual_seed(0))
    theirs_seconds = time.perf_counter() - began
    theirs = task.judge(theirs_drawn.motion)
    each, theirs_each = seconds / options.designs, theirs_seconds / options.published
    print("\n4 bodies, 24 instants, the same network:")
    print(
        f"ours:      {figure(ours.objective, '')}, MAE {figure(ours.mae, '')}, {each:.2f} s each"
    )
    print(
        f"published: {figure(theirs.objective, '')}, MAE {figure(theirs.mae, '')}, "
        f"{theirs_each:.2f} s each: {theirs_each / each:.0f} times as long"
    )


if __name__ == "__main__":
    main(tyro.cli(Speed))
