"""``physgen simulate`` of equations: figures that are near what is known, and files that open."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvista
import xarray

from physgen.cli import COMMANDS, main
from physgen.datasets import store
from physgen.datasets.field import NO_SEED
from physgen.design_tasks import equation_simulate
from physgen.design_tasks.equation_case import EquationCase
from physgen.design_tasks.equation_cases import (
    CASES,
    AdvectionCase,
    BurgersCase,
    FisherCase,
    FitzHughNagumoCase,
    GrayScottCase,
    HeatCase,
    KdvCase,
    KuramotoCase,
    TurbulenceCase,
    WalledBurgersCase,
    WaveCase,
)
from physgen.design_tasks.equation_simulate import CHECKPOINT, march, simulate, to_fields
from physgen.design_tasks.equation_view import sheet
from physgen.design_tasks.kept import Kept
from physgen.progress import Progress, Silent

ROOT = Path(__file__).parent.parent

SHORT: dict[str, EquationCase] = {
    "advection": AdvectionCase(points=48, time=0.5, frames=4),
    "heat": HeatCase(points=32, time=1.0, frames=4),
    "fitzhugh-nagumo": FitzHughNagumoCase(points=32, waves=5, time=1.0, frames=20),
    "burgers": BurgersCase(points=64, viscosity=0.03, time=0.2, frames=4, dt=0.005),
    "kdv": KdvCase(time=0.2, frames=4, dt=0.005),
    "kuramoto": KuramotoCase(points=64, length=22.0, time=10.0, frames=100, dt=0.1),
    "fisher": FisherCase(time=2.0, frames=4),
    "gray-scott": GrayScottCase(points=48, length=32.0, time=60.0, frames=30, dt=2.0),
    "turbulence": TurbulenceCase(points=48, viscosity=0.02, time=0.8, frames=20, dt=0.02),
    "wave": WaveCase(points=31, time=0.5, frames=4, dt=0.01),
    "walled-burgers": WalledBurgersCase(time=0.2, frames=2, dt=5e-4),
}
"""Every case, in less time than it has."""
CLOSE = {
    "advection": 1e-10, "heat": 1e-10, "fitzhugh-nagumo": 1e-3,
    "burgers": 1e-5, "kdv": 1e-3, "kuramoto": 0.02, "fisher": 1e-4, "gray-scott": 0.02,
    "turbulence": 1e-3, "wave": 0.02, "walled-burgers": 1e-5,
}  # fmt: skip
WALLED = ("wave", "walled-burgers")
"""Those whose points lie between walls."""


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_near_what_is_known_and_leaves_files_that_open(
    name: str, tmp_path: Path
) -> None:
    found = simulate(_in(SHORT[name], tmp_path), Silent())
    known = [row for row in found.rows if row.reference is not None]
    assert known
    for row in known:
        assert row.deviation is not None and row.deviation < CLOSE[name], row
    kept = json.loads((tmp_path / "simulation.json").read_text())
    assert kept["rows"][0]["value"] == found.rows[0].value and kept["case"] == name
    series = pyvista.PVDReader(str(tmp_path / "vtk" / "fields.pvd"))
    with xarray.open_datatree(tmp_path / "fields.h5", engine="h5netcdf") as tree:
        fields = tree["t0_fields"]
        axes = ("x", "y")[: len(found.points)]
        assert len(series.time_values) == len(fields["time"])
        series.set_active_time_point(1)
        (drawn,) = series.read()
        first, second = tree.to_dataset()["x"].to_numpy()[:2]
        begin = first if name in WALLED else first - (second - first) / 2
        assert drawn.bounds[0] == pytest.approx(begin, abs=1e-6)
        for field, values in fields.data_vars.items():
            assert values.dims == ("sample", "time", *axes)
            assert np.isfinite(values).all()
            data = drawn.point_data if name in WALLED else drawn.cell_data
            told = data[field].reshape(found.points, order="F")
            assert np.array_equal(told, values[0, 1])
            assert values.attrs["centring"] == ("point" if name in WALLED else "cell")
        assert tree.attrs["n_trajectories"] == 1
        kind = tree["boundary_conditions/left"].attrs["kind"]
        assert kind == ("WALL" if name in WALLED else "PERIODIC")
        assert tree.to_dataset()["seed"].item() == getattr(SHORT[name], "seed", NO_SEED)
    assert (tmp_path / "sheet.png").stat().st_size > 5000


def test_walls_are_where_the_solver_has_them() -> None:
    """Points of a membrane of 1 m lie a whole spacing from its walls, in files and pictures."""
    case = WaveCase(points=31, time=0.5, frames=4)
    setting = case.setting()
    fields = to_fields(case, setting, setting.state[:, None].repeat(1, case.frames + 1, 1, 1, 1))
    np.testing.assert_allclose(fields.extent, [(0, 1), (0, 1)], atol=1e-6)
    shown = sheet(fields, 0).axes[0]
    np.testing.assert_allclose([*shown.get_xlim(), *shown.get_ylim()], [0, 1, 0, 1], atol=1e-6)
    (image,) = shown.get_images()
    low, high = image.get_extent()[:2]
    middle = low + (high - low) * (np.arange(case.points) + 0.5) / case.points
    np.testing.assert_allclose(middle, fields.axes["x"], atol=1e-6)


def test_what_blows_up_says_when(tmp_path: Path) -> None:
    """In the third interval of four, not in the first."""
    case = WalledBurgersCase(time=0.4, frames=4, dt=5e-4, out=tmp_path)
    setting = case.setting()
    setting.controls[:, 2] = np.inf
    with pytest.raises(FloatingPointError, match=r"not finite after 0\.3 s"):
        march(case, setting, Silent(), Kept(tmp_path / "none", case.name, {}))


class Stopped(Exception):
    pass


class Impatient(Progress):
    """Somebody who stops a run when half of it is done."""

    def stage(self, what: str) -> None:
        pass

    def share(self, done: float) -> None:
        if done > 0.5:
            raise Stopped


class Late(Progress):
    """Somebody who notes how far a run has come when it begins."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def stage(self, what: str) -> None:
        pass

    def share(self, done: float) -> None:
        self.seen.append(done)


