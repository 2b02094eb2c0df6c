"""The native file: trajectories of a physical system, with the recipe that made them.

Layout of a file, whose key names stand in this module and nowhere else::

    /                     format, dataset_name, grid_type, n_spatial_dims, n_trajectories,
                          simulation_parameters and one attribute for each; recipe (JSON)
    /sample /time /body   coordinates, HDF5 dimension scales (a grid has x, y for body)
                          and a grid, at the root, centring and Conventions (CF)
    /component            of vectors: 0, 1
    /dimensions/          the coordinates again (hard links), with spatial_dims
    /scalars/             one number for each simulation parameter
    /t0_fields/           scalars    (sample, time, *space)
    /t1_fields/           vectors    (sample, time, *space, component), with units
    /t2_fields/           tensors    (sample, time, *space, component, component)
    /boundary_conditions/ one group for each wall or body, with bc_type and mask
        body_0            of a body also sdf (sample, time, *space), its signed distance, and
                          vertices (sample, time, vertex, component), not a number behind the
                          last; without the axis time if the body is still
    /histories/           what has its own, finer time: force (sample, force_time, body,
                          component), with scales force_time and body; only if there are any
    /seed                 of every sample, from which it alone can be made again; -1 if nothing
                          of it is random
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
CONVENTIONS = "CF-1.11"

KINDS = {
    "WALL": "WALL",
    "OPEN": "OPEN",
    "PERIODIC": "PERIODIC",
    "INFLOW": "OPEN",
    "OUTFLOW": "OPEN",
    "SLIP": "WALL",
}
"""What a boundary can be, and which of The Well's three kinds that is."""

SIDES = {"left": ("x", 0), "right": ("x", -1), "bottom": ("y", 0), "top": ("y", -1)}
"""The sides of a grid: the axis they end, and the index of their cells along it."""


@dataclass(frozen=True)
class Field:
    """One physical quantity of every sample at every instant."""

    values: NDArray[np.float32]
    """``(sample, time, *space)``, and one or two component axes behind for order 1 or 2."""
    units: str
    order: int
    """0 for a scalar, 1 for a vector, 2 for a tensor."""
    about: str = ""
    """What it is, in words: the ``long_name`` of the CF conventions."""


@dataclass(frozen=True)
class Body:
    """A solid on the grid, still or moving, in every sample another."""

    distance: NDArray[np.float32]
    """Signed distance ``(sample, time, *space)`` in m, negative inside; one instant if still."""
    outline: Sequence[Sequence[NDArray[np.float32]]]
    """For every sample and instant of ``distance`` its vertices ``(vertex, component)``, in m."""


@dataclass(frozen=True)
class History:
    """A quantity of every body that is kept more often than the fields."""

    time: NDArray[np.float32]
    """In s."""
    values: NDArray[np.float32]
    """``(sample, time, body)``, and component axes behind as in a field."""
    units: str
    order: int
    about: str = ""


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
    bodies: Mapping[str, Body] = field(default_factory=dict)
    histories: Mapping[str, History] = field(default_factory=dict)
    centring: str = ""
    """Where the values of a grid are, such as ``cell`` for centres of cells or ``point`` for points
    between walls; its axes are in m then. Empty for particles."""


def write(path: Path, data: Trajectories) -> None:
    """Write a file.

    Raises:
        ValueError: a shape is not that of the coordinates, a boundary is of no known kind, or a
            parameter has a name that means something else.
    """
    _check(data)
    with whole(path) as part, h5py.File(part, "w") as file:
        _write_root(file, data)
        _write_fields(file, data)
        _write_facts(file, data)
        _write_boundaries(file, data)
        for name, body in data.bodies.items():
            _write_body(file, name, body, data)
        if data.histories:
            _write_histories(file, data)


def _check(data: Trajectories) -> None:
    space = tuple(len(axis) for axis in data.space.values())
    sizes = (len(data.seed), len(data.time), *space)
    for name, one in data.fields.items():
        expected = (*sizes, *[2] * one.order)
        if one.values.shape != expected:
            raise ValueError(f"field {name} must have shape {expected}, got {one.values.shape}")
    for name, kind in data.boundaries.items():
        if kind not in KINDS:
            raise ValueError(f"boundary {name} is {kind}, of which is known: {', '.join(KINDS)}")
    for name, body in data.bodies.items():
        still = (len(data.seed), 1, *space)
        if body.distance.shape not in (still, sizes):
            came = f"got {body.distance.shape}"
            raise ValueError(f"body {name} must have distances {sizes} or {still}, {came}")
        if any(len(poses) != body.distance.shape[1] for poses in body.outline):
            raise ValueError(f"body {name} needs an outline for each instant of its distance")
    for name, history in data.histories.items():
        expected = (len(data.seed), len(history.time), len(data.bodies), *[2] * history.order)
        if history.values.shape != expected:
            came = f"got {history.values.shape}"
            raise ValueError(f"history {name} must have shape {expected}, {came}")


