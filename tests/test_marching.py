"""A flow on its way: what is refused, what is resumed, and the gradient through many steps."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from physgen.solvers.advection import QUICK, Central, Scheme
from physgen.solvers.bodies import Body, Circle, Ellipse, Moving, Polygon, Rigid, Several, Steady
from physgen.solvers.fluid import Clock, Fixed, Flow, FlowState
from physgen.solvers.forces import coefficients, pressure_force
from physgen.solvers.marching import WEIGHT, Course, differentiable
from physgen.solvers.sections import fit_cst, kulfan, naca4, place
from physgen.solvers.staggered import Grid

LIKE = torch.zeros(1, dtype=torch.float64)
GRID = Grid(48, 32)
FLOW = Flow(GRID, 0.1, clock=Fixed(0.3))


@pytest.mark.parametrize(
    ("bodies", "said"),
    [
        (Circle(12.0, 3.0, 2.0), "within 1.0 cells of a side"),
        (Circle(60.0, 16.0, 2.0), "outside the domain"),
        (Several([Circle(12.0, 16.0, 4.0), Circle(19.0, 16.0, 4.0)]), "overlap"),
        (Several([Circle(12.0, 16.0, 4.0), Circle(22.0, 16.0, 4.0)]), "only 2.1 cells apart"),
    ],
)
def test_bodies_that_cannot_be_told_apart_or_placed_are_refused(bodies: Body, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Course(FLOW, bodies, LIKE)


def test_a_body_thinner_than_the_kernel_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="cells thick at its thickest"):
        Course(FLOW, Ellipse(16.0, 16.0, 6.0, 0.8, 0.1), LIKE)


def test_a_body_that_moves_into_another_is_stopped() -> None:
    both = Several(
        [Moving(Circle(10.0, 16.0, 3.0), Steady(Rigid(x=1.0))), Circle(22.0, 16.0, 3.0)]
    )
    course = Course(FLOW, both, LIKE)
    with pytest.raises(ValueError, match="apart"):
        course.march(course.start(), 5.0)


def test_a_time_step_that_is_too_long_is_refused_with_a_better_one() -> None:
    course = Course(replace(FLOW, clock=Fixed(2.0)), Circle(16.0, 16.0, 4.0), LIKE)
    with pytest.raises(ValueError, match=r"Courant number is .* use at most"):
        course.march(course.start(), 4.0)


@pytest.mark.parametrize("dt", [0.35, 0.1, 0.3])
def test_a_fixed_step_is_the_one_that_was_asked_for(dt: float) -> None:
    """In single precision too, where it is less than itself by rounding."""
    course = Course(replace(FLOW, clock=Fixed(dt)), Circle(16.0, 16.0, 4.0), LIKE.float())
    state, seen = course.start(), []
    for piece in range(1, 4):
        state = course.march(state, 11 * piece * dt, lambda one: seen.append(float(one.time)))
    assert len(seen) == 33
    assert seen == pytest.approx([dt * (k + 1) for k in range(33)])


def test_a_flow_that_blows_up_says_so() -> None:
    course = Course(FLOW, Circle(16.0, 16.0, 4.0), LIKE)
    state = course.start()
    with pytest.raises(FloatingPointError, match="blew up: 1 of 1 samples"):
        course.march(state._replace(u=state.u * torch.inf), 10.0)


def test_a_run_that_is_taken_up_goes_on_bit_for_bit() -> None:
    course = Course(replace(FLOW, clock=Flow(GRID, 0.1).clock), Circle(16.0, 16.0, 4.0), LIKE)
    half = course.march(course.start(), 5.0)
    whole = course.march(half, 10.0)
    kept = FlowState(*(part.clone() for part in half))
    again = Course(course.flow, Circle(16.0, 16.0, 4.0), LIKE).march(kept, 10.0)
    for one, other in zip(whole, again, strict=True):
        assert torch.equal(one, other)
    assert float(whole.time) == 10.0


def test_pressure_and_friction_share_the_drag_of_a_cylinder() -> None:
    flow = Flow(Grid(64, 48, 1 / 8, -2.5, -3.0), 1 / 20)
    course = Course(flow, Circle(0.0, 0.0, 0.5), LIKE)
    state = course.march(course.start(), 6.0)
    total = coefficients(state.force, 1.0, 1.0)
    part = coefficients(pressure_force(flow, state, course.immersed), 1.0, 1.0)
    # At Reynolds number 20 pressure makes three fifths of the drag (Dennis & Chang, 1970).
    assert 0.5 < float(part[0, 0, 0] / total[0, 0, 0]) < 0.75
    assert abs(float(part[0, 0, 1])) < 1e-8


WEIGHTS, _ = fit_cst(naca4(0.0, 0.4, 0.18), 4)


def airfoil(parameters: Tensor) -> Body:
    """Place, angle and thickness-like weights of an airfoil 20 cells long."""
    x, y, angle, upper, lower = parameters.unbind()
    up = WEIGHTS.upper.double() + upper * torch.tensor([0.0, 1.0, 0.5, 0.0], dtype=torch.float64)
    low = WEIGHTS.lower.double() + lower * torch.tensor([0.5, 0.0, 1.0, 0.0], dtype=torch.float64)
    section = kulfan(up, low, 0.02, points=41)
    return Polygon(place(section, 20.0, 14.0 + x, 16.0 + y, angle)[None, None])


def mean_force(parameters: Tensor, steps: int, scheme: Scheme) -> Tensor:
    flow = replace(FLOW, scheme=scheme)
    immersed = flow.immerse(airfoil(parameters), LIKE)
    state, force = differentiable(flow, flow.start(immersed), immersed, steps)
    assert state.u.isfinite().all()
    return force[0, :, 0].mean(0)


def gradient_error(steps: int, scheme: Scheme) -> float:
    """The largest relative error of the gradients of mean drag and lift."""
    point = torch.tensor([0.23, 0.11, 0.12, 0.01, -0.02], dtype=torch.float64)
    variable = point.clone().requires_grad_()
    force = mean_force(variable, steps, scheme)
    worst = 0.0
    found = [torch.autograd.grad(part, variable, retain_graph=True)[0] for part in force]
    with torch.no_grad():
        for k in range(len(point)):
            # The finer the step the larger the rounding, the coarser the more of the curvature.
            slopes = []
            for size in (2e-5, 1e-5):
                change = torch.zeros_like(point)
                change[k] = size
                up, down = (mean_force(point + sign * change, steps, scheme) for sign in (1, -1))
                slopes.append((up - down) / (2 * size))
            exact = (4 * slopes[1] - slopes[0]) / 3
            for component in range(2):
                scale = float(found[component].abs().max()) * 1e-3
                error = abs(float(found[component][k] - exact[component]))
                worst = max(worst, error / max(abs(float(exact[component])), scale))
    return worst


@pytest.mark.parametrize(
    "steps",
    [10, pytest.param(40, marks=pytest.mark.slow), pytest.param(160, marks=pytest.mark.slow)],
)
def test_gradients_of_drag_and_lift_are_those_of_differences(steps: int) -> None:
    assert gradient_error(steps, Central()) < 1e-4


def test_gradients_go_through_the_limiter() -> None:
    # It makes forces smooth in pieces, and differences meet its kinks.
    assert gradient_error(1, QUICK) < 1e-2


def test_checkpoints_change_nothing() -> None:
    def gradient(every: int) -> tuple[Tensor, Tensor]:
        y = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
        immersed = FLOW.immerse(Circle(14.0, 16.0 + y, 4.0), LIKE)
        _, force = differentiable(FLOW, FLOW.start(immersed), immersed, 7, every)
        value = force.square().sum()
        return value.detach(), torch.autograd.grad(value, y)[0]

    one, other = gradient(7), gradient(2)
    assert torch.equal(one[0], other[0])
    torch.testing.assert_close(one[1], other[1], rtol=1e-12, atol=0)


class Counted(Clock):
    """A fixed step that knows how often it was asked for."""

    def __init__(self) -> None:
        self.steps = 0

    def step(self, flow: Flow, state: FlowState) -> Tensor:
        self.steps += 1
        return state.u.new_tensor(0.3)

    def rounded(self, longest: float) -> float:
        return longest


def test_only_steps_that_do_not_fit_into_memory_are_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = torch.tensor(14.0, dtype=torch.float64, requires_grad=True)
    immersed = FLOW.immerse(Circle(x, 16.0, 4.0), LIKE)
    start = FLOW.start(immersed)
    state = sum(part.numel() * part.element_size() for part in start)
    for memory, steps in ((7 * WEIGHT * state, 7), (3 * WEIGHT * state, 7 + 4)):
        monkeypatch.setattr("physgen.solvers.marching.MEMORY", memory)
        clock = Counted()
        _, force = differentiable(replace(FLOW, clock=clock), start, immersed, 7)
        torch.autograd.grad(force.sum(), x, retain_graph=True)
        assert clock.steps == steps


def test_a_step_keeps_two_states_for_its_derivative() -> None:
    flow = replace(FLOW, grid=Grid(96, 96))
    immersed = flow.immerse(Circle(torch.tensor(24.0, requires_grad=True), 48.0, 6.0), LIKE)
    start = flow.start(immersed)
    kept: dict[int, int] = {}

    def keep(part: Tensor) -> Tensor:
        whole = part.untyped_storage()
        kept[whole.data_ptr()] = whole.nbytes()
        return part

    sizes = []
    for steps in (2, 6):
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda part: part):
            results = differentiable(flow, start, immersed, steps)
        sizes.append(sum(kept.values()))
        del results
    state = sum(part.numel() * part.element_size() for part in start)
    assert (sizes[1] - sizes[0]) / 4 < 2 * state


def test_gradients_reach_a_control_of_the_fluid() -> None:
    from physgen.solvers.fluid import Forcing

    immersed = FLOW.immerse(Circle(14.0, 16.0, 4.0), LIKE)

    def drag(push: Tensor) -> Tensor:
        flow = replace(FLOW, scheme=Central(), forcing=Forcing(x=push))
        _, force = differentiable(flow, flow.start(immersed), immersed, 5)
        return force[0, :, 0, 0].sum()

    push = torch.zeros(1, GRID.nx + 1, GRID.ny, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(drag(push), push)
    change = torch.zeros_like(push)
    change[0, 5:9, 12:20] = 1e-4
    slope = (drag(change) - drag(-change)) / 2
    assert float((found * change).sum()) == pytest.approx(float(slope), rel=1e-6)


COMPILED = """
import torch
from physgen.solvers.bodies import Circle
from physgen.solvers.fluid import Fixed, Flow
from physgen.solvers.marching import Course
from physgen.solvers.staggered import Grid

flow = Flow(Grid(48, 32), 0.1, clock=Fixed(0.3))
plain, fast = (Course(flow, Circle(16.0, 16.0, 4.0), torch.zeros(1).double()) for _ in range(2))
fast.compile()
one, other = (course.march(course.start(), 3.0) for course in (plain, fast))
torch.testing.assert_close(other.u, one.u, atol=1e-10, rtol=0)
torch.testing.assert_close(other.force, one.force, atol=1e-9, rtol=0)
"""


@pytest.mark.slow
def test_a_compiled_step_tells_the_same() -> None:
    # In a process of its own: what checks shapes in tests cannot be compiled.
    subprocess.run([sys.executable, "-c", COMPILED], check=True, timeout=500)
