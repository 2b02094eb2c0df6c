"""Few steps: one prior of the plane and its students, with one, two, four and eight evaluations.

python examples/few_steps.py

The teacher is an exact density, so that what each student draws can be held to it: a panel's title
is its distance (W2) to exact draws, and the last row has that of exact draws themselves. A trained
denoiser takes the teacher's place unchanged.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import tyro
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn

from physgen.carrier import Carrier
from physgen.consistency import Consistency
from physgen.denoiser import Learned
from physgen.distillation import Leap, OnGrid, Student, Taught
from physgen.energy import Score
from physgen.gaussian import GaussianMixture
from physgen.grid import Grid, from_path, log_snr
from physgen.matching import CoupledFlow
from physgen.path import Rectified
from physgen.perceptron import Modulated
from physgen.preconditioned import Preconditioned
from physgen.predictor import DDIM, Anew, DPMpp2M, Predictor
from physgen.reflow import Coupling, Reflow, couple
from physgen.sampler import sample, unit_noise
from physgen.testbeds import isotropic, source, wasserstein
from physgen.training import Batch, Objective, Schedule, Trainer

HIGHEST = 8.0
FINE = log_snr(32, 0.02, HIGHEST)
FEW = (1, 2, 4, 8)
Walk = tuple[Carrier, Grid, Predictor]


def spiral() -> GaussianMixture:
    """Two arms, each of twelve narrow Gaussians."""
    turn = torch.linspace(0.6, 4.2, 12)
    arm = torch.stack([turn.cos(), turn.sin()], 1) * (turn / 4.2)[:, None]
    return isotropic(1.4 * torch.cat([arm, -arm]), 0.07)


LAW = spiral()
SPREAD = LAW.moments().variance.mean().sqrt().item()


@dataclass(frozen=True)
class Options:
    """How long students learn, and how much is drawn."""

    steps: int = 1200
    """Of training, for each student; each halving takes a third."""
    draws: int = 1000
    pairs: int = 20_000
    """Of noise and what the teacher makes of it, for reflow."""
    out: Path = Path("runs/few_steps.png")


def taught(
    model: nn.Module,
    objective: Objective,
    draw: Callable[[int, torch.Generator], Batch],
    steps: int,
) -> nn.Module:
    schedule = Schedule(
        steps, other_rate=3e-3, warmup=20, decay=0.7, average=0.99, save_every=steps
    )
    student = copy.deepcopy(model).requires_grad_(True)  # where it begins may be its teacher
    with TemporaryDirectory() as folder:
        trainer = Trainer(student, objective, draw, schedule, Path(folder), {}, bfloat16=False)
        return trainer.run()


def network() -> Preconditioned:
    torch.manual_seed(0)
    return Preconditioned(Modulated(2), SPREAD)


def progressive(options: Options) -> dict[int, Walk]:
    """Halved from 32 steps; each student teaches the next."""
    teacher: Score = LAW
    grid, model, walks = FINE, network(), dict[int, Walk]()
    while grid.steps > 1:
        stride = 4 if grid == FINE else 2
        objective = Taught(Leap(teacher, grid, stride), OnGrid(grid.every(stride)), SPREAD)

        def draw(step: int, generator: torch.Generator, own: Taught = objective) -> Batch:
            return own.draw(LAW.sample(256, generator), generator)

        model = taught(model, objective, draw, options.steps // 3)
        grid = grid.every(stride)
        teacher = Student(model, grid, DDIM(), SPREAD)
        walks[grid.steps] = (teacher, grid, DDIM())
    return walks


def reflowed(options: Options) -> dict[int, Walk]:
    """Straight lines between noise and where the teacher takes it."""
    start = unit_noise(options.pairs, (2,), source(3))
    pairs = couple(LAW, start, FINE, DPMpp2M(), source())
    objective = Reflow(HIGHEST, SPREAD)

    def draw(step: int, generator: torch.Generator) -> Batch:
        some = torch.randint(len(pairs.x), (256,), generator=generator)
        return objective.draw(Coupling(pairs.x[some], pairs.noise[some]), generator)

    student = CoupledFlow(Learned(taught(network(), objective, draw, options.steps)))
    grids = {n: from_path(Rectified(), n, HIGHEST / (1 + HIGHEST)) for n in FEW}
    return {n: (student, grid, DDIM()) for n, grid in grids.items()}


def consistent(options: Options) -> dict[int, Walk]:
    """A map to where paths end; with more than one evaluation, noise is drawn anew."""
    objective = Consistency(LAW, log_snr(8, 0.02, HIGHEST), SPREAD)

    def draw(step: int, generator: torch.Generator) -> Batch:
        return objective.draw(LAW.sample(256, generator), generator)

    student = Learned(taught(network(), objective, draw, options.steps))
    lower = {n: log_snr(n - 1, 0.2, 0.8 + 0.2 * n).levels[:-1] if n > 1 else () for n in FEW}
    return {n: (student, Grid((HIGHEST, *lower[n], 0.0)), Anew()) for n in FEW}


def undistilled(options: Options) -> dict[int, Walk]:
    """The teacher by itself, by DPM-Solver++."""
    return {n: (LAW, FINE.every(32 // n), DPMpp2M()) for n in FEW}


ROWS = (undistilled, progressive, reflowed, consistent)


def main(options: Options) -> None:
    start = unit_noise(options.draws, (2,), source(1))
    exact = LAW.sample(options.draws, source(2))
    figure = Figure(figsize=(3 * len(FEW), 3 * len(ROWS) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(ROWS), len(FEW), squeeze=False)
    floor = wasserstein(LAW.sample(options.draws, source(5)), exact)
    print(f"exact draws: {floor:.3f}")
    for row, method in zip(axes, ROWS, strict=True):
        walks = method(options)
        found = []
        for axis, n in zip(row, FEW, strict=True):
            term, grid, predictor = walks[n]
            x = sample(term, start, grid, predictor, source(4))
            found.append(wasserstein(x, exact))
            show(axis, x, f"{method.__name__}, {n}: {found[-1]:.3f}")
        print(
            f"{method.__name__:>12}:", *(f"{n}: {d:.3f}" for n, d in zip(FEW, found, strict=True))
        )
    figure.suptitle(f"evaluations and W2 to exact draws (of exact draws: {floor:.3f})")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=90)


def show(axis: Axes, x: Tensor, title: str) -> None:
    axis.plot(*x.T.numpy(), ".", color="#1f5f99", ms=2, alpha=0.5, mew=0)
    axis.set(title=title, xlim=(-1.9, 1.9), ylim=(-1.9, 1.9), xticks=[], yticks=[], aspect="equal")


if __name__ == "__main__":
    main(tyro.cli(Options))
