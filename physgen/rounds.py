r"""Distillation in rounds: from a trained prior to a student of a few evaluations, in a file.

A walk of :math:`n\, k_1 k_2 \cdots` steps is taught to a network that takes :math:`k_1` of them in
one; that student teaches the next, and the last has :math:`n` evaluations left. Every student
begins as a copy of its teacher.

What differs from prior to prior is a :class:`Subject`: its network, what the network is told of each
sample, the samples, and how a student is kept and judged. A network that is told something teaches one
that is told the same, so that the student answers for all that its teacher answered for.

References:
    Progressive Distillation for Fast Sampling of Diffusion Models (Salimans & Ho, 2022),
    https://arxiv.org/abs/2202.00512, algorithm 2.
    Consistency Models (Song et al., 2023), https://arxiv.org/abs/2303.01469, algorithm 2.
"""

import abc
import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from physgen import __version__
from physgen.asked import among
from physgen.checkpoint import fingerprint
from physgen.consistency import Consistency
from physgen.denoiser import DataPrediction
from physgen.distillation import Leap, Model, OnGrid, Student, Taught
from physgen.energy import Score
from physgen.files import writable_folder, write_json
from physgen.grid import Grid
from physgen.options import command
from physgen.path import VarianceExploding
from physgen.predictor import DDIM, Anew, DPMpp2M, Predictor
from physgen.sampler import sample
from physgen.shapes import PerSample, Sample
from physgen.training import Draw, Objective, Report, Schedule, Trainer, draw_curve, processes

Teaching = Callable[[Score, Grid, int], Taught | Consistency]
"""What a student learns from a teacher, the teacher's levels, and the steps to take in one."""


@dataclass(frozen=True)
class Route:
    """How a student gets from noise to samples."""

    grid: Grid
    """Its levels."""
    predictor: Predictor
    """From one to the next."""


OWN_LEVELS = "a distilled prior has levels of its own"
"""Why it does not heed options of others."""

WALKS: dict[str, Predictor] = {"DDIM": DDIM(), "Anew": Anew()}
"""How distilled priors get from level to level, by the name that their files have for it."""


def route_of(facts: Mapping[str, object]) -> Route | None:
    """The route that is kept with weights, if these are a student's."""
    walk = facts.get("walk")
    if walk is None:
        return None
    assert isinstance(walk, dict)
    return Route(Grid(tuple(walk["levels"])), WALKS[walk["predictor"]])


def leaps(teacher: Score, grid: Grid, stride: int) -> Taught:
    return Taught(Leap(teacher, grid, stride), OnGrid(grid.every(stride)))


def ends(teacher: Score, grid: Grid, stride: int) -> Consistency:
    return Consistency(teacher, grid)


METHODS: dict[str, tuple[Teaching, str]] = {
    "progressive": (leaps, "DDIM"),
    "consistency": (ends, "Anew"),
}
"""What is taught, and how what was learned is walked."""


ROUND = Schedule(
    steps=1000,
    batch=128,
    rate=0.005,
    other_rate=5e-4,
    warmup=50,
    decay=0.7,
    average=0.98,
    save_every=100,
)
"""How long and how fast a round is: a student begins near its teacher."""


