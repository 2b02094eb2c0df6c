"""Pictures and files of N-body designs open in the programs they are for."""

import csv
from pathlib import Path

import pytest
import pyvista
import torch
import xarray
from PIL import Image

from physgen.design_tasks import nbody_view
from physgen.design_tasks.nbody import Motion, NBody, Start
from physgen.design_tasks.nbody_run import NBodyOptions, design_nbody
from physgen.design_tasks.nbody_view import write_vtk
from physgen.testbeds import source
from physgen.verdict import load_verdict


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    design_nbody(NBodyOptions(bodies=2, designs=5, baselines=1, out=out))
    return out


@pytest.fixture(scope="module")
def motion() -> Motion:
    task = NBody(3, 24, Start())
    return task.simulate(task.random(6, source()))


def test_paraview_finds_every_disc_where_it_is(motion: Motion, tmp_path: Path) -> None:
    write_vtk(tmp_path, {"simulated": motion}, [4, 2])
    reader = pyvista.PVDReader(tmp_path / "simulated.pvd")
    assert reader.time_values == pytest.approx([k / 15 for k in range(24)], rel=1e-5)
    reader.set_active_time_point(7)
    mesh = reader.read()[0]
    assert isinstance(mesh, pyvista.PolyData)
    assert set(mesh.cell_data["design"]) == {2, 4}
    for column, design in enumerate((4, 2)):
        for body in range(3):
            own = (mesh.cell_data["design"] == design) & (mesh.cell_data["body"] == body)
            disc = mesh.extract_cells(own.nonzero()[0])
            x, y, vx, vy = motion[design, 7, body].tolist()
            assert disc.center == pytest.approx((x + 1.1 * column, y, 0), abs=1e-5)
            assert disc.cell_data["velocity"][0] == pytest.approx((vx, vy, 0), abs=1e-6)
    box = pyvista.read(tmp_path / "box.vtp")
    assert box.bounds == pytest.approx((0, 2.1, 0, 1, 0, 0))


@pytest.mark.parametrize("count", [4, 8])
@pytest.mark.parametrize("last", [0.9, 1.0])
def test_no_design_is_shown_twice(count: int, last: float) -> None:
    for many in range(1, 30):
        cost = torch.randperm(many).float()
        chosen = nbody_view.from_best(cost, count, last)
        assert len(set(chosen)) == len(chosen) == min(count, many)
        assert cost[chosen].tolist() == sorted(cost[chosen].tolist()) and cost[chosen[0]] == 0


def test_the_animation_has_a_picture_for_each_instant(folder: Path) -> None:
    with Image.open(folder / "design.gif") as gif:
        assert getattr(gif, "n_frames", 1) == 24
        first = gif.convert("RGB").tobytes()
        gif.seek(23)
        assert gif.convert("RGB").tobytes() != first


@pytest.mark.parametrize("name", ["trajectories.png", "objective.png"])
def test_pictures_show_something(name: str, folder: Path) -> None:
    with Image.open(folder / name) as picture:
        colours = picture.convert("RGB").getcolors(10**6)
    assert colours is not None and len(colours) > 50


def test_everything_in_the_verdict_is_in_the_folder(folder: Path) -> None:
    verdict = load_verdict(folder / "verdict.json")
    assert all((folder / name).is_file() for name in verdict.files)
    assert set(verdict.baselines) == {"random", "best of 1000", "CMA-ES"}
    assert verdict.baselines["CMA-ES"].solver_calls == 720
    assert verdict.baselines["CMA-ES"].figures["objective"].mean < 0.12
    assert verdict.network_evaluations == 24
    assert verdict.options["descent"]["steps"] == 24  # type: ignore[index]
    assert 0 < verdict.seconds["network"] < 2 * verdict.seconds["sampling"]


def test_designs_open_in_xarray_and_agree_with_the_table(folder: Path) -> None:
    with xarray.open_datatree(folder / "designs.h5", engine="h5netcdf") as tree:
        place = tree["t1_fields/simulated_position"]
        assert place.dims == ("sample", "time", "body", "component")
        last = torch.from_numpy(place.to_numpy())[:, -1]
        objective = tree["quality/objective"].to_numpy()
    again = (last - 0.5).norm(dim=-1).mean(-1)
    torch.testing.assert_close(again, torch.from_numpy(objective).float())
    with (folder / "designs.csv").open() as file:
        rows = [float(row["objective"]) for row in csv.DictReader(file)]
    assert rows == pytest.approx(objective.tolist(), rel=1e-5)
    assert load_verdict(folder / "verdict.json").figures["objective"].mean == pytest.approx(
        objective.mean()
    )
