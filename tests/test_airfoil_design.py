"""Airfoils drawn from a prior of one: images, places, prices, the judge."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from physgen.datasets import airfoil
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
from physgen.design_tasks.airfoil_formation import (
    Bodies,
    Composition,
    Coupled,
    Flows,
    Formation,
    Levels,
    PlaceLaw,
    Places,
    Superposed,
    Together,
    seen_from,
)
from physgen.design_tasks.airfoil_polish import Polish, polish, within
from physgen.design_tasks.airfoil_price import Prices, crowding, price, smallness, thinness
from physgen.design_tasks.airfoil_prior import (
    AirfoilLoss,
    AirfoilNetwork,
    AirfoilPrior,
    Architecture,
    Scales,
    Windows,
    distance_of,
    image,
    preconditioning,
    scaled,
)
from physgen.design_tasks.airfoils import TURNS, Formations, Judged, clearance
from physgen.progress import Silent
from physgen.solvers.fluid import FlowState
from physgen.solvers.marching import differentiable
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
    assert torch.equal(seen.mirrored().force, seen.force * torch.tensor([1.0, -1.0]))
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


def test_the_leader_is_not_shown_the_wake_of_what_follows_it() -> None:
    """Nor the follower its own; the follower is shown all of the leader's."""
    flow = torch.ones(2, 3, 72, 48)
    shown = Coupled().shown(flow, torch.tensor([[-1.6, 0.1], [1.6, -0.1]]))
    x, y = points()
    wake, before = (x > 0) & (y.abs() < 0.2), x < -0.8
    assert shown[0][:, wake].max() < 0.03
    torch.testing.assert_close(shown[0][:, before], flow[0][:, before], atol=1e-2, rtol=0)
    torch.testing.assert_close(shown[1], flow[1], atol=1e-2, rtol=0)


class Recorded(Composition):
    """Remembers what it was asked."""

    def together(
        self,
        prior: AirfoilPrior,
        body: Bodies,
        level: Levels,
        place: Places,
        reynolds: float,
        before: Flows | None,
    ) -> Together:
        self.body, self.level, self.place = body, level, place
        count, bodies = body.shape[:2]
        return Together(body, body.new_zeros(count, bodies, 3, 72, 48), place)


def test_places_are_denoised_as_numbers_of_unit_variance() -> None:
    asked, law = Recorded(), PlaceLaw(2.0, 0.5, 0.2)
    formation = Formation(untrained(), 2, 500.0, asked, law)
    z = torch.randn(4, formation.layout.size)
    found = formation.layout.split(z + formation.shift(z, 2.0))
    step = formation.layout.split(z)["step"] / 5
    torch.testing.assert_close(found["step"], step)
    torch.testing.assert_close(asked.place, law.of(step))


def test_a_given_leader_has_no_noise_and_is_what_it_is() -> None:
    asked, leader = Recorded(), torch.randn(1, 72, 48)
    formation = Formation(untrained(), 3, 500.0, asked, PlaceLaw(), leader)
    z = torch.randn(2, formation.layout.size)
    found = formation.layout.split(z + formation.shift(z, 3.0))["body"]
    assert torch.as_tensor(asked.level).tolist() == [0.0, 3.0, 3.0]
    assert torch.equal(asked.body[:, :1], leader.expand(2, 1, -1, -1))
    torch.testing.assert_close(found[:, :1], leader.expand(2, 1, -1, -1), atol=1e-5, rtol=0)


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


def test_the_gap_is_measured_where_the_other_airfoil_is() -> None:
    """A disc behind the middle of its window, and one 0.1 chords behind that."""
    x, y = points()
    first = ((x - 0.5).square() + y.square()).sqrt() - 0.3
    second = (x.square() + y.square()).sqrt() - 0.3
    distance = torch.stack([first, second])[None]
    near, far = torch.tensor([[[0.0, 0.0], [1.2, 0.0]]]), torch.tensor([[[0.0, 0.0], [-1.2, 0.0]]])
    assert crowding(Formations(), distance, near) > 1e-4
    assert crowding(Formations(), distance, far) == 0


def test_only_sections_that_are_too_thin_are_charged_for_it() -> None:
    task = Formations(thinnest=0.1)
    for thick, lack in ((0.12, 0.0), (0.09, 0.1 + 0.004 - 0.09)):
        pair = naca_pair(1.6, 0.0, thick)
        own = Airfoils(*(part.flatten(0, 1)[:, None] for part in pair))
        charge = float(thinness(task, parameters_of(own)[None]))
        assert charge == pytest.approx(2 * lack**2, abs=2e-5)


