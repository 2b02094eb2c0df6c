"""Every method of the catalog on its bed, against the gates of that bed."""

import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from pkgutil import resolve_name

import pytest

from physgen.testbeds.beds import BEDS
from physgen.testbeds.catalog import SMALL, Bed, Figures, Gate

ROOT = Path(__file__).parent.parent


@cache
def measured(bed: Bed) -> dict[str, Figures]:
    return bed.measure(SMALL)


@pytest.mark.parametrize(
    ("bed", "gate"),
    [pytest.param(bed, gate, id=f"{bed.name}: {gate.said}") for bed in BEDS for gate in bed.gates],
)
def test_a_gate_holds(bed: Bed, gate: Gate) -> None:
    assert gate.holds(measured(bed)), {
        name: (str(figures.quality), dict(figures.others))
        for name, figures in measured(bed).items()
    }


@pytest.mark.parametrize("bed", BEDS, ids=lambda bed: bed.name)
def test_exact_draws_are_unbiased_as_wide_and_covering(bed: Bed) -> None:
    exact = measured(bed)[bed.methods[0].name].quality
    assert bed.methods[0].name in ("exact posterior", "exact draws")
    assert exact.bias < 0.05
    assert exact.spread == pytest.approx(1, abs=0.06)
    assert exact.coverage == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize("bed", BEDS, ids=lambda bed: bed.name)
def test_every_method_draws_something_finite(bed: Bed) -> None:
    for method in bed.methods:
        assert math.isfinite(measured(bed)[method.name].quality.bias)


def test_every_method_names_code_that_exists() -> None:
    for method in (method for bed in BEDS for method in bed.methods):
        for name in method.where.split("`")[1::2]:
            assert "=" in name or resolve_name(f"physgen.{name}"), method.where


def test_the_example_draws_a_field_from_sensors(tmp_path: Path) -> None:
    script = ROOT / "examples" / "inverse.py"
    run = subprocess.run(
        [sys.executable, str(script), "--draws", "40", "--levels", "20", "--sensors", "6"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "held to the exact posterior: bias 0." in run.stdout
    assert (tmp_path / "runs" / "inverse" / "inverse.png").stat().st_size > 10_000


def test_the_page_of_methods_has_a_row_for_each() -> None:
    """What is written down is what is in the catalog, and every stated gate is told of."""
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    for bed in BEDS:
        assert bed.oracle in page
        for method in bed.methods:
            assert f"| {method.name} | {method.where} | {method.source} |" in page
        for gate in bed.gates:
            assert f"- {gate.said}: " in page
