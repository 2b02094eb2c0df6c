"""Files of The Well (Ohana et al., 2024, https://arxiv.org/abs/2412.00568), as it publishes them.

What does not vary with sample, time or an axis is kept there once, and here repeated. Vectors and
tensors of a plane stay such; of other dimensions each component becomes a field. Of boundaries
only the sides of the box and their kind are kept. Scalars of each sample become figures of it;
those that vary in time are left out, which the recipe tells.
"""

import itertools

import h5py
import numpy as np
from numpy.typing import NDArray

from physgen.datasets import store
from physgen.datasets.foreign_format import (
    NOT_KNOWN,
    Format,
    expect,
    numbers_of,
    part,
    single,
    the_same,
)

SIDES = {"x": ("left", "right"), "y": ("bottom", "top")}


def _names(place: h5py.Group | h5py.File, attribute: str) -> list[str]:
    return [str(name) for name in np.atleast_1d(np.asarray(place.attrs.get(attribute, [])))]


def _group(place: h5py.File, name: str) -> h5py.Group:
    found = place.get(name)
    if isinstance(found, h5py.Group):
        return found
    raise ValueError(f"group {name} is missing, got {', '.join(map(str, place))}")


class Well(Format[h5py.File]):
    """One file a parameter value, in named groups."""

    name = "The Well"
    layout = "groups dimensions, scalars, boundary_conditions, t0_fields, t1_fields and t2_fields"

    def recognises(self, source: h5py.File) -> bool:
        return {"dimensions", "t0_fields", "t1_fields"} <= set(source)

    def count(self, source: h5py.File) -> int:
        return int(np.asarray(source.attrs["n_trajectories"]))

    def read(self, source: h5py.File, samples: slice) -> store.Trajectories:
        dimensions = _group(source, "dimensions")
        axes = _names(dimensions, "spatial_dims")
        space = {axis: single(part(dimensions, axis)[:]) for axis in axes}
        stored = part(dimensions, "time")
        time = the_same(stored[samples] if stored.ndim == 2 else stored[:], "times")
        count = len(range(self.count(source))[samples])
        sizes = (count, len(time), *(len(line) for line in space.values()))
        fields: dict[str, store.Field] = {}
        for order, name in enumerate(store.GROUPS):
            group = source.get(name)
            for field in _names(group, "field_names") if isinstance(group, h5py.Group) else []:
                assert isinstance(group, h5py.Group)
                values = _whole(part(group, field), samples, sizes, order)
                fields |= _components(field, values, order, axes)
        figures, left_out = _figures(source, samples, count)
        parameters = {
            name: value
            for name, value in numbers_of(source).items()
            if name in _names(source, "simulation_parameters")
        }
        return store.Trajectories(
            name=str(source.attrs.get("dataset_name", "the well")),
            time=time,
            space=space,
            fields=fields,
            parameters=parameters,
            boundaries=_sides(source),
            recipe={"left_out": left_out} if left_out else {},
            seed=np.full(count, NOT_KNOWN, np.int64),
            quality=figures,
            centring="cell",
        )


def _whole(
    stored: h5py.Dataset, samples: slice, sizes: tuple[int, ...], order: int
) -> NDArray[np.float32]:
    """A field with all its axes, repeated along those on which it does not depend."""
    varies = [
        bool(stored.attrs["sample_varying"]),
        bool(stored.attrs["time_varying"]),
        *np.asarray(stored.attrs["dim_varying"], bool).tolist(),
    ]
    values = single(stored[samples] if varies[0] else stored[:])
    there = tuple(size for size, one in zip(sizes, varies, strict=True) if one)
    components = (len(sizes) - 2,) * order
    expect(values.shape, (*there, *components), str(stored.name))
    spread = tuple(size if one else 1 for size, one in zip(sizes, varies, strict=True))
    return np.broadcast_to(values.reshape(*spread, *components), (*sizes, *components))


def _components(
    name: str, values: NDArray[np.float32], order: int, axes: list[str]
) -> dict[str, store.Field]:
    if order == 0 or len(axes) == 2:
        return {name: store.Field(values, "1", order)}
    flat = values.reshape(*values.shape[: values.ndim - order], -1)
    indices = itertools.product(axes, repeat=order)
    return {
        f"{name}_{''.join(index)}": store.Field(flat[..., k], "1", 0)
        for k, index in enumerate(indices)
    }


def _figures(
    source: h5py.File, samples: slice, count: int
) -> tuple[dict[str, NDArray[np.float64]], list[str]]:
    """Scalars of each sample, and the names of those that vary in time."""
    found, left_out = {}, []
    scalars = source.get("scalars")
    for name in _names(scalars, "field_names") if isinstance(scalars, h5py.Group) else []:
        assert isinstance(scalars, h5py.Group)
        stored = part(scalars, name)
        if stored.attrs["time_varying"]:
            left_out.append(name)
        elif stored.attrs["sample_varying"]:
            found[name] = np.asarray(stored[samples], np.float64)
            expect(found[name].shape, (count,), name)
    return found, left_out


def _sides(source: h5py.File) -> dict[str, str]:
    """Kinds of the sides of the box, by the masks along one axis."""
    found: dict[str, str] = {}
    boundaries = source.get("boundary_conditions")
    if not isinstance(boundaries, h5py.Group):
        return found
    for boundary in boundaries.values():
        along = _names(boundary, "associated_dims")
        kind = str(boundary.attrs["bc_type"]).upper()
        if len(along) == 1 and along[0] in SIDES and kind in store.KINDS:
            ends = part(boundary, "mask")[:][..., [0, -1]].reshape(-1, 2).any(0)
            sides = zip(SIDES[along[0]], ends.tolist(), strict=True)
            found |= {side: kind for side, there in sides if there}
    return found
