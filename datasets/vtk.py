"""Flows and other fields for ParaView and all that reads VTK's XML files."""

import xml.etree.ElementTree as xml
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from physgen.datasets.field import Fields
from physgen.datasets.flow import FIELDS, Flows, Outline, write_forces
from physgen.files import whole, write_text

if TYPE_CHECKING:
    from pyvista import ImageData, PolyData


def write_vtk(folder: Path, flows: Flows, sample: int) -> list[Path]:
    """One sample as a time series of images, outlines of its bodies, and its forces.

    ``flow.pvd`` lists a ``.vti`` file for each saved instant, with its time in s. The cells are
    those of the grid, one thick, with its upper face at z = 0, where the outlines lie; each holds
    the fields, ``body`` (the number of the body it is in, else -1) and ``distance`` to the
    nearest. Outlines are in ``bodies.vtp``, or listed by ``bodies.pvd`` if they move. Forces at
    every step of the solver are in ``forces.csv``.

    Returns: the files to open.
    """
    instants = range(len(flows.time))
    images = (image(flows, sample, k) for k in instants)
    opened = [_series(folder, "flow", flows.time, images)]
    if flows.bodies and flows.moving:
        outlines = (lines(flows.pose(sample, k)) for k in instants)
        opened.append(_series(folder, "bodies", flows.time, outlines))
    elif flows.bodies:
        opened.append(folder / "bodies.vtp")
        _save(lines(flows.pose(sample, 0)), opened[-1])
    opened.append(folder / "forces.csv")
    write_forces(opened[-1], flows, sample)
    return opened


def image(flows: Flows, sample: int, instant: int) -> "ImageData":
    """The cells of the grid with their fields; VTK counts along x first."""
    import pyvista

    (dx, dy), (left, _, bottom, _) = flows.spacing, flows.extent
    dz = min(dx, dy)
    grid = pyvista.ImageData(
        dimensions=(len(flows.x) + 1, len(flows.y) + 1, 2),
        spacing=(dx, dy, dz),
        origin=(left, bottom, -dz),
    )
    for name in FIELDS:
        values = getattr(flows, name)
        if values is not None:
            grid.cell_data[name] = _cells(values[sample, instant])
    distance = flows.distance_at(sample, instant)
    if flows.bodies:
        nearest = distance.min(0)
        grid.cell_data["distance"] = _cells(nearest)
        grid.cell_data["body"] = _cells(np.where(nearest < 0, distance.argmin(0), -1))
    grid.field_data["TimeValue"] = [float(flows.time[instant])]
    return grid


def _cells(values: np.ndarray) -> np.ndarray:
    """Values in the order of VTK; vectors have three components there."""
    columns = values.swapaxes(0, 1).reshape(-1, *values.shape[2:])
    return np.pad(columns, ((0, 0), (0, 1))) if columns.ndim == 2 else columns


def lines(outlines: Sequence[Outline]) -> "PolyData":
    """Closed lines with the number of their body."""
    import pyvista

    points = np.concatenate([np.pad(outline, ((0, 0), (0, 1))) for outline in outlines])
    cells, start = [], 0
    for outline in outlines:
        count = len(outline)
        cells.append([count + 1, *range(start, start + count), start])
        start += count
    mesh = pyvista.PolyData(points, lines=np.concatenate(cells))
    mesh.cell_data["body"] = np.arange(len(outlines))
    return mesh


def write_images(folder: Path, fields: Fields, sample: int) -> Path:
    """One sample of other fields as a time series of images, listed by ``fields.pvd``.

    Points are as their centring has them, middles of cells or points between walls; axes that a
    line or a plane lacks have one.

    Returns: the file to open.
    """
    instants = range(len(fields.time))
    return _series(folder, "fields", fields.time, (_grid_of(fields, sample, k) for k in instants))


def _grid_of(fields: Fields, sample: int, instant: int) -> "ImageData":
    import pyvista

    spacing = fields.spacing
    thin = min(spacing)
    missing = 3 - len(spacing)
    at_points = fields.centring == "point"
    corners = [float(axis[0]) for axis in fields.axes.values()]
    more = 0 if at_points else 1
    grid = pyvista.ImageData(
        dimensions=(*(len(axis) + more for axis in fields.axes.values()), *[1 + more] * missing),
        spacing=(*spacing, *[thin] * missing),
        origin=(
            *(corners if at_points else (low for low, _ in fields.cells)),
            *[0.0] * missing,
        ),
    )
    data = grid.point_data if at_points else grid.cell_data
    for name, values in fields.values.items():
        data[name] = values[sample, instant].ravel(order="F")
    grid.field_data["TimeValue"] = [float(fields.time[instant])]
    return grid


def _series(
    folder: Path, name: str, time: np.ndarray, meshes: "Iterable[ImageData | PolyData]"
) -> Path:
    import pyvista

    times = []
    for instant, mesh in enumerate(meshes):
        ending = "vti" if isinstance(mesh, pyvista.ImageData) else "vtp"
        file = folder / name / f"{name}_{instant:04d}.{ending}"
        _save(mesh, file)
        times.append((float(time[instant]), f"{name}/{file.name}"))
    write_text(folder / f"{name}.pvd", pvd(times))
    return folder / f"{name}.pvd"


def _save(mesh: "ImageData | PolyData", path: Path) -> None:
    """Binary data appended to the XML, compressed by zlib."""
    from vtkmodules.vtkIOXML import vtkXMLImageDataWriter, vtkXMLPolyDataWriter

    writer = vtkXMLImageDataWriter() if path.suffix == ".vti" else vtkXMLPolyDataWriter()
    with whole(path) as part:
        writer.SetFileName(str(part))
        writer.SetInputData(mesh)
        writer.SetDataModeToAppended()
        writer.EncodeAppendedDataOff()
        writer.SetCompressorTypeToZLib()
        if not writer.Write():
            raise OSError(f"VTK could not write {path}")


def pvd(times: Sequence[tuple[float, str]]) -> str:
    """ParaView's list of files and their times, a ``.pvd`` file."""
    root = xml.Element("VTKFile", type="Collection", version="1.0")
    listed = xml.SubElement(root, "Collection")
    for time, file in times:
        xml.SubElement(listed, "DataSet", timestep=f"{time:.9g}", part="0", file=file)
    xml.indent(root)
    return '<?xml version="1.0"?>\n' + xml.tostring(root, encoding="unicode") + "\n"
