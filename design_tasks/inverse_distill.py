r"""``physgen distill inverse``: the prior of two fields that an equation joins, in a few evaluations.

The student is taught the walk of the prior alone; what is seen and the equation join at its levels
as they join at the prior's. Its error is counted as the prior's is (:class:`~physgen.corrected.Correcting`),
over what the Gaussian leaves open of each field,

.. math:: \frac1{|f|} \sum_f \overline{|D_f - \tilde x_f|^2} \,/\, e_f(s)^2,

as the state, which is smooth, is known far better than its noise says.

The priors of Poisson's and Helmholtz' equations are Gaussian, exactly, and have no network: their
clean estimate is a product with a matrix, and nothing that could be learned would cost less.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from physgen.asked import among
from physgen.corrected import Corrected, CorrectedDenoiser, Correcting
from physgen.design_tasks.inverse import EQUATIONS, PROBLEMS, InverseTask, Spread, pairs
from physgen.design_tasks.inverse_design import Guidance, draw
from physgen.design_tasks.inverse_equation import Pairs
from physgen.design_tasks.inverse_prior import (
    Architecture,
    InversePrior,
    PairDraw,
    load_prior,
    save_prior,
)
from physgen.distillation import Student
from physgen.energy import wide
from physgen.grid import Grid
from physgen.predictor import DPMpp2M
from physgen.rounds import ROUND, Distilling, Round, Subject, apart, walked
from physgen.sampler import unit_noise
from physgen.shapes import PerSample, Sample
from physgen.training import Draw, Objective, Schedule

HELD_OUT = 10**6
"""Test cases that are left out before those of the scores, which no table is made of."""


@dataclass(frozen=True, kw_only=True)
class InverseDistilling(Distilling):
    """Distil the prior of inverse problems into a few evaluations; a run in the folder is resumed.

    The priors of Poisson's and Helmholtz' equations are exact Gaussians, which have no network to
    distil.
    """

    equation: Annotated[str, among(EQUATIONS)] = "darcy"
    """darcy, navier-stokes or burgers; poisson and helmholtz are refused."""
    strides: tuple[int, ...] = (8,)
    weights: Path | None = None
    """The prior to begin with; the one of the equation that ships if not given."""
    simulations: int = 2000
    """Pairs to make, of the first training seeds, that are given noise."""
    cases: int = 5
    """Held-out cases that the student is scored with in each problem."""
    schedule: Schedule = field(default_factory=lambda: replace(ROUND, steps=300, batch=16))
    """How long and how fast each round is."""
    out: Path = Path("runs/distill-inverse")
    """Folder for checkpoints, loss logs, curves and weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.equation not in EQUATIONS:
            raise ValueError(f"equation must be one of {list(EQUATIONS)}, got {self.equation!r}")
        if EQUATIONS[self.equation].gaussian:
            raise ValueError(
                f"the prior of {self.equation} is an exact Gaussian without a network, so that "
                "there is nothing to distil: for fewer evaluations lower --guidance.levels of "
                "'physgen design inverse'"
            )
        for name in ("simulations", "cases"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def subject(self) -> "Fields":
        return Fields(self)


@dataclass(frozen=True)
class Lesson:
    """The loss of the module's docstring."""

    taught: Round

    def __call__(self, model: nn.Module, x: Pairs, level: PerSample, noise: Pairs) -> PerSample:
        z = x + wide(level, x) * noise
        wanted = self.taught.wanted(model, z, level)
        loss: PerSample = Correcting().shares(model, model(z, level), wanted, level).mean(1)
        return loss


class Fields(Subject):
    """The prior of both fields of an equation; it is told nothing."""

    def __init__(self, options: InverseDistilling) -> None:
        self.options = options
        self.prior = load_prior(EQUATIONS[options.equation], options.weights)
        super().__init__("inverse", network_of(self.prior), self.prior.facts, convolves=True)

    @property
    def data(self) -> list[object]:
        made = self.prior.equation.data(self.prior.cells)
        return [made.recipe, self.options.simulations]

    @cached_property
    def samples(self) -> Pairs:
        made = self.prior.equation.data(self.prior.cells)
        return self.prior.standard.sample(pairs(made, range(self.options.simulations)))

    def grid(self, steps: int) -> Grid:
        return Guidance(levels=steps).grid

    def say(self, model: nn.Module, z: Sample, level: PerSample, *given: Tensor) -> Sample:
        clean: Sample = model(z, level)
        return clean

    def lesson(self, taught: Round, batch: int, device: torch.device) -> tuple[Objective, Draw]:
        symmetry = self.prior.equation.data(self.prior.cells).symmetry
        return Lesson(taught), PairDraw(self.samples.to(device), symmetry, batch, taught)

    def save(self, path: Path, model: nn.Module, made: dict[str, object]) -> None:
        assert isinstance(model, Corrected)
        prior, described = self.prior, self.facts["architecture"]
        assert isinstance(described, dict)
        architecture = Architecture(tuple(described["widths"]), described["patch"])
        network = (model, architecture, prior.shares)
        save_prior(path, prior.equation, prior.standard, prior.gaussian, made, network)

    def scores(self, path: Path, grid: Grid) -> dict[str, float]:
        """How far walks end from the prior's, where nothing is seen, and ``crps``, of what is
        wanted where the other part is seen by as many sensors as usual."""
        prior, student = self.prior, load_prior(self.prior.equation, path)
        walk = student.denoiser
        assert isinstance(walk, Student)
        network = network_of(prior).cpu()
        generator = torch.Generator().manual_seed(10**9)
        start = unit_noise(8, prior.standard.mean.shape, generator)
        ends = walked(prior.denoiser, walk, start, grid, generator)
        few = Student(network, walk.grid, DPMpp2M(), prior.gaussian.sigma_data)
        ways = {
            f"prior, {grid.steps} evaluations": prior,
            f"prior, {walk.grid.steps} evaluations": replace(prior, denoiser=few),
            f"student, {walk.grid.steps} evaluations": student,
        }
        found = {}
        for name in ("forward", "inverse"):
            task = self._task(name)
            for who, one in ways.items():
                generator = torch.Generator().manual_seed(1)
                drawn = draw(one, task, 19, generator, Guidance(levels=grid.steps))
                crps = task.judge(drawn.draws).crps.mean().item()
                found[f"crps {name}: {who}"] = round(crps, 5)
        return {**found, **apart(ends)}

    def _task(self, problem: str) -> InverseTask:
        """Held-out cases."""
        prior = self.prior
        return InverseTask(
            prior.equation,
            PROBLEMS[problem],
            Spread(prior.equation.sensors[problem]),
            0.01,
            self.options.cases,
            prior.standard.mean,
            prior.standard.scale,
            torch.Generator().manual_seed(0),
            HELD_OUT,
        )


def network_of(prior: InversePrior) -> nn.Module:
    """The network that corrects the prior's Gaussian."""
    one = prior.denoiser
    assert isinstance(one, CorrectedDenoiser | Student) and isinstance(one.model, nn.Module)
    return one.model
