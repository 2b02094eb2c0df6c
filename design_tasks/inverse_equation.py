"""What an equation of inverse problems is: two parts of a sample that it joins, on a grid."""

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, final

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from physgen.shapes import PerSample
from physgen.symmetry import Symmetry

Pairs = Float[Tensor, "batch channel x y"]
"""Samples of an equation: what it starts from and what it makes of that. For steady equations and
vorticities these are two channels, a coefficient, source or start, and the state u that it has."""
Given = Float[Tensor, "batch row column"]
"""The first part of samples, as its rows lie in its channel."""


@dataclass(frozen=True)
class Part:
    """Some rows of one channel of samples."""

    name: str
    channel: int
    first: int = 0
    last: int | None = None
    """The row behind the last; none if that is the end."""

    def of(self, samples: Shaped[Tensor, "*batch channel x y"]) -> Shaped[Tensor, "*batch _ y"]:
        """The part of some samples."""
        return samples[..., self.channel, self.first : self.last, :]

    def places(self, channels: int, space: tuple[int, int]) -> Int[Tensor, "row column"]:
        """Where it lies in a flattened sample."""
        every = torch.arange(channels * space[0] * space[1])
        return self.of(every.view(channels, *space))

    def instead(self, samples: Pairs, values: Given) -> Pairs:
        """Samples with other values in the part; it has a gradient."""
        found = samples.clone()
        self.of(found).copy_(values)
        return found


class Owed(NamedTuple):
    """What samples owe their equation."""

    residual: PerSample
    """Relative, see :mod:`physgen.design_tasks.inverse`."""
    solver_error: PerSample
    """How far states are from what the solver makes of their first parts, relatively."""


class Law(abc.ABC):
    """An equation on a grid: a law of samples, and the solver that judges them."""

    space: tuple[int, int]
    axes: ClassVar[tuple[str, str]] = ("x", "y")
    """What the grid's axes are called."""
    side: ClassVar[str]
    """What all sides are: PERIODIC or WALL."""
    solutions: int
    """Exact ones in one call of :meth:`mended`."""
    middle: float = 0.0
    """The mean of the first part at every place."""
    white: tuple[int, ...]
    """How many unit numbers make the first part of a sample, along each axis."""

    @property
    @final
    def timed(self) -> bool:
        """Whether the first axis of samples is time."""
        return self.axes[0] == "t"

    @property
    @abc.abstractmethod
    def symmetry(self) -> Symmetry:
        """Images of a sample that are as likely."""

    @property
    @abc.abstractmethod
    def recipe(self) -> dict[str, object]:
        """All that decides what a sample is."""

    @property
    @abc.abstractmethod
    def facts(self) -> dict[str, float]:
        """Numbers of the equation, in SI units."""

    @property
    @abc.abstractmethod
    def units(self) -> dict[str, str]:
        """Channels as files call them, and their units."""

    @property
    @abc.abstractmethod
    def places(self) -> tuple[Float[Tensor, "x y"], ...]:
        """Of all points along each axis, in m or s."""

    @abc.abstractmethod
    def pairs(self, seeds: range) -> Pairs:
        """Samples to train on, one for each seed, in double precision."""

    @abc.abstractmethod
    def truth(self, seeds: range) -> Pairs:
        """Samples to be judged by, on a finer grid where the solver of training is not exact."""

    @abc.abstractmethod
    def owed(self, pair: Pairs) -> Owed:
        """What samples owe their equation."""

    @abc.abstractmethod
    def mended(self, pair: Pairs, sweeps: int) -> Pairs:
        """Samples of the same first parts whose states satisfy the equation better."""

    @property
    @abc.abstractmethod
    def smooth(self) -> tuple[Float[Tensor, "wave x"], Float[Tensor, "wave y"]]:
        """Orthonormal waves along both axes, the longest first."""

    @abc.abstractmethod
    def completed(self, given: Given) -> Pairs:
        """The samples that the solver makes of their first parts; it has a gradient."""

    @abc.abstractmethod
    def composed(self, white: Float[Tensor, "batch *mode"]) -> Given:
        """First parts from unit noise, by their exact law or a smooth one near it."""

    @abc.abstractmethod
    def covariance(self, places: Int[Tensor, " place"]) -> Float[Tensor, "place other"]:
        """Of the first part at some of its places, with it at all; the variance of one is the same
        at all, or nearly."""


@dataclass(frozen=True)
class Equation:
    """What joins two parts of a sample, and what is known of their law."""

    name: str
    gaussian: bool
    """Whether all of a sample is a Gaussian."""
    parts: tuple[Part, Part]
    """A coefficient, source or start, and the state; nothing is left out."""
    seen: Mapping[str, tuple[Part, ...]]
    """Where sensors are in each problem."""
    law: Callable[[int], Law]
    """On so many cells along each side."""
    sensors: Mapping[str, int]
    """In each part that is seen, if nobody says how many."""
    heard_last: bool = False
    """Whether sensors of the state correct what the equation makes of a start, or come before it."""
    keeps_seen: bool = False
    """Whether waves of the state that its sensors resolve are left to these: what a drawn coefficient
    makes of them is known less well."""
    two_valued: bool = False
    """Whether the coefficient has two values."""

    @property
    def fields(self) -> tuple[str, str]:
        """What both parts are called."""
        return self.parts[0].name, self.parts[1].name

    @property
    def coverage(self) -> str:
        """The figure of coverage that is 0.9 where intervals are calibrated."""
        return "coverage_state" if self.two_valued else "coverage90"

    def data(self, cells: int = 64) -> Law:
        """Their law on a grid."""
        return self.law(cells)
