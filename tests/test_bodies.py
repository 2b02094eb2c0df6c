"""Bodies: distances against their boundaries, the algebra, motion, and gradients."""

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from physgen.solvers.bodies import (
    Accelerating,
    Body,
    Circle,
    Ellipse,
    HalfPlane,
    Image,
    Motion,
    Moving,
    NoBody,
    Oscillating,
    Placed,
    Polygon,
    Rectangle,
    Rigid,
    Several,
    Steady,
    contours,
)


def tensor(values: Sequence[object]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random(*shape: int, seed: int = 0) -> Tensor:
    """Numbers from -1 to 1."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(*shape, dtype=torch.float64, generator=generator) - 1


def star(turn: float = 1.0) -> Tensor:
    """A concave polygon around the origin, in one orientation or the other."""
    angle = turn * torch.arange(10, dtype=torch.float64) * math.pi / 5
    radius = tensor([1.0, 0.4] * 5)
    return (radius * torch.stack([angle.cos(), angle.sin()])).T[None, None]


BATCH, BODIES, POINTS = 3, 2, 200
X, Y = 1.5 * random(2, POINTS, seed=1)
CENTRES = 0.3 * random(3, BATCH, BODIES, seed=2)
SIZES = 0.5 + 0.2 * random(2, BATCH, BODIES, seed=3)
CORNERS = star() + 0.1 * random(BATCH, BODIES, 10, 2, seed=4)
GRID = torch.meshgrid(*[torch.linspace(-2, 2, 81, dtype=torch.float64)] * 2, indexing="ij")

Made = Callable[..., Body]
KINDS: dict[str, tuple[Made, tuple[Tensor, ...]]] = {
    "half plane": (HalfPlane, (*CENTRES,)),
    "circle": (Circle, (*CENTRES[:2], SIZES[0])),
    "ellipse": (Ellipse, (*CENTRES[:2], *SIZES, CENTRES[2])),
    "thin ellipse": (Ellipse, (*CENTRES[:2], SIZES[0], SIZES[1] / 20, CENTRES[2])),
    "rectangle": (Rectangle, (*CENTRES[:2], *SIZES, CENTRES[2])),
    "polygon": (Polygon, (CORNERS,)),
    "image": (
        lambda values, x, y, h: Image(values, x - 1, y - 1, 0.025 * h),
        (Polygon(CORNERS).distance(*GRID), *CENTRES[:2], 1 + 0.1 * CENTRES[2]),
    ),
    "placed": (lambda v, x, y, a: Placed(Polygon(v), x, y, a), (CORNERS, *CENTRES)),
    "rotated": (
        lambda v, x, y, a: Polygon(v).rotated(a, about=(x, y)).translated(y, a),
        (CORNERS, *CENTRES),
    ),
    "several": (
        lambda x, y, r, v: Several([Circle(x, y, r), Polygon(v)]),
        (*CENTRES[:2], SIZES[0], CORNERS),
    ),
    "union": (lambda x, y, r, v: Circle(x, y, r) | Polygon(v), (*CENTRES[:2], SIZES[0], CORNERS)),
    "both": (lambda x, y, r, v: Circle(x, y, r) & Polygon(v), (*CENTRES[:2], SIZES[0], CORNERS)),
    "rest": (lambda x, y, r, v: Polygon(v) - Circle(x, y, r), (*CENTRES[:2], SIZES[0], CORNERS)),
    "moving": (
        lambda x, y, a, b, t: Moving(
            Moving(Ellipse(x, y, a, b, 0.3), Oscillating(Rigid(x, y, 1.0), 0.4, Rigid(1.0, 2.0))),
            Steady(Rigid(a, b, a)),
        ).at(t),
        (*CENTRES[:2], *SIZES, CENTRES[2]),
    ),
}
EXACT = ["half plane", "circle", "ellipse", "thin ellipse", "rectangle", "polygon", "moving"]


def made(kind: str) -> Body:
    make, numbers = KINDS[kind]
    return make(*numbers)


def rectangle_corners(x: float, y: float, width: float, height: float, angle: float) -> Tensor:
    corners = tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * tensor([width, height]) / 2
    c, s = math.cos(angle), math.sin(angle)
    return (corners @ tensor([[c, s], [-s, c]]) + tensor([x, y]))[None, None]


def to_line(x: Tensor, y: Tensor, line: Tensor, count: int = 400) -> Tensor:
    """How far points are from a closed line, by points all along it."""
    along = torch.linspace(0, 1, count, dtype=torch.float64)[:, None, None]
    dense = ((1 - along) * line + along * line.roll(-1, 0)).reshape(-1, 2)
    return torch.cdist(torch.stack([x, y], -1), dense).amin(1)


@pytest.mark.parametrize("axes", [(1.2, 0.5), (0.3, 0.9), (1.0, 0.02), (0.7, 0.7)])
def test_the_distance_of_an_ellipse_is_that_to_the_nearest_of_its_points(
    axes: tuple[float, float],
) -> None:
    a, b = axes
    u, v = X.clone(), Y.clone()
    u[:20], v[10:40] = 0, 0  # the centre and the symmetry axes, where there are two nearest points
    u[40], v[40] = (a * a - b * b) / a, 0  # the cusp of the evolute, where they part
    angle = torch.linspace(0, 2 * math.pi, 2001, dtype=torch.float64)[:-1]
    line = torch.stack([a * angle.cos(), b * angle.sin()], -1)
    inside = (u / a) ** 2 + (v / b) ** 2 < 1
    expected = torch.where(inside, -1.0, 1.0) * to_line(u, v, line, 10)
    turned = 0.4 + u * math.cos(0.7) - v * math.sin(0.7), u * math.sin(0.7) + v * math.cos(0.7)
    distance = Ellipse(0.4, 0.0, a, b, 0.7).distance(*turned)[0, 0]
    torch.testing.assert_close(distance, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_the_distance_of_a_polygon_is_that_to_its_line_and_negative_inside(turn: float) -> None:
    """Of a star, which is concave, and whose inside is known in polar coordinates."""
    line = star(turn)
    distance = Polygon(line).distance(X, Y)[0, 0]
    torch.testing.assert_close(distance.abs(), to_line(X, Y, line[0, 0]), atol=2e-3, rtol=0)
    sector = (torch.atan2(Y, X) % (2 * math.pi / 5) - math.pi / 5).abs()
    tip, notch = math.pi / 5, 0.0
    far = torch.hypot(X, Y)
    # The straight edge from the notch (0.4 at angle 0) to the tip (1 at angle pi / 5).
    x, y = far * (sector - notch).cos(), far * (sector - notch).sin()
    edge = math.sin(tip) * (x - 0.4) - (math.cos(tip) - 0.4) * y
    assert torch.equal(distance < 0, edge < 0)
    assert 20 < (distance < 0).sum() < POINTS / 2


def test_a_polygon_that_crosses_itself_contains_all_it_winds_around() -> None:
    bow = tensor([[-1, -1], [1, 1], [1, -1], [-1, 1]])[None, None]
    twice = torch.cat([star(), star()], 2)
    x, y = tensor([-0.5, 0.5, 0.0, 0.0]), tensor([0.0, 0.0, 0.5, -0.5])
    assert torch.equal((Polygon(bow).distance(x, y) < 0)[0, 0], tensor([1, 1, 0, 0]).bool())
    torch.testing.assert_close(Polygon(twice).distance(X, Y), Polygon(star()).distance(X, Y))


def test_a_rectangle_is_a_polygon_of_four_corners() -> None:
    corners = rectangle_corners(0.3, -0.2, 1.4, 0.5, 0.6)
    distance = Rectangle(0.3, -0.2, 1.4, 0.5, 0.6).distance(X, Y)
    torch.testing.assert_close(distance, Polygon(corners).distance(X, Y))
    assert (distance < 0).any()


def test_a_half_plane_below_is_the_height_above() -> None:
    torch.testing.assert_close(HalfPlane(3, 0.2, math.pi / 2).distance(X, Y)[0, 0], Y - 0.2)


def test_repeated_vertices_change_nothing() -> None:
    once, padded = star(), torch.cat([star(), star()[:, :, -1:].expand(-1, -1, 7, -1)], 2)
    x, y = torch.cat([star()[0, 0], torch.stack([X, Y], -1)]).unbind(-1)
    torch.testing.assert_close(Polygon(padded).distance(x, y), Polygon(once).distance(x, y))


@pytest.mark.parametrize("kind", EXACT)
def test_a_distance_grows_by_one_a_metre_towards_its_gradient(kind: str) -> None:
    x, y = X.clone().requires_grad_(), Y.clone().requires_grad_()
    body = made(kind)
    for k in range(BATCH):
        slope = torch.stack(torch.autograd.grad(body.distance(x, y)[k, 1].sum(), (x, y)))
        torch.testing.assert_close(slope.square().sum(0), torch.ones_like(x))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_central_differences(kind: str) -> None:
    """In the points and in all that a body is made of, along random directions."""
    make, numbers = KINDS[kind]
    numbers = (*numbers, X[:40], Y[:40])
    weight = random(40, seed=9)

    def value(*numbers: Tensor) -> Tensor:
        *of_body, x, y = numbers
        body = make(*of_body)
        pushed: Tensor = (body.distance(x, y) * weight).sum()
        return pushed + (body.velocity(x, y) * weight).sum()

    for k, number in enumerate(numbers):
        direction = random(*number.shape, seed=20 + k)
        leaf = number.clone().requires_grad_()
        (slope,) = torch.autograd.grad(value(*numbers[:k], leaf, *numbers[k + 1 :]), leaf)
        step = 1e-6 * direction
        ahead, behind = (
            value(*numbers[:k], number + sign * step, *numbers[k + 1 :]) for sign in (1, -1)
        )
        exact = float((ahead - behind) / 2e-6)
        assert float((slope * direction).sum()) == pytest.approx(exact, rel=1e-6, abs=1e-6)


def test_gradients_are_finite_at_centres_corners_and_boundaries() -> None:
    x = tensor([0.0, 1.0, 0.4, 0.5, -1.0, 0.0, 0.7])
    y = tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.0])
    corners = torch.cat([star(), star()[:, :, -1:]], 2).requires_grad_()
    radius, width = tensor([[1.0]]).requires_grad_(), tensor([[2.0]]).requires_grad_()
    x.requires_grad_()
    y.requires_grad_()
    bodies = [
        Circle(0, 0, radius),
        Ellipse(0, 0, radius, 0.5, 0),
        Ellipse(0, 0, radius, radius, 0),
        Rectangle(0, 0, width, radius, 0),
        Polygon(corners),
        Image(tensor([[[[1.0, 1.0], [1.0, -1.0]]]]), 0.0, 0.0, radius),
    ]
    distance = torch.cat([body.distance(x, y) for body in bodies], 1)
    slopes = torch.autograd.grad(distance.sum(), (x, y, corners, radius, width))
    assert all(slope.isfinite().all() for slope in slopes)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_gradient_on_the_boundary_points_straight_out(dtype: torch.dtype) -> None:
    along = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    for corners in (star(1.0), star(-1.0)):
        line = corners[0, 0]
        first, second = line[0], line[1]
        points = ((1 - along)[:, None] * first + along[:, None] * second).to(dtype)
        points.requires_grad_()
        distance = Polygon(corners).distance(*points.unbind(-1))[0, 0]
        assert distance.abs().max() < 1e-6
        (slope,) = torch.autograd.grad(distance.sum(), points)
        edge = second - first
        out = torch.stack([edge[1], -edge[0]]) / edge.norm()
        out = out * (out @ first).sign()
        torch.testing.assert_close(slope, out.to(dtype).expand(19, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_of_bodies_is_its_single_ones(kind: str) -> None:
    make, numbers = KINDS[kind]
    together = make(*numbers)
    distance, velocity = together.distance(X, Y), together.velocity(X, Y)
    assert distance.shape[:2] == velocity.shape[:2] == together.shape
    for b in range(BATCH):
        for k in range(BODIES):
            alone = make(*(number[b : b + 1, k : k + 1] for number in numbers))
            wanted = slice(k, k + 1) if kind != "several" else slice(k, None, BODIES)
            torch.testing.assert_close(alone.distance(X, Y), distance[b : b + 1, wanted])
            torch.testing.assert_close(alone.velocity(X, Y), velocity[b : b + 1, wanted])


@pytest.mark.parametrize("kind", KINDS)
def test_distances_follow_the_points_in_type_and_shape(kind: str) -> None:
    x, y = X.float().reshape(4, 50), Y.float().reshape(4, 50)
    exact = made(kind).distance(X, Y)
    distance = made(kind).distance(x, y)
    assert distance.dtype == made(kind).velocity(x, y).dtype == torch.float32
    assert distance.shape == (*made(kind).shape, 4, 50)
    torch.testing.assert_close(distance.flatten(2).double(), exact, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_one_point_is_as_good_as_many(kind: str) -> None:
    body = made(kind)
    torch.testing.assert_close(body.distance(X[3], Y[3]), body.distance(X, Y)[..., 3])
    torch.testing.assert_close(body.velocity(X[3], Y[3]), body.velocity(X, Y)[..., 3])


def test_the_algebra_is_that_of_sets() -> None:
    one, other = made("circle"), made("polygon")
    a, b = one.distance(X, Y), other.distance(X, Y)
    torch.testing.assert_close((one | other).distance(X, Y), torch.minimum(a, b))
    torch.testing.assert_close((one & other).distance(X, Y), torch.maximum(a, b))
    torch.testing.assert_close((one - other).distance(X, Y), torch.maximum(a, -b))
    torch.testing.assert_close((~one).distance(X, Y), -a)
    assert one.distance(X, Y)[:, :1].shape == Circle(CENTRES[0, :, :1], 0, 1).distance(X, Y).shape


def test_a_rotated_body_is_seen_at_rotated_points() -> None:
    body = made("polygon")
    angle, c_x, c_y = 0.8, 0.4, -0.3
    c, s = math.cos(angle), math.sin(angle)
    x = c_x + c * (X - c_x) - s * (Y - c_y)
    y = c_y + s * (X - c_x) + c * (Y - c_y)
    turned = body.rotated(angle, about=(c_x, c_y))
    torch.testing.assert_close(turned.distance(x, y), body.distance(X, Y))
    moved = body.translated(0.2, -0.7)
    torch.testing.assert_close(moved.distance(X + 0.2, Y - 0.7), body.distance(X, Y))


MOTIONS: list[Motion] = [
    Steady(Rigid(0.5, -0.2, 0.9)),
    Accelerating(Rigid(0.5, -0.2, 0.9)),
    Oscillating(Rigid(0.5, 0.3, 0.4), 0.7, Rigid(0.1, 0.5, -1.0)),
    Oscillating(Rigid(CENTRES[0], CENTRES[1], CENTRES[2]), SIZES[0]),
]


def carried(body: Body, start: Tensor, time: float, steps: int = 4) -> Tensor:
    """Where material that was at ``start`` at time 0 is later, by Runge-Kutta steps."""
    at, dt = start, time / steps

    def speed(points: Tensor, instant: float) -> Tensor:
        return body.at(instant).velocity(*points)[0, 0]

    for k in range(steps):
        first = speed(at, k * dt)
        second = speed(at + dt / 2 * first, (k + 0.5) * dt)
        third = speed(at + dt / 2 * second, (k + 0.5) * dt)
        fourth = speed(at + dt * third, (k + 1) * dt)
        at = at + dt / 6 * (first + 2 * second + 2 * third + fourth)
    return at


@pytest.mark.parametrize("motion", MOTIONS)
def test_velocities_carry_the_body_along(motion: Motion) -> None:
    """Material keeps its distance to the boundary, the one of a pitching, heaving, placed body."""
    body = Moving(Polygon(star()), motion).rotated(0.3, about=(0.5, 0.5)).translated(0.2, 0.1)
    body = Moving(body, Oscillating(Rigid(0.0, 0.3, 0.2), 0.5))
    start = torch.stack([X[:20], Y[:20]])
    before = body.at(0.0).distance(*start)[0, 0]
    end = carried(body, start, 0.2)
    after = body.at(0.2).distance(*end)[0, 0]
    assert (end - start).abs().max() > 0.05
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_rate_of_a_motion_is_the_slope_of_its_pose(motion: Motion) -> None:
    time = tensor([[0.37]]).requires_grad_()
    pose, rate = motion.pose(time), motion.rate(time)
    for name in ("x", "y", "angle"):
        (slope,) = torch.autograd.grad(getattr(pose, name).sum(), time, retain_graph=True)
        torch.testing.assert_close(slope.sum(), (0 * time + getattr(rate, name)).sum())


def test_only_what_is_set_in_motion_moves() -> None:
    still = [made(kind) for kind in KINDS if kind != "moving"] + [NoBody()]
    assert not any(body.moves for body in still)
    assert all(body.velocity(X, Y).abs().sum() == 0 for body in still)
    torch.testing.assert_close(still[1].at(3.0).distance(X, Y), still[1].distance(X, Y))
    moving = made("moving")
    for body in (moving, moving | still[1], still[1] - moving, Several([still[1], moving])):
        assert body.moves
        assert (body.at(1.0).distance(X, Y) - body.at(0.5).distance(X, Y)).abs().max() > 0.1


def test_a_union_moves_as_its_nearer_part() -> None:
    left = Moving(Circle(-1, 0, 0.5), Steady(Rigid(y=2.0)))
    right = Moving(Circle(1, 0, 0.5), Steady(Rigid(y=-3.0)))
    _, v = (left | right).velocity(X, Y)[0, 0]
    torch.testing.assert_close(v, torch.where(X < 0, 2.0, -3.0).double())


def test_several_bodies_keep_their_places() -> None:
    bodies = [made("circle"), NoBody(), Polygon(star()), HalfPlane(0, -1, 1)]
    several = Several(bodies)
    expected = [body.distance(X, Y).expand(BATCH, -1, -1) for body in bodies]
    assert several.shape == (BATCH, 4)
    torch.testing.assert_close(several.distance(X, Y), torch.cat(expected, 1))
    shift = random(BATCH, 4, seed=5)
    moved = several.translated(shift, 0.0).distance(X, Y)
    third = Polygon(star()).translated(shift[:, 2:3], 0.0)
    torch.testing.assert_close(moved[:, 2:3], third.distance(X, Y))


def test_no_body_has_no_distances() -> None:
    assert NoBody().distance(X, Y).shape == (1, 0, POINTS)
    assert NoBody().velocity(X, Y).shape == (1, 0, 2, POINTS)
    assert NoBody().rotated(CENTRES[0, :, :1]).distance(X, Y).shape == (BATCH, 0, POINTS)


def test_the_image_of_a_circle_is_the_circle_to_second_order() -> None:
    circle = Circle(0.1, -0.2, 0.8)
    near = torch.hypot(X - 0.1, Y + 0.2) > 0.3  # of the centre, where the distance has a kink
    errors = []
    for count in (41, 81):
        axis = torch.linspace(-2, 2, count, dtype=torch.float64)
        values = circle.distance(*torch.meshgrid(axis, axis, indexing="ij"))
        image = Image(values, -2, -2, 4 / (count - 1))
        errors.append(
            float((image.distance(X, Y) - circle.distance(X, Y))[0, 0, near].abs().max())
        )
    assert errors[1] < 1e-3
    assert 3 < errors[0] / errors[1] < 5


def test_an_image_knows_x_from_y() -> None:
    x, y = torch.meshgrid(torch.arange(5.0), torch.arange(3.0), indexing="ij")
    image = Image((x - 10 * y + 50)[None, None], 1.0, 2.0, 0.5)
    seen = image.distance(tensor([2.25]), tensor([2.5]))
    torch.testing.assert_close(seen, tensor([[[50 + 2.5 - 10.0]]]))


def test_outside_its_image_a_body_is_positive_and_recedes() -> None:
    values = Circle(0.0, 0.0, 1.5).distance(*(0.5 * axis for axis in GRID))
    cut = Image(values, -1.0, -1.0, 0.025)  # the circle is larger than its image
    far = tensor([1.0, 1.1, 2.0, 9.0])
    for x, y in ((far, 0 * far), (0 * far, far), (-far, 0.3 * far), (far, -far)):
        distance = cut.distance(x, y)[0, 0]
        assert distance[0].abs() < 1e-9
        assert (distance.diff() > 0).all()
        reach = torch.hypot((x.abs() - 1).clamp(min=0), (y.abs() - 1).clamp(min=0))
        assert (distance >= reach - 1e-9).all()


def test_outside_its_image_a_body_is_no_nearer_than_it_is() -> None:
    circle = Circle(0.3, 0.1, 0.5)
    values = circle.distance(*(0.5 * axis for axis in GRID))
    x, y = 4 * X, 4 * Y
    beyond = torch.maximum(x.abs(), y.abs()) > 1
    seen, true = Image(values, -1.0, -1.0, 0.025).distance(x, y), circle.distance(x, y)
    more = (seen - true)[0, 0, beyond]
    assert more.min() > -1e-3
    assert (more / true[0, 0, beyond]).median() < 0.1


def test_contours_are_where_the_distance_is_zero() -> None:
    ring = Circle(0, 0, 1) - Circle(0.1, 0, tensor([[0.5], [2.5]]))
    bodies = Several([ring, Circle(0, 0, 9), Ellipse(0, 0, 1.2, 0.5, 0.4)])
    lines = contours(bodies, *GRID)
    assert [[len(of_body) for of_body in sample] for sample in lines] == [[2, 0, 1], [0, 0, 1]]
    ellipse = torch.from_numpy(lines[0][2][0])
    assert torch.equal(ellipse[0], ellipse[-1])
    distance = Ellipse(0, 0, 1.2, 0.5, 0.4).distance(*ellipse.unbind(-1))
    assert distance.abs().max() < 1.5e-3


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match=r"semi-axis a must be positive, got -1\.0"):
        Ellipse(0, 0, -1.0, 1, 0)
    with pytest.raises(ValueError, match=r"radius must be positive, got 0\.0"):
        Circle(0, 0, tensor([[1.0, 0.0]]))
    with pytest.raises(ValueError, match="radius must be positive, got nan"):
        Circle(0, 0, float("nan"))
    with pytest.raises(ValueError, match=r"x must be a number or a tensor \[batch, body\]"):
        Circle(torch.zeros(3), 0, 1)
    with pytest.raises(ValueError, match="must be finite"):
        Polygon(star() * float("nan"))
    with pytest.raises(ValueError, match="three or more"):
        Polygon(star()[:, :, :2])
    with pytest.raises(ValueError, match="an image must be finite"):
        Image(torch.full((1, 1, 4, 4), float("nan")), 0, 0, 1)
    with pytest.raises(ValueError, match="two or more"):
        Image(torch.zeros(1, 1, 1, 4), 0, 0, 1)
    with pytest.raises(ValueError, match="same number of bodies, or one, got 2 and 3"):
        _ = made("circle") | Circle(torch.zeros(1, 3), 0, 1)
    with pytest.raises(ValueError, match="same number of samples, or one, got 3 and 2"):
        Several([made("circle"), Circle(torch.zeros(2, 1), 0, 1)])
    with pytest.raises(ValueError, match="a body and its pose"):
        made("circle").translated(torch.zeros(1, 3), 0)
    with pytest.raises(ValueError, match="at least one"):
        Several([])
