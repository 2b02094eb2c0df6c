r"""``physgen distill simulate``: windows of a chaotic velocity in a few evaluations.

What is taught is the walk of the frames that follow: windows are led by one frame that was seen with
noise, or by the last two of the window before, which are known; these are held, and the others come
down from noise. The student's error is counted over what the Gaussian leaves open of each frame
(:class:`~physgen.corrected_windows.CorrectingWindows`). The first frame of a sequence is drawn last,
over levels of its own, given all that follow: of it the student tells what the prior tells, in every
fourth batch, and at all levels that noise can have.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from physgen.corrected_windows import KNOWN, CorrectedWindows, left_open
from physgen.datasets.equations import KuramotoData
from physgen.denoiser import DataPrediction
from physgen.design_tasks.simulate import POINTS, TRAINED, SimulateTask, data, trajectories
from physgen.design_tasks.simulate_design import Walk, draw
from physgen.design_tasks.simulate_prior import (
    FRAMES,
    LED,
    WEIGHTS,
    Architecture,
    SimulatePrior,
    load_prior,
    save_prior,
)
from physgen.design_tasks.simulate_train import Known, drawn_windows
from physgen.distillation import Model, Noising, Student
from physgen.energy import wide
from physgen.grid import Grid
from physgen.kernel import noise_like
from physgen.path import VarianceExploding
from physgen.predictor import DPMpp2M
from physgen.rounds import ROUND, Distilling, Round, Route, Subject, apart, walked
from physgen.sampler import unit_noise
from physgen.shapes import PerSample, Sample
from physgen.stationary import Windows
from physgen.training import Batch, Draw, Objective, Schedule

MOST = 0.2
"""The most noise that a first frame is seen with."""
HELD_OUT = 10**6
"""Test starts that are left out before those of the scores, which no table is made of."""


@dataclass(frozen=True, kw_only=True)
class SimulateDistilling(Distilling):
    """Distil the prior of simulations into a few evaluations a window; a run in the folder is resumed.

    The surrogate beside the prior is kept as it is.
    """

    into: int = 2
    """Evaluations that are left, for each window."""
    strides: tuple[int, ...] = (8,)
    weights: Path = WEIGHTS
    """The prior to begin with."""
    simulations: int = 200
    """Trajectories to make, of the first training seeds, whose windows are given noise."""
    frames: int = 150
    """Of a trajectory, after its first."""
    cases: int = 10
    """Held-out starts that the student is scored with."""
    schedule: Schedule = field(default_factory=lambda: replace(ROUND, batch=64))
    """How long and how fast each round is."""
    out: Path = Path("runs/distill-simulate")
    """Folder for checkpoints, loss logs, curves and weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("simulations", 1), ("frames", FRAMES), ("cases", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")

    def subject(self) -> "Unfolding":
        return Unfolding(self)


Held = Float[Tensor, "batch held x"]
"""Frames that are held, over the spread, with the noise of their levels."""
Lows = Float[Tensor, "batch held"]
"""Levels of the frames that are held."""


def joined(own: Tensor, held: Tensor) -> Tensor:
    """Whole windows, or the levels of their frames: one frame is the first, before those that are held;
    more are those that follow them."""
    return torch.cat([own, held] if own.shape[1] == 1 else [held, own], 1)


def own_of(whole: Tensor, count: int) -> Tensor:
    """So many frames of whole windows that are not held."""
    return whole[:, :1] if count == 1 else whole[:, -count:]


def told(model: nn.Module, z: Windows, level: PerSample, held: Held, lows: Lows) -> Windows:
    """What a network tells of frames of one level beside frames that are held."""
    levels = level[:, None].expand(-1, z.shape[1])
    clean: Tensor = model(joined(z, held), joined(levels, lows))
    return own_of(clean, z.shape[1])


class LedDraw:
    """Batches of windows and of what leads them, half of them in the mirror.

    Of four batches one is led by a frame that was seen or is known, two by two frames that are known, and
    of one the first frame is wanted, given all others.

    Arguments:
        known: Trajectories over their spread.
        batch: Windows in a batch.
        noising: Chooses the levels of the frames that follow.
    """

    def __init__(self, known: Known, batch: int, noising: Noising) -> None:
        self.known, self.batch, self.noising = known, batch, noising

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        windows = drawn_windows(self.known, self.batch, generator)
        share = torch.rand(len(windows), generator=generator, device=windows.device)
        if step % 4 == 3:
            level = KNOWN * (MOST / KNOWN) ** share
            noise = noise_like(windows[:, :1], generator)
            lows = torch.full_like(windows[:, 1:, 0], KNOWN)
            return windows[:, :1], level, noise, windows[:, 1:], lows
        frames = 1 if step % 4 == 0 else LED
        most = MOST if frames == 1 else KNOWN
        lows = (KNOWN * (most / KNOWN) ** share)[:, None].expand(-1, frames)
        held = windows[:, :frames]
        held = held + lows[..., None] * noise_like(held, generator)
        return *self.noising.draw(windows[:, frames:], generator), held, lows


@dataclass(frozen=True)
class Lesson:
    """The loss of the module's docstring."""

    taught: Round
    prior: CorrectedWindows
    """What is to be told of first frames in all rounds."""

    def __call__(
        self,
        model: nn.Module,
        x: Windows,
        level: PerSample,
        noise: Windows,
        held: Held,
        lows: Lows,
    ) -> PerSample:
        z = x + wide(level, x) * noise
        given = (held, lows)

        def said(z: Tensor, level: Tensor) -> Tensor:
            return told(model, z, level, *given)

        if x.shape[1] == 1:
            with torch.no_grad():
                wanted = told(self.prior, z, level, *given)
        else:
            wanted = self.taught.wanted(said, z, level, *given)
        levels = joined(level[:, None].expand(-1, x.shape[1]), lows)
        open_ = own_of(left_open(self.prior.base, levels), x.shape[1])
        share = (said(z, level) - wanted).square().mean(2) / open_.to(z)
        loss: PerSample = share.mean(1)
        return loss


class Unfolding(Subject):
    """The prior of windows, told of the frames that lead them."""

    def __init__(self, options: SimulateDistilling) -> None:
        self.options = options
        self.prior = load_prior(options.weights)
        super().__init__("simulate", self.prior.model, self.prior.facts, convolves=True)

    @property
    def made(self) -> KuramotoData:
        return data(*TRAINED, self.options.frames)

    @property
    def data(self) -> list[object]:
        return [self.made.recipe, self.options.simulations]

    @cached_property
    def known(self) -> Known:
        found = trajectories(self.made, range(self.options.simulations)) / self.prior.scale
        return found.float()

    def grid(self, steps: int) -> Grid:
        return Walk(levels=steps).grid

    def say(self, model: nn.Module, z: Sample, level: PerSample, *given: Tensor) -> Sample:
        return told(model, z, level, *given)

    def lesson(self, taught: Round, batch: int, device: torch.device) -> tuple[Objective, Draw]:
        lesson = Lesson(taught, self.prior.model)
        return lesson, LedDraw(self.known.to(device), batch, taught)

    def save(self, path: Path, model: nn.Module, made: dict[str, object]) -> None:
        assert isinstance(model, CorrectedWindows)
        prior, described = self.prior, self.facts["architecture"]
        assert isinstance(described, dict)
        architecture = Architecture(described["width"], tuple(described["distances"]))
        networks = {"prior": model, "surrogate": prior.surrogate}
        save_prior(path, prior.scale, prior.base, architecture, networks, made)

    def scores(self, path: Path, grid: Grid) -> dict[str, float]:
        """``crps`` of 19 members over 20 s from starts seen with noise of 0.02, and how far walks of
        windows led by a frame that is known end from the prior's."""
        prior, student = self.prior, load_prior(path)
        route = student.route
        assert route is not None
        prior.model.cpu()
        few = replace(prior, route=replace(route, predictor=DPMpp2M()))
        ways = {
            f"prior, {grid.steps} evaluations": prior,
            f"prior, {route.grid.steps} evaluations": few,
            f"student, {route.grid.steps} evaluations": student,
        }
        of = (prior.scale, prior.base.spectrum, torch.Generator().manual_seed(0), HELD_OUT)
        task = SimulateTask(self.options.cases, 20, 0.02, *of)

        def crps(one: SimulatePrior) -> float:
            generator = torch.Generator().manual_seed(1)
            members = draw(one, task, 19, generator, Walk(levels=grid.steps)).members
            return task.judge(members).crps.mean().item()

        found = {f"crps: {who}": round(crps(one), 5) for who, one in ways.items()}
        return {**found, **apart(self._ends(student.model, route, grid))}

    def _ends(self, student: CorrectedWindows, route: Route, grid: Grid) -> dict[str, Sample]:
        generator = torch.Generator().manual_seed(10**9)
        held = drawn_windows(self.known, 100, generator)[:, :1]
        lows = torch.full_like(held[:, :, 0], KNOWN)
        start = unit_noise(len(held), (FRAMES - 1, POINTS), generator)

        def of(model: CorrectedWindows) -> Model:
            return lambda z, level: told(model, z, level, held, lows)

        walk = Student(of(student), route.grid, route.predictor)
        prior = DataPrediction(of(self.prior.model), VarianceExploding())
        return walked(prior, walk, start, grid, generator)
