"""Folders of results hold one run of one command."""

import importlib
import json
from dataclasses import fields
from pathlib import Path

import pytest

from physgen.cli import main
from physgen.results import clear, design_folder, simulation_folder

FILES = ("config.json", "verdict.json", "designs.h5", "sections")


def held(folder: Path, files: tuple[str, ...] = FILES) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "verdict.json").write_text(json.dumps({"task": "springs", "files": files}))
    return folder


def test_a_folder_of_ones_own_results_is_taken_again(tmp_path: Path) -> None:
    assert design_folder(held(tmp_path), FILES) == tmp_path
    assert design_folder(tmp_path / "new", FILES).is_dir()
    assert simulation_folder(tmp_path / "other").is_dir()


def test_what_another_command_made_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the results of 'springs': choose another folder"):
        design_folder(held(tmp_path, ("verdict.json", "fields.h5")), FILES)
    with pytest.raises(ValueError, match="results of a design: choose another folder"):
        simulation_folder(tmp_path)
    (tmp_path / "verdict.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read: choose another folder"):
        design_folder(tmp_path, FILES)
    (tmp_path / "simulation.json").write_text("{}")
    with pytest.raises(ValueError, match="holds a simulation: choose another folder"):
        design_folder(tmp_path, FILES)


def test_what_an_earlier_run_left_goes_and_what_is_the_users_stays(tmp_path: Path) -> None:
    held(tmp_path)
    (tmp_path / "sections").mkdir()
    (tmp_path / "sections" / "old.dat").write_text("")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "probe").write_text("mine too")
    design_folder(tmp_path, FILES)
    clear(tmp_path, FILES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "probe"]


def test_a_simulation_into_the_results_of_a_design_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held(tmp_path)
    assert main(["simulate", "poisson", "--out", str(tmp_path)]) == 2
    assert "choose another folder with --out" in capsys.readouterr().err
    assert main(["design", "airfoils", "--lift", "nan"]) == 2
    assert "--lift must be a finite number, got nan" in capsys.readouterr().err
    assert main(["design", "airfoils", "--prices.weight", "inf"]) == 2
    assert "--prices.weight must be a finite number" in capsys.readouterr().err
    assert main(["design", "airfoils", "--lift", "1e30", "--out", str(tmp_path / "b")]) == 2
    assert "lift must be from -2 to 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    "run", ["airfoil", "burgers", "burgers_tracking", "inverse", "nbody", "simulate"]
)
def test_every_figure_of_a_report_has_words(run: str) -> None:
    module = importlib.import_module(f"physgen.design_tasks.{run}_run")
    assert {"verdict.json", "report.html"} <= set(module.FILES)
    assert all(said.endswith(".") and len(said) < 100 for said in module.MEANINGS.values())
    if run in ("inverse", "simulate"):  # whose figures are those of what was judged
        assert {one.name for one in fields(module.Judged)} == set(module.MEANINGS)