def _write_root(file: h5py.File, data: Trajectories) -> None:
    file.attrs["format"] = FORMAT
    file.attrs["dataset_name"] = data.name
    file.attrs["grid_type"] = "cartesian"
    file.attrs["n_spatial_dims"] = len(data.space)
    file.attrs["n_trajectories"] = len(data.seed)
    file.attrs["simulation_parameters"] = list(data.parameters)
    file.attrs["recipe"] = json.dumps(data.recipe, sort_keys=True)
    samples = np.arange(len(data.seed))
    axes = {"sample": samples, "time": data.time, **data.space, COMPONENT: np.arange(2)}
    for name, values in axes.items():
        file.create_dataset(name, data=values).make_scale(name)
    file["time"].attrs["units"] = "s"
    if data.centring:
        file.attrs["centring"] = data.centring
        file.attrs["Conventions"] = CONVENTIONS
        file.attrs["title"] = data.name
        file["time"].attrs["standard_name"] = "time"
        for name, letter in zip(data.space, "XYZ", strict=False):
            file[name].attrs["units"] = "m"
            file[name].attrs["axis"] = letter
            where = "cell centre" if data.centring == "cell" else data.centring
            file[name].attrs["long_name"] = f"{name} of the {where}"
    for name, value in data.parameters.items():
        if name in file.attrs:
            raise ValueError(f"a parameter cannot be called {name}: files use the name themselves")
        file.attrs[name] = value
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
            names = ("sample", "time", *data.space, *[COMPONENT] * order)
            stored = _store(group, name, one.values, names)
            _tell(stored, one.units, one.about, data.centring)
            stored.attrs["dim_varying"] = [True] * len(data.space)
            stored.attrs["sample_varying"] = stored.attrs["time_varying"] = True


def _write_facts(file: h5py.File, data: Trajectories) -> None:
    scalars = file.create_group("scalars")
    scalars.attrs["field_names"] = list(data.parameters)
    for name, value in data.parameters.items():
        scalars[name] = np.float32(value)
        scalars[name].attrs["sample_varying"] = scalars[name].attrs["time_varying"] = False
    seed = file.create_dataset("seed", data=data.seed)
    seed.dims[0].attach_scale(file["sample"])
    quality = file.create_group("quality")
    for name, values in data.quality.items():
        figure = quality.create_dataset(name, data=values)
        figure.dims[0].attach_scale(file["sample"])


def _write_boundaries(file: h5py.File, data: Trajectories) -> None:
    """The mask of a side is that of its cells along its axis; others have cells nowhere."""
    boundaries = file.create_group("boundary_conditions")
    for name, kind in data.boundaries.items():
        axis, end = SIDES.get(name, ("", 0))
        axes = [axis] if axis in data.space else list(data.space)
        mask = np.zeros([len(data.space[one]) for one in axes], bool)
        if axis in data.space:
            mask[end] = True
        group = _boundary(boundaries, name, kind, axes, data)
        group.attrs["sample_varying"] = group.attrs["time_varying"] = False
        _store(group, "mask", mask, axes)


def _boundary(
    boundaries: h5py.Group, name: str, kind: str, axes: Sequence[str], data: Trajectories
) -> h5py.Group:
    group = boundaries.create_group(name)
    group.attrs["bc_type"] = KINDS[kind]
    group.attrs["kind"] = kind
    group.attrs["associated_dims"] = list(axes)
    group.attrs["associated_fields"] = list(data.fields)
    return group


def _write_body(file: h5py.File, name: str, body: Body, data: Trajectories) -> None:
    group = _boundary(_group(file, "boundary_conditions"), name, "WALL", list(data.space), data)
    moving = body.distance.shape[1] > 1
    group.attrs["sample_varying"], group.attrs["time_varying"] = True, moving
    start = ("sample", "time") if moving else ("sample",)
    longest = max(len(outline) for poses in body.outline for outline in poses)
    distance, vertices = body.distance, padded(body.outline, longest)
    group.create_dataset("vertex", data=np.arange(vertices.shape[2])).make_scale("vertex")
    if not moving:
        distance, vertices = distance[:, 0], vertices[:, 0]
    _store(group, "mask", distance < 0, (*start, *data.space))
    sdf = _store(group, "sdf", distance, (*start, *data.space))
    _tell(sdf, "m", "signed distance to the body, negative inside", data.centring)
    outline = _store(group, "vertices", vertices, (*start, "vertex", COMPONENT))
    _tell(outline, "m", "vertices of the body's outline, not a number behind the last")


