r"""``physgen distill airfoil``: the prior of one airfoil in a few evaluations.

Only the body is drawn, so only the body leaps. Of flow and force the student tells what the prior
itself tells of the same noisy body, their conditional means, and as much of a known body, for
which it stays a surrogate:

.. math:: \ell(\psi) + \overline{|w - w_\mathrm{prior}|^2}
    + \lambda\, \overline{|F - F_\mathrm{prior}|^2}
"""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from physgen.datasets.airfoil import AirfoilData, generate
from physgen.denoiser import DataPrediction
from physgen.design_tasks.airfoil_design import Descent
from physgen.design_tasks.airfoil_prior import (
    SHAPE,
    UNKNOWN,
    WEIGHTS,
    AirfoilNetwork,
    AirfoilPrior,
    Estimate,
    Flows,
    Image,
    Windows,
    load_windows,
    read_prior,
    save_prior,
    scaled,
)
from physgen.distillation import Noising, Student
from physgen.grid import Grid
from physgen.path import VarianceExploding
from physgen.rounds import ROUND, Distilling, Round, Subject, apart, walked
from physgen.sampler import unit_noise
from physgen.shapes import PerSample, Sample
from physgen.training import Batch, Draw, Objective, Schedule

KNOWN = 0.01
"""The noise level of a body that is known."""


@dataclass(frozen=True, kw_only=True)
class AirfoilDistilling(Distilling):
    """Distil the prior of one airfoil into a few evaluations; a run in the folder is resumed."""

    strides: tuple[int, ...] = (5,)
    weights: Path = WEIGHTS
    """The prior to begin with."""
    data: Path = Path("data/airfoil")
    """Folder of flows by 'physgen generate airfoil'; what is missing is made there. Only their
    bodies and backgrounds are looked at."""
    simulations: int = 400
    """Flows to learn from."""
    workers: int = 2
    """Processes that make missing flows."""
    force: float = 0.3
    """Weight of the force's error."""
    schedule: Schedule = field(default_factory=lambda: replace(ROUND, steps=600, batch=32))
    """How long and how fast each round is."""
    out: Path = Path("runs/distill-airfoil")
    """Folder for checkpoints, loss logs, curves and weights."""

    def subject(self) -> "Airfoil":
        return Airfoil(self)


def asked(
    network: nn.Module, body: Image, level: PerSample, background: Flows, reynolds: PerSample
) -> Estimate:
    """What a network tells of noisy bodies in a stream, of whose flow nothing is known."""
    unknown = torch.full_like(level, UNKNOWN)
    found: Estimate = network(
        body, level, torch.zeros_like(background), unknown, background, reynolds
    )
    return found


class BodyDraw:
    """Batches of bodies in their streams, half of them seen in a mirror; every fourth is of known
    bodies.

    Arguments:
        data: Scaled samples.
        batch: Samples in a batch.
        noising: Chooses the levels of the others.
    """

    def __init__(self, data: Windows, batch: int, noising: Noising) -> None:
        self.data, self.batch, self.noising = data, batch, noising

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        device = self.data.body.device
        size = (self.batch,)
        some = self.data.some(
            torch.randint(len(self.data.body), size, generator=generator, device=device)
        )
        coin = torch.rand(self.batch, 1, 1, generator=generator, device=device) < 0.5
        body, _, background, reynolds, _ = some
        other = some.mirrored()
        body = torch.where(coin, body, other.body)
        background = torch.where(coin[..., None], background, other.background)
        x, level, noise = self.noising.draw(body, generator)
        if step % 4 == 3:
            level = torch.full_like(level, KNOWN)
        return x, level, noise, background, reynolds


@dataclass(frozen=True)
class Lesson:
    """The loss of the module's docstring."""

    taught: Round
    """What bodies are taught."""
    prior: AirfoilNetwork
    """What is to be told of flows and forces in all rounds."""
    force: float
    """Weight of the force's error."""

    def __call__(
        self,
        student: nn.Module,
        body: Image,
        level: PerSample,
        noise: Image,
        background: Flows,
        reynolds: PerSample,
    ) -> PerSample:
        told = (background, reynolds)
        z = body + level[:, None, None] * noise
        with torch.no_grad():
            held = asked(self.prior, z, level, *told)
        said = asked(student, z, level, *told)
        of_flow = (said.flow - held.flow).square().mean((1, 2, 3))
        of_force = (said.force - held.force).square().mean(1)
        loss: PerSample = of_flow + self.force * of_force
        if bool((level <= KNOWN).all()):
            return loss

        def once(z: Tensor, s: Tensor) -> Tensor:
            """The body that was told already, where it was asked for at the same level."""
            return said.body if s is level else asked(student, z, s, *told).body

        return loss + self.taught.of(once, body, level, noise, *told)


class Airfoil(Subject):
    """The prior of one airfoil, told of its stream."""

    def __init__(self, options: AirfoilDistilling) -> None:
        self.options = options
        self.prior, known = read_prior(options.weights)
        super().__init__("airfoil", self.prior.network, known)

    @property
    def making(self) -> AirfoilData:
        of = self.options
        return AirfoilData(simulations=of.simulations, workers=of.workers, out=of.data)

    @property
    def data(self) -> list[object]:
        return [self.making.recipe, self.options.simulations, {"force": self.options.force}]

    @cached_property
    def windows(self) -> Windows:
        generate(self.making)
        every = load_windows(self.options.data).some(torch.arange(self.options.simulations))
        return scaled(every.some(every.bodily), self.prior.scales)

    def grid(self, steps: int) -> Grid:
        return Descent(steps=steps).grid

    def say(self, model: nn.Module, z: Sample, level: PerSample, *given: Tensor) -> Sample:
        return asked(model, z, level, *given).body

    def lesson(self, taught: Round, batch: int, device: torch.device) -> tuple[Objective, Draw]:
        here = Windows(*(part.to(device) for part in self.windows))
        lesson = Lesson(taught, self.prior.network, self.options.force)
        return lesson, BodyDraw(here, batch, taught)

    def save(self, path: Path, model: nn.Module, made: dict[str, object]) -> None:
        assert isinstance(model, AirfoilNetwork)
        save_prior(path, model, made)

    def scores(self, path: Path, grid: Grid) -> dict[str, float]:
        """How far walks of single bodies in a calm stream end from the prior's, and how far drag and
        lift of these bodies are from what the prior tells of them."""
        student = read_prior(path)[0]
        assert student.route is not None
        generator, count = torch.Generator().manual_seed(10**9), 64
        start = unit_noise(count, SHAPE, generator)
        calm, reynolds = torch.zeros(count, 3, *SHAPE), torch.full((count,), 500.0)

        def bodies(network: nn.Module) -> DataPrediction:
            def said(z: Tensor, level: Tensor) -> Tensor:
                return self.say(network, z, level, calm, reynolds)

            return DataPrediction(said, VarianceExploding())

        prior = bodies(self.prior.network.cpu())
        route, own = student.route, bodies(student.network)
        walk = Student(own.network, route.grid, route.predictor)
        ends = walked(prior, walk, start, grid, generator)
        known, level = ends[f"prior, {grid.steps} evaluations"], torch.full((count,), KNOWN)

        def force(one: AirfoilPrior) -> Tensor:
            return one.estimate(known, level, calm, reynolds).force

        off = (force(student) - force(self.prior)).square().mean(0).sqrt().tolist()
        named = zip(("drag", "lift"), off, strict=True)
        return {**{f"off: {name}": round(value, 5) for name, value in named}, **apart(ends)}
