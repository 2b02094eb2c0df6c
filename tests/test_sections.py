"""Sections of wings: known thicknesses and areas, fits, places, files, and gradients."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor

from physgen.solvers.bodies import Polygon
from physgen.solvers.sections import (
    area,
    fit_cst,
    kulfan,
    naca4,
    naca_digits,
    place,
    read_dat,
    thickness,
    write_dat,
)


def random(*shape: int, seed: int = 0) -> Tensor:
    """Numbers from -1 to 1."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(*shape, dtype=torch.float64, generator=generator) - 1


UPPER, LOWER = 0.2 + 0.05 * random(3, 2, 6), -0.12 + 0.05 * random(3, 2, 6, seed=1)
EDGE = 0.01 + 0.005 * random(3, 2, seed=2)


def test_a_naca_section_has_its_thickness_and_area() -> None:
    """By integration, 10 t (0.2969 2/3 - 0.1260/2 - 0.3516/3 + 0.2843/4 - 0.1036/5)."""
    for code, expected in (("0012", 0.12), ("0006", 0.06), ("0024", 0.24)):
        section = naca4(*naca_digits(code), points=201)
        assert thickness(section).item() == pytest.approx(expected, abs=2e-4)
        exact = 10 * expected * (0.2969 * 2 / 3 - 0.063 - 0.1172 + 0.2843 / 4 - 0.1036 / 5)
        assert area(section).item() == pytest.approx(exact, rel=1e-3)


def test_a_section_goes_from_tail_over_the_upper_side_to_nose_and_back() -> None:
    for section in (naca4(*naca_digits("4412")), kulfan(UPPER[0, 0], LOWER[0, 0])):
        assert section.shape == (201, 2)
        nose, tail = section[100], section[[0, -1]]
        assert nose.abs().max() < 1e-12
        assert (tail - torch.tensor([1.0, 0.0])).abs().max() < 1e-12
        assert section[50, 1] > 0.05
        assert section[150, 1] < section[50, 1] - 0.05
        assert (section[:95, 0].diff() < 0).all()
        assert (section[106:, 0].diff() > 0).all()


def test_the_mean_line_of_a_cambered_section_is_highest_where_it_says() -> None:
    section = naca4(0.04, 0.4, 0.12, points=1001)
    mean = (section[:1001].flip(0) + section[1000:]) / 2
    assert mean[:, 1].max().item() == pytest.approx(0.04, abs=1e-6)
    assert mean[mean[:, 1].argmax(), 0].item() == pytest.approx(0.4, abs=2e-3)


def test_known_ordinates_of_naca_2412() -> None:
    """The table of Abbott and von Doenhoff, appendix III, four decimals from the age of hands."""
    section = naca4(*naca_digits("2412"), points=401, closed=False)
    upper, lower = section[:401].flip(0), section[400:]
    for side, table in (
        (upper, {0.05: 0.0413, 0.3: 0.0788, 0.7: 0.0518, 0.95: 0.0114}),
        (lower, {0.05: -0.0301, 0.3: -0.0412, 0.7: -0.0214, 0.95: -0.0048}),
    ):
        x, y = side.unbind(-1)
        ordinates = numpy.interp(list(table), x.numpy(), y.numpy())
        assert ordinates == pytest.approx(list(table.values()), abs=1.5e-4)


def test_an_open_trailing_edge_is_as_thick_as_published() -> None:
    section = naca4(0.0, 0.4, 0.12, closed=False)
    assert (section[0, 1] - section[-1, 1]).item() == pytest.approx(0.0210 * 0.12)
    blunt = kulfan(UPPER, LOWER, EDGE)
    torch.testing.assert_close(blunt[..., 0, 1] - blunt[..., -1, 1], EDGE)


