"""``physgen distill burgers-control``: the prior of a velocity and its force in a few evaluations."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from physgen.datasets.burgers_control import Driven, simulate
from physgen.design_tasks.burgers_control import SETTINGS, BurgersControl
from physgen.design_tasks.burgers_design import Flow, Way, proposer
from physgen.design_tasks.burgers_prior import (
    WEIGHTS,
    Architecture,
    ControlDraw,
    Hints,
    Lines,
    read_prior,
    save_prior,
)
from physgen.design_tasks.burgers_train import HELD_OUT
from physgen.distillation import Noising
from physgen.grid import Grid
from physgen.preconditioned import Preconditioned
from physgen.rounds import Distilling, Round, Subject, route_of
from physgen.shapes import PerSample, Sample
from physgen.training import Batch, Draw, Objective


@dataclass(frozen=True, kw_only=True)
class BurgersDistilling(Distilling):
    """Distil the prior of Burgers control into a few evaluations; a run in the folder is resumed.

    The student is told what the prior is told, and answers in all settings.
    """

    into: int = 1
    strides: tuple[int, ...] = (2, 2, 2)
    weights: Path = WEIGHTS
    """The prior to begin with."""
    runs: int = 4000
    """Simulations of each kind, forced everywhere and in the outer quarters, to make anew."""
    targets: int = 50
    """Held-out targets that the student is scored with in each setting."""
    out: Path = Path("runs/distill-burgers-control")
    """Folder for checkpoints, loss logs, curves and weights."""

    def subject(self) -> "Control":
        return Control(self)


@dataclass(frozen=True)
class Shown:
    """Batches of samples whose network is told all that is known of them."""

    noising: Noising

    def draw(self, x: Lines, given: Hints, generator: torch.Generator) -> Batch:
        return (*self.noising.draw(x, generator), given)


class Control(Subject):
    """The prior of a velocity and its force, told of the states and where a force may act."""

    def __init__(self, options: BurgersDistilling) -> None:
        self.options = options
        self.prior, known = read_prior(options.weights)
        super().__init__("burgers-control", self.prior, known)

    @property
    def data(self) -> list[object]:
        return [self.options.runs]

    @cached_property
    def driven(self) -> tuple[Driven, Driven]:
        """Forced everywhere, and in the outer quarters."""
        seeds = range(self.options.runs)
        return simulate(seeds, False), simulate(seeds, True)

    def grid(self, steps: int) -> Grid:
        return Flow(steps).grid

    def say(self, model: nn.Module, z: Sample, level: PerSample, *given: Tensor) -> Sample:
        clean: Sample = model(z, level, *given)
        return clean

    def lesson(self, taught: Round, batch: int, device: torch.device) -> tuple[Objective, Draw]:
        everywhere, outer = (Driven(*(part.to(device) for part in kind)) for kind in self.driven)
        return taught, ControlDraw(everywhere, outer, batch, Shown(taught))

    def save(self, path: Path, model: nn.Module, made: dict[str, object]) -> None:
        assert isinstance(model, Preconditioned)
        save_prior(path, model, Architecture(**self.facts["architecture"]), made)  # type: ignore[arg-type]

    def scores(self, path: Path, grid: Grid) -> dict[str, float]:
        """The mean objective of one force for each target, in m²/s², in every setting."""
        student, facts = read_prior(path)
        route = route_of(facts)
        assert route is not None
        ways: dict[str, tuple[Preconditioned, Way]] = {
            f"prior, {grid.steps} evaluations": (self.prior.cpu(), Flow(grid.steps)),
            f"prior, {route.grid.steps} evaluations": (self.prior, Flow(route.grid.steps)),
            f"student, {route.grid.steps} evaluations": (student, route),
        }
        found = {}
        for name, setting in SETTINGS.items():
            task = BurgersControl(setting, self.options.targets, HELD_OUT)
            for who, (model, way) in ways.items():
                propose = proposer(model, task, way, torch.Generator().manual_seed(0))
                with torch.no_grad():
                    missed = task.objective(propose(task.first, task.last).force)
                found[f"objective {name}: {who}"] = round(missed.mean().item(), 6)
        return found
