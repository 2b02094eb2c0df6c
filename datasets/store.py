"""The native file: trajectories of a physical system, with the recipe that made them.

Layout of a file, whose key names stand in this module and nowhere else::

    /                     format, dataset_name, grid_type, n_spatial_dims, n_trajectories,
                          simulation_parameters and one attribute for each; recipe (JSON)
    /sample /time /body   coordinates, HDF5 dimension scales (a grid has x, y for body)
    /component            of vectors: 0, 1
    /dimensions/          the coordinates again (hard links), with spatial_dims
    /scalars/             one number for each simulation parameter
    /t0_fields/           scalars    (sample, time, *space)
    /t1_fields/           vectors    (sample, time, *space, component), with units
    /t2_fields/           tensors    (sample, time, *space, component, component)
    /boundary_conditions/ one group for each wall or body, with bc_type
    /seed                 of every sample, from which it alone can be made again
    /quality/             figures of every sample, such as its relative energy drift

These are the groups and attributes of The Well (Ohana et al., 2024,
https://arxiv.org/abs/2412.00568), and the scales at the root make the same file open in
``xarray.open_datatree(path, engine="h5netcdf")`` with named dimensions. Files are written whole
or not at all.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from physgen.files import whole

FORMAT = "physgen trajectories 1"
GROUPS = ("t0_fields", "t1_fields", "t2_fields")
COMPONENT = "component"


@dataclass(frozen=True)
class Field:
    """One physical quantity of every sample at every instant."""

    values: NDArray[np.float32]
    """``(sample, time, *space)``, and one or two component axes behind for order 1 or 2."""
    units: str
    order: int
    """0 for a scalar, 1 for a vector, 2 for a tensor."""


@dataclass(frozen=True)
class Trajectories:
    """What a file holds."""

    name: str
    time: NDArray[np.float32]
    """In s."""
    space: Mapping[str, NDArray[np.float32]]
    """Coordinates of each spatial axis; for particles one axis that counts them."""
    fields: Mapping[str, Field]
    parameters: Mapping[str, float]
    boundaries: Mapping[str, str]
    """Type of each boundary, such as WALL, by name."""
    recipe: Mapping[str, object]
    """Solver, version and configuration."""
    seed: NDArray[np.int64]
    quality: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


def write(path: Path, data: Trajectories) -> None:
    """Write a file.

    Raises:
        ValueError: a field's shape is not that of the coordinates.
    """
    sizes = (len(data.seed), len(data.time), *(len(axis) for axis in data.space.values()))
    for name, one in data.fields.items():
        expected = (*sizes, *[2] * one.order)
        if one.values.shape != expected:
            raise ValueError(f"field {name} must have shape {expected}, got {one.values.shape}")
    with whole(path) as part, h5py.File(part, "w") as file:
        _write_root(file, data)
        _write_fields(file, data)
        _write_facts(file, data)


def _write_root(file: h5py.File, data: Trajectories) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["dataset_name"] = data.name
    file.attrs["grid_type"] = "cartesian"
    file.attrs["n_spatial_dims"] = len(data.space)
    file.attrs["n_trajectories"] = len(data.seed)
    file.attrs["simulation_parameters"] = list(data.parameters)
    file.attrs["recipe"] = json.dumps(data.recipe, sort_keys=True)
    for name, value in data.parameters.items():
        file.attrs[name] = value
    samples = np.arange(len(data.seed))
    axes = {"sample": samples, "time": data.time, **data.space, COMPONENT: np.arange(2)}
    for name, values in axes.items():
        file.create_dataset(name, data=values).make_scale(name)
    file["time"].attrs["units"] = "s"
    dimensions = file.create_group("dimensions")
    dimensions.attrs["spatial_dims"] = list(data.space)
    for name in ("time", *data.space):
        dimensions[name] = file[name]
        file[name].attrs["sample_varying"] = False
        file[name].attrs["time_varying"] = name == "time"


def _write_fields(file: h5py.File, data: Trajectories) -> None:
    for order, group_name in enumerate(GROUPS):
        group = file.create_group(group_name)
        members = {name: one for name, one in data.fields.items() if one.order == order}
        group.attrs["field_names"] = list(members)
        for name, one in members.items():
            chunk = (1, *one.values.shape[1:])
            stored = group.create_dataset(name, data=one.values, chunks=chunk, compression="lzf")
            stored.attrs["units"] = one.units
            stored.attrs["dim_varying"] = [True] * len(data.space)
            stored.attrs["sample_varying"] = stored.attrs["time_varying"] = True
            names = ("sample", "time", *data.space, *[COMPONENT] * order)
            for axis, scale in enumerate(names):
                stored.dims[axis].attach_scale(file[scale])


def _write_facts(file: h5py.File, data: Trajectories) -> None:
    scalars = file.create_group("scalars")
    scalars.attrs["field_names"] = list(data.parameters)
    for name, value in data.parameters.items():
        scalars[name] = np.float32(value)
        scalars[name].attrs["sample_varying"] = scalars[name].attrs["time_varying"] = False
    boundaries = file.create_group("boundary_conditions")
    for name, kind in data.boundaries.items():
        group = boundaries.create_group(name)
        group.attrs["bc_type"] = kind
        group.attrs["associated_dims"] = list(data.space)
        group.attrs["associated_fields"] = list(data.fields)
        group.attrs["sample_varying"] = group.attrs["time_varying"] = False
        space = list(data.space.items())
        mask = group.create_dataset("mask", data=np.zeros([len(axis) for _, axis in space], bool))
        for axis, (scale, _) in enumerate(space):
            mask.dims[axis].attach_scale(file[scale])
    seed = file.create_dataset("seed", data=data.seed)
    seed.dims[0].attach_scale(file["sample"])
    quality = file.create_group("quality")
    for name, values in data.quality.items():
        figure = quality.create_dataset(name, data=values)
        figure.dims[0].attach_scale(file["sample"])


def read(path: Path, samples: slice = slice(None)) -> Trajectories:
    """Some or all samples of a file.

    Raises:
        ValueError: the file is missing, truncated, or lacks something, which is named.
    """
    with opened(path) as file:
        fields = {}
        for order, group in enumerate(GROUPS):
            for name in _names(_group(file, group), "field_names"):
                stored = _dataset(file, f"{group}/{name}")
                fields[name] = Field(stored[samples], str(stored.attrs["units"]), order)
        space = _names(_group(file, "dimensions"), "spatial_dims")
        return Trajectories(
            name=str(file.attrs["dataset_name"]),
            time=_dataset(file, "time")[:],
            space={name: _dataset(file, name)[:] for name in space},
            fields=fields,
            parameters={
                name: float(np.asarray(file.attrs[name]))
                for name in _names(file, "simulation_parameters")
            },
            boundaries={
                name: str(_group(file, f"boundary_conditions/{name}").attrs["bc_type"])
                for name in _group(file, "boundary_conditions")
            },
            recipe=recipe(file),
            seed=_dataset(file, "seed")[samples],
            quality={
                name: _dataset(file, f"quality/{name}")[samples]
                for name in _group(file, "quality")
            },
        )


NEEDED = ("sample", "time", "dimensions", *GROUPS, "boundary_conditions", "scalars", "seed")


def opened(path: Path) -> h5py.File:
    """An open file of this layout.

    Raises:
        ValueError: it is not one; the message names what is missing.
    """
    if not path.is_file():
        raise ValueError(f"there is no data file {path}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} is no HDF5 file, or is truncated: {error}") from error
    if file.attrs.get("format") != FORMAT:
        file.close()
        raise ValueError(f"{path} is an HDF5 file, but not of physgen: 'format' is not '{FORMAT}'")
    missing = [name for name in (*NEEDED, "quality") if name not in file]
    if missing:
        file.close()
        raise ValueError(f"{path} is incomplete: {', '.join(missing)} missing")
    return file


def recipe(file: h5py.File) -> dict[str, object]:
    """How the trajectories of an open file were made."""
    found = json.loads(str(file.attrs["recipe"]))
    assert isinstance(found, dict)
    return found


def seeds(file: h5py.File) -> NDArray[np.int64]:
    """The seed of every sample of an open file."""
    found: NDArray[np.int64] = _dataset(file, "seed")[:]
    return found


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    found = file.get(name)
    if isinstance(found, h5py.Dataset):
        return found
    raise ValueError(f"{file.filename} is incomplete: data set {name} missing")


def _group(file: h5py.File, name: str) -> h5py.Group:
    found = file.get(name)
    if isinstance(found, h5py.Group):
        return found
    raise ValueError(f"{file.filename} is incomplete: group {name} missing")


def _names(place: h5py.Group, attribute: str) -> Sequence[str]:
    return [str(name) for name in np.asarray(place.attrs[attribute])]