@dataclass(frozen=True, kw_only=True)
class Distilling(abc.ABC):
    """What every command that distils is told."""

    into: int = 4
    """Evaluations that are left."""
    strides: tuple[int, ...] = (2, 2, 2)
    """Steps of the teacher that the student takes in one, a number for each round; the student of a
    round teaches the next. The prior itself takes as many steps as all of them multiply to."""
    method: Annotated[str, among(METHODS)] = "progressive"
    """progressive (a student for its own levels) or consistency (one round; it tells where paths
    end, and draws noise anew at its levels)."""
    weights: Path | None
    """The prior to begin with; None where the one that ships depends on other options."""
    schedule: Schedule = ROUND
    """How long and how fast each round is."""
    out: Path
    """Folder for checkpoints, loss logs, curves and weights."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {[*METHODS]}, got {self.method!r}")
        if self.into < 1 or not self.strides or min(self.strides) < 2:
            raise ValueError(
                "into must be at least 1, and every stride at least 2, got "
                f"{self.into} and {self.strides}"
            )
        if self.method == "consistency" and len(self.strides) > 1:
            raise ValueError(
                f"consistency is taught in one round: choose one stride, such as "
                f"{prod(self.strides)}, got {self.strides}"
            )

    @property
    def steps(self) -> int:
        """Of the prior."""
        return self.into * prod(self.strides)

    @abc.abstractmethod
    def subject(self) -> "Subject":
        """What is to be distilled."""


class Subject(abc.ABC):
    """A prior as distillation needs it.

    Arguments:
        name: Of the task, and of the file that a student is kept in.
        model: The trained network.
        facts: What is known of its making.
        convolves: Whether the network is one of convolutions, which processors were measured to do
            more slowly in bfloat16.
    """

    def __init__(
        self,
        name: str,
        model: nn.Module,
        facts: Mapping[str, object],
        convolves: bool = False,
    ) -> None:
        self.name, self.model, self.facts = name, model, facts
        self.convolves = convolves

    @property
    @abc.abstractmethod
    def data(self) -> list[object]:
        """What makes the samples, for the recipe."""

    @abc.abstractmethod
    def grid(self, steps: int) -> Grid:
        """The levels of a walk of the prior."""

    @abc.abstractmethod
    def say(self, model: nn.Module, z: Sample, level: PerSample, *given: Tensor) -> Sample:
        """The clean estimate of a network that is told something of each sample."""

    @abc.abstractmethod
    def lesson(self, taught: "Round", batch: int, device: torch.device) -> tuple[Objective, Draw]:
        """What a round minimises, mostly what is taught itself, and its batches: clean samples,
        levels, noise, and what the network is told."""

    @abc.abstractmethod
    def save(self, path: Path, model: nn.Module, made: dict[str, object]) -> None:
        """Keep a student with how it was made."""

    @abc.abstractmethod
    def scores(self, path: Path, grid: Grid) -> dict[str, float]:
        """Of a student as it is kept, beside the prior at the levels of a grid."""


@dataclass(frozen=True)
class Round:
    """What is taught in one round: a loss of samples that teacher and student are told the same of."""

    subject: Subject
    teach: Teaching
    model: nn.Module
    """The teacher's network."""
    route: Route | None
    """The teacher's, if it is a student itself."""
    grid: Grid
    """The teacher's levels."""
    stride: int

    def teacher(self, *given: Tensor) -> Score:
        """Of samples of which this is told."""

        def said(z: Tensor, level: Tensor) -> Tensor:
            return self.subject.say(self.model, z, level, *given)

        if self.route is None:
            return DataPrediction(said, VarianceExploding())
        return Student(said, self.route.grid, self.route.predictor)

    def draw(self, x: Sample, generator: torch.Generator) -> tuple[Sample, PerSample, Sample]:
        """Clean samples, a level for each, and unit noise."""
        return self.teach(self.teacher(), self.grid, self.stride).draw(x, generator)

    def wanted(self, student: Model, z: Sample, level: PerSample, *given: Tensor) -> Sample:
        """What a student that knows what is told should say of noisy samples."""
        lesson = self.teach(self.teacher(*given), self.grid, self.stride)
        return lesson.wanted(student, z, level)

    def of(
        self, student: Model, x: Sample, level: PerSample, noise: Sample, *given: Tensor
    ) -> PerSample:
        """The loss of what already knows what is told."""
        lesson = self.teach(self.teacher(*given), self.grid, self.stride)
        return lesson(student, x, level, noise)

    def __call__(
        self, model: nn.Module, x: Sample, level: PerSample, noise: Sample, *given: Tensor
    ) -> PerSample:
        def said(z: Tensor, level: Tensor) -> Tensor:
            return self.subject.say(model, z, level, *given)

        return self.of(said, x, level, noise, *given)


@dataclass(frozen=True)
class Graduate:
    """What all rounds made of a prior."""

    model: nn.Module
    route: Route
    seconds: float
    first: bool
    """Whether this process is the one that writes."""


