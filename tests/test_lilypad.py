"""Lily-Pad's first mode: what it conserves, how it carries, and what its forces are."""

import math

import pytest
import torch
from torch import Tensor

from physgen.cli import parse
from physgen.design_tasks.flow_lilypad import (
    PAIRS,
    Lilypad,
    Outcome,
    Spun,
    mean_force,
    outlines,
)
from physgen.solvers.bodies import Polygon
from physgen.solvers.lilypad import Hull, SemiLagrangian, convex, pressure_force
from physgen.solvers.sections import area
from physgen.solvers.staggered import Grid

LIKE = torch.zeros(1, dtype=torch.float64)
FAR = torch.tensor([[[[-900.0, -900.0], [-899.0, -900.0], [-900.0, -899.0]]]]).double()
"""A body so far outside that the flow does not know of it."""


def polygon(corners: int, radius: float, x: float, y: float) -> Tensor:
    angle = 2 * math.pi / corners * torch.arange(corners, dtype=torch.float64)
    return torch.stack([x + radius * angle.cos(), y + abs(radius) * angle.sin()], -1)[None, None]


def test_a_uniform_stream_stays_uniform() -> None:
    solver = SemiLagrangian(Grid(16, 12, 0.5), speed=2.0)
    boundary = solver.immerse(FAR)
    state = solver.start(boundary)
    for _ in range(10):
        state = solver.step(state, boundary)
    torch.testing.assert_close(state.u, torch.full_like(state.u, 2.0), atol=1e-12, rtol=0)
    assert float(state.v.abs().max()) < 1e-12
    assert float(state.time) == pytest.approx(10 * 0.5 / 2.0)


def vortex(grid: Grid, x_0: float, y_0: float, radius: float) -> tuple[Tensor, Tensor]:
    """A stream with a vortex whose swirl is the curl of a Gaussian, so without divergence."""
    x, y = grid.corners(LIKE)
    psi = 0.1 * radius * torch.exp(-((x - x_0).square() + (y - y_0).square()) / radius**2)
    h = grid.spacing
    return 1 + psi.diff(dim=1)[None] / h, -psi.diff(dim=0)[None] / h


def test_a_vortex_is_carried_with_the_stream() -> None:
    grid = Grid(40, 32)
    solver = SemiLagrangian(grid)
    boundary = solver.immerse(FAR)
    u, v = vortex(grid, 14.0, 16.0, 5.0)
    state = solver.start(boundary)._replace(u=u, v=v)
    for _ in range(8):
        state = solver.step(state, boundary)
    swirl = float(v.abs().max())
    exact_u, exact_v = vortex(grid, 14.0 + 8 * solver.speed * solver.dt, 16.0, 5.0)
    assert float((state.u - exact_u).abs().max()) < 0.01 * swirl
    assert float((state.v - exact_v).abs().max()) < 0.01 * swirl


@pytest.mark.parametrize("turn", [1, -1])
def test_the_pressure_of_water_at_rest_lifts_a_polygon_by_its_area(turn: int) -> None:
    grid = Grid(24, 20, 0.5, -1.0, 2.0)
    corners = polygon(7, turn * 2.2, 4.3, 6.6)
    x, y = grid.centres(LIKE)
    force = pressure_force(grid, (5.0 - y)[None], corners)[0, 0]
    assert float(force[1]) == pytest.approx(float(area(corners)[0, 0]), rel=1e-9)
    assert abs(float(force[0])) < 1e-9
    force = pressure_force(grid, (3 * x)[None], corners)[0, 0]
    assert float(force[0]) == pytest.approx(-3 * float(area(corners)[0, 0]), rel=1e-9)


def test_the_hull_is_the_polygon_beside_its_edges_and_reaches_beyond_its_corners() -> None:
    foil = outlines(PAIRS[0], 7.0, [[10.0]], 8.0).double()
    x, y = Grid(24, 16).centres(LIKE)
    exact, hull = Polygon(foil).distance(x, y), Hull(foil, 3.0).distance(x, y)
    assert convex(foil, 1e-3)
    assert float((hull - exact).max()) < 1e-6
    assert bool(((hull < 0) == (exact < 0)).all())
    tail = foil[0, 0, 0] + torch.tensor([2.0, -0.3]).double()
    assert float(Polygon(foil).distance(tail[0], tail[1])) == pytest.approx(2.02, abs=0.01)
    assert float(Hull(foil, 3.0).distance(tail[0], tail[1])) < 1.0
    dart = torch.tensor([[[[0.0, 0.0], [4.0, 0.0], [1.0, 1.0], [0.0, 4.0]]]])
    assert not convex(dart, 1e-3)


def test_spinning_walls_raise_lift_manyfold() -> None:
    foil = outlines(PAIRS[0]._replace(incidence=0.2), 7.0, [[18.0], [18.0]], 20.0)
    solver = SemiLagrangian(Grid(48, 40))
    rates = torch.tensor([[0.0], [-0.2]])  # clockwise, as the nose went up
    still, spinning = mean_force(solver, foil, 25, 35, rates)[:, 0].tolist()
    assert 0 < 4 * still[1] < spinning[1]
    assert spinning[1] / spinning[0] > 2 * still[1] / still[0] > 0


def test_two_foils_in_line_have_far_less_drag_than_each_alone() -> None:
    solver = SemiLagrangian(Grid(56, 36))
    pair = mean_force(solver, outlines(PAIRS[1], 7.0, [[14.0, 28.0]], 18.0), 30, 40)
    alone = mean_force(solver, outlines(PAIRS[1], 7.0, [[14.0]], 18.0), 30, 40)
    assert 0 < float(pair[..., 0].sum()) < 0.7 * 2 * float(alone[..., 0].sum())


def test_changes_are_those_of_the_sums() -> None:
    one = Outcome("", ((1.0, 1.0), (3.0, 1.0)), ((1.5, 0.5), (0.5, 1.0)))
    assert one.change == pytest.approx((-50.0, -25.0, 50.0))
    assert Spun("", (1.0, 2.0), (3.0, 4.0)).spinning == (3.0, 4.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--since", "400"), "after 400"),
        (("--gap", "0"), "gap must be positive and finite, got 0.0"),
        (("--cells", "0"), "cells must be positive and finite, got 0"),
        (("--leader", "42"), "must stay within"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: tuple[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(Lilypad, "simulate lilypad", options)


def test_the_stream_must_flow() -> None:
    with pytest.raises(ValueError, match="speed"):
        SemiLagrangian(Grid(16, 12), speed=0.0)
