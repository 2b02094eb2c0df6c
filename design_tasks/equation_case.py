"""A named problem of an equation: where it begins, and what its figures are held to."""

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from physgen.datasets.field import NO_SEED
from physgen.design_tasks.flow_case import Row
from physgen.shapes import State, Trajectory
from physgen.solvers.evolution import Controls, Evolution, whole_steps


@dataclass(frozen=True)
class Setting:
    """All that a run needs to begin."""

    solver: Evolution
    state: State
    """One sample, in double precision."""
    places: Mapping[str, Float32[np.ndarray, " point"]]
    """Points of each axis, in m."""
    units: Mapping[str, str]
    """The fields of the state, in the order of its channels, and their units."""
    side: str
    """What all sides are: PERIODIC or WALL."""
    controls: Controls
    """Boundary data of each interval between saved states."""
    centring: str = "cell"
    """What the points are: ``cell`` for centres of cells, ``point`` for points between walls."""
    seed: int = NO_SEED
    """Of what is random in it."""


@dataclass(frozen=True, kw_only=True)
class EquationCase(abc.ABC):
    """Something to simulate, in SI units."""

    out: Path
    """Folder of the results."""
    time: float
    """How long, in s."""
    frames: int
    """Instants to save, besides the first."""
    dt: float
    """The longest time step, in s; an interval between saved instants is a whole number of steps."""
    double: bool = True
    """Compute in double precision."""

    def __post_init__(self) -> None:
        whole_steps(self.time, self.frames, self.dt)

    @property
    def steps(self) -> int:
        """In an interval between saved instants."""
        return whole_steps(self.time, self.frames, self.dt)

    @property
    def interval(self) -> float:
        """Between saved instants, in s."""
        return self.time / self.frames

    @property
    def step(self) -> float:
        """The time step that is taken, in s."""
        return self.interval / self.steps

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What the command calls it."""

    @property
    @abc.abstractmethod
    def facts(self) -> dict[str, float]:
        """Numbers that a data file shall carry."""

    @abc.abstractmethod
    def setting(self) -> Setting:
        """The solver, and where it begins."""

    @abc.abstractmethod
    def figures(self, trajectory: Trajectory) -> list[Row]:
        """What came out, beside what is known."""
