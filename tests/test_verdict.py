"""Verdicts: honest figures, kept and read back, shown with all that belongs to them."""

import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from scipy import stats

from physgen.report import Picture, write_report
from physgen.testbeds import source
from physgen.verdict import (
    COLUMNS,
    Baseline,
    Verdict,
    comparison,
    figure,
    load_verdict,
    shown,
    table,
    versions,
)


def some_verdict() -> Verdict:
    scores = torch.rand(50, generator=source())
    return Verdict(
        task="springs <4>",
        method="ours",
        options={"designs": 50},
        seed=3,
        versions=versions(),
        designs=50,
        invalid_fraction=0.02,
        figures={
            "objective": figure(scores, "m"),
            "objective_fine": figure(scores + 4, "m"),
            "mae": figure(scores / 10, "m"),
        },
        bound=0.125,
        baselines={"random": Baseline({"objective": figure(scores + 1, "m")}, 7, 1.5, 50)},
        network_evaluations=40.0,
        solver_calls=0,
        seconds={"sampling": 2.5, "polishing": 4.0},
        warnings=("beware",),
        files=("verdict.json",),
    )


def test_intervals_hold_the_true_mean_nineteen_times_in_twenty() -> None:
    draws = torch.randn(2000, 12, generator=source(), dtype=torch.float64) + 5
    intervals = [figure(row, "").ci95 or (0.0, 0.0) for row in draws]
    held = [low <= 5 <= high for low, high in intervals]
    assert sum(held) / len(held) == pytest.approx(0.95, abs=0.015)


def test_a_figure_is_students() -> None:
    found = figure(torch.tensor([1.0, 2.0, 4.0]), "m")
    interval = stats.t.interval(0.95, 2, loc=7 / 3, scale=math.sqrt(7 / 3 / 3))
    assert found.ci95 == pytest.approx(interval)
    assert (found.best, found.median) == (1.0, 2.0)


def test_the_best_is_what_is_wanted_and_the_median_of_an_even_number_is_in_the_middle() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 9.0])
    assert figure(values, "").median == 3.0
    assert figure(values, "", torch.amax).best == 9.0
    assert figure(values, "", None).best is None and shown(None) == "–"


def test_one_design_does_not_tell_how_far_others_are(tmp_path: Path) -> None:
    alone = figure(torch.tensor([0.5]), "m")
    assert alone.ci95 is None and str(alone) == "0.5000 ± –"
    assert str(figure(torch.tensor([5e-5]), "m")) == "5.0e-05 ± –"
    verdict = replace(some_verdict(), figures={"objective": alone})
    verdict.save(tmp_path / "verdict.json")
    assert load_verdict(tmp_path / "verdict.json") == verdict


def test_small_figures_are_written_with_their_power_of_ten() -> None:
    small = figure(torch.tensor([1e-5, 3e-5]), "m")
    assert str(small).startswith("2.0e-05 ± ") and shown(small.median) == "2.0e-05"
    assert shown(0.0) == "0.0000" and shown(0.25) == "0.2500"
    assert str(figure(torch.tensor([0.2, 0.2]), "m")) == "0.2000 ± 0.0000"


def test_failures_are_not_averaged_away() -> None:
    with pytest.raises(FloatingPointError, match="1 of 3 values are not finite"):
        figure(torch.tensor([1.0, float("nan"), 2.0]), "")
    with pytest.raises(ValueError, match="at least one design"):
        figure(torch.zeros(0), "")


def test_saving_and_loading_changes_nothing(tmp_path: Path) -> None:
    some_verdict().save(tmp_path / "verdict.json")
    assert load_verdict(tmp_path / "verdict.json") == some_verdict()


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "partial"])
def test_what_is_no_verdict_is_refused_by_name(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    some_verdict().save(path)
    whole = path.read_text()
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_text(whole[:200])
    elif damage == "foreign":
        path.write_text('{"a": 1}')
    else:
        path.write_text(whole.replace('"seed"', '"sed"'))
    with pytest.raises(ValueError, match=r"verdict\.json"):
        load_verdict(path)


def test_the_table_fits_a_narrow_terminal_and_says_everything() -> None:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table(some_verdict()))
    said = console.export_text()
    for word in ("geometric bound", "0.1250", "random", "ours", "invalid designs 2.0 %", "mae"):
        assert word in said
    assert "…" not in said
    console.file.close()


def test_a_narrow_table_breaks_names_and_cuts_no_number() -> None:
    small = figure(torch.tensor([1e-5, 2e-4]), "m")
    names = {"objective": small}
    verdict = replace(some_verdict(), method="flow + 2 aims + 2 polish", figures=names)
    console = Console(width=70, record=True, file=io.StringIO())
    console.print(table(verdict))
    said = console.export_text()
    assert "…" not in said and str(small) in said and "designs" in said
    assert "finer" not in said, "there is none"
    fine = replace(verdict, figures={**names, "objective_fine": small})
    console.print(table(fine))
    said = console.export_text()
    assert "…" not in said and "finer: mean by a finer solver" in said


def test_the_comparison_has_what_was_designed_last_with_all_it_took() -> None:
    bound, random, ours = comparison(some_verdict())
    assert bound[:2] == ("geometric bound", "0.1250")
    assert (random[0], random[3:]) == ("random", ("", "50", "7", "1.5"))
    fine = some_verdict().figures["objective_fine"].mean
    assert (ours[0], ours[3:]) == ("ours", (f"{fine:.4f}", "50", "0", "6.5"))
    assert len(ours) == len(COLUMNS)


def test_a_verdict_without_a_bound_shows_none(tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", replace(some_verdict(), bound=None), "", "", [], {})
    assert "geometric bound" not in (tmp_path / "r.html").read_text()


def test_a_report_holds_its_pictures_and_escapes_what_it_quotes(tmp_path: Path) -> None:
    picture = tmp_path / "p.png"
    picture.write_bytes(b"\x89PNG picture")
    write_report(
        tmp_path / "r.html",
        some_verdict(),
        "A & B",
        "physgen",
        [Picture(picture, "a < b")],
        {"mae": "Off by so much."},
    )
    page = (tmp_path / "r.html").read_text()
    assert "springs &lt;4&gt;" in page and "A &amp; B" in page and "a &lt; b" in page
    assert "data:image/png;base64,iVBORyBwaWN0dXJl" in page
    for word in ("geometric bound", "beware", "0.1250", "random", "Invalid designs: 2.0 %"):
        assert word in page
    assert "Off by so much." in page and "objective fine" in page and "<i>Finer</i>" in page
    alone = {"objective": some_verdict().figures["objective"]}
    write_report(tmp_path / "r.html", replace(some_verdict(), figures=alone), "", "", [], {})
    assert "<i>Finer</i>" not in (tmp_path / "r.html").read_text()
    assert "http" not in page.replace("http-equiv", ""), "the page needs no network"
