"""Pictures of flows show what is in them, where it is."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from physgen.cli import parse
from physgen.datasets import store
from physgen.datasets.flow import Flows, vortex_row, write_flows
from physgen.design_tasks.flow_render import RenderOptions, render
from physgen.design_tasks.flow_view import (
    SOLID,
    What,
    film,
    forces,
    limits,
    picture,
    sheet,
    values,
)

MOVING = vortex_row(samples=2, instants=4, cells=(48, 24), moving=True)
STILL = vortex_row(instants=5, cells=(48, 24), circles=2)


def drawn(canvas: Figure) -> np.ndarray:
    """Colours of a figure, from the top left."""
    agg = FigureCanvasAgg(canvas)
    agg.draw()
    return np.asarray(agg.buffer_rgba())[..., :3] / 255


@pytest.mark.parametrize("instant", [1, 3])
def test_a_moving_body_is_drawn_where_its_distance_is_negative(instant: int) -> None:
    canvas = picture(MOVING, 1, instant, What.VORTICITY)
    colours = drawn(canvas)
    axis = canvas.axes[0]
    x, y = np.meshgrid(MOVING.x, MOVING.y, indexing="ij")
    places = axis.transData.transform(np.stack([x.ravel(), y.ravel()], 1)).round().astype(int)
    solid = np.abs(colours - to_rgb(SOLID)).max(-1) < 0.02
    shown = solid[len(solid) - 1 - places[:, 1], places[:, 0]].reshape(x.shape)
    distance = MOVING.distance_at(1, instant)[0]
    clear = np.abs(distance) > 0.5 * MOVING.spacing[0]
    assert shown[clear & (distance < 0)].all() and (distance < 0).any()
    assert not shown[clear & (distance > 0)][y[clear & (distance > 0)] < 2].any()


def test_axes_count_lengths() -> None:
    twice = replace(STILL, parameters={"length": 2.0, "speed": 4.0})
    axis = picture(twice, 0, 4, What.SPEED).axes[0]
    assert axis.get_xlim() == pytest.approx((-1, 5)) and axis.get_xlabel() == "$x / L$"
    assert axis.texts[-1].get_text().endswith("8.0")
    plain = replace(STILL, parameters={})
    axis = picture(plain, 0, 4, What.SPEED).axes[0]
    assert axis.get_xlim() == pytest.approx((-2, 10)) and axis.get_xlabel() == "$x$ [m]"
    assert axis.texts[-1].get_text().endswith("4.0 s")


def test_cells_are_as_wide_as_they_are_tall() -> None:
    for flows in (STILL, replace(STILL, **turned(STILL))):
        canvas = sheet(flows, 0, What.PRESSURE, [0, 2, 4])
        box = canvas.axes[0].get_window_extent()
        left, right, bottom, top = flows.extent
        slope = (top - bottom) / (right - left)
        assert box.height / box.width == pytest.approx(slope, rel=1e-6)


def turned(flows: Flows) -> dict[str, Any]:
    """A narrow channel."""
    cells = np.s_[:, :, :8]
    return {
        "x": flows.x[:8],
        "distance": flows.distance[:, :, :, :8],
        "scalar": None,
        **{name: getattr(flows, name)[cells] for name in ("velocity", "pressure", "vorticity")},
    }


def test_colours_are_of_zero_in_the_middle_and_heed_no_single_cell() -> None:
    low, high = limits(STILL, 0, What.VORTICITY)
    assert low == -high and high <= np.abs(STILL.vorticity).max()
    spiky = STILL.vorticity.copy()
    spiky[0, 0, 40, 2] = 1e6
    assert limits(replace(STILL, vorticity=spiky), 0, What.VORTICITY)[1] < 1.1 * high
    assert limits(STILL, 0, What.SPEED)[0] == 0


def test_one_colour_means_one_value_at_all_instants() -> None:
    images = [picture(STILL, 0, k, What.PRESSURE).axes[0].images[0] for k in (0, 3)]
    assert images[0].get_clim() == images[1].get_clim() == limits(STILL, 0, What.PRESSURE)
    for image, instant in zip(images, (0, 3), strict=True):
        np.testing.assert_array_equal(image.get_array(), STILL.pressure[0, instant].T)


def test_the_colour_bar_states_quantity_and_unit() -> None:
    for what, label in {
        What.VORTICITY: "vorticity [1/s]",
        What.PRESSURE: "pressure [Pa]",
        What.SPEED: "speed [m/s]",
        What.SCALAR: "concentration",
    }.items():
        bar = picture(STILL, 0, 0, what).axes[1]
        assert bar.get_ylabel() == label


def test_speed_is_the_length_of_velocity() -> None:
    expected = np.hypot(MOVING.velocity[1, ..., 0], MOVING.velocity[1, ..., 1])
    np.testing.assert_allclose(values(MOVING, 1, What.SPEED), expected, rtol=1e-6)


def test_a_film_has_a_picture_for_each_instant(tmp_path: Path) -> None:
    steady = replace(STILL, velocity=np.ones_like(STILL.velocity))
    film(tmp_path / "flow.gif", steady, 0, What.SPEED)
    with Image.open(tmp_path / "flow.gif") as gif:
        assert getattr(gif, "n_frames", 1) == len(STILL.time)
        assert gif.info["loop"] == 0


def test_histories_are_coefficients_of_every_body() -> None:
    drag, lift = forces(STILL, 0).axes
    for body in range(2):
        np.testing.assert_array_equal(drag.lines[body].get_xdata(), STILL.force_time)
        for component, axis in enumerate((drag, lift)):
            curve = np.asarray(axis.lines[body].get_ydata(), np.float32)
            np.testing.assert_allclose(curve, 2 * STILL.force[0, :, body, component])
    assert drag.get_title("left") == "drag coefficient"
    plain = forces(replace(STILL, parameters={}), 0).axes[0]
    assert plain.get_title("left") == "drag [N/m]"
    np.testing.assert_array_equal(plain.lines[0].get_ydata(), STILL.force[0, :, 0, 0])


def test_the_jump_of_a_sudden_start_does_not_flatten_the_history() -> None:
    sudden = STILL.force.copy()
    sudden[:, 0] = 1e4
    assert forces(replace(STILL, force=sudden), 0).axes[0].get_ylim()[1] < 2


def test_a_sheet_shows_the_instants_and_marks_them_in_the_histories() -> None:
    canvas = sheet(STILL, 0, What.VORTICITY, [0, 2, 4])
    panels = [axis for axis in canvas.axes if axis.images]
    for panel, instant in zip(panels, (0, 2, 4), strict=True):
        shown = panel.images[0].get_array()
        np.testing.assert_array_equal(shown, STILL.vorticity[0, instant].T)
    drag = next(axis for axis in canvas.axes if axis.get_title("left") == "drag coefficient")
    marks = [np.asarray(line.get_xdata())[0] for line in drag.lines[:3]]
    assert marks == pytest.approx(STILL.time[[0, 2, 4]].tolist())


def test_without_bodies_there_is_a_sheet_but_no_history() -> None:
    bare = replace(
        STILL,
        distance=STILL.distance[:, :, :0],
        outlines=[[[]]],
        force=STILL.force[:, :, :0],
    )
    assert len(sheet(bare, 0, What.VORTICITY, [1]).axes) == 2
    with pytest.raises(ValueError, match="no bodies with a history of forces"):
        forces(bare, 0)


def test_render_writes_all_that_it_names(tmp_path: Path) -> None:
    write_flows(tmp_path / "flow.h5", MOVING)
    options = RenderOptions(
        tmp_path / "flow.h5",
        out=tmp_path / "out",
        what=What.SCALAR,
        sample=1,
        instants=(0, -1),
        film=True,
        vtk=True,
    )
    written = render(options)
    assert [path.name for path in written] == [
        "sheet.png",
        "scalar_0000.png",
        "scalar_0003.png",
        "scalar.gif",
        "flow.pvd",
        "bodies.pvd",
        "forces.csv",
    ]
    assert all(path.stat().st_size > 100 for path in written)
    assert not list(tmp_path.rglob(".part*"))


def test_render_refuses_what_is_not_there(tmp_path: Path) -> None:
    write_flows(tmp_path / "flow.h5", replace(MOVING, scalar=None))
    options = RenderOptions(tmp_path / "flow.h5", out=tmp_path / "out")
    for change, said in (
        ({"sample": 2}, "has samples 0 to 1, got 2"),
        ({"instants": (0, 4)}, "there are instants 0 to 3, got 4"),
        ({"what": What.SCALAR}, "carries no scalar"),
        ({"path": tmp_path / "none.h5"}, "there is no data file"),
    ):
        with pytest.raises(ValueError, match=said):
            render(replace(options, **change))


def test_render_says_what_an_n_body_file_lacks(tmp_path: Path) -> None:
    discs = store.Trajectories(
        name="separate",
        time=np.arange(3, dtype=np.float32),
        space={"body": np.arange(2, dtype=np.float32)},
        fields={},
        parameters={},
        boundaries={"box": "WALL"},
        recipe={},
        seed=np.arange(1),
    )
    store.write(tmp_path / "discs.h5", discs)
    with pytest.raises(ValueError, match="no flows: it has no field velocity, no field pressure"):
        render(RenderOptions(tmp_path / "discs.h5", out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_command_line_says_what_to_render() -> None:
    words = ["flow.h5", "--what", "speed", "--instants", "0", "-1", "--film", "--out", "there"]
    assert parse(RenderOptions, "render", words) == RenderOptions(
        Path("flow.h5"), Path("there"), What.SPEED, instants=(0, -1), film=True
    )


def test_a_single_instant_is_drawn_as_well(tmp_path: Path) -> None:
    one = vortex_row(instants=1, cells=(48, 24))
    write_flows(tmp_path / "flow.h5", one)
    assert len(render(RenderOptions(tmp_path / "flow.h5", out=tmp_path, film=True))) == 3
