"""Airfoils drawn from a prior of one: images, places, prices, the judge."""

import math

import pytest
import torch

from physgen.datasets.airfoil import Airfoils
from physgen.design_tasks.airfoil_decode import (
    decode,
    drawn,
    parameters_at,
    parameters_of,
    placed,
    points,
    unit_of,
)
from physgen.design_tasks.airfoil_formation import Coupled, PlaceLaw, Superposed, seen_from
from physgen.design_tasks.airfoil_price import Prices, crowding, price, smallness
from physgen.design_tasks.airfoil_prior import (
    AirfoilNetwork,
    AirfoilPrior,
    Architecture,
    Scales,
    Windows,
    distance_of,
    image,
    scaled,
)
from physgen.design_tasks.airfoils import TURNS, Formations, Judged, clearance
from physgen.solvers.sections import fit_cst, naca4

SCALES = Scales((0.97, 0.13), (0.16, 0.035, 0.056), (0.11, 0.027, 0.052), (0.24, 0.0, 0.08, 0.26))


def untrained() -> AirfoilPrior:
    torch.manual_seed(0)
    network: AirfoilNetwork = Architecture(widths=(8, 16), condition=8).build(SCALES)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    return AirfoilPrior(network.eval().requires_grad_(False))


def naca_pair(x: float, y: float, thick: float = 0.12) -> Airfoils:
    section, _ = fit_cst(naca4(0.0, 0.4, thick), 6)
    sides = (side.float().expand(1, 2, 6).clone() for side in (section.upper, section.lower))
    upper, lower = sides
    place = torch.tensor([[0.0, x]]), torch.tensor([[0.0, y]])
    return Airfoils(upper, lower, *place, torch.zeros(1, 2))


def test_an_image_is_decoded_to_the_airfoil_that_it_shows() -> None:
    torch.manual_seed(0)
    unit = 0.7 * torch.randn(6, 15)
    parameters = parameters_at(unit)
    found = decode(drawn(parameters))
    again = drawn(parameters_of(found.airfoils).float())
    apart = (distance_of(again) - distance_of(drawn(parameters))).abs()
    near = drawn(parameters).abs() < 0.6
    assert apart[near].max() < 0.004
    assert found.error.max() < 0.0015


def test_an_image_of_noise_is_still_decoded_to_a_section() -> None:
    torch.manual_seed(0)
    found = decode(
        drawn(torch.zeros(1, 15) + parameters_at(torch.zeros(1, 15)))
        + 0.05 * torch.randn(1, 72, 48)
    )
    assert found.error.max() < 0.03
    assert unit_of(parameters_of(found.airfoils).float()).abs().max() < 4


def test_units_and_parameters_are_the_same_thing() -> None:
    unit = torch.randn(3, 15, dtype=torch.float64)
    torch.testing.assert_close(unit_of(parameters_at(unit)), unit, atol=1e-8, rtol=0)


def test_a_body_is_told_by_its_image() -> None:
    distance = torch.linspace(-0.4, 0.5, 30)
    torch.testing.assert_close(distance_of(image(distance)), distance, atol=1e-4, rtol=0)


def test_a_mirror_shows_what_another_mirror_takes_back() -> None:
    torch.manual_seed(0)
    shape = (2, 72, 48)
    flow, around = torch.randn(2, 3, 72, 48), torch.randn(2, 3, 72, 48)
    seen = Windows(torch.rand(shape), flow, around, torch.rand(2), torch.randn(2, 2))
    back = seen.mirrored().mirrored()
    assert all(torch.equal(a, b) for a, b in zip(seen, back, strict=True))
    one, other = scaled(seen.mirrored(), SCALES), scaled(seen, SCALES).mirrored()
    for a, b in zip(one, other, strict=True):
        torch.testing.assert_close(a, b)


def test_a_field_is_seen_where_it_is_from_wherever_one_looks() -> None:
    x, y = points()
    field = torch.stack([x, y, x * y])[None].expand(2, 3, 72, 48)
    offset = torch.tensor([[0.31, -0.17], [-0.5, 0.25]])
    seen = seen_from(field, offset)
    inner = (slice(None), slice(10, -10), slice(6, -6))
    for sample in range(2):
        dx, dy = offset[sample].tolist()
        wanted = torch.stack([x + dx, y + dy, (x + dx) * (y + dy)])
        torch.testing.assert_close(seen[sample][inner], wanted[inner], atol=1e-4, rtol=0)


def test_the_first_airfoil_does_not_see_what_has_not_been_found_yet() -> None:
    prior = untrained()
    body = torch.randn(2, 2, 72, 48)
    place = torch.tensor([[[0.0, 0.0], [2.0, 0.0]]]).expand(2, 2, 2)
    alone = Superposed().together(prior, body, 0.3, place, 500.0, None)
    mutual = Coupled(2).together(prior, body, 0.3, place, 500.0, None)
    assert (alone.force - mutual.force).abs().max() > 1e-4
    still = torch.zeros_like(alone.flow)
    first = Coupled(1).together(prior, body, 0.3, place, 500.0, still)
    torch.testing.assert_close(first.force[:, 0], alone.force[:, 0])


