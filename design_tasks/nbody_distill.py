"""``physgen distill nbody``: the prior of two discs, drawn from in a few evaluations."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from physgen.denoiser import Learned
from physgen.design_tasks.nbody import NBody, Start
from physgen.design_tasks.nbody_design import Descent
from physgen.design_tasks.nbody_prior import (
    FRAMES,
    WEIGHTS,
    Architecture,
    WindowDraw,
    load_prior,
    read_prior,
    save_prior,
    scaled,
    simulated,
    unscaled,
)
from physgen.distillation import Student
from physgen.grid import Grid
from physgen.options import check_least, check_shares
from physgen.preconditioned import Preconditioned
from physgen.rounds import Distilling, Round, Subject, apart, walked
from physgen.sampler import unit_noise
from physgen.shapes import PerSample, Sample
from physgen.training import Draw, Objective


@dataclass(frozen=True, kw_only=True)
class NBodyDistilling(Distilling):
    """Distil the prior of two discs into a few evaluations; a run in the folder is resumed."""

    weights: Path = WEIGHTS
    """The prior to begin with."""
    runs: int = 20_000
    """Simulations to make, whose windows are given noise."""
    slowed: float = 0.5
    """Share of them in which each disc is slowed by a factor of its own between 0 and 1."""
    instants: int = 60
    """Instants of each, 1/15 s apart."""
    out: Path = Path("runs/distill-nbody")
    """Folder for checkpoints, loss logs, curves and weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "runs")
        check_least(self, FRAMES, "instants")
        check_shares(self, "slowed")

    def subject(self) -> "Discs":
        return Discs(self)


class Discs(Subject):
    """The prior of two discs, on windows of their motion; it is told nothing."""

    def __init__(self, options: NBodyDistilling) -> None:
        self.options = options
        self.prior, known = read_prior(options.weights)
        super().__init__("nbody", self.prior, known)

    @property
    def data(self) -> list[object]:
        return [self.options.runs, self.options.instants, self.options.slowed]

    @cached_property
    def motion(self) -> Tensor:
        of = self.options
        return scaled(simulated(of.runs, of.instants, of.schedule.seed, of.slowed))

    def grid(self, steps: int) -> Grid:
        return Descent(steps=steps).grid

    def say(self, model: nn.Module, z: Sample, level: PerSample, *given: Tensor) -> Sample:
        clean: Sample = model(z, level)
        return clean

    def lesson(self, taught: Round, batch: int, device: torch.device) -> tuple[Objective, Draw]:
        return taught, WindowDraw(self.motion.to(device), batch, taught)

    def save(self, path: Path, model: nn.Module, made: dict[str, object]) -> None:
        assert isinstance(model, Preconditioned)
        save_prior(path, model, Architecture(**self.facts["architecture"]), made)  # type: ignore[arg-type]

    def scores(self, path: Path, grid: Grid) -> dict[str, float]:
        """How far walks end from the prior's, and ``mae``, the mean distance of motions to what the
        solver makes of their first instant, in boxes."""
        student = load_prior(path)
        assert isinstance(student, Student)
        generator = torch.Generator().manual_seed(10**9)
        start = unit_noise(100, (FRAMES, 2, 4), generator)
        ends = walked(Learned(self.prior.cpu()), student, start, grid, generator)
        motion = unscaled(torch.cat([*ends.values()]))
        true = NBody(2, FRAMES, Start()).simulate(motion[:, 0])
        error = (true - motion).abs().unflatten(0, (len(ends), -1)).flatten(1).mean(1).tolist()
        found = zip(ends, error, strict=True)
        return {**{f"mae of {name}": round(value, 5) for name, value in found}, **apart(ends)}