def test_a_noisy_sample_and_what_the_network_owes_have_unit_variance() -> None:
    """Of data of unit variance; the share that is skipped to it has the least error."""
    s = torch.tensor([0.01, 0.5, 1.0, 20.0])
    skip, out, into = (c.flatten() for c in preconditioning(s))
    torch.testing.assert_close(into.square() * (1 + s**2), torch.ones(4))
    torch.testing.assert_close((1 - skip).square() + (skip * s).square(), out.square())
    for other in (0.99 * skip, 1.01 * skip):
        assert ((1 - other).square() + (other * s).square() > out.square()).all()


def test_what_a_velocity_owes_a_noisy_sample_makes_it_the_clean_one() -> None:
    """Along a straight path, for any sample and noise; the loss weighs its own error evenly."""
    s = torch.tensor([0.01, 0.5, 1.0, 20.0])
    x, noise = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0)).unbind(0)
    z = x + s[:, None, None] * noise
    skip, out, into = preconditioning(s, velocity=True)
    torch.testing.assert_close(skip * z + out * (x - noise), x, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(into.flatten().square() * (1 + s**2), torch.ones(4))
    torch.testing.assert_close(AirfoilLoss(velocity=True)._weight(s), (1 + 1 / s).square())
    torch.testing.assert_close(AirfoilLoss()._weight(s), 1 + s**-2)


def test_streams_that_actuators_turned_around_are_known() -> None:
    still = torch.zeros(4, 3, 72, 48)
    flow, around = still.clone(), still.clone()
    flow[0, 0, 30:34] = -1.2  # an eddy behind an airfoil
    flow[1, 0, 30:34] = -1.5
    around[2, 0, 5:9] = -1.1
    seen = Windows(still[:, 0], flow, around, torch.ones(4), torch.ones(4, 2))
    assert seen.bodily.tolist() == [True, False, False, True]


def test_polishing_lowers_the_price_and_leaves_the_first_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A pair that is too close for its cells is drawn apart, and is not made worse."""
    for name in ("SPIN", "SETTLE", "MEAN"):
        monkeypatch.setattr(airfoil, name, 0.5)
    task, prices = Formations(lift=0.1), Prices()
    how = Polish(calls=1, cells=12, judge=12, spin=0.5, settle=0.2, window=0.3)
    close = naca_pair(1.25, 0.05)
    met = polish(task, close, prices, how, Silent())
    assert float(clearance(met)) == pytest.approx(4.5 / 12 + 0.01, abs=2e-3)
    again = polish(task, met, prices, replace(how, calls=4), Silent())
    assert torch.equal(again.x[:, 0], close.x[:, 0]) and torch.equal(again.y[:, 0], close.y[:, 0])
    assert float(task.violation(again)) == 0
    assert not torch.equal(again.upper, met.upper)


def test_a_design_whose_gradient_is_not_finite_stays_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SPIN", "SETTLE", "MEAN"):
        monkeypatch.setattr(airfoil, name, 0.5)

    def spoiled(*given: Any) -> tuple[FlowState, torch.Tensor]:  # noqa: ANN401
        state, force = differentiable(*given)
        factor = torch.tensor([1.0, math.nan])
        return state._replace(u=state.u * factor[:, None, None]), force * factor.view(2, 1, 1, 1)

    monkeypatch.setattr("physgen.design_tasks.airfoil_polish.differentiable", spoiled)
    pairs = Airfoils(*(torch.cat([part, part]) for part in naca_pair(1.6, 0.05)))
    how = Polish(calls=3, cells=12, judge=12, spin=0.5, settle=0.2, window=0.3)
    with pytest.warns(UserWarning, match="1 designs have a gradient that is not finite"):
        met = polish(Formations(lift=0.1), pairs, Prices(), how, Silent())
    torch.testing.assert_close(met.upper[1], pairs.upper[1])
    assert not torch.equal(met.upper[0], pairs.upper[0])
    assert all(bool(part.isfinite().all()) for part in met)


def test_a_step_that_cannot_be_allowed_is_not_made() -> None:
    task = Formations()
    unit = torch.zeros(2, 2, 15)
    place = torch.tensor([[[0.0, 0.0], [1.25, 0.0]], [[0.0, 0.0], [1.6, 0.0]]])
    move = torch.zeros(2, 2, 2)
    move[0, 1, 0] = -1.2
    move[1, 1, 0] = -0.5
    after, there = within(task, unit, place, torch.zeros_like(unit), move)
    assert torch.equal(after, unit) and torch.equal(there[0], place[0])
    assert 1.2 < float(there[1, 1, 0]) < 1.6


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