@pytest.mark.parametrize(("code", "close"), [("0012", 1e-4), ("2412", 4e-4), ("6409", 8e-4)])
def test_a_kulfan_section_fits_a_naca_section(code: str, close: float) -> None:
    section = naca4(*naca_digits(code), closed=False)
    cst, error = fit_cst(section, 8)
    assert error < close
    assert fit_cst(section, 4)[1] > error
    drawn = kulfan(*cst)
    near = Polygon(section[None, None]).distance(*drawn.unbind(-1))
    assert near.abs().max() < 2 * error


def test_fitting_a_kulfan_section_returns_its_weights() -> None:
    upper, lower = UPPER[0, 0], LOWER[0, 0]
    cst, error = fit_cst(kulfan(upper, lower, 0.01, 0.05), 6)
    assert error < 1e-5  # what lies between the vertices
    torch.testing.assert_close(cst.upper, upper)
    torch.testing.assert_close(cst.lower, lower)
    assert cst.trailing.item() == pytest.approx(0.01)
    assert cst.leading.item() == pytest.approx(0.05)


def test_a_kulfan_section_is_linear_in_its_weights() -> None:
    one, other = kulfan(UPPER, LOWER, EDGE), kulfan(LOWER, UPPER, 0.0, 0.3)
    both = kulfan(2 * UPPER - LOWER, 2 * LOWER - UPPER, 2 * EDGE, -0.3)
    torch.testing.assert_close(both[..., 1], (2 * one - other)[..., 1])


def test_the_first_weight_is_the_radius_of_the_nose() -> None:
    nose = kulfan(UPPER, LOWER, points=2001)[..., 1995, :]
    radius = nose[..., 1].square() / (2 * nose[..., 0])
    torch.testing.assert_close(radius, UPPER[..., 0].square() / 2, rtol=0.01, atol=0)


def test_a_batch_of_sections_is_its_single_ones() -> None:
    m, p, t = 0.03 + 0.02 * EDGE, 0.4 + 10 * (EDGE - 0.01), 0.1 + EDGE
    naca, cst = naca4(m, p, t), kulfan(UPPER, LOWER, EDGE, EDGE)
    placed = place(cst, 1 + EDGE, EDGE, 2 * EDGE, 3 * EDGE)
    assert naca.shape == cst.shape == placed.shape == (3, 2, 201, 2)
    for b in range(3):
        for k in range(2):
            at = (b, k)
            edge = EDGE[at]
            alone = kulfan(UPPER[at], LOWER[at], edge, edge)
            torch.testing.assert_close(naca4(m[at], p[at], t[at]), naca[at])
            torch.testing.assert_close(alone, cst[at])
            torch.testing.assert_close(
                place(alone, 1 + edge, edge, 2 * edge, 3 * edge), placed[at]
            )
            torch.testing.assert_close(thickness(alone), thickness(cst)[at])
            torch.testing.assert_close(area(alone), area(cst)[at])


def test_a_placed_section_has_its_nose_up_and_its_pivot_in_place() -> None:
    section = naca4(*naca_digits("0012"))
    placed = place(section, 2.0, 3.0, -1.0, 0.1)
    nose, tail = placed[100], placed[0]
    assert nose[1] > tail[1]
    torch.testing.assert_close((tail - nose).norm().item(), 2.0)
    pivot = 0.75 * nose + 0.25 * tail
    torch.testing.assert_close(pivot, torch.tensor([3.0, -1.0]).double())
    assert math.atan2(nose[1] - tail[1], tail[0] - nose[0]) == pytest.approx(0.1)
    torch.testing.assert_close(area(placed), 4 * area(section))
    about_nose = place(section, 2.0, 3.0, -1.0, 0.1, pivot=0.0)
    torch.testing.assert_close(about_nose[100], torch.tensor([3.0, -1.0]).double())


