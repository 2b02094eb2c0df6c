"""``physgen simulate`` of steady equations: near what is known, and files that open."""

import json
from pathlib import Path

import numpy as np
import pytest
import pyvista
import xarray

from physgen.cli import COMMANDS, main
from physgen.design_tasks.steady_cases import CASES
from physgen.design_tasks.steady_simulate import solve
from physgen.progress import Silent


def test_every_steady_case_is_a_command() -> None:
    assert set(CASES) <= {c.words[1] for c in COMMANDS if c.words[0] == "simulate"}


@pytest.mark.parametrize("name", CASES)
def test_a_steady_case_is_near_what_is_known_and_leaves_files_that_open(
    name: str, tmp_path: Path
) -> None:
    case = CASES[name](cells=32, out=tmp_path)
    found = solve(case, Silent())
    error, finer, order, residual = (float(row.value or 0) for row in found.rows)
    assert error < 0.05 and finer < 0.3 * error
    assert order == pytest.approx(2, abs=0.15)
    assert residual < 1e-10
    kept = json.loads((tmp_path / "simulation.json").read_text())
    assert kept["case"] == name and kept["rows"][0]["value"] == error
    first, *boundary = case.units
    with xarray.open_datatree(tmp_path / "fields.h5", engine="h5netcdf") as tree:
        fields = tree["t0_fields"].to_dataset()
        assert set(fields) == {first, *boundary, f"exact_{first}", "error"}
        difference = fields[first] - fields[f"exact_{first}"]
        assert fields[first].dims == ("sample", "time", "x", "y")
        np.testing.assert_allclose(difference, fields["error"], atol=1e-6)
        known = case.finer(1).exact[0, 0].float().numpy()
        np.testing.assert_array_equal(fields[f"exact_{first}"][0, 0], known)
        state = fields[first].to_numpy()[0, 0]
    series = pyvista.PVDReader(str(tmp_path / "vtk" / "fields.pvd"))
    (drawn,) = series.read()
    assert np.array_equal(drawn.cell_data[first].reshape(32, 32, order="F"), state)
    assert (tmp_path / "sheet.png").stat().st_size > 5000


@pytest.mark.parametrize("name", CASES)
def test_sources_are_those_of_their_exact_states(name: str) -> None:
    """The residual of what is manufactured falls as the square of the spacing."""
    left = []
    for times in (1, 2):
        posed = CASES[name](cells=32, out=Path()).finer(times)
        inner = posed.equation.residual(posed.exact, posed.boundary)[..., 2:-2, 2:-2]
        left.append(float(inner.abs().max() / posed.boundary[:, -1].abs().max()))
    assert left[0] < 0.1 and left[0] / left[1] == pytest.approx(4, rel=0.2)


def test_the_steady_command_prints_figures_and_refuses_what_makes_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["simulate", "poisson", "--cells", "16", "--out", str(tmp_path / "a")]
    assert main(words) == 0
    assert "order in the spacing" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["case"] == "poisson"
    out = str(tmp_path / "none")
    assert main(["simulate", "helmholtz", "--wavenumber", "-1", "--out", out]) == 2
    assert "must not be negative, got -1.0" in capsys.readouterr().err
    assert main(["simulate", "darcy", "--cells", "1", "--out", out]) == 2
    assert "cells along an axis must be at least 2" in capsys.readouterr().err
    assert not Path(out).exists()
