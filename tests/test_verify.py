"""Refinement: manufactured series give back their limits, and gains of a grid are refused."""

import io
import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from physgen.solvers.verify import (
    Approach,
    Row,
    Study,
    converge,
    facts,
    fingerprint,
    refine,
    table,
)

GRIDS = [
    (24, 36, 54),
    (20, 40, 80),
    (32, 40, 64),
    (24, 48, 58),
    (24, 36, 48, 64),
    (10, 20, 30, 50),
]


def power(cells: tuple[int, ...], limit: float, slope: float, order: float) -> list[float]:
    return [limit + slope * count**-order for count in cells]


@pytest.mark.parametrize("order", [0.6, 1.0, 1.7, 2.0, 3.5])
@pytest.mark.parametrize("cells", GRIDS)
def test_a_manufactured_series_gives_back_its_limit_and_order(
    cells: tuple[int, ...], order: float
) -> None:
    figures = power(cells, 0.7, -0.3 * cells[0] ** order, order)
    found = converge(cells, figures)
    assert found.approach is Approach.CONVERGES
    assert found.richardson == pytest.approx(0.7, abs=1e-8)
    assert found.order == pytest.approx(order, abs=1e-8)
    assert found.gci >= abs(figures[-1] - 0.7), "the index bounds the true error"


def test_the_order_of_grids_in_a_list_does_not_matter() -> None:
    figures = power((24, 36, 64), 0.7, 5.0, 1.5)
    for order in itertools.permutations(range(3)):
        shuffled = converge([(24, 36, 64)[i] for i in order], [figures[i] for i in order])
        assert shuffled == converge((24, 36, 64), figures)


def test_the_facts_of_a_study_are_what_its_table_shows() -> None:
    rows = [Row(n, 6.0, {"gain": -0.3 - 2.0 / n**2, "drag": 1.0}) for n in (16, 24, 36)]
    study = Study((*rows, Row(16, 12.0, {"gain": -0.31, "drag": 1.0})), 6.0)
    found = json.loads(json.dumps(facts(study, ["gain"]), allow_nan=False))
    assert found["figures"]["gain"]["limit"] == pytest.approx(-0.3)
    assert found["figures"]["gain"]["order"] == pytest.approx(2.0)
    assert found["figures"]["drag"]["order"] is None, "it is the same on all grids"
    assert found["claims"]["gain"] == {"holds": True, "reason": study.persists("gain").reason}
    assert [row["cells"] for row in found["rows"]] == [16, 24, 36, 16]


def test_a_narrow_table_of_a_study_cuts_no_figure() -> None:
    names = ("drag of both alone", "drag of the pair", "change of drag", "lift", "change of lift")
    rows = [Row(n, 6.0, dict.fromkeys(names, -1.2345e-5 - 1e-5 / n**2)) for n in (16, 24, 36)]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table(Study(tuple(rows), 6.0)))
    said = console.export_text()
    assert "…" not in said and said.count("-1.238e-05") == len(names)


def test_the_published_example() -> None:
    """Celik et al. 2008, table 1: reattachment length, 18000, 8000 and 4500 cells in two
    dimensions."""
    found = converge((600, 400, 300), (6.063, 5.972, 5.863))
    assert found.order == pytest.approx(1.53, abs=0.01)
    assert found.richardson == pytest.approx(6.1685, abs=1e-3)
    assert found.gci / 6.063 == pytest.approx(0.022, abs=1e-3)


def test_the_index_bounds_the_error_of_series_with_a_small_second_term() -> None:
    rng = np.random.default_rng(0)
    for cells in GRIDS:
        h = cells[0] / np.array(cells)
        held = []
        for _ in range(20):
            first, second = 0.3, rng.uniform(-0.05, 0.1)
            found = converge(cells, (1 + first * h + second * h**2).tolist())
            held.append(found.gci >= abs(first * h[-1] + second * h[-1] ** 2))
        assert np.mean(held) >= 0.95, cells


def test_a_fit_through_noisy_grids_bounds_the_error() -> None:
    rng = np.random.default_rng(1)
    h = 24 / np.array([24, 32, 40, 48, 64])
    held = []
    for _ in range(60):
        found = converge([24, 32, 40, 48, 64], (1 + 0.1 * h**2 + rng.normal(0, 2e-3, 5)).tolist())
        held.append(found.gci >= 0.1 * h[-1] ** 2)
    assert np.mean(held) >= 0.95


