"""The flow solver: exact solutions, conservation, forces and symmetries."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from physgen.solvers.advection import Central, Quick, Scheme, VanLeer, flux, momentum
from physgen.solvers.bodies import (
    Accelerating,
    Body,
    Circle,
    Ellipse,
    Moving,
    NoBody,
    Polygon,
    Rigid,
    Several,
    Steady,
)
from physgen.solvers.fluid import Buoyancy, Fixed, Flow, FlowState, Forcing
from physgen.solvers.immersion import Immersed, Kernel
from physgen.solvers.marching import Course
from physgen.solvers.poisson import ConjugateGradients, Direct, PressureSolver
from physgen.solvers.sides import PERIODIC, SLIP, WALL, Inflow, Sides, Wall
from physgen.solvers.staggered import Grid

LIKE = torch.zeros(1, dtype=torch.float64)
SINGLE = torch.zeros(1)
ROUND = Sides(PERIODIC, PERIODIC, PERIODIC, PERIODIC)
CLOSED = Sides(WALL, WALL, WALL, WALL)


def stepped(flow: Flow, state: FlowState, immersed: Immersed, steps: int) -> FlowState:
    for _ in range(steps):
        state = flow.step(state, immersed)
    return state


def vortex_error(cells: int, scheme: Scheme) -> float:
    """Largest error of a Taylor–Green vortex after two seconds."""
    grid, nu, end = Grid(cells, cells, 2 * math.pi / cells), 0.05, 2.0
    steps = round(end / (0.2 * grid.spacing))
    flow = Flow(grid, nu, ROUND, scheme=scheme, clock=Fixed(end / steps))
    immersed = flow.immerse(NoBody(), LIKE)
    x, y = grid.faces_x(LIKE)
    u = -(x.cos() * y.sin())[None]
    x, y = grid.faces_y(LIKE)
    v = (x.sin() * y.cos())[None]
    state = stepped(flow, flow.at_rest(immersed)._replace(u=u, v=v), immersed, steps)
    return float((state.u - math.exp(-2 * nu * end) * u).abs().max())


def median(*three: Tensor) -> Tensor:
    return torch.stack(three).sort(0).values[1]


def harmonic(u: Tensor, c: Tensor, d: Tensor) -> Tensor:
    r = (c - u) / (d - c)
    return c + 0.5 * (r + r.abs()) / (1 + r.abs()) * (d - c)


PUBLISHED: dict[Scheme, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    Central(): lambda _, c, d: 0.5 * (c + d),
    Quick(): lambda u, c, d: median((5 * c + 2 * d - u) / 6, c, median(10 * c - 9 * u, c, d)),
    VanLeer(): harmonic,
}


@pytest.mark.parametrize("scheme", PUBLISHED)
@pytest.mark.parametrize("dim", [1, 2])
def test_a_flux_and_its_derivative_are_those_of_the_published_form(
    scheme: Scheme, dim: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 24, 18, dtype=torch.float64, generator=generator).cumsum(dim)
    shape = [n - 3 * (k == dim) for k, n in enumerate(values.shape)]
    speed, slope = torch.randn(2, *shape, dtype=torch.float64, generator=generator)
    conductance = torch.tensor([0.1, 0.3], dtype=torch.float64)[:, None, None]
    for wanted in (values, speed, conductance):
        wanted.requires_grad_()
    before, left, right, after = (values.narrow(dim, k, shape[dim]) for k in range(4))
    ahead = speed > 0
    u, c, d = (torch.where(ahead, *p) for p in ((before, after), (left, right), (right, left)))
    published = speed * PUBLISHED[scheme](u, c, d) - conductance * (right - left)
    found = flux(scheme, values, speed, conductance, dim)
    torch.testing.assert_close(found, published)
    torch.testing.assert_close(
        torch.autograd.grad(found, [values, speed, conductance], slope),
        torch.autograd.grad(published, [values, speed, conductance], slope),
    )


@pytest.mark.parametrize("scheme", PUBLISHED)
def test_what_velocities_carry_of_each_other_has_the_derivative_of_differences(
    scheme: Scheme,
) -> None:
    generator = torch.Generator().manual_seed(1)
    u, v = (
        torch.randn(2, *shape, dtype=torch.float64, generator=generator).requires_grad_()
        for shape in ((8, 8), (7, 9))
    )
    conductance = torch.tensor([0.1, 0.3], dtype=torch.float64)[:, None, None].requires_grad_()
    assert torch.autograd.gradcheck(partial(momentum, scheme), (u, v, conductance))


@pytest.mark.parametrize(("scheme", "order"), [(Central(), 1.9), (Quick(), 1.9), (VanLeer(), 1.5)])
def test_a_taylor_green_vortex_decays_in_the_order_of_the_scheme(
    scheme: Scheme, order: float
) -> None:
    errors = [vortex_error(cells, scheme) for cells in (16, 32, 64)]
    assert math.log2(errors[1] / errors[2]) >= order
    assert errors[2] < 2e-3


def test_flow_between_plates_is_the_exact_parabola() -> None:
    grid, nu = Grid(8, 8, 1 / 8), 0.1
    sides = Sides(PERIODIC, PERIODIC, WALL, Wall(speed=0.5))
    flow = Flow(grid, nu, sides, scheme=Central(), clock=Fixed(0.03), forcing=Forcing(x=8 * nu))
    immersed = flow.immerse(NoBody(), LIKE)
    _, y = grid.faces_x(LIKE)
    exact = 4 * y * (1 - y) + 0.5 * y
    state = stepped(flow, flow.at_rest(immersed)._replace(u=exact[None]), immersed, 20)
    assert float((state.u[0] - exact).abs().max()) < 1e-12


def test_a_channel_keeps_its_profile_from_inflow_to_outflow() -> None:
    grid, nu = Grid(32, 8, 1 / 8), 0.1
    y = (torch.arange(8, dtype=torch.float64) + 0.5) / 8
    profile = 6 * y * (1 - y)
    flow = Flow(grid, nu, Sides(left=Inflow(profile), bottom=WALL, top=WALL), scheme=Central())
    course = Course(flow, NoBody(), LIKE)
    state = course.march(course.start(), 4.0)
    # Cell values of the parabola, so the flow is the discrete profile of the same mean.
    assert float((state.u[0] - profile).abs().max()) < 1e-2
    slope = (state.pressure[0, 26] - state.pressure[0, 10]).mean() / 2
    assert float(slope) == pytest.approx(-12 * nu, rel=1e-2)


def annulus_error(cells: int, kernel: Kernel) -> float:
    """Root mean square error of the flow between two cylinders, of which the inner one turns."""
    inner, outer, spin = 0.5, 1.1, 1.0
    grid = Grid(cells, cells, 2.8 / cells, -1.4, -1.4)
    nu = 0.2
    flow = Flow(grid, nu, CLOSED, kernel=kernel, clock=Fixed(0.15 * grid.spacing**2 / nu))
    turning = Moving(Circle(0.0, 0.0, inner), Steady(Rigid(angle=spin)))
    immersed = flow.immerse(Several([turning, ~Circle(0.0, 0.0, outer)]).at(0.0), LIKE)
    b = spin / (1 / inner**2 - 1 / outer**2)

    def speed(r: Tensor) -> Tensor:
        within = b * (1 / r.square() - 1 / outer**2)
        return torch.where(r < inner, spin, torch.where(r > outer, 0.0, within))

    x, y = grid.faces_x(LIKE)
    r = (x.square() + y.square()).sqrt()
    exact = -y * speed(r)
    x_v, y_v = grid.faces_y(LIKE)
    v = x_v * speed((x_v.square() + y_v.square()).sqrt())
    state = flow.at_rest(immersed)._replace(u=exact[None], v=v[None])
    state = stepped(flow, state, immersed, round(0.03 / nu / flow.clock.step(flow, state).item()))
    fluid = (r > inner) & (r < outer)
    return float((state.u[0] - exact)[fluid].square().mean().sqrt())


def test_the_flow_between_turning_cylinders_is_found_at_first_order() -> None:
    # Their speed at the surface is 0.5. The steps shrink with the square of the cells.
    firm, published = annulus_error(32, Kernel()), annulus_error(32, Kernel(firmness=0))
    assert firm < 0.65 * published < 0.011
    assert annulus_error(64, Kernel()) < 0.55 * firm


def plate(bottom: float, top: float) -> Polygon:
    corners = [[8.0, bottom], [24.0, bottom], [24.0, top], [8.0, top]]
    return Polygon(torch.tensor(corners, dtype=torch.float64)[None, None])


def profile_error(kernel: Kernel) -> float:
    """How far a parabolic profile above a wall strays when it is held again and again."""
    flow, worst = Flow(Grid(32, 24), 0.1, kernel=kernel), 0.0
    _, y = flow.grid.faces_x(LIKE)
    for wall in (12.0, 12.2, 12.4, 12.6, 12.8):
        away = (y - wall).clamp(min=0)
        exact = (away + 0.1 * away.square())[None]
        side = flow.immerse(plate(4.0, wall), LIKE).x
        u = exact
        for _ in range(40):
            u = torch.where(away < 1, side.held(u), exact)
        worst = max(worst, float((u - exact)[0, 16].abs().max()))
    return worst


def test_a_firm_boundary_holds_the_profile_that_is_outside() -> None:
    firm, published = profile_error(Kernel()), profile_error(Kernel(firmness=0))
    assert firm < 0.7 * published
    assert firm < 0.1


def shut(body: Body, kernel: Kernel) -> Tensor:
    return Flow(Grid(32, 24), 0.1, kernel=kernel).immerse(body, LIKE).y.opening


def test_a_body_thinner_than_a_cell_is_closed_and_a_thick_one_left() -> None:
    left = Kernel(closing=0.0)
    for middle in (12.0, 12.2, 12.5):
        thin = plate(middle - 0.1, middle + 0.1)
        assert shut(thin, Kernel())[0, 16].min() < shut(thin, left)[0, 16].min() - 0.15
    thick = Circle(16.2, 12.1, 5.0)
    assert (shut(thick, Kernel()) - shut(thick, left)).abs().max() < 0.01


def drag_change(firmness: int) -> float:
    """By how much drag depends on the time step."""
    drags = []
    for dt in (0.03, 0.01):
        flow = Flow(
            Grid(32, 24, 1 / 8, -1.5, -1.5),
            1 / 20,
            clock=Fixed(dt),
            kernel=Kernel(firmness=firmness),
        )
        course = Course(flow, Circle(0.0, 0.0, 0.5), LIKE)
        drags.append(float(course.march(course.start(), 1.6).force[0, 0, 0]))
    return abs(drags[1] / drags[0] - 1)


def test_with_a_firm_boundary_drag_hardly_depends_on_the_time_step() -> None:
    firm, published = drag_change(4), drag_change(0)
    assert firm < 0.5 * published
    assert firm < 0.03


def test_the_force_is_the_momentum_that_a_box_around_the_body_loses() -> None:
    grid, nu = Grid(40, 32, 1 / 6, -2.0, -2.7), 1 / 10
    flow = Flow(grid, nu, scheme=Central(), clock=Fixed(0.05))
    bodies = Several([Circle(0.05, 0.1, 0.5), Ellipse(2.2, 0.4, 0.6, 0.4, 0.3)])
    immersed = flow.immerse(bodies, LIKE)
    state = stepped(flow, flow.start(immersed), immersed, 250)
    h = grid.spacing
    a, b, c, d = 4, 34, 3, 29  # faces across x from a to b, cells across y from c to d
    u, v, p = state.u[0], state.v[0], state.pressure[0]
    u, p = u[:, c:d], p[:, c:d]
    middle = 0.5 * (u[1:] + u[:-1])
    normal = middle.square() - nu * u.diff(dim=0) / h + p
    through_x = h * (normal[b] - normal[a - 1]).sum()
    u = state.u[0]
    edges = []
    for row in (c, d):
        across = 0.5 * (v[1:, row] + v[:-1, row])
        slide = 0.5 * (u[1:-1, row] + u[1:-1, row - 1])
        flux = across * slide - nu * (u[1:-1, row] - u[1:-1, row - 1]) / h
        edges.append(flux[a - 1 : b])
    lost = -(through_x + h * (edges[1] - edges[0]).sum())
    assert float(state.force[0, :, 0].sum()) == pytest.approx(float(lost), rel=1e-4)
    assert state.force[0, 0, 0] > 1.0


@pytest.mark.parametrize("kernel", [Kernel(), Kernel(firmness=0)])
def test_fluid_at_rest_lifts_a_body_by_the_weight_it_displaces(kernel: Kernel) -> None:
    grid = Grid(64, 64)
    flow = Flow(grid, 0.1, CLOSED, clock=Fixed(0.1), forcing=Forcing(y=-1.0), kernel=kernel)
    radius = 32 / 3
    immersed = flow.immerse(Circle(31.3, 32.4, radius), LIKE)
    state = stepped(flow, flow.at_rest(immersed), immersed, 2)
    lift = state.force[0, 0] / (math.pi * radius**2)
    assert float(lift[1]) == pytest.approx(1.0, abs=2e-3)
    assert abs(float(lift[0])) < 2e-3


def added_mass(radius: float, flow: Flow) -> float:
    """What resists a circle set in motion, over the mass of fluid it displaces."""
    middle = 0.5 * flow.grid.width
    body = Moving(Circle(middle, middle, radius), Accelerating(Rigid(x=0.1)))
    course = Course(flow, body, LIKE)
    force = course.march(flow.at_rest(course.immersed), 0.02).force[0, 0]
    assert abs(float(force[1])) < 1e-6
    return -float(force[0]) / (math.pi * radius**2 * 0.1)


@pytest.mark.parametrize("solver", [Direct(), ConjugateGradients(1e-8)])
def test_a_circle_set_in_motion_feels_its_added_mass(solver: PressureSolver) -> None:
    flow = Flow(Grid(128, 128), 1e-4, CLOSED, clock=Fixed(0.02), pressure=solver)
    assert added_mass(8.0, replace(flow, kernel=Kernel(firmness=0))) == pytest.approx(
        1.0, abs=0.04
    )
    # A firm boundary also drags its kernel's fluid along: first order in the cells.
    plain = replace(flow, kernel=Kernel(firmness=0))
    small, large = (added_mass(r, flow) - added_mass(r, plain) for r in (5.0, 10.0))
    assert 0 < large < 0.65 * small < 0.2


def three_bodies() -> Body:
    y = torch.tensor([[15.0], [16.3], [17.0]])
    angle = torch.tensor([[0.0], [0.3], [-0.2]])
    return Several([Ellipse(12.0, y, 4.5, 2.5, angle), Circle(26.0, 16.0 - 0.2 * y, 2.2)])


def one_body(sample: int) -> Body:
    y = torch.tensor([[15.0], [16.3], [17.0]])[sample : sample + 1]
    angle = torch.tensor([[0.0], [0.3], [-0.2]])[sample : sample + 1]
    return Several([Ellipse(12.0, y, 4.5, 2.5, angle), Circle(26.0, 16.0 - 0.2 * y, 2.2)])


@pytest.mark.parametrize("solver", [None, ConjugateGradients(1e-6)])
def test_a_batch_goes_as_its_samples_alone(solver: ConjugateGradients | None) -> None:
    flow = Flow(Grid(48, 32), 0.1, clock=Fixed(0.3))
    if solver is not None:
        flow = replace(flow, pressure=solver)
    immersed = flow.immerse(three_bodies(), LIKE)
    together = stepped(flow, flow.start(immersed), immersed, 20)
    for sample in range(3):
        immersed = flow.immerse(one_body(sample), LIKE)
        alone = stepped(flow, flow.start(immersed), immersed, 20)
        for name in ("u", "v", "force"):
            part = getattr(together, name)[sample]
            torch.testing.assert_close(part, getattr(alone, name)[0], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("like", "limit"), [(LIKE, 1e-8), (SINGLE, 2e-5)])
def test_no_cell_gains_or_loses_fluid(like: Tensor, limit: float) -> None:
    flow = Flow(Grid(48, 32), 0.1, clock=Fixed(0.3))
    immersed = flow.immerse(three_bodies(), like)
    state = stepped(flow, flow.start(immersed), immersed, 20)
    assert float(flow.divergence(state, immersed).max()) < limit
    inflow, outflow = state.u[:, 0].sum(1), state.u[:, -1].sum(1)
    torch.testing.assert_close(outflow, inflow, atol=0, rtol=1e-5)


def test_a_mirrored_body_makes_a_mirrored_flow() -> None:
    flow = Flow(Grid(48, 32), 0.1, clock=Fixed(0.3))
    states = []
    for sign in (1, -1):
        immersed = flow.immerse(Ellipse(14.0, 16 + sign * 1.7, 5.0, 2.5, sign * 0.4), LIKE)
        states.append(stepped(flow, flow.start(immersed), immersed, 40))
    one, other = states
    torch.testing.assert_close(one.u, other.u.flip(2), atol=1e-10, rtol=0)
    torch.testing.assert_close(one.v, -other.v.flip(2), atol=1e-10, rtol=0)
    turned = one.force * torch.tensor([1.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(turned, other.force, atol=1e-9, rtol=0)


def test_single_and_double_precision_tell_the_same() -> None:
    flow = Flow(Grid(48, 32), 0.1, clock=Fixed(0.3))
    found = []
    for like in (LIKE, SINGLE):
        immersed = flow.immerse(three_bodies(), like)
        found.append(stepped(flow, flow.start(immersed), immersed, 40).force.double())
    assert found[0].dtype == torch.float64
    torch.testing.assert_close(found[1], found[0], atol=2e-4, rtol=2e-4)


def test_smoke_is_conserved_bounded_and_kept_out_of_bodies() -> None:
    grid = Grid(48, 32)
    flow = Flow(grid, 0.1, CLOSED, clock=Fixed(0.2), buoyancy=Buoyancy(y=0.2))
    immersed = flow.immerse(Circle(24.0, 20.0, 4.0), LIKE)
    x, y = grid.centres(LIKE)
    puff = ((x - 22).square() + (y - 9).square() < 16).double()[None, None]
    start = flow.at_rest(immersed, scalars=1)._replace(scalar=puff)
    state = stepped(flow, start, immersed, 150)
    assert float(state.scalar.sum()) == pytest.approx(float(puff.sum()), rel=1e-12)
    assert float(state.scalar.min()) > -0.02 and float(state.scalar.max()) < 1.02
    height = (state.scalar * y).sum() / state.scalar.sum()
    assert float(height) > 9 + 3
    inside = immersed.distance[:, :1] < -2
    assert float((state.scalar * inside).abs().max()) == 0
    even = stepped(flow, state._replace(scalar=torch.ones_like(puff)), immersed, 20)
    torch.testing.assert_close(even.scalar, torch.ones_like(puff), atol=5e-5, rtol=0)


FIELDS: dict[str, Callable[[Flow], Flow]] = {
    "viscosity": lambda flow: replace(flow, viscosity=-1.0),
    "time step": lambda flow: replace(flow, clock=Fixed(0.0)),
    "half-width": lambda flow: replace(flow, kernel=Kernel(0.0)),
}


@pytest.mark.parametrize("name", FIELDS)
def test_impossible_settings_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        FIELDS[name](Flow(Grid(16, 16), 0.1))


def test_an_axis_is_periodic_on_both_sides_or_on_none() -> None:
    with pytest.raises(ValueError, match="bottom and top must be periodic together"):
        Sides(bottom=PERIODIC, top=SLIP)
