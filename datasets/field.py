"""Scalar fields on a line or in a plane, and how they change: what equations without bodies give."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from physgen.datasets import store


@dataclass(frozen=True, eq=False)
class Fields:
    """Trajectories of some fields, all on one grid and saved at the same instants."""

    name: str
    time: Float32[np.ndarray, " time"]
    """Saved instants, in s."""
    axes: Mapping[str, Float32[np.ndarray, " point"]]
    """Evenly spaced points in m: ``x``, or ``x`` and ``y``."""
    values: Mapping[str, Float32[np.ndarray, "sample time *space"]]
    """Of each field."""
    units: Mapping[str, str]
    """Of each field."""
    parameters: Mapping[str, float]
    """In SI units."""
    recipe: Mapping[str, object]
    """Solver, version and configuration."""
    seed: Int64[np.ndarray, " sample"]
    side: str
    """What all sides are: PERIODIC or WALL."""

    @property
    def spacing(self) -> tuple[float, ...]:
        """Between points along each axis, in m."""
        return tuple(float(axis[-1] - axis[0]) / (len(axis) - 1) for axis in self.axes.values())

    @property
    def extent(self) -> tuple[tuple[float, float], ...]:
        """From half a spacing before the first point to half a spacing behind the last, in m."""
        axes = zip(self.axes.values(), self.spacing, strict=True)
        return tuple((float(axis[0]) - h / 2, float(axis[-1]) + h / 2) for axis, h in axes)


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
                name: store.Field(values, fields.units[name], 0)
                for name, values in fields.values.items()
            },
            parameters=fields.parameters,
            boundaries=dict.fromkeys(sides, fields.side),
            recipe=fields.recipe,
            seed=fields.seed,
            centring="cell",
        ),
    )
