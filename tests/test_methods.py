"""Every method of the catalog on its bed, against the gates of that bed."""

import math
from functools import cache
from pathlib import Path

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
def test_every_method_draws_something_finite_and_names_a_module_that_exists(bed: Bed) -> None:
    for method in bed.methods:
        assert math.isfinite(measured(bed)[method.name].quality.bias)
        module = method.where.split("`")[1].split(".")
        path = ROOT / "physgen" / module[0]
        assert path.with_suffix(".py").exists() or path.is_dir(), method.where