CASES: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "naca4": (naca4, (EDGE, 0.4 + 10 * (EDGE - 0.01), 0.1 + EDGE)),
    "kulfan": (kulfan, (UPPER, LOWER, EDGE, EDGE)),
    "place": (place, (kulfan(UPPER, LOWER), 1 + EDGE, EDGE, EDGE, 10 * EDGE)),
    "thickness": (
        lambda upper, lower, edge: thickness(kulfan(upper, lower, edge)),
        (UPPER, LOWER, EDGE),
    ),
    "area": (area, (kulfan(UPPER, LOWER, EDGE),)),
    "distance": (
        lambda upper, lower, edge, angle: Polygon(
            place(kulfan(upper, lower, edge), 1.0, 0.0, 0.0, angle)
        ).distance(*random(2, 50, seed=3)),
        (UPPER, LOWER, EDGE, 10 * EDGE),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_central_differences(case: str) -> None:
    make, numbers = CASES[case]
    weight = random(*make(*numbers).shape, seed=9)
    for k, number in enumerate(numbers):
        direction = random(*number.shape, seed=20 + k)
        leaf = number.clone().requires_grad_()
        value = (make(*numbers[:k], leaf, *numbers[k + 1 :]) * weight).sum()
        (slope,) = torch.autograd.grad(value, leaf)
        ahead, behind = (
            (make(*numbers[:k], number + sign * direction, *numbers[k + 1 :]) * weight).sum()
            for sign in (1e-6, -1e-6)
        )
        exact = float((ahead - behind) / 2e-6)
        assert float((slope * direction).sum()) == pytest.approx(exact, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_reading_what_was_written_is_the_same(tmp_path: Path, dtype: torch.dtype) -> None:
    section = naca4(*naca_digits("2412"), points=31).to(dtype)
    write_dat(tmp_path / "a.dat", "NACA 2412", section)
    name, coordinates = read_dat(tmp_path / "a.dat")
    assert name == "NACA 2412"
    assert torch.equal(coordinates, section.double())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("foil\n1 0\n0.5 0.1\n0 0\n", "got 3 vertices"),
        ("", "got 0 vertices"),
        ("foil\n1 0\n0.5 0.1 3\n", "line 3: expected the two coordinates"),
        ("foil\n1 0\n0.5 tail\n", "line 3: expected the two coordinates"),
        ("foil\n3. 3.\n0 0\n0.5 0.1\n1 0\n0 0\n0.5 -0.1\n1 0\n", "Lednicer"),
        ("foil\n0 0\n0.5 0.1\n1 0\n0.7 -0.1\n0.5 -0.1\n", "not in Selig's order"),
        ("foil\n1 0\n0.5 0.1\n0 nan\n0.7 -0.1\n0.9 -0.1\n", "not in Selig's order"),
    ],
)
def test_foreign_files_are_refused_by_name(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "a.dat"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"a\.dat.*{problem}"):
        read_dat(path)


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(ValueError, match="not a text file"):
        read_dat(path)


def test_nonsense_is_refused(tmp_path: Path) -> None:
    for code in ("12", "x412", "2012", "0412", "2400"):
        with pytest.raises(ValueError, match=f"{code}"):
            naca_digits(code)
    with pytest.raises(ValueError, match="between 0 and 1"):
        naca4(0.02, 1.0, 0.12)
    with pytest.raises(ValueError, match=r"thickness must be positive, got -0\.1"):
        naca4(0.02, 0.4, -0.1)
    with pytest.raises(ValueError, match="three points, got 2"):
        naca4(0.02, 0.4, 0.1, points=2)
    section = naca4(*naca_digits("0012"))
    with pytest.raises(ValueError, match=r"chord must be positive, got 0\.0"):
        place(section, 0.0, 0, 0, 0)
    with pytest.raises(ValueError, match=r"chord 1, from x = 0 to 1, got 0 to 2"):
        fit_cst(2 * section)
    with pytest.raises(ValueError, match="200 weights a side cannot be fitted to 201 points"):
        fit_cst(section, 200)
    with pytest.raises(ValueError, match="one weight, got 0"):
        fit_cst(section, 0)
    with pytest.raises(ValueError, match="one line of text"):
        write_dat(tmp_path / "a.dat", "two\nlines", section)
    with pytest.raises(ValueError, match="must be finite"):
        write_dat(tmp_path / "a.dat", "a", section / 0)
