r"""Distillation: a network that learns what a term says, or where several of its steps lead.

Whatever has a clean estimate can teach: a trained prior, an exact one, a prior with guidance. The
student is a network of the same form :math:`D(z, s)`, and is drawn from by the same samplers. Classifier-free
guidance is a sum, whose walk follows no density that has a name: with ``consent=AsMarginal()`` it teaches
where it leads all the same, and by :class:`TaughtWeights` for every weight at once.

A deterministic walk takes :math:`z` at level :math:`a` to :math:`z''` at level :math:`c`. One step
of :class:`~physgen.predictor.DDIM` does the same if the clean estimate at :math:`a` is

.. math:: \tilde x = \frac{z'' - \frac{c}{a} z}{1 - \frac{c}{a}},

which is what a :class:`Leap` over several steps of a teacher says. A student that learns it walks
in as many times fewer steps; with two steps at a time, and each student the next one's teacher,
this is progressive distillation.

What a leap says is no longer the mean of clean samples: its walk is right, by DDIM and at its own
levels, but it has no score. It is a :class:`~physgen.carrier.Carrier` only, which no sum, guidance or
kernel takes. A :class:`Student` has the form of a denoiser, as a network that ends as well as its
teacher does may be guided at its levels all the same; that is then an approximation, to be measured.

References:
    Progressive Distillation for Fast Sampling of Diffusion Models (Salimans & Ho, 2022),
    https://arxiv.org/abs/2202.00512, algorithm 2, here with :math:`\alpha = 1`.
    On Distillation of Guided Diffusion Models (Meng et al., 2023),
    https://arxiv.org/abs/2210.03142, section 3, for guided teachers and a student that is told the weight.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from physgen.carrier import Carrier
from physgen.denoiser import Denoiser, per_sample
from physgen.energy import Score, wide
from physgen.grid import Grid
from physgen.predictor import DDIM, Predictor
from physgen.sampler import AsMarginal
from physgen.shapes import Level, PerSample, Sample

LEAPING = DDIM()

Model = Callable[[Tensor, Tensor], Tensor]
"""Called with noisy samples and the level of each, it tells clean ones."""


@runtime_checkable
class Noising(Protocol):
    """What chooses the noise a student is taught at."""

    def draw(self, x: Sample, generator: torch.Generator) -> tuple[Sample, PerSample, Sample]:
        """Clean samples, a noise level for each, and unit noise."""
        ...


@dataclass(frozen=True)
class OnGrid:
    """The levels of a grid, all equally often."""

    grid: Grid

    def draw(self, x: Sample, generator: torch.Generator) -> tuple[Sample, PerSample, Sample]:
        levels = torch.tensor(self.grid.levels[:-1], dtype=x.dtype, device=x.device)
        size = (len(x),)
        chosen = torch.randint(len(levels), size, generator=generator, device=x.device)
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return x, levels[chosen], noise


class Leap(Carrier):
    """The clean estimate whose one step leads where several steps of a teacher do.

    Arguments:
        teacher: Whose walk by DDIM is followed.
        grid: The teacher's levels.
        stride: The teacher's steps in one.
        consent: Needed to follow a sum.

    Raises:
        ValueError: the teacher is a sum, or the stride no divisor of its steps.
    """

    def __init__(
        self,
        teacher: Carrier,
        grid: Grid,
        stride: int = 2,
        consent: AsMarginal | None = None,
    ) -> None:
        check_walks(teacher, consent)
        self.teacher = teacher
        self.fine = grid
        self.grid = grid.every(stride)
        self.stride = stride

    def shift(self, z: Sample, s: Level) -> Sample:
        return self.denoise(z, s) - z

    def denoise(self, z: Sample, s: Level) -> Sample:
        first = self.stride * place(self.grid, per_sample(s, z))
        levels = torch.tensor(self.fine.levels, dtype=z.dtype, device=z.device)
        z_low, ratio = z, torch.ones_like(levels[first])
        for k in range(self.stride):
            above, below = levels[first + k], levels[first + k + 1]
            ratio = ratio * below / above
            clean = self.teacher.denoise(z_low, above)
            z_low = clean + wide(below / above, z) * (z_low - clean)
        kept = wide(ratio, z)
        out: Sample = (z_low - kept * z) / (1 - kept)
        return out


class Student(Denoiser):
    """A network that was taught a walk: its levels, and how it gets from one to the next.

    ``sample(student, start, student.grid, student.predictor, generator)`` draws.

    Arguments:
        model: Called with noisy samples and the level of each.
        grid: The levels of its walk.
        predictor: How it walks, DDIM after leaps.
        sigma_data: Standard deviation of the data.
    """

    def __init__(
        self,
        model: Model,
        grid: Grid,
        predictor: Predictor = LEAPING,
        sigma_data: float = 1.0,
    ) -> None:
        super().__init__(sigma_data)
        self.model = model
        self.grid = grid
        self.predictor = predictor

    def clean(self, z: Sample, s: Level) -> Sample:
        level = per_sample(s, z)
        place(self.grid, level)
        out: Sample = self.model(z, level)
        return out


def check_walks(teacher: Carrier, consent: AsMarginal | None = None) -> None:
    """Refuse what no deterministic walk should be learned from, without consent.

    Raises:
        ValueError: the teacher is a sum.
    """
    if isinstance(teacher, Score) and not teacher.marginal and consent is None:
        raise ValueError(
            "a sum of scores is not the score of one noised density, and its walk follows none: "
            "distil its terms, or pass consent=AsMarginal() to learn where it leads all the same"
        )


def place(grid: Grid, level: PerSample) -> Int[Tensor, " batch"]:
    """Which level of a grid each sample is at.

    Raises:
        ValueError: a sample is at none of them.
    """
    levels = torch.tensor(grid.levels[:-1], dtype=level.dtype, device=level.device)
    apart = (level[:, None] / levels - 1).abs()
    nearest = apart.argmin(1)
    if (apart.amin(1) > 1e-3).any():
        said = ", ".join(f"{s:.4g}" for s in grid.levels)
        other = level[apart.amin(1).argmax()].item()
        raise ValueError(
            f"a walk of {grid.steps} steps has the levels {said}, and no estimate at {other:.4g}: "
            "sample on its own grid"
        )
    return nearest


@dataclass(frozen=True)
class Taught:
    r"""The loss of a student: its distance to what a term says of the same noisy samples.

    .. math:: \Bigl(\frac{1}{s^2} + \frac{1}{\sigma_d^2}\Bigr)\,
        \overline{|D(x + s \varepsilon, s) - T(x + s \varepsilon, s)|^2}

    Clean samples are data of the density that the term describes, or draws from it: under
    guidance, draws.
    """

    target: Carrier
    """:math:`T`, which is not differentiated."""
    noising: Noising
    """The levels: those of a :class:`Leap`'s grid, or of
    :class:`~physgen.preconditioned.Denoising` for a student that shall be a denoiser as well."""
    sigma_data: float = 1.0
    """Standard deviation of the data."""

    def draw(self, x: Sample, generator: torch.Generator) -> tuple[Sample, PerSample, Sample]:
        return self.noising.draw(x, generator)

    @torch.no_grad()
    def wanted(self, student: Model, z: Sample, level: PerSample) -> Sample:
        """What the student should say, whatever it says."""
        return self.target.denoise(z, level)

    def __call__(self, student: Model, x: Sample, level: PerSample, noise: Sample) -> PerSample:
        z = x + wide(level, x) * noise
        error = student(z, level) - self.wanted(student, z, level)
        return weighed(error, level, self.sigma_data)


@dataclass(frozen=True)
class TaughtWeights:
    r"""The same loss for a student that is told how strongly its teacher was guided.

    .. math:: \Bigl(\frac{1}{s^2} + \frac{1}{\sigma_d^2}\Bigr)\,
        \overline{|D(z, s, w) - T_w(z, s)|^2}, \qquad w \sim \mathcal U(\text{low}, \text{high})

    One student then takes every weight, in one evaluation a step where its teacher takes two:
    ``Student(lambda z, s: model(z, s, weight.expand(len(z), 1)), grid)``.
    """

    target: Callable[[Float[Tensor, " batch"]], Carrier]
    """:math:`T_w` of a batch whose samples have these weights, such as a :class:`Leap` over
    :class:`~physgen.classifier.ClassifierFree`; not differentiated."""
    noising: Noising
    """The levels, as of :class:`Taught`."""
    low: float
    """The least weight."""
    high: float
    """The largest."""
    sigma_data: float = 1.0
    """Standard deviation of the data."""

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"weights must be of an interval, got {self.low} to {self.high}")

    def draw(
        self, x: Sample, generator: torch.Generator
    ) -> tuple[Sample, PerSample, Sample, Float[Tensor, "batch 1"]]:
        """Clean samples, levels, noise, and the weight of each."""
        share = torch.rand(len(x), 1, generator=generator, dtype=x.dtype, device=x.device)
        weight = self.low + (self.high - self.low) * share
        return *self.noising.draw(x, generator), weight

    def __call__(
        self,
        student: nn.Module,
        x: Sample,
        level: PerSample,
        noise: Sample,
        weight: Float[Tensor, "batch 1"],
    ) -> PerSample:
        z = x + wide(level, x) * noise
        with torch.no_grad():
            wanted = self.target(weight[:, 0]).denoise(z, level)
        return weighed(student(z, level, weight) - wanted, level, self.sigma_data)


def weighed(error: Sample, level: PerSample, sigma_data: float) -> PerSample:
    """The mean square of every sample, in units of what a preconditioned network puts out."""
    weight = level.pow(-2) + sigma_data**-2
    return weight * error.square().flatten(1).mean(1)
