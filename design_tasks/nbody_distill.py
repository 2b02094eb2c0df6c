"""``physgen distill nbody``: the prior of two discs, drawn from in a few evaluations."""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from math import prod
from pathlib import Path

import torch

from physgen import __version__
from physgen.checkpoint import fingerprint
from physgen.consistency import Consistency
from physgen.denoiser import Learned
from physgen.design_tasks.nbody import NBody, Start
from physgen.design_tasks.nbody_design import Descent
from physgen.design_tasks.nbody_prior import (
    FRAMES,
    WALKS,
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
from physgen.distillation import Leap, OnGrid, Student, Taught
from physgen.energy import Score
from physgen.files import writable_folder, write_json
from physgen.grid import Grid
from physgen.preconditioned import Preconditioned
from physgen.predictor import DDIM, DPMpp2M, Predictor
from physgen.sampler import sample, unit_noise
from physgen.training import Report, Schedule, Trainer, draw_curve, processes

Teaching = Callable[[Score, Grid, int], Taught | Consistency]
"""What a student learns from a teacher, the teacher's levels, and the steps to take in one."""


def leaps(teacher: Score, grid: Grid, stride: int) -> Taught:
    return Taught(Leap(teacher, grid, stride), OnGrid(grid.every(stride)))


def ends(teacher: Score, grid: Grid, stride: int) -> Consistency:
    return Consistency(teacher, grid)


METHODS: dict[str, tuple[Teaching, str]] = {
    "progressive": (leaps, "DDIM"),
    "consistency": (ends, "Anew"),
}
"""What is taught, and how what was learned is walked."""


@dataclass(frozen=True)
class NBodyDistilling:
    """Distil the prior of two discs into a few evaluations; a run in the folder is resumed."""

    into: int = 4
    """Evaluations that are left."""
    strides: tuple[int, ...] = (2, 2, 2)
    """Steps of the teacher that the student takes in one, a number for each round; the student of a
    round teaches the next. The prior itself takes as many steps as all of them multiply to."""
    method: str = "progressive"
    """progressive (a student for its own levels) or consistency (one round; it tells where paths
    end, and draws noise anew at its levels)."""
    weights: Path = WEIGHTS
    """The prior to begin with."""
    schedule: Schedule = field(
        default_factory=lambda: Schedule(
            steps=1000,
            batch=128,
            rate=0.005,
            other_rate=5e-4,
            warmup=50,
            decay=0.7,
            average=0.98,
            save_every=100,
        )
    )
    """How long and how fast each round is."""
    runs: int = 20_000
    """Simulations to make, whose windows are given noise."""
    slowed: float = 0.5
    """Share of them in which each disc is slowed by a factor of its own between 0 and 1."""
    instants: int = 60
    """Instants of each, 1/15 s apart."""
    out: Path = Path("runs/distill-nbody")
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
    def grid(self) -> Grid:
        """The levels of the prior."""
        return Descent(steps=self.into * prod(self.strides)).grid


def distill_nbody(options: NBodyDistilling, report: Callable[[int], Report]) -> Path:
    """Teach round by round, and write ``nbody.safetensors`` with its scores beside it.

    Arguments:
        report: Given the number of steps of a round, what to tell of each.
    """
    folder = writable_folder(options.out)
    prior, facts = read_prior(options.weights)
    if "walk" in facts:
        raise ValueError(
            f"{options.weights} holds a distilled prior: distil the prior that it was made from"
        )
    architecture = Architecture(**facts["architecture"])  # type: ignore[arg-type]
    teach, walk = METHODS[options.method]
    made_of: dict[str, object] = {
        "teacher": {k: v for k, v in facts.items() if k != "architecture"},
        "method": options.method,
        "levels": options.grid.levels,
        "strides": options.strides,
        "data": [options.runs, options.instants, options.slowed],
        "batch": options.schedule.batch,
        "rates": [options.schedule.rate, options.schedule.other_rate],
        "seed": options.schedule.seed,
    }
    with processes() as device:
        motion = scaled(
            simulated(options.runs, options.instants, options.schedule.seed, options.slowed)
        ).to(device)
        model, grid, first = prior.to(device), options.grid, True
        teacher: Score = Learned(model)
        seconds = 0.0
        for number, stride in enumerate(options.strides, 1):
            objective = teach(teacher, grid, stride)
            trainer = Trainer(
                copy.deepcopy(model).requires_grad_(True),  # where it begins is its teacher
                objective,
                WindowDraw(motion, options.schedule.batch, objective),
                options.schedule,
                folder / f"round-{number}",
                {**made_of, "round": number, "weights": fingerprint(model.state_dict())},
            )
            average = trainer.run(report(options.schedule.steps))
            assert isinstance(average, Preconditioned)
            seconds += trainer.seconds
            model, grid, first = average, grid.every(stride), trainer.rank == 0
            teacher = Student(model, grid, WALKS[walk])
            if first:
                draw_curve(trainer.folder / "loss.png", trainer.losses)
        if first:
            made: dict[str, object] = {
                "command": "physgen distill nbody",
                "recipe": made_of,
                "schedule": asdict(options.schedule),
                "version": __version__,
                "walk": {"levels": grid.levels, "predictor": walk},
            }
            weights = folder / "nbody.safetensors"
            save_prior(weights, model, architecture, made)
            student = load_prior(weights)  # as it is kept, rounded
            assert isinstance(student, Student)
            scores = compare(Learned(prior.cpu()), student, options.grid)
            write_json(folder / "nbody.json", {**made, "scores": scores, "seconds": seconds})
    return folder / "nbody.safetensors"


@torch.no_grad()
def compare(prior: Score, student: Student, grid: Grid, draws: int = 100) -> dict[str, float]:
    """What few evaluations make of the same noise as many of the prior, by DDIM.

    ``off`` is the root mean square distance to where these end, in standard deviations of the
    data, 1.4 for draws that have nothing to do with one another; ``mae`` the mean distance of
    motions to what the solver makes of their first instant, in boxes.

    Arguments:
        grid: The levels of the prior.
    """
    task = NBody(2, FRAMES, Start())
    generator = torch.Generator().manual_seed(10**9)
    start = unit_noise(draws, (FRAMES, 2, 4), generator)
    few, euler = student.grid, DDIM()
    walks: dict[str, tuple[Score, Grid, Predictor]] = {
        f"prior, {grid.steps} evaluations": (prior, grid, euler),
        f"prior, {few.steps} evaluations": (prior, few, euler),
        f"prior, {few.steps} evaluations by DPM-Solver++": (prior, few, DPMpp2M()),
        f"student, {few.steps} evaluations": (student, few, student.predictor),
    }
    drawn = [
        sample(term, start, levels, predictor, generator)
        for term, levels, predictor in walks.values()
    ]
    motion = unscaled(torch.cat(drawn))
    error = (task.simulate(motion[:, 0]) - motion).abs().unflatten(0, (len(walks), -1))
    mae = error.flatten(1).mean(1).tolist()
    scores = {f"mae of {name}": round(value, 5) for name, value in zip(walks, mae, strict=True)}
    for name, x in zip(walks, drawn, strict=True):
        scores[f"off: {name}"] = round((x - drawn[0]).square().mean().sqrt().item(), 5)
    return scores