def test_a_higher_order_than_the_scheme_has_is_not_trusted() -> None:
    figures = power((24, 36, 54), 0.7, 0.3 * 24**5, 5.0)
    fifth, second = (converge((24, 36, 54), figures, formal) for formal in (5.0, 2.0))
    assert fifth.order == second.order and second.gci > 4 * fifth.gci


def test_two_grids_assume_the_formal_order_with_thrice_the_error() -> None:
    figures = power((24, 48), 0.7, 0.3 * 24**2, 2.0)
    found = converge((24, 48), figures)
    assert found.approach is Approach.ASSUMED and np.isnan(found.order)
    assert found.richardson == pytest.approx(0.7)
    assert found.gci == pytest.approx(3 * abs(figures[-1] - 0.7))


@pytest.mark.parametrize("cells", [(24, 36, 54), (24, 36, 54, 81)])
def test_an_oscillating_series_is_recognised(cells: tuple[int, ...]) -> None:
    figures = [0.7 + 0.1 * (-1) ** k * (24 / count) ** 2 for k, count in enumerate(cells)]
    found = converge(cells, figures)
    assert found.approach is Approach.OSCILLATES and np.isnan(found.order)
    assert found.richardson == figures[-1]
    assert found.gci == pytest.approx(max(figures) - min(figures))


@pytest.mark.parametrize("figures", [(1.0, 1.1, 1.3), (1.0, 1.1, 1.2), (1.0, 1.1, 1.3, 1.6)])
def test_a_series_that_does_not_converge_says_so(figures: tuple[float, ...]) -> None:
    found = converge((20, 40, 80, 160)[: len(figures)], figures)
    assert found.approach is Approach.DIVERGES
    assert found.gci == pytest.approx(3 * (figures[-1] - 1))


def test_the_same_figure_everywhere_has_no_error() -> None:
    found = converge((24, 36, 48), (0.3, 0.3, 0.3))
    assert (found.approach, found.richardson, found.gci) == (Approach.ALIKE, 0.3, 0.0)


def test_bad_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="own figure"):
        converge((24, 24), (1.0, 2.0))
    with pytest.raises(ValueError, match="must be positive"):
        converge((0, 24), (1.0, 2.0))


def gains(
    values: tuple[float, ...], wide: float | None, cells: tuple[int, ...] = (24, 36, 54)
) -> Study:
    rows = [Row(n, 6.0, {"gain": value}) for n, value in zip(cells, values, strict=True)]
    if wide is not None:
        rows.append(Row(24, 12.0, {"gain": wide}))
    return Study(tuple(rows), 6.0)


def test_a_gain_that_converges_persists() -> None:
    finding = gains((-0.30, -0.27, -0.255), -0.29).persists("gain")
    assert finding.holds and "converges, to" in finding.reason


def test_a_noisy_gain_far_from_zero_persists() -> None:
    finding = gains((-0.250, -0.2501, -0.2503), -0.25).persists("gain")
    assert finding.holds and "does not converge" in finding.reason


@pytest.mark.parametrize(
    ("values", "wide", "reason"),
    [
        (tuple(power((24, 36, 54), 0.0, -0.3 * 24, 1.0)), -0.3, "the two finest grids differ"),
        (tuple(power((24, 36, 54), 0.0, -0.3 * 24**0.4, 0.4)), -0.3, "does not exclude zero"),
        ((-0.1, -0.02, 0.01), -0.1, "sign is not the same"),
        ((-0.30, -0.27, -0.255), -0.10, "domains differ by 78% of it"),
        ((-0.30, -0.27, -0.255), None, "no other domain"),
    ],
)
def test_a_gain_that_does_not_persist_is_refused_with_the_reason(
    values: tuple[float, ...], wide: float | None, reason: str
) -> None:
    finding = gains(values, wide).persists("gain")
    assert not finding.holds and reason in finding.reason


def test_one_grid_proves_nothing() -> None:
    assert not gains((-0.3,), -0.3, (24,)).persists("gain").holds


class Bench:
    """A measure that counts, and can break down."""

    def __init__(self, lasts: int = 1000) -> None:
        self.asked: list[tuple[int, float]] = []
        self.lasts = lasts

    def __call__(self, cells_per_length: int, domain: float) -> Mapping[str, float]:
        if len(self.asked) == self.lasts:
            raise KeyboardInterrupt
        self.asked.append((cells_per_length, domain))
        return {"drag": 0.3 + 4 / cells_per_length**2 + 0.1 / domain, "lift": 0.5}


