"""A named flow: what is simulated, and which published figures it is held to."""

import abc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.options import check_positive
from physgen.solvers.bodies import Body
from physgen.solvers.fluid import Flow, FlowState
from physgen.solvers.forces import coefficients, pressure_force
from physgen.solvers.histories import Summary, summarise
from physgen.solvers.marching import Course, refined


class Row(NamedTuple):
    """One figure of a run, beside what others found."""

    figure: str
    value: float | None
    """None where the run shows none, such as a frequency without an oscillation."""
    half: float | None = None
    """Half of the 95 % interval of a mean over time, where it is one."""
    reference: tuple[float, float] | None = None
    """The published value, or the lowest and the highest."""
    source: str = ""

    @property
    def deviation(self) -> float | None:
        """Relative distance from the published band; zero within it."""
        if self.reference is None or self.value is None:
            return None
        low, high = self.reference
        away = max(low - self.value, self.value - high, 0.0)
        middle = 0.5 * abs(low + high)
        return away / middle if middle > 0 else away


@dataclass(frozen=True)
class Scene:
    """All that a run needs to begin."""

    flow: Flow
    bodies: Body
    length: float
    """The length that figures are made dimensionless with, in m."""
    disturb: Callable[[FlowState], FlowState] | None = None
    """What is done to the first state, such as a push that starts the shedding of vortices."""
    scalars: int = 0
    at_rest: bool = False
    """Whether the fluid is at rest in the beginning, and not a stream."""
    lead: "Lead | None" = None
    """What runs first, if the run does not begin by itself."""


@dataclass(frozen=True)
class Lead:
    """The same scene on cells twice as wide: a cheap way to be past the start."""

    scene: Scene
    time: float
    """How long, in s."""


def begun(scene: Scene, like: Tensor, compile: bool) -> FlowState:
    """The first state of a scene, at time zero."""
    course = Course(scene.flow, scene.bodies, like)
    if scene.lead is not None:
        coarse = Course(scene.lead.scene.flow, scene.lead.scene.bodies, like)
        state = begun(scene.lead.scene, like, compile)
        if compile:
            coarse.compile()
        state = coarse.march(state, scene.lead.time)
        return refined(state, scene.flow, course.immersed)
    state = (scene.flow.at_rest if scene.at_rest else scene.flow.start)(
        course.immersed, scene.scalars
    )
    return state if scene.disturb is None else scene.disturb(state)


@dataclass(frozen=True)
class Run:
    """What a simulation left behind."""

    scene: Scene
    course: Course
    state: FlowState
    time: Float[Tensor, " step"]
    force: Float[Tensor, "batch step body 2"]
    """On each body, the mean over each step."""
    frames: Sequence[FlowState]
    """At equal intervals, the first state and the last among them."""

    def summary(self, since: float) -> Summary:
        """Statistics of the drag and lift coefficients of each body."""
        scene = self.scene
        found = coefficients(self.force, scene.flow.speed, scene.length).movedim(1, -1)
        return summarise(self.time, found, scene.length, scene.flow.speed, since)

    def pressure_part(self) -> Float[Tensor, "batch body 2"]:
        """The share of pressure in the coefficients at the last instant."""
        flow = self.scene.flow
        force = pressure_force(flow, self.state, self.course.immersed)
        return coefficients(force, flow.speed, self.scene.length)


@dataclass(frozen=True, kw_only=True)
class Case(abc.ABC):
    """Something to simulate. Lengths are in chords or diameters, the stream has speed 1."""

    out: Path
    """Folder of the results."""
    time: float
    """How long, in lengths per speed of the stream."""
    frames: int
    """Instants to save, besides the first."""
    double: bool
    """Compute in double precision."""
    compile: bool
    """Compile the step first: a minute to begin with, then about three times as fast."""

    def check(self, *names: str, since: float = 0.0) -> None:
        """Refuse what cannot be run, before it is.

        Arguments:
            names: Of the numbers that must be positive, besides time and frames.
            since: When the transient is over.

        Raises:
            ValueError: a number is not positive, or no time is left after the transient.
        """
        check_positive(self, "time", "frames", *names)
        if not 0 <= since < self.time:
            raise ValueError(
                f"since must lie within the time of {self.time:g}, got {since:g}: "
                "lower --since, or run longer with --time"
            )

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """What the command calls it."""

    @abc.abstractmethod
    def scene(self, like: Tensor) -> Scene:
        """The flow and its bodies."""

    @abc.abstractmethod
    def figures(self, run: Run) -> list[Row]:
        """What came out, beside what is known."""

    @property
    @abc.abstractmethod
    def facts(self) -> dict[str, float]:
        """Numbers that a data file shall carry, ``length`` and ``speed`` among them."""


def even(cells: float) -> int:
    """The next even number of cells."""
    return 2 * math.ceil(cells / 2 - 1e-9)


def push(x: float, y: float, strength: float, flow: Flow) -> Callable[[FlowState], FlowState]:
    """A gust across the stream, one length wide: symmetric flows need one to begin shedding."""

    def pushed(state: FlowState) -> FlowState:
        there_x, there_y = flow.grid.faces_y(state.v)
        gust = strength * torch.exp(-((there_x - x).square() + (there_y - y).square()))
        gust[:, 0] = gust[:, -1] = 0
        return state._replace(v=state.v + gust)

    return pushed


def force_rows(
    summary: Summary,
    body: int,
    label: str,
    drag: tuple[float, float] | None = None,
    lift_amplitude: tuple[float, float] | None = None,
    strouhal: tuple[float, float] | None = None,
    source: str = "",
) -> list[Row]:
    """Rows of one body: mean drag, mean and amplitude of lift, Strouhal number if it sheds."""
    low, high = summary.ci95

    def mean(component: int) -> tuple[float, float]:
        half = 0.5 * float(high[0, body, component] - low[0, body, component])
        return float(summary.mean[0, body, component]), half

    rows = [Row(f"{label}drag coefficient", *mean(0), drag, source if drag else "")]
    rows.append(Row(f"{label}lift coefficient", *mean(1)))
    if math.isfinite(float(summary.strouhal[0, body, 1])):
        rows.append(
            Row(
                f"{label}lift amplitude",
                float(summary.amplitude[0, body, 1]),
                None,
                lift_amplitude,
                source if lift_amplitude else "",
            )
        )
        number = float(summary.strouhal[0, body, 1])
        where = source if strouhal else ""
        rows.append(Row(f"{label}Strouhal number", number, None, strouhal, where))
    return rows