def test_a_run_that_was_stopped_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(equation_simulate, "KEEP", -1.0)
    case = WalledBurgersCase(time=0.2, frames=8, dt=5e-4, out=tmp_path / "parts")
    whole = simulate(replace(case, out=tmp_path / "whole"), Silent())
    with pytest.raises(Stopped):
        simulate(case, Impatient())
    assert (case.out / CHECKPOINT).exists()
    with pytest.raises(ValueError, match="checkpoint of a run with other options"):
        simulate(replace(case, seed=1), Silent())
    late = Late()
    parts = simulate(case, late)
    assert late.seen[0] > 0.5 and not (case.out / CHECKPOINT).exists()
    assert [row.value for row in parts.rows] == [row.value for row in whole.rows]
    one, two = (store.read(tmp_path / name / "fields.h5") for name in ("whole", "parts"))
    assert np.array_equal(one.fields["velocity"].values, two.fields["velocity"].values)


def _in(case: EquationCase, out: Path) -> EquationCase:
    return replace(case, out=out)


def test_every_case_is_a_command() -> None:
    assert set(CASES) <= {c.words[1] for c in COMMANDS if c.words[0] == "simulate"}
    assert set(SHORT) == set(CASES)


def test_the_command_prints_figures_beside_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["simulate", "fisher", "--time", "1", "--frames", "2", "--out", str(tmp_path)]
    assert main(words) == 0
    assert "Zeppetella" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["case"] == "fisher"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("burgers --viscosity -1", "viscosity must be positive, got -1.0"),
        ("burgers --points 15", "must be even and at least 4, got (15,)"),
        ("kdv --time 0", "a run needs a time, frames and a time step, got 0.0"),
        ("wave --dt 0.1 --frames 1", "the CFL condition"),
        ("walled-burgers --dt 0.01", "an explicit step must not exceed dx^2 / (2 nu)"),
        ("kuramoto --lenght 3", "did you mean --length?"),
    ],
)
def test_bad_input_is_one_line(
    words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *words.split(), "--out", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert said in error and error.strip().rpartition("\n")[2].startswith("physgen: ")
    assert not (tmp_path / "none").exists()


def test_an_equation_of_ones_own_runs_and_its_energy_falls(tmp_path: Path) -> None:
    script = ROOT / "examples" / "equation.py"
    run = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    energies = np.asarray([json.loads(line.partition("are ")[2]) for line in lines[:-1]])
    assert (np.diff(energies, axis=0) < 0).all() and (energies[-1] < -0.01).all()
    code = script.read_text(encoding="utf-8").partition('"""\n\n')[2].splitlines()
    begin = next(k for k, line in enumerate(code) if line.startswith("@dataclass"))
    assert len([line for line in code[begin:] if line.strip()]) <= 30