def padded(outlines: Sequence[Sequence[NDArray[np.float32]]], longest: int) -> NDArray[np.float32]:
    """Outlines ``(sample, time, vertex, component)``, not a number behind their last vertex."""
    places = np.full((len(outlines), len(outlines[0]), longest, 2), np.nan, np.float32)
    for sample, poses in enumerate(outlines):
        for instant, outline in enumerate(poses):
            places[sample, instant, : len(outline)] = outline
    return places


def _write_histories(file: h5py.File, data: Trajectories) -> None:
    group = file.create_group("histories")
    group.attrs["field_names"] = list(data.histories)
    group.create_dataset("body", data=np.arange(len(data.bodies))).make_scale("body")
    for name, history in data.histories.items():
        scale = group.create_dataset(f"{name}_time", data=history.time)
        scale.make_scale(f"{name}_time")
        scale.attrs["units"], scale.attrs["long_name"] = "s", f"time of the history of {name}"
        names = ("sample", f"{name}_time", "body", *[COMPONENT] * history.order)
        _tell(_store(group, name, history.values, names), history.units, history.about)


LARGEST_CHUNK = 2**22
"""In bytes. A sample is one chunk, as it is read; a larger one several, of whole instants."""


def _store(
    group: h5py.Group, name: str, values: NDArray[np.generic], names: Sequence[str]
) -> h5py.Dataset:
    """A data set with a scale on each axis, found in its own group or at the root."""
    chunk, kept = None, None
    if names[0] == "sample" and values.size:
        instants = max(1, LARGEST_CHUNK // values[0, 0].nbytes)
        chunk, kept = (1, min(instants, values.shape[1]), *values.shape[2:]), "lzf"
    stored = group.create_dataset(name, data=values, chunks=chunk, compression=kept)
    for axis, scale in enumerate(names):
        stored.dims[axis].attach_scale(group[scale] if scale in group else group.file[scale])
    return stored


def _tell(stored: h5py.Dataset, units: str, about: str, centring: str = "") -> None:
    said = {"units": units, "long_name": about, "centring": centring}
    for name, value in said.items():
        if value or name == "units":
            stored.attrs[name] = value


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
                fields[name] = Field(stored[samples], *_told(stored, order))
        space = _names(_group(file, "dimensions"), "spatial_dims")
        boundaries, bodies = _read_boundaries(file, samples)
        return Trajectories(
            name=str(file.attrs["dataset_name"]),
            time=_dataset(file, "time")[:],
            space={name: _dataset(file, name)[:] for name in space},
            fields=fields,
            parameters={
                name: float(np.asarray(file.attrs[name]))
                for name in _names(file, "simulation_parameters")
            },
            boundaries=boundaries,
            recipe=recipe(file),
            seed=_dataset(file, "seed")[samples],
            quality={
                str(name): _dataset(file, f"quality/{name}")[samples]
                for name in _group(file, "quality")
            },
            bodies=bodies,
            histories=_read_histories(file, samples),
            centring=str(file.attrs.get("centring", "")),
        )


def _told(stored: h5py.Dataset, order: int) -> tuple[str, int, str]:
    """Units, order and meaning."""
    return str(stored.attrs["units"]), order, str(stored.attrs.get("long_name", ""))


def _read_boundaries(file: h5py.File, samples: slice) -> tuple[dict[str, str], dict[str, Body]]:
    """A boundary with signed distances is a body."""
    boundaries, bodies = {}, {}
    for name in _group(file, "boundary_conditions"):
        group = _group(file, f"boundary_conditions/{name}")
        if "sdf" not in group:
            boundaries[name] = str(group.attrs.get("kind", group.attrs["bc_type"]))
            continue
        distance = _dataset(file, f"boundary_conditions/{name}/sdf")[samples]
        vertices = _dataset(file, f"boundary_conditions/{name}/vertices")[samples]
        if not group.attrs["time_varying"]:
            distance, vertices = distance[:, None], vertices[:, None]
        outline = [[pose[~np.isnan(pose).any(1)] for pose in poses] for poses in vertices]
        bodies[name] = Body(distance, outline)
    return boundaries, bodies


def _read_histories(file: h5py.File, samples: slice) -> dict[str, History]:
    histories = {}
    for name in _names(_group(file, "histories"), "field_names") if "histories" in file else ():
        stored = _dataset(file, f"histories/{name}")
        time = _dataset(file, f"histories/{name}_time")[:]
        histories[name] = History(time, stored[samples], *_told(stored, stored.ndim - 3))
    return histories


def is_ours(path: Path) -> bool:
    """Whether a file says that it is of this layout."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            return bool(file.attrs.get("format") == FORMAT)
    except OSError:  # truncated: what it is cannot be told
        return False


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
