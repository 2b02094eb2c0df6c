"""The gallery of samplers runs, draws what it says, and paints it."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.image import imread

from physgen.stein import stein_test

GALLERY = runpy.run_path(str(Path(__file__).parent.parent / "examples" / "densities.py"))


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
