"""Examples run, draw what they say, and paint it."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.image import imread

from physgen.stein import stein_test

EXAMPLES = Path(__file__).parent.parent / "examples"
GALLERY = runpy.run_path(str(EXAMPLES / "densities.py"))


@pytest.mark.parametrize("sampler", GALLERY["GALLERY"], ids=lambda sampler: sampler.__name__)
def test_a_sampler_of_the_gallery_fits_its_density(
    sampler: Callable[[int, torch.Generator], Any],
) -> None:
    generator = torch.Generator().manual_seed(1)
    drawn = sampler(150, generator)
    assert stein_test(drawn.density, drawn.x, generator).p_value > 0.005
    worse = drawn.x + 0.4 * drawn.x.std(0)
    assert stein_test(drawn.density, worse, generator).p_value < 0.05


def test_the_gallery_paints_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = (GALLERY["inverse_distribution_function"], GALLERY["importance_sampling"])
    monkeypatch.setitem(GALLERY["main"].__globals__, "GALLERY", few)
    GALLERY["main"](GALLERY["Options"](count=100, out=tmp_path / "gallery.png"))
    picture = imread(tmp_path / "gallery.png")
    assert picture.shape[:2] == (352, 1650) and picture[..., :3].std() > 0.05


FAMILIES = runpy.run_path(str(Path(__file__).parent.parent / "examples" / "families.py"))


@pytest.mark.parametrize("family", FAMILIES["GALLERY"], ids=lambda family: family.__name__)
def test_a_family_of_the_gallery_trains_and_draws_what_can_be_compared(
    family: Callable[[int, int, torch.Generator], Any],
) -> None:
    torch.manual_seed(0)
    drawn = family(4, 40, torch.Generator().manual_seed(1))
    assert drawn.x.shape == drawn.like.shape == (40, 2)
    assert drawn.x.isfinite().all() and not drawn.x.requires_grad


def test_the_gallery_of_families_paints_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = (FAMILIES["flow_matching_transported"], FAMILIES["normalizing_flow"])
    monkeypatch.setitem(FAMILIES["main"].__globals__, "GALLERY", few)
    FAMILIES["main"](FAMILIES["Options"](steps=3, count=60, out=tmp_path / "families.png"))
    picture = imread(tmp_path / "families.png")
    assert picture.shape[:2] == (340, 600) and picture[..., :3].std() > 0.05


def test_students_of_few_steps_are_compared_and_painted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = runpy.run_path(str(EXAMPLES / "few_steps.py"))
    example["main"](example["Options"](steps=6, draws=60, pairs=200, out=tmp_path / "few.png"))
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split(":")[0].strip() for row in rows] == [
        "undistilled",
        "progressive",
        "reflowed",
        "consistent",
    ]
    apart = [[float(part.split()[0]) for part in row.split(": ")[2:]] for row in rows]
    assert all(len(row) == 4 for row in apart)
    assert apart[0][3] < apart[0][0] / 2  # eight evaluations of the teacher, and one
    picture = imread(tmp_path / "few.png")
    assert picture.shape[0] == pytest.approx(picture.shape[1], rel=0.1)
    assert picture[..., :3].std() > 0.05