CELLS, DOMAINS = (24, 36, 48), (6.0, 12.0)


def test_an_interrupted_study_goes_on_where_it_was(tmp_path: Path) -> None:
    path, first, second = tmp_path / "study.json", Bench(lasts=2), Bench()
    with pytest.raises(KeyboardInterrupt):
        refine(first, CELLS, DOMAINS, {"shape": "a"}, path)
    resumed = refine(second, CELLS, DOMAINS, {"shape": "a"}, path)
    whole = [(24, 6.0), (24, 12.0), (36, 6.0), (48, 6.0)]
    assert first.asked + second.asked == whole
    assert resumed == refine(Bench(0), CELLS, DOMAINS, {"shape": "a"}, path)
    assert resumed == refine(Bench(), CELLS, DOMAINS, {}, tmp_path / "another.json")


def test_another_configuration_is_measured_anew_beside_the_first(tmp_path: Path) -> None:
    path, other = tmp_path / "study.json", Bench()
    refine(Bench(), CELLS, DOMAINS, {"shape": "a", "re": 500}, path)
    refine(other, CELLS, DOMAINS, {"shape": "b", "re": 500}, path)
    assert len(other.asked) == 4
    refine(Bench(0), CELLS, DOMAINS, {"re": 500, "shape": "a"}, path)


def test_a_study_finds_order_and_domain_sensitivity(tmp_path: Path) -> None:
    study = refine(Bench(), CELLS, DOMAINS, {}, tmp_path / "study.json")
    assert study.order("drag") == pytest.approx(2)
    assert study.richardson("drag") == pytest.approx(0.3 + 0.1 / 6)
    assert study.gci("drag") == pytest.approx(1.25 * 4 / 48**2)
    assert study.domain_change("drag") == pytest.approx(0.1 / 12)


@pytest.mark.parametrize("damage", ["truncated", "foreign", "partial", "list"])
def test_what_is_no_study_is_refused_by_name_and_left_alone(damage: str, tmp_path: Path) -> None:
    path, bench = tmp_path / "study.json", Bench()
    refine(Bench(), CELLS, DOMAINS, {}, path)
    whole = path.read_text()
    damaged = {
        "truncated": whole[:200],
        "foreign": '{"a": 1}',
        "partial": whole.replace('"cells"', '"cell"'),
        "list": "[1, 2]",
    }[damage]
    path.write_text(damaged)
    with pytest.raises(ValueError, match=r"study\.json"):
        refine(bench, CELLS, DOMAINS, {}, path)
    assert path.read_text() == damaged and not bench.asked


def test_figures_that_are_not_finite_are_refused_and_not_kept(tmp_path: Path) -> None:
    def broken(cells_per_length: int, domain: float) -> Mapping[str, float]:
        return {"drag": float("nan") if cells_per_length > 24 else 1.0}

    path = tmp_path / "study.json"
    with pytest.raises(FloatingPointError, match="nan for drag with 36 cells and domain 6"):
        refine(broken, CELLS, DOMAINS, {}, path)
    assert len(json.loads(path.read_text())["rows"]) == 2


def test_a_configuration_that_json_does_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="not of JSON's types"):
        fingerprint({"shape": object()})
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})


def test_rows_with_different_figures_are_no_study() -> None:
    rows = (Row(24, 6.0, {"drag": 1.0}), Row(36, 6.0, {"lift": 1.0}))
    with pytest.raises(ValueError, match="36 cells and domain 6 has the figures"):
        Study(rows, 6.0)
    with pytest.raises(ValueError, match="has the domain 7"):
        Study(rows[:1], 7.0)
    with pytest.raises(ValueError, match="no figure 'lift', it has drag"):
        Study(rows[:1], 6.0).persists("lift")


def test_the_table_fits_a_narrow_terminal_and_says_everything(tmp_path: Path) -> None:
    study = refine(Bench(), CELLS, DOMAINS, {}, tmp_path / "study.json")
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table(study, ["drag", "lift"]))
    said = console.export_text()
    for word in ("drag", "0.3236", "2.00", "drag persists: it converges, to", "the same on all"):
        assert word in said
    assert "…" not in said
    console.file.close()