def distill(options: Distilling, report: Callable[[int], Report]) -> Path:
    """Teach round by round, and write the student's weights with its scores beside them.

    Arguments:
        options: What to distil, into what, and for how long.
        report: Given the number of steps of a round, what to tell of each.

    Raises:
        ValueError: the prior is a student already, or the folder holds a run with another recipe.
    """
    folder, subject = writable_folder(options.out), options.subject()
    if "walk" in subject.facts:
        raise ValueError(
            f"{options.weights} holds a distilled prior: distil the prior that it was made from"
        )
    recipe = recipe_of(options, subject)
    weights = folder / f"{subject.name}.safetensors"
    with processes() as device:
        last = graduated(options, subject, recipe, device, report)
        if last.first:
            predictor = METHODS[options.method][1]
            made: dict[str, object] = {
                "command": command(f"distill {subject.name}", options),
                "recipe": recipe,
                "schedule": asdict(options.schedule),
                "version": __version__,
                "walk": {"levels": last.route.grid.levels, "predictor": predictor},
            }
            subject.save(weights, last.model.cpu(), made)
            scores = subject.scores(weights, subject.grid(options.steps))  # as kept, rounded
            kept = {**made, "scores": scores, "seconds": last.seconds}
            write_json(weights.with_suffix(".json"), kept)
    return weights


def recipe_of(options: Distilling, subject: Subject) -> dict[str, object]:
    """What makes a student, but for the length of its rounds."""
    schedule = options.schedule
    return {
        "teacher": {k: v for k, v in subject.facts.items() if k != "architecture"},
        "method": options.method,
        "levels": subject.grid(options.steps).levels,
        "strides": options.strides,
        "data": subject.data,
        "batch": schedule.batch,
        "rates": [schedule.rate, schedule.other_rate],
        "seed": schedule.seed,
    }


def graduated(
    options: Distilling,
    subject: Subject,
    recipe: dict[str, object],
    device: torch.device,
    report: Callable[[int], Report],
) -> Graduate:
    """The student of the last round, each the teacher of the next; what is done is not done again."""
    teach, walk = METHODS[options.method]
    schedule = options.schedule
    model, grid = subject.model.to(device), subject.grid(options.steps)
    found: Graduate | None = None
    for number, stride in enumerate(options.strides, 1):
        route = None if found is None else found.route
        taught = Round(subject, teach, model, route, grid, stride)
        objective, batches = subject.lesson(taught, schedule.batch, device)
        trainer = Trainer(
            copy.deepcopy(model).requires_grad_(True),  # where it begins is its teacher
            objective,
            batches,
            schedule,
            options.out / f"round-{number}",
            {**recipe, "round": number, "weights": fingerprint(model.state_dict())},
            bfloat16=False if subject.convolves and device.type == "cpu" else None,
        )
        model, grid = trainer.run(report(schedule.steps)), grid.every(stride)
        before = 0.0 if found is None else found.seconds
        first = trainer.rank == 0
        found = Graduate(model, Route(grid, WALKS[walk]), before + trainer.seconds, first)
        if first:
            draw_curve(trainer.folder / "loss.png", trainer.losses)
    assert found is not None  # there is a stride at least
    return found


@torch.no_grad()
def walked(
    prior: Score, student: Student, start: Sample, grid: Grid, generator: torch.Generator
) -> dict[str, Sample]:
    """Where the same noise ends: by all the prior's levels, by as few as the student's, and by the
    student itself.

    Arguments:
        grid: The levels of the prior, of which the student has some.
    """
    few, euler = student.grid, DDIM()
    walks: dict[str, tuple[Score, Grid, Predictor]] = {
        f"prior, {grid.steps} evaluations": (prior, grid, euler),
        f"prior, {few.steps} evaluations": (prior, few, euler),
        f"prior, {few.steps} evaluations by DPM-Solver++": (prior, few, DPMpp2M()),
        f"student, {few.steps} evaluations": (student, few, student.predictor),
    }
    return {
        name: sample(term, start, levels, predictor, generator)
        for name, (term, levels, predictor) in walks.items()
    }


def apart(ends: dict[str, Sample]) -> dict[str, float]:
    """Root mean square distances to the first, 1.4 standard deviations of the data for draws that
    have nothing to do with one another."""
    first = next(iter(ends.values()))
    return {
        f"off: {name}": round((x - first).square().mean().sqrt().item(), 5)
        for name, x in ends.items()
    }
