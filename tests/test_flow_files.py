"""Files of flows: what is written is read, by xarray, The Well and ParaView too."""

import csv
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import pyvista
import xarray
from numpy.typing import NDArray

from physgen.datasets import store
from physgen.datasets.flow import Flows, read_flows, to_xarray, vortex_row, write_flows
from physgen.datasets.vtk import write_vtk
from physgen.design_tasks.inspection import describe

CELLS = (32, 16)
STILL = vortex_row(samples=2, instants=3, cells=CELLS, circles=2)
MOVING = vortex_row(samples=3, instants=4, cells=CELLS, circles=2, moving=True)


def uneven(flows: Flows) -> Flows:
    """The first body has fewer vertices in its first pose, the second in all of the others."""
    outlines = [
        [
            [body[: 5 if k == bool(pose) else 9] for k, body in enumerate(bodies)]
            for pose, bodies in enumerate(poses)
        ]
        for poses in flows.outlines
    ]
    return replace(flows, outlines=outlines)


def empty(flows: Flows) -> Flows:
    return replace(
        flows,
        distance=flows.distance[:, :1, :0],
        outlines=[[[]] for _ in flows.seed],
        force=flows.force[:, :, :0],
    )


def assert_same(one: Flows, other: Flows) -> None:
    for part in fields(Flows):
        a, b = getattr(one, part.name), getattr(other, part.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        elif part.name == "outlines":
            assert [[len(pose) for pose in poses] for poses in a] == [
                [len(pose) for pose in poses] for poses in b
            ]
            for x, y in zip(flat(a), flat(b), strict=True):
                np.testing.assert_array_equal(x, y)
        else:
            assert a == b


def flat(outlines: Any) -> list[NDArray[np.float32]]:  # noqa: ANN401
    return [outline for poses in outlines for pose in poses for outline in pose]


@pytest.mark.parametrize(
    "flows",
    [STILL, MOVING, uneven(MOVING), empty(STILL), replace(STILL, scalar=None)],
    ids=["still", "moving", "uneven", "without bodies", "without smoke"],
)
def test_reading_gives_what_was_written(flows: Flows, tmp_path: Path) -> None:
    write_flows(tmp_path / "flow.h5", flows)
    assert_same(read_flows(tmp_path / "flow.h5"), flows)


def test_many_bodies_come_back_in_their_order(tmp_path: Path) -> None:
    flows = vortex_row(instants=2, cells=(8, 8), circles=12)
    write_flows(tmp_path / "flow.h5", flows)
    assert_same(read_flows(tmp_path / "flow.h5"), flows)


def test_some_samples_are_read_alone(tmp_path: Path) -> None:
    write_flows(tmp_path / "flow.h5", MOVING)
    one = read_flows(tmp_path / "flow.h5", slice(1, 2))
    assert one.seed == [1]
    np.testing.assert_array_equal(one.velocity[0], MOVING.velocity[1])
    np.testing.assert_array_equal(one.force[0], MOVING.force[1])
    np.testing.assert_array_equal(one.pose(0, 2)[1], MOVING.pose(1, 2)[1])


def test_the_derivatives_of_the_known_flow_are_its_vorticity_and_no_divergence() -> None:
    flows = vortex_row(instants=1, cells=(200, 100))
    u, v = np.moveaxis(flows.velocity[0, 0].astype(np.float64), -1, 0)
    dx, dy = flows.spacing
    curl = np.gradient(v, dx, axis=0) - np.gradient(u, dy, axis=1)
    divergence = np.gradient(u, dx, axis=0) + np.gradient(v, dy, axis=1)
    strength = np.abs(flows.vorticity).max()
    inner = np.s_[1:-1, 1:-1]
    np.testing.assert_allclose(curl[inner], flows.vorticity[0, 0][inner], atol=0.03 * strength)
    assert np.abs(divergence[inner]).max() < 0.03 * strength


def test_a_vortex_of_the_known_flow_is_held_by_its_pressure() -> None:
    flows = vortex_row(instants=1, cells=(200, 100))
    strength = np.abs(flows.vorticity[0, 0, :200])
    i, j = np.unravel_index(strength.argmax(), strength.shape)
    right, left = np.s_[i + 3 : i + 9], np.s_[i - 3 : i - 9 : -1]
    across = flows.velocity[0, 0, :, j, 1].astype(np.float64)
    swirl = (across[right] - across[left]) / 2
    slope = np.gradient(flows.pressure[0, 0, :, j].astype(np.float64), flows.spacing[0])
    outwards = (slope[right] - slope[left]) / 2
    np.testing.assert_allclose(outwards, swirl**2 / (flows.x[right] - flows.x[i]), rtol=0.1)


@pytest.mark.parametrize(("flows", "time"), [(STILL, ()), (MOVING, ("time",))])
def test_a_file_opens_in_xarray_with_named_dimensions(
    flows: Flows, time: tuple[str, ...], tmp_path: Path
) -> None:
    write_flows(tmp_path / "flow.h5", flows)
    with xarray.open_datatree(tmp_path / "flow.h5", engine="h5netcdf") as tree:
        velocity = tree["t1_fields/velocity"]
        assert velocity.dims == ("sample", "time", "x", "y", "component")
        assert velocity.attrs["units"] == "m s-1" and velocity.attrs["centring"] == "cell"
        assert "interpolated" in velocity.attrs["long_name"]
        assert tree.attrs["Conventions"] == "CF-1.11" and tree["x"].attrs["units"] == "m"
        force = tree["histories/force"]
        assert force.dims == ("sample", "force_time", "body", "component")
        np.testing.assert_array_equal(force.force_time, flows.force_time)
        body = tree["boundary_conditions/body_1"]
        assert body["sdf"].dims == body["mask"].dims == ("sample", *time, "x", "y")
        assert body["vertices"].dims == ("sample", *time, "vertex", "component")
        np.testing.assert_array_equal(body["mask"], body["sdf"] < 0)
        sdf = body["sdf"].isel(sample=1).sel(x=0, y=2, method="nearest").to_numpy().ravel()
        i, j = np.abs(flows.x).argmin(), np.abs(flows.y - 2).argmin()
        np.testing.assert_array_equal(sdf, flows.distance[1, :, 1, i, j])


def names(value: object) -> list[str]:
    return [str(name) for name in np.asarray(value)]


@pytest.mark.parametrize("flows", [STILL, MOVING, empty(STILL)])
def test_a_file_has_the_groups_and_attributes_of_the_well(flows: Flows, tmp_path: Path) -> None:
    write_flows(tmp_path / "flow.h5", flows)
    with h5py.File(tmp_path / "flow.h5") as file:
        assert names(file["dimensions"].attrs["spatial_dims"]) == ["x", "y"]
        assert names(file["t0_fields"].attrs["field_names"]) == ["pressure", "vorticity", "scalar"]
        kinds = {"left": "OPEN", "right": "OPEN", "bottom": "WALL", "top": "WALL"}
        boundaries, dimensions = file["boundary_conditions"], file["dimensions"]
        assert isinstance(boundaries, h5py.Group) and isinstance(dimensions, h5py.Group)
        for name, side in boundaries.items():
            varying = [side.attrs["sample_varying"], side.attrs["time_varying"]]
            assert all(isinstance(one, np.bool_) for one in varying)
            assert side.attrs["bc_type"] == kinds.get(name, "WALL")
            dims = names(side.attrs["associated_dims"])
            sizes = [np.asarray(dimensions[one]).size for one in dims]
            counts = [len(flows.seed), len(flows.time)]
            kept = [count for count, one in zip(counts, varying, strict=True) if one]
            assert side["mask"].shape == (*kept, *sizes)
        assert names(file["boundary_conditions/left"].attrs["associated_dims"]) == ["x"]
        for name, cell in {"left": 0, "right": 31, "bottom": 0, "top": 15}.items():
            mask = np.asarray(boundaries[f"{name}/mask"])
            np.testing.assert_array_equal(np.flatnonzero(mask), [cell])
        assert file["boundary_conditions/left"].attrs["kind"] == "INFLOW"


@pytest.mark.parametrize("flows", [STILL, MOVING, uneven(MOVING), empty(STILL)])
def test_a_data_set_has_units_and_names_and_can_be_stored(flows: Flows, tmp_path: Path) -> None:
    data = to_xarray(flows)
    assert data["velocity"].dims == ("sample", "time", "x", "y", "component")
    pose = ("time",) if flows.moving else ()
    assert data["distance"].dims == ("sample", *pose, "body", "x", "y")
    assert data["force"].dims == ("sample", "force_time", "body", "component")
    units = {"velocity": "m s-1", "pressure": "Pa", "vorticity": "s-1", "force": "N m-1"}
    for name, unit in {**units, "x": "m", "time": "s", "force_time": "s"}.items():
        assert data[name].attrs["units"] == unit
    assert float(data["viscosity"]) == 0.01 and data.attrs["side_left"] == "INFLOW"
    speed = data["velocity"].isel(sample=1, time=2).sel(component="y").sel(x=3, method="nearest")
    place = np.abs(flows.x - 3).argmin()
    np.testing.assert_array_equal(speed, flows.velocity[1, 2, place, :, 1])
    if flows.bodies:
        outline = data["outline"].isel(sample=1, body=1)
        outline = outline.isel(time=2) if flows.moving else outline
        np.testing.assert_array_equal(outline.dropna("vertex"), flows.pose(1, 2)[1])
    data.to_netcdf(tmp_path / "flow.nc", engine="h5netcdf")
    with xarray.open_dataset(tmp_path / "flow.nc", engine="h5netcdf") as again:
        np.testing.assert_array_equal(again["pressure"], flows.pressure)


def open_series(path: Path, instant: int) -> tuple[list[float], Any]:
    reader = pyvista.PVDReader(path)
    reader.set_active_time_point(instant)
    return reader.time_values, reader.read()[0]


def test_paraview_finds_every_cell_where_it_is_with_its_values(tmp_path: Path) -> None:
    written = write_vtk(tmp_path, MOVING, 1)
    assert all(path.is_file() for path in written)
    times, grid = open_series(tmp_path / "flow.pvd", 2)
    np.testing.assert_array_equal(np.array(times, np.float32), MOVING.time)
    assert isinstance(grid, pyvista.ImageData)
    assert grid.dimensions == (33, 17, 2) and grid.n_cells == 32 * 16
    assert grid.spacing == pytest.approx((12 / 32, 6 / 16, 0.375), rel=1e-6)
    assert grid.bounds == pytest.approx((-2, 10, -3, 3, -0.375, 0), abs=1e-5)
    centres = grid.cell_centers().points
    i = np.abs(centres[:, :1] - MOVING.x).argmin(1)
    j = np.abs(centres[:, 1:2] - MOVING.y).argmin(1)
    np.testing.assert_allclose(centres[:, 0], MOVING.x[i], atol=1e-5)
    np.testing.assert_allclose(centres[:, 1], MOVING.y[j], atol=1e-5)
    cells = grid.cell_data
    np.testing.assert_array_equal(cells["velocity"][:, :2], MOVING.velocity[1, 2, i, j])
    assert not cells["velocity"][:, 2].any()
    for name in ("pressure", "vorticity", "scalar"):
        np.testing.assert_array_equal(cells[name], getattr(MOVING, name)[1, 2, i, j])
    distance = MOVING.distance[1, 2][:, i, j]
    np.testing.assert_array_equal(cells["distance"], distance.min(0))
    for body in range(2):
        np.testing.assert_array_equal(cells["body"] == body, distance[body] < 0)
    assert grid.field_data["TimeValue"] == pytest.approx(MOVING.time[2])


def test_vtk_files_are_binary_appended_and_compressed(tmp_path: Path) -> None:
    write_vtk(tmp_path, STILL, 0)
    for path in (tmp_path / "flow" / "flow_0000.vti", tmp_path / "bodies.vtp"):
        content = path.read_bytes()
        assert b'<AppendedData encoding="raw">' in content
        assert b"vtkZLibDataCompressor" in content


def test_outlines_are_closed_lines_that_move_with_their_bodies(tmp_path: Path) -> None:
    write_vtk(tmp_path, MOVING, 1)
    times, mesh = open_series(tmp_path / "bodies.pvd", 3)
    np.testing.assert_array_equal(np.array(times, np.float32), MOVING.time)
    for body, outline in enumerate(MOVING.pose(1, 3)):
        line = mesh.get_cell(body)
        assert mesh.cell_data["body"][body] == body
        np.testing.assert_array_equal(line.points[:-1, :2], outline)
        np.testing.assert_array_equal(line.points[-1], line.points[0])
    write_vtk(tmp_path / "still", STILL, 1)
    still = pyvista.read(tmp_path / "still" / "bodies.vtp")
    assert isinstance(still, pyvista.PolyData) and still.n_lines == 2
    assert not (tmp_path / "still" / "bodies.pvd").exists()


def test_forces_are_a_table_with_units(tmp_path: Path) -> None:
    write_vtk(tmp_path, MOVING, 2)
    with (tmp_path / "forces.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert "body 1 force y [N/m]" in rows[0]
    column = np.array([row["body 1 force y [N/m]"] for row in rows], np.float32)
    np.testing.assert_array_equal(column, MOVING.force[2, :, 1, 1])
    drag = np.array([row["body 0 drag coefficient [1]"] for row in rows], np.float32)
    np.testing.assert_allclose(drag, 2 * MOVING.force[2, :, 0, 0], rtol=1e-6)
    time = np.array([row["time [s]"] for row in rows], np.float32)
    np.testing.assert_array_equal(time, MOVING.force_time)


def test_what_holds_no_flow_is_refused_by_what_it_lacks(tmp_path: Path) -> None:
    discs = store.Trajectories(
        name="discs",
        time=np.arange(3, dtype=np.float32),
        space={"body": np.arange(2, dtype=np.float32)},
        fields={"velocity": store.Field(np.zeros((1, 3, 2, 2), np.float32), "px/s", 1)},
        parameters={},
        boundaries={"box": "WALL"},
        recipe={},
        seed=np.arange(1),
    )
    store.write(tmp_path / "discs.h5", discs)
    lacking = "no field pressure, no field vorticity, no axis x, no axis y, no history of force"
    with pytest.raises(ValueError, match=rf"discs\.h5 holds discs, no flows: it has {lacking}"):
        read_flows(tmp_path / "discs.h5")


def test_truncated_and_foreign_files_are_refused_by_name(tmp_path: Path) -> None:
    write_flows(tmp_path / "flow.h5", STILL)
    (tmp_path / "short.h5").write_bytes((tmp_path / "flow.h5").read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"short\.h5 is no HDF5 file, or is truncated"):
        read_flows(tmp_path / "short.h5")
    to_xarray(STILL).to_netcdf(tmp_path / "foreign.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"foreign\.nc is an HDF5 file, but not of physgen"):
        read_flows(tmp_path / "foreign.nc")
    with h5py.File(tmp_path / "flow.h5", "a") as file:
        del file["boundary_conditions/body_0/vertices"]
    with pytest.raises(ValueError, match="data set boundary_conditions/body_0/vertices missing"):
        read_flows(tmp_path / "flow.h5")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"distance": STILL.distance.repeat(2, axis=1)}, "as many poses .* 1, or 3 .*, got 2"),
        ({"x": np.geomspace(1, 2, 32, dtype=np.float32)}, "x must be .* equal steps"),
        ({"outlines": STILL.outlines[:1]}, "outlines must be those of each sample"),
        ({"parameters": {"velocity": 1.0}}, "need names of their own, got velocity"),
        ({"sides": {"lid": "WALL"}}, "has the sides left, right, bottom, top, got lid"),
    ],
)
def test_flows_that_do_not_fit_together_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(STILL, **change)


def test_names_that_files_do_not_know_or_need_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="boundary left is LID, of which is known: WALL"):
        write_flows(tmp_path / "flow.h5", replace(STILL, sides={"left": "LID"}))
    with pytest.raises(ValueError, match="a parameter cannot be called title"):
        write_flows(tmp_path / "flow.h5", replace(STILL, parameters={"title": 1.0}))
    assert not list(tmp_path.iterdir())


def test_inspect_tells_of_bodies_and_histories(tmp_path: Path) -> None:
    write_flows(tmp_path / "flow.h5", MOVING)
    facts = describe(tmp_path / "flow.h5")
    assert facts["body body_1"] == "moving, up to 60 vertices"
    assert facts["boundary left"] == "INFLOW"
    assert str(facts["history force"]).startswith("161 instants, N m-1, ")
