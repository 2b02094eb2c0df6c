"""Examples run, draw what they say, and paint it."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.image import imread

from physgen.grid import log_snr
from physgen.stein import stein_test
from physgen.testbeds.gallery import Panel, paint

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


Panels = dict[str, Panel]


def panels_of(example: str, **settings: object) -> Panels:
    """All panels of a page, of few draws each."""
    found = runpy.run_path(str(EXAMPLES / example))
    methods: dict[str, Callable[[int], Panel]] = found["GALLERY"]
    next(iter(methods.values())).__globals__.update(settings)
    return {name: method(150) for name, method in methods.items()}


@pytest.fixture(scope="module")
def guided() -> Panels:
    return panels_of("guidance.py", TRAINING=3, GRID=log_snr(25, 0.02, 10.0))


@pytest.fixture(scope="module")
def composed() -> Panels:
    return panels_of("composition.py", GRID=log_snr(25, 0.03, 10.0))


@pytest.mark.parametrize(
    "method",
    [
        "DPS, capped weight",
        "MPGD, detached",
        "ΠGDM",
        "Tweedie covariance",
        "DAPS, exact local draws",
        "DAPS, any cost",
        "twisted SMC",
        "RePaint, 5 repeats",
        "classifier",
        "classifier-free, weight 3",
    ],
)
def test_a_method_of_the_page_of_guidance_is_near_its_posterior(
    method: str, guided: Panels
) -> None:
    assert guided["prior alone"].apart > 0.55
    assert guided[method].apart < 0.35


def test_what_the_page_of_guidance_does_not_call_draws_are_none(guided: Panels) -> None:
    """Peaks lie in few places, DPS as published forgets the noise, a branch must be trained."""
    peaks = guided["plug and play"].x
    assert (peaks[:, None] - peaks).norm(dim=2).median() < 1.5
    assert (
        len(peaks.round(decimals=1).unique(dim=0))
        < 30
        < len(guided["Tweedie covariance"].x.round(decimals=1).unique(dim=0))
    )
    for method in ("DPS, as published", "control branch"):
        assert guided[method].apart > 0.4


@pytest.mark.parametrize(
    "method",
    [
        "product: carried only",
        "product: and ULA",
        "product: and MALA",
        "product: and MALA, scores only",
        "product: and HMC",
        "product: and renoising",
        "product: weights, resampled",
        "mixture",
        "negation",
        "tempered",
        "8 posteriors, corrected",
    ],
)
def test_a_method_of_the_page_of_compositions_is_near_its_density(
    method: str, composed: Panels
) -> None:
    assert composed[method].apart < 0.35


def test_what_has_no_density_on_the_page_of_compositions_is_far(composed: Panels) -> None:
    assert composed["product: flow of the sum"].apart > 0.6
    added, corrected = composed["8 posteriors, added"], composed["8 posteriors, corrected"]
    assert added.apart > 1.4 * corrected.apart


def test_a_page_paints_each_panel_where_its_draws_are(guided: Panels, tmp_path: Path) -> None:
    names = ("exact draws", "prior alone", "ΠGDM")
    paint(tmp_path / "page.png", {name: guided[name] for name in names}, columns=2)
    picture = imread(tmp_path / "page.png")
    assert picture.shape[:2] == pytest.approx((2 * 2.95 * 90, 2 * 2.6 * 90), abs=2)
    for row, column, drawn in ((0, 0, True), (0, 1, True), (1, 0, True), (1, 1, False)):
        panel = picture[row * 265 : (row + 1) * 265, column * 234 : (column + 1) * 234, :3]
        assert (panel.std() > 0.05) == drawn
        dots = panel[..., 2] > panel[..., 0] + 0.1  # blue; contours are orange
        assert (dots.sum() > 50) == drawn


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("burgers_control --setting foo", "invalid choice 'foo'"),
        ("darcy --problem foo", "invalid choice 'foo'"),
        ("follower --leader nowhere.dat", "there is no file nowhere.dat"),
    ],
)
def test_an_example_says_what_it_cannot_take(
    words: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = words.split()
    monkeypatch.setattr("sys.argv", [name, *rest])
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(EXAMPLES / f"{name}.py"))
    assert left.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())
