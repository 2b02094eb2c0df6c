"""``physgen simulate``: figures beside published ones, files that open, runs that go on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import xarray

from physgen.cli import main
from physgen.datasets.flow import read_flows
from physgen.design_tasks import flow_simulate
from physgen.design_tasks.flow_case import Row, begun
from physgen.design_tasks.flow_cases import (
    GHIA_U,
    Airfoil,
    Cavity,
    Cylinder,
    Stream,
    extreme,
    interpolate,
)
from physgen.design_tasks.flow_simulate import CHECKPOINT, simulate
from physgen.design_tasks.flow_verify import PairOptions, verify_pair
from physgen.progress import Progress, Silent
from physgen.solvers.marching import Course

SMALL = Cylinder(
    reynolds=40.0, stream=Stream(cells=8, width=6.0, height=4.0, upstream=2.0),
    time=2.0, since=1.0, frames=4,
)  # fmt: skip


def test_a_run_leaves_figures_pictures_and_files_that_open(tmp_path: Path) -> None:
    found = simulate(replace(SMALL, out=tmp_path), Silent())
    kept = json.loads((tmp_path / "simulation.json").read_text())
    assert kept["rows"][0]["figure"] == "drag coefficient"
    assert kept["rows"][0]["value"] == pytest.approx(found.rows[0].value)
    assert found.divergence < 1e-4
    for name in found.files:
        assert (tmp_path / name).stat().st_size > 0
    flows = read_flows(tmp_path / "flow.h5")
    assert flows.velocity.shape == (1, 5, 48, 32, 2)
    assert flows.time[-1] == 2.0 and flows.force_time[-1] == 2.0
    with xarray.open_datatree(tmp_path / "flow.h5", engine="h5netcdf") as tree:
        assert tree["t1_fields/velocity"].dims == ("sample", "time", "x", "y", "component")
    assert not (tmp_path / CHECKPOINT).exists()


class Stopped(Exception):
    pass


class Impatient(Progress):
    """Stops the work at a share of it."""

    def stage(self, what: str) -> None:
        pass

    def share(self, done: float) -> None:
        if done > 0.6:
            raise Stopped


def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow_simulate, "KEEP", -1.0)
    whole = simulate(replace(SMALL, out=tmp_path / "whole"), Silent())
    case = replace(SMALL, out=tmp_path / "parts")
    with pytest.raises(Stopped):
        simulate(case, Impatient())
    assert (case.out / CHECKPOINT).exists()
    other = replace(case, reynolds=30.0)
    with pytest.raises(ValueError, match="checkpoint of a run with other options"):
        simulate(other, Silent())
    with pytest.raises(ValueError, match=r"steps after since = 1\.99"):
        simulate(replace(case, since=1.99), Silent())
    assert (case.out / CHECKPOINT).exists(), "since only reads the record"
    held = (case.out / CHECKPOINT).read_bytes()
    (case.out / CHECKPOINT).write_bytes(held[:-100])
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors .*: remove it to begin anew"):
        simulate(case, Silent())
    (case.out / CHECKPOINT).write_bytes(held)
    parts = simulate(case, Silent())
    assert [row.value for row in parts.rows] == [row.value for row in whole.rows]
    one, two = (read_flows(tmp_path / name / "flow.h5") for name in ("whole", "parts"))
    assert (one.velocity == two.velocity).all() and (one.force == two.force).all()


def test_the_command_prints_figures_and_refuses_what_makes_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["simulate", "cavity", "--cells", "16", "--time", "1", "--frames", "2"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert "Ghia" in capsys.readouterr().out
    assert main(["render", str(tmp_path / "flow.h5"), "--out", str(tmp_path / "drawn")]) == 0
    assert "sheet.png" in capsys.readouterr().out
    assert main(["simulate", "airfoil", "--section", "12", "--out", str(tmp_path)]) == 2
    assert "four digits" in capsys.readouterr().err


def test_the_lid_driven_cavity_is_that_of_ghia(tmp_path: Path) -> None:
    case = Cavity(cells=20, time=8.0, frames=2, out=tmp_path)
    rows = simulate(case, Silent()).rows
    for row in rows[:2]:
        assert row.value is not None and row.value < 0.04, row


def test_a_deviation_is_the_distance_from_the_published_band() -> None:
    assert Row("", 1.5, None, (1.0, 2.0)).deviation == 0
    assert Row("", 2.3, None, (1.9, 2.1)).deviation == pytest.approx(0.1)
    assert Row("", None, None, (1.9, 2.1)).deviation is None


def test_a_profile_is_read_between_its_points() -> None:
    place = torch.linspace(0, 1, 12, dtype=torch.float64)
    values = place**3 - place
    for x, _ in GHIA_U[100.0]:
        assert interpolate(place, values, x) == pytest.approx(x**3 - x, abs=1e-12)
    assert extreme(1 - (place - 0.53).square(), 1) == pytest.approx(1.0, abs=1e-12)


def test_an_airfoil_at_an_angle_lifts(tmp_path: Path) -> None:
    case = Airfoil(
        section="2412", angle=4.0, stream=Stream(16, 5.0, 4.0, 1.5), time=2.0, since=1.0,
        frames=2, out=tmp_path,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="thinner than the kernel"):
        rows = {row.figure: row.value for row in simulate(case, Silent()).rows}
    lift = rows["lift coefficient"]
    assert lift is not None and lift > 0.1


def test_a_saving_is_measured_on_all_grids_and_by_both_codes(tmp_path: Path) -> None:
    options = PairOptions(
        section="0030", reynolds=200.0, angle=0.0, cells=(10, 12), heights=(3.0, 4.0),
        time=1.0, since=0.5, lattice=10, out=tmp_path,
    )  # fmt: skip
    study, second = verify_pair(options, Silent())
    assert [(row.cells, row.domain) for row in study.rows] == [
        (10, 3.0), (10, 4.0), (12, 3.0)
    ]  # fmt: skip
    for row in study.rows:
        assert -0.6 < row.figures["change of drag"] < 0
    assert second["change of drag"] == pytest.approx(
        study.rows[0].figures["change of drag"], abs=0.1
    )
    before = (tmp_path / "study.json").read_text()
    verify_pair(replace(options, lattice=0), Silent())
    assert (tmp_path / "study.json").read_text() == before


def test_a_run_that_others_led_begins_past_the_start() -> None:
    """By the grid that it ends on it is as near to rest as one that ran all the time."""
    like = torch.zeros(1)
    long = SMALL.scene(like)
    led = begun(replace(SMALL, lead=6.0).scene(like), like, compile=False)
    course = Course(long.flow, long.bodies, like)
    whole = course.march(begun(long, like, compile=False), 6.0)
    impulsive = begun(long, like, compile=False)
    away = [float((one.u - whole.u).square().mean().sqrt()) for one in (led, impulsive)]
    assert away[0] < 0.2 * away[1]
    assert float(led.time) == 0.0
    assert float(long.flow.divergence(led, course.immersed).max()) < 1e-4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("simulate channel --since 200", "since must lie within the time of 100, got 200"),
        ("simulate plume --cells 0", "cells must be positive and finite, got 0"),
        ("simulate vortex --cells 0", "cells must be positive"),
        ("simulate cavity --reynolds 0", "reynolds must be positive and finite, got 0.0"),
        ("simulate channel --reynolds 0", "reynolds must be positive"),
        ("simulate airfoil --reynolds -5", "reynolds must be positive and finite, got -5.0"),
        ("simulate tandem --time nan", "time must be positive and finite, got nan"),
        ("simulate cylinder --stream.cells 0", "cells must be positive and finite, got 0"),
        (
            "simulate airfoil --section nowhere.dat",
            "the section nowhere.dat cannot be read: No su",
        ),
        ("verify pair --reynolds 0", "reynolds must be positive and finite, got 0.0"),
        ("verify pair --cells 0 1 2", "cells must be positive and finite, got (0, 1, 2)"),
        ("verify pair --section nowhere.dat", "the section nowhere.dat cannot be read: No such"),
    ],
)
def test_a_flow_that_cannot_be_run_is_refused_before_it_is(
    words: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    assert said in capsys.readouterr().err
    if "--section" not in words:
        assert not list(tmp_path.iterdir()), "nothing is written"


@pytest.mark.parametrize(("lead", "cells"), [(-1.0, 8), (1.0, 7)])
def test_a_lead_that_cannot_be_is_refused(lead: float, cells: int) -> None:
    with pytest.raises(ValueError, match=r"lead must not|choose sizes"):
        replace(SMALL, lead=lead, stream=replace(SMALL.stream, cells=cells))
