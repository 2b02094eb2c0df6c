"""Every method of the package on the bed it is held to: what it draws, and what that costs.

A bed lists methods and gates. A method is run at a size and gives figures; a gate is a sentence
and whether it holds for the figures of all methods of its bed. A new method is measured, tested
and documented by being listed. Beds of other modules join by the same classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from physgen.testbeds.quality import Quality


@dataclass(frozen=True)
class Size:
    """How much is drawn."""

    draws: int
    """For each problem."""
    problems: int
    levels: int
    cells: int
    """Of a field, along each axis of space."""


SMALL = Size(draws=80, problems=2, levels=40, cells=16)
"""For tests, on which every gate must hold as well."""

FULL = Size(draws=80, problems=3, levels=80, cells=32)


@dataclass(frozen=True)
class Figures:
    """What a method was measured to do."""

    quality: Quality
    evaluations: float = 0.0
    """Of the prior, for each draw; of all priors together where there are several."""
    gradients: float = 0.0
    """Passed back through the prior, for each draw."""
    others: Mapping[str, float] = field(default_factory=dict)
    """What else the bed measures, by name."""


@dataclass(frozen=True)
class Method:
    """A row: a way to draw, and where it comes from."""

    name: str
    where: str
    """The module and what to use of it."""
    source: str
    """Equation and paper."""
    run: Callable[[Size], Figures]


Measured = Mapping[str, Figures]
"""The figures of a bed's methods by their names."""


@dataclass(frozen=True)
class Gate:
    """A sentence about a bed's methods, and whether it is true."""

    said: str
    holds: Callable[[Measured], bool]


@dataclass(frozen=True)
class Bed:
    """Problems whose answer is known, what is tried on them, and what must come of it."""

    name: str
    oracle: str
    """What is known, and how."""
    methods: tuple[Method, ...]
    gates: tuple[Gate, ...]

    def measure(self, size: Size) -> dict[str, Figures]:
        """Run every method."""
        return {method.name: method.run(size) for method in self.methods}