def test_formations_of_a_batch_do_not_see_one_another() -> None:
    prior, body = untrained(), torch.randn(3, 2, 72, 48)
    place = torch.tensor([[0.0, 0.0], [2.0, 0.1]]) + torch.zeros(3, 1, 1)
    many = Coupled(2).together(prior, body, 0.3, place, 500.0, None)
    one = Coupled(2).together(prior, body[1:2], 0.3, place[1:2], 500.0, None)
    for a, b in zip(many, one, strict=True):
        torch.testing.assert_close(a[1:2], b, atol=1e-4, rtol=1e-4)


def test_places_have_the_law_they_were_given() -> None:
    law = PlaceLaw(2.0, 0.5, 0.2)
    unit = torch.randn(20_000, 2, 2, generator=torch.Generator().manual_seed(0))
    steps = law.of(unit).diff(dim=1)
    torch.testing.assert_close(steps.mean((0, 1)), torch.tensor([2.0, 0.0]), atol=0.01, rtol=0)
    torch.testing.assert_close(steps.std((0, 1)), torch.tensor([0.5, 0.2]), atol=0.01, rtol=0)


def test_a_price_is_drag_where_the_lift_is_right() -> None:
    task, prices = Formations(lift=0.3), Prices(lift=5.0)
    force = torch.tensor([[[0.2, 0.3], [0.1, 0.3]], [[0.2, 0.3], [0.1, 0.5]]])
    found = price(task, prices, force)
    torch.testing.assert_close(found, torch.tensor([0.15, 0.15 + 5 * 0.1**2]))


def test_only_airfoils_that_are_too_close_or_too_small_are_charged_for_it() -> None:
    task = Formations()
    unit = torch.zeros(2, 2, 15)
    body = drawn(parameters_at(unit).flatten(0, 1)).unflatten(0, (2, 2))
    place = torch.tensor([[[0.0, 0.0], [2.0, 0.0]], [[0.0, 0.0], [1.15, 0.0]]])
    charge = crowding(task, distance_of(body), place)
    assert charge[0] == 0 and charge[1] > 1e-4
    assert float(smallness(task, distance_of(body)).max()) == 0
    thin = torch.full((1, 2, 72, 48), 0.3)
    assert float(smallness(task, thin)) == pytest.approx(2 * 0.065**2, rel=0.01)


def test_clearance_is_the_distance_between_the_nearest_points() -> None:
    assert float(clearance(naca_pair(1.4, 0.0))) == pytest.approx(0.4, abs=2e-3)
    assert float(clearance(naca_pair(0.0, 0.5))) == pytest.approx(0.38, abs=3e-3)


def test_what_is_not_allowed_is_said_by_how_much() -> None:
    task = Formations(thinnest=0.1, smallest=0.05, gap=0.3)
    assert float(task.violation(naca_pair(1.6, 0.0))) == 0
    assert float(task.violation(naca_pair(1.2, 0.0))) == pytest.approx(0.1, abs=3e-3)
    assert float(task.violation(naca_pair(1.6, 0.0, 0.08))) == pytest.approx(0.02, abs=2e-3)


def judged(force: list[list[float]], alone: torch.Tensor, valid: float = 1.0) -> Judged:
    return Judged(torch.tensor([force]), alone[None], torch.zeros(1), torch.tensor([valid]))


def test_drag_is_compared_at_equal_lift() -> None:
    turn = torch.tensor(TURNS)
    # Alone each has lift 0.4 + 0.05 a and drag 0.2 + 0.01 a + 0.001 a² at a turn of a degrees.
    lift, drag = 0.4 + 0.05 * turn, 0.2 + 0.01 * turn + 0.001 * turn.square()
    alone = torch.stack([drag, lift], -1).expand(2, -1, -1)
    found = judged([[0.2, 0.3], [0.1, 0.3]], alone)
    assert found.turn.item() == pytest.approx(-2.0, abs=1e-4)
    assert found.reference.item() == pytest.approx(0.184, abs=1e-4)
    assert found.drag_change.item() == pytest.approx(0.15 / 0.184 - 1, abs=1e-3)
    own = (0.3 / 0.15) / (0.4 / 0.2) - 1
    assert found.lift_to_drag_change.item() == pytest.approx(own, abs=1e-4)


def test_a_design_that_is_not_allowed_counts_as_no_change() -> None:
    alone = torch.rand(2, 3, 2) + 0.5
    assert judged([[0.2, 0.3], [0.1, 0.3]], alone, 0.0).drag_change.item() == 0


def test_designs_are_put_where_they_were_wanted() -> None:
    unit = torch.zeros(1, 2, 15)
    place = torch.tensor([[[0.0, 0.0], [1.5, -0.2]]])
    found = placed(parameters_at(unit), place)
    own = parameters_at(unit)[0, 0, 13:]
    assert found.x[0].tolist() == pytest.approx([float(own[0]), 1.5 + float(own[0])])
    assert found.incidence[0, 0].item() == pytest.approx(math.radians(5), abs=1e-5)
