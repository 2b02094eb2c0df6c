"""Scalar fields on a line or in a plane, and how they change: what equations without bodies give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from physgen.datasets import store

NO_SEED = -1
"""The seed of what has nothing random."""
TO_THE_SIDES = {"cell": 0.5, "point": 1.0}
"""Spacings from the outermost points to the sides."""


@dataclass(frozen=True, eq=False)
class Fields:
    """Trajectories of some fields, all on one grid and saved at the same instants."""

    name: str
    time: Float32[np.ndarray, " time"]
    """Saved instants, in s."""
    axes: Mapping[str, Float32[np.ndarray, " point"]]
    """Evenly spaced points in m: ``x``, or ``x`` and ``y``. Sides are half a spacing away from
    centres of cells, a whole one from points between walls."""
    values: Mapping[str, Float32[np.ndarray, "sample time *space"]]
    """Of each field."""
    units: Mapping[str, str]
    """Of each field."""
    parameters: Mapping[str, float]
    """In SI units."""
    recipe: Mapping[str, object]
    """Solver, version and configuration."""
    seed: Int64[np.ndarray, " sample"]
    """NO_SEED for what has nothing random."""
    side: str
    """What all sides are: PERIODIC or WALL."""
    centring: str
    """What the points are: ``cell`` for centres of cells, ``point`` for points between walls."""
    quality: Mapping[str, Float64[np.ndarray, " sample"]] = field(default_factory=dict)
    """One figure a sample, such as its residual."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What fields are, in words, where their names do not say it."""

    def __post_init__(self) -> None:
        if self.centring not in TO_THE_SIDES:
            raise ValueError(
                f"points are one of {', '.join(TO_THE_SIDES)}, got centring {self.centring}"
            )

    @property
    def spacing(self) -> tuple[float, ...]:
        """Between points along each axis, in m."""
        return tuple(float(axis[-1] - axis[0]) / (len(axis) - 1) for axis in self.axes.values())

    @property
    def extent(self) -> tuple[tuple[float, float], ...]:
        """From side to side along each axis, in m."""
        return self._beyond(TO_THE_SIDES[self.centring])

    @property
    def cells(self) -> tuple[tuple[float, float], ...]:
        """What cells about the points reach along each axis, in m: short of walls between which
        these are points."""
        return self._beyond(0.5)

    def _beyond(self, spacings: float) -> tuple[tuple[float, float], ...]:
        axes = [
            (axis, spacings * h) for axis, h in zip(self.axes.values(), self.spacing, strict=True)
        ]
        return tuple((float(axis[0]) - far, float(axis[-1]) + far) for axis, far in axes)


def axes_of(places: Sequence[Float[Tensor, "*space"]]) -> dict[str, Float32[np.ndarray, " point"]]:
    """Coordinates along each axis, by its name, from those of all points."""
    found = {}
    for axis, (name, place) in enumerate(zip("xyz", places, strict=False)):
        line = place[tuple(slice(None) if k == axis else 0 for k in range(place.ndim))]
        found[name] = line.float().cpu().numpy()
    return found


def write_fields(path: Path, fields: Fields) -> None:
    """Write a file of the native layout, see :mod:`physgen.datasets.store`."""
    sides = [name for name, (axis, _) in store.SIDES.items() if axis in fields.axes]
    store.write(
        path,
        store.Trajectories(
            name=fields.name,
            time=fields.time,
            space=fields.axes,
            fields={
                name: store.Field(values, fields.units[name], 0, fields.about.get(name, ""))
                for name, values in fields.values.items()
            },
            parameters=fields.parameters,
            boundaries=dict.fromkeys(sides, fields.side),
            recipe=fields.recipe,
            seed=fields.seed,
            quality=fields.quality,
            centring=fields.centring,
        ),
    )
