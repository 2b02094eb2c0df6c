"""What a term costs: how often it is asked, for how many samples, and for how long."""

import time
from typing import Any

import torch
from torch import Tensor

from physgen.energy import Energy, Precision, Score, check_energy, check_score
from physgen.shapes import Level, PerSample, Sample


class Metered(Score):
    """A score that keeps account of itself.

    Put around a prior before it is composed, it counts the network evaluations of every part,
    and the time they took, backwards as well: to a gradient, a metered score is one node.
    """

    def __init__(self, term: Score) -> None:
        check_score(term)
        self.term = term
        self.calls = 0
        self.rows = 0
        """Samples, over all calls."""
        self.gradients = 0
        """Samples that a gradient was passed back through."""
        self.seconds = 0.0

    def shift(self, z: Sample, s: Level) -> Sample:
        self.calls += 1
        self.rows += len(z)
        began = time.perf_counter()
        if torch.is_grad_enabled() and z.requires_grad:
            out: Tensor = _Node.apply(z, self, s)  # type: ignore[no-untyped-call]
        else:
            out = self.term.shift(z, s)
        self.seconds += time.perf_counter() - began
        return out

    @property
    def marginal(self) -> bool:
        return self.term.marginal

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return self.term.precision(s, shape)


class MeteredEnergy(Energy):
    """An energy that counts the samples it is asked about, with or without their gradient."""

    def __init__(self, term: Energy) -> None:
        check_energy(term)
        self.term = term
        self.rows = 0

    def energy(self, z: Sample, s: Level) -> PerSample:
        self.rows += len(z)
        return self.term.energy(z, s)

    @property
    def marginal(self) -> bool:
        return self.term.marginal

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return self.term.precision(s, shape)


class _Node(torch.autograd.Function):
    """A score with a graph of its own, so that its backward pass can be timed."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, meter: Metered, s: Level) -> Tensor:  # noqa: ANN401
        with torch.enable_grad():
            ctx.z = z.detach().requires_grad_()
            ctx.out = meter.term.shift(ctx.z, s)
        ctx.meter = meter
        out: Tensor = ctx.out.detach()
        return out

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        if torch.is_grad_enabled():
            raise RuntimeError("a metered score has first derivatives only: measure without")
        began = time.perf_counter()
        with torch.enable_grad():
            (back,) = torch.autograd.grad(ctx.out, ctx.z, grad_outputs, retain_graph=True)
        ctx.meter.seconds += time.perf_counter() - began
        ctx.meter.gradients += len(back)
        return back, None, None
