r"""Bodies of a plane as signed distances, negative inside.

A body is a region whose points know how far its boundary is: :math:`d(x, y) < 0` inside,
:math:`d = 0` on the boundary, :math:`|\nabla d| = 1` wherever the nearest point is unique. Regions
combine by

.. math:: d_{A \cup B} = \min(d_A, d_B), \quad d_{A \cap B} = \max(d_A, d_B), \quad
    d_{\bar A} = -d_A,

which is exact near the boundary, and a lower bound of the distance where it is not (outside an
intersection, inside a union).

Everything is differentiable once: in the points, and in every number that a body is made of.
Where a foot point on the boundary has to be searched for, the search carries no gradient and the
distance is :math:`d = n \cdot (p - f)` with the foot :math:`f` held at its place on the boundary
and the normal :math:`n` held. A shift of the foot along the boundary does not change a distance
to first order, so the gradient is exact (the envelope theorem); second derivatives, which are
the curvature, are not kept. Take normals and curvature from differences of :math:`d` on the grid.

Lengths are in m, times in s, angles in radians and counter-clockwise.

References:
    Level Set Methods and Dynamic Implicit Surfaces (Osher and Fedkiw, 2003), chapter 2, for the
    algebra, https://doi.org/10.1007/b98879
"""

import abc
import math
from collections.abc import Sequence
from typing import NamedTuple, cast, final

import contourpy
import numpy
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Common = Float[Tensor, "*space"]
"""A coordinate of points that all samples and bodies share."""

Own = Float[Tensor, "#batch #body *space"]
"""A coordinate of points that each sample and body has to itself; an axis of one is shared."""

Distances = Float[Tensor, "batch body *space"]
Velocities = Float[Tensor, "batch body 2 *space"]

Number = float | Tensor
"""What a body is made of: one number for all, or a tensor ``[batch, body]``."""


def number(name: str, value: Number) -> Tensor:
    """A parameter of a body as a tensor, either a single number or ``[batch, body]``.

    Raises:
        ValueError: it has another shape.
    """
    tensor = torch.as_tensor(value, dtype=None if isinstance(value, Tensor) else torch.float64)
    if tensor.ndim not in (0, 2):
        raise ValueError(
            f"{name} must be a number or a tensor [batch, body], got the shape "
            f"{tuple(tensor.shape)}"
        )
    return tensor


class Body(abc.ABC):
    """Some regions of the plane in each of a batch of samples, by their signed distances.

    Each of the ``body`` regions is a body of its own, with its own force in a flow; a region may
    have several parts. ``a | b`` is the union, ``a & b`` the intersection, ``~a`` the complement
    and ``a - b`` what of ``a`` is not in ``b``, sample by sample and region by region.
    """

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, int]:
        """How many samples, and how many bodies in each; one where all share the same."""

    @property
    @abc.abstractmethod
    def moves(self) -> bool:
        """Whether the body may differ from one time to another."""

    @abc.abstractmethod
    def at(self, time: Number) -> "Body":
        """The body at an instant (s); a body that does not move is itself."""

    @abc.abstractmethod
    def distance_each(self, x: Own, y: Own) -> Distances:
        """The signed distance (m) at points that each sample and body has to itself."""

    @abc.abstractmethod
    def velocity_each(self, x: Own, y: Own) -> Velocities:
        """The velocity (m/s) of the material at points that each has to itself."""

    def distance(self, x: Common, y: Common) -> Distances:
        """The signed distance (m) at points (m), in their type and on their device."""
        return self.distance_each(x[None, None], y[None, None])

    def velocity(self, x: Common, y: Common) -> Velocities:
        """The velocity (m/s) that the material of each body has, or would have, at points (m)."""
        return self.velocity_each(x[None, None], y[None, None])

    def translated(self, dx: Number, dy: Number) -> "Body":
        return Placed(self, dx, dy, 0.0)

    def rotated(self, angle: Number, about: tuple[Number, Number] = (0.0, 0.0)) -> "Body":
        x, y = number("x", about[0]), number("y", about[1])
        turn = number("angle", angle)
        c, s = turn.cos(), turn.sin()
        return Placed(self, x - c * x + s * y, y - s * x - c * y, turn)

    def __or__(self, other: "Body") -> "Body":
        return Union(self, other)

    def __and__(self, other: "Body") -> "Body":
        return Complement(Union(Complement(self), Complement(other)))

    def __sub__(self, other: "Body") -> "Body":
        return Complement(Union(Complement(self), other))

    def __invert__(self) -> "Body":
        return Complement(self)


class Still(Body):
    """A body that does not move."""

    @property
    def moves(self) -> bool:
        return False

    def at(self, time: Number) -> Body:
        return self

    def velocity_each(self, x: Own, y: Own) -> Velocities:
        shape = torch.broadcast_shapes(x.shape[:2], self.shape)
        return x.new_zeros(*shape, 2, *x.shape[2:])


@final
class NoBody(Still):
    """No body at all: the plane is empty."""

    @property
    def shape(self) -> tuple[int, int]:
        return 1, 0

    def distance_each(self, x: Own, y: Own) -> Distances:
        return x.new_empty(x.shape[0], 0, *x.shape[2:])


@final
class HalfPlane(Still):
    """Everything behind a straight line.

    Arguments:
        x: A point of the line, in m.
        y: A point of the line, in m.
        angle: The direction that points straight out of the body, in radians from the x axis:
            ``pi / 2`` fills everything below ``y``.
    """

    def __init__(self, x: Number, y: Number, angle: Number) -> None:
        self.x, self.y, self.angle = number("x", x), number("y", y), number("angle", angle)

    @property
    def shape(self) -> tuple[int, int]:
        return _shape(self.x, self.y, self.angle)

    def distance_each(self, x: Own, y: Own) -> Distances:
        u, _ = _body_frame(x, y, self.x, self.y, self.angle)
        return u


@final
class Circle(Still):
    """A disc.

    Arguments:
        x: The centre, in m.
        y: The centre, in m.
        radius: The radius, in m.
    """

    def __init__(self, x: Number, y: Number, radius: Number) -> None:
        self.x, self.y = number("x", x), number("y", y)
        self.radius = _positive("radius", radius)

    @property
    def shape(self) -> tuple[int, int]:
        return _shape(self.x, self.y, self.radius)

    def distance_each(self, x: Own, y: Own) -> Distances:
        distance: Tensor = _length(x - _on(self.x, x), y - _on(self.y, y)) - _on(self.radius, x)
        return distance


@final
class Ellipse(Still):
    r"""An ellipse, with its exact distance.

    The nearest point :math:`(a \cos\theta, b \sin\theta)` to a point :math:`(u, v)` of the first
    quadrant is the root of

    .. math:: (a^2 - b^2) \sin\theta \cos\theta - a u \sin\theta + b v \cos\theta

    in that quadrant, which is bracketed by its ends. Newton steps are taken where they stay
    inside the bracket, and halvings elsewhere.

    Arguments:
        x: The centre, in m.
        y: The centre, in m.
        a: The semi-axis along ``angle``, in m.
        b: The semi-axis across, in m.
        angle: The direction of ``a``, in radians from the x axis.
    """

    def __init__(self, x: Number, y: Number, a: Number, b: Number, angle: Number) -> None:
        self.x, self.y, self.angle = number("x", x), number("y", y), number("angle", angle)
        self.a, self.b = _positive("semi-axis a", a), _positive("semi-axis b", b)

    @property
    def shape(self) -> tuple[int, int]:
        return _shape(self.x, self.y, self.a, self.b, self.angle)

    def distance_each(self, x: Own, y: Own) -> Distances:
        u, v = _body_frame(x, y, self.x, self.y, self.angle)
        a, b = _on(self.a, x), _on(self.b, x)
        with torch.no_grad():
            angle = _nearest_on_ellipse(u.abs(), v.abs(), a, b)
            c, s = angle.cos().copysign(u), angle.sin().copysign(v)
            across = torch.stack(torch.broadcast_tensors(b * c, a * s))
            n_u, n_v = across / across.square().sum(0).sqrt()
        distance: Tensor = (u - a * c) * n_u + (v - b * s) * n_v
        return distance


def _nearest_on_ellipse(u: Tensor, v: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The parameter angle of the nearest point, for points of the first quadrant."""
    excess = a.square() - b.square()
    u, v, excess = torch.broadcast_tensors(a * u, b * v, excess)
    low, high = torch.zeros_like(u), torch.full_like(u, math.pi / 2)
    # At the ends of the bracket the symmetry axes have a root that is a farthest point.
    angle = torch.atan2(a * v, b * u).clamp(1e-3, math.pi / 2 - 1e-3)
    for _ in range(16):
        c, s = angle.cos(), angle.sin()
        value = excess * s * c - u * s + v * c
        slope = excess * (c * c - s * s) - u * c - v * s
        low, high = torch.where(value > 0, angle, low), torch.where(value > 0, high, angle)
        newton = angle - value / slope
        inside = (newton >= low) & (newton <= high)
        angle = torch.where(inside, newton, (low + high) / 2)
    return angle


@final
class Rectangle(Still):
    """A rectangle, with its exact distance.

    Arguments:
        x: The centre, in m.
        y: The centre, in m.
        width: The side along ``angle``, in m.
        height: The side across, in m.
        angle: The direction of ``width``, in radians from the x axis.
    """

    def __init__(self, x: Number, y: Number, width: Number, height: Number, angle: Number) -> None:
        self.x, self.y, self.angle = number("x", x), number("y", y), number("angle", angle)
        self.width, self.height = _positive("width", width), _positive("height", height)

    @property
    def shape(self) -> tuple[int, int]:
        return _shape(self.x, self.y, self.width, self.height, self.angle)

    def distance_each(self, x: Own, y: Own) -> Distances:
        u, v = _body_frame(x, y, self.x, self.y, self.angle)
        return _from_rectangle(u, v, _on(self.width, x) / 2, _on(self.height, x) / 2)


def _from_rectangle(u: Tensor, v: Tensor, half_width: Tensor, half_height: Tensor) -> Tensor:
    """The distance from a rectangle around the origin."""
    u, v = u.abs() - half_width, v.abs() - half_height
    outside: Tensor = _length(u.clamp(min=0), v.clamp(min=0))
    inside: Tensor = torch.maximum(u, v).clamp(max=0)
    return outside + inside


@final
class Polygon(Still):
    """A polygon, with its exact distance: to the nearest edge, negative where it winds around.

    Edges join each vertex to the next, and the last to the first; either orientation will do.
    A polygon may be concave. Where it crosses itself, all that it winds around is inside.
    Repeat a vertex to bring polygons to the same number of vertices.

    Memory does not grow with the number of vertices: edges are searched in pieces, without a
    graph, and only the nearest one is differentiated. Time does: some 7 ns for each pair of a point
    and a vertex on one processor core in float32.

    Arguments:
        vertices: At least three corners, in m.
    """

    def __init__(self, vertices: Float[Tensor, "batch body vertex 2"]) -> None:
        if vertices.ndim != 4 or vertices.shape[-1] != 2 or vertices.shape[-2] < 3:
            raise ValueError(
                "vertices of polygons must be [batch, body, vertex, 2] with three or more to a "
                f"polygon, got {tuple(vertices.shape)}"
            )
        if not vertices.isfinite().all():
            raise ValueError("vertices of polygons must be finite, got NaN or inf")
        self.vertices = vertices

    @property
    def shape(self) -> tuple[int, int]:
        return self.vertices.shape[0], self.vertices.shape[1]

    def distance_each(self, x: Own, y: Own) -> Distances:
        return self.distance_from(self.feet(x, y), x, y)

    @torch.no_grad()
    def feet(self, x: Own, y: Own) -> "Feet":
        """Where points have their nearest points on the line."""
        return Feet(*_feet(*self._flat(x, y)))

    def distance_from(self, feet: "Feet", x: Own, y: Own) -> Distances:
        """The signed distance to the feet, sought for this polygon or one that is nearly it."""
        shape = torch.broadcast_shapes(x.shape[:2], self.shape)
        points, corners = self._flat(x, y)
        rows = torch.arange(len(corners), device=corners.device)[:, None]
        start, end = corners[rows, feet.edge], corners.roll(-1, 1)[rows, feet.edge]
        foot = (1 - feet.share) * start + feet.share * end
        return ((points - foot) * feet.normal).sum(-1).reshape(*shape, *x.shape[2:])

    def _flat(self, x: Own, y: Own) -> tuple[Tensor, Tensor]:
        """Points and corners of each sample and body."""
        shape = torch.broadcast_shapes(x.shape[:2], self.shape)
        points = torch.stack([x.expand(*shape, *x.shape[2:]), y.expand(*shape, *y.shape[2:])], -1)
        corners = self.vertices.to(x).expand(*shape, -1, -1)
        return points.reshape(-1, x.shape[2:].numel(), 2), corners.flatten(0, 1)


class Feet(NamedTuple):
    """The nearest points of polygons' lines to some points.

    To first order in how far a polygon moves, a foot stays at its share of its edge and the normal
    is what it was. So a distance and all its derivatives need one search for the nearest edge.
    """

    edge: Int[Tensor, "row point"]
    share: Float[Tensor, "row point 1"]
    """From the edge's start to its end."""
    normal: Float[Tensor, "row point 2"]
    """Of the line at the foot, outwards."""


def _feet(
    points: Float[Tensor, "row point 2"], corners: Float[Tensor, "row vertex 2"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Nearest edges, shares and normals."""
    rows = torch.arange(len(points), device=points.device)[:, None]
    ahead = corners.roll(-1, 1)
    edge, inside = _nearest_edge(points, corners), _winds_around(points, corners)
    start, along = corners[rows, edge], (ahead - corners)[rows, edge]
    t = ((points - start) * along).sum(-1) / _square(along)
    t = t.clamp(0, 1)[..., None]
    apart = points - start - t * along
    # The way from the foot is the normal, but on the line itself it is only rounding: there
    # the normal is that of the edge, which points out because the polygon turns one way.
    turn = torch.where(_turn(corners) < 0, -1.0, 1.0)[:, None, None].to(points)
    normal = turn * torch.stack([along[..., 1], -along[..., 0]], -1)
    normal = normal / _square(along).sqrt()[..., None]
    length = apart.square().sum(-1, keepdim=True).sqrt()
    extent = (corners.amax(1) - corners.amin(1)).amax(1)[:, None, None]
    touching = length <= 8 * torch.finfo(points.dtype).eps * extent
    side = torch.where(inside, -1.0, 1.0)[..., None].to(points)
    out = (apart * normal).sum(-1, keepdim=True).sign() * side
    from_edge = torch.where(touching, normal, out * normal)
    from_corner = torch.where(touching, normal, side * apart / length)
    return edge, t, torch.where((t > 0) & (t < 1), from_edge, from_corner)


def _nearest_edge(
    points: Float[Tensor, "row point 2"], corners: Float[Tensor, "row vertex 2"]
) -> Int[Tensor, "row point"]:
    along = corners.roll(-1, 1) - corners
    x, y = _columns(corners[:, None])
    along_x, along_y = _columns(along[:, None])
    unit_x, unit_y = _columns((along / _square(along)[..., None])[:, None])
    nearest = []
    for some in points.split(_at_a_time(x), dim=1):
        apart_x, apart_y = _columns(some[:, :, None])
        apart_x, apart_y = apart_x - x, apart_y - y
        t = (apart_x * unit_x).addcmul_(apart_y, unit_y).clamp_(0, 1)
        apart_x.addcmul_(t, along_x, value=-1)
        apart_y.addcmul_(t, along_y, value=-1)
        nearest.append(apart_x.square_().addcmul_(apart_y, apart_y).argmin(-1))
    return torch.cat(nearest, 1)


def _winds_around(
    points: Float[Tensor, "row point 2"], corners: Float[Tensor, "row vertex 2"]
) -> Bool[Tensor, "row point"]:
    """Whether the winding number is not zero, asked only within the bounding box."""
    low, high = corners.amin(1, keepdim=True), corners.amax(1, keepdim=True)
    around = ((points >= low) & (points <= high)).all(-1)
    asked, row = points[around], around.nonzero()[:, 0]
    pieces = _at_a_time(corners[:1, :, 0])
    winds = []
    for some, which in zip(asked.split(pieces), row.split(pieces), strict=True):
        x, y = _columns(some[:, None] - corners[which])
        left = x.roll(-1, 1) * y < y.roll(-1, 1) * x
        above = y >= 0
        crossed = (above ^ above.roll(-1, 1)) & (left == above)
        winds.append((crossed & above).sum(1) != (crossed & ~above).sum(1))
    return around.masked_scatter(around, torch.cat(winds))


def _columns(vectors: Float[Tensor, "*shape 2"]) -> tuple[Tensor, Tensor]:
    """Both components, each contiguous, which makes arithmetic faster."""
    x, y = vectors.unbind(-1)
    return x.contiguous(), y.contiguous()


def _at_a_time(edges: Tensor) -> int:
    """How many points to hold against these edges: what a processor's cache takes, or more."""
    budget = 2**16 if edges.device.type == "cpu" else 2**24
    return max(1, budget // max(1, edges.numel()))


def _turn(corners: Float[Tensor, "row vertex 2"]) -> Float[Tensor, " row"]:
    """Twice the area, positive where the corners go around counter-clockwise."""
    x, y = (corners - corners[:, :1]).unbind(-1)
    return (x * y.roll(-1, 1) - y * x.roll(-1, 1)).sum(1)


def _square(vector: Float[Tensor, "*shape 2"]) -> Float[Tensor, "*shape"]:
    """The squared length, never quite zero."""
    return vector.square().sum(-1).clamp(min=torch.finfo(vector.dtype).tiny)


@final
class Image(Still):
    r"""A body drawn on a grid, by the values of its distance there.

    Between grid points the distance is bilinear, so its error is of second order in the spacing
    where it is smooth. The body ends at the border of the image. Beyond it the distance is
    the value at the nearest point of the border plus the way there: positive, growing as the
    distance does, and never less than the true one.

    Arguments:
        values: The distance at ``(x + i * spacing, y + j * spacing)``, in m.
        x: The first grid point, in m.
        y: The first grid point, in m.
        spacing: The distance of neighbouring grid points, in m.
    """

    def __init__(
        self, values: Float[Tensor, "batch body x y"], x: Number, y: Number, spacing: Number
    ) -> None:
        if values.ndim != 4 or min(values.shape[2:]) < 2:
            raise ValueError(
                "values of an image must be [batch, body, x, y] with two or more along x and y, "
                f"got {tuple(values.shape)}"
            )
        if not values.isfinite().all():
            raise ValueError("values of an image must be finite, got NaN or inf")
        self.values = values
        self.x, self.y = number("x", x), number("y", y)
        self.spacing = _positive("spacing", spacing)
        grid = _shape(self.x, self.y, self.spacing)
        for k, what in enumerate(("samples", "bodies")):
            _agree("an image and its grid", what, values.shape[k], grid[k])

    @property
    def shape(self) -> tuple[int, int]:
        grid = _shape(self.x, self.y, self.spacing)
        batch, bodies = torch.broadcast_shapes(self.values.shape[:2], grid)
        return batch, bodies

    def distance_each(self, x: Own, y: Own) -> Distances:
        spacing = _on(self.spacing, x)
        middle = [(count - 1) / 2 for count in self.values.shape[2:]]
        u, v = (
            (x - _on(self.x, x)) / spacing - middle[0],
            (y - _on(self.y, x)) / spacing - middle[1],
        )
        border = spacing * _from_rectangle(u, v, *(x.new_tensor(half) for half in middle))

        shape = torch.broadcast_shapes(u.shape[:2], self.values.shape[:2])
        # grid_sample looks up images of (row, column) at places (column, row) from -1 to 1.
        places = torch.stack([v / middle[1], u / middle[0]], -1)
        places = places.expand(*shape, *places.shape[2:]).reshape(-1, x.shape[2:].numel(), 2)
        images = self.values.to(x).expand(*shape, -1, -1).flatten(0, 1)
        seen = torch.nn.functional.grid_sample(
            images[:, None], places[:, None], padding_mode="border", align_corners=True
        )
        value = seen.reshape(*shape, *x.shape[2:])
        return torch.maximum(value + border.clamp(min=0), border)


@final
class Several(Body):
    """Separate bodies side by side, each of which keeps its own place in the ``body`` axis."""

    def __init__(self, bodies: Sequence[Body]) -> None:
        if not bodies:
            raise ValueError("several bodies must be at least one; none at all is NoBody()")
        self.bodies = tuple(bodies)
        _agree("bodies beside one another", "samples", *(body.shape[0] for body in bodies))

    @property
    def shape(self) -> tuple[int, int]:
        batch = max(body.shape[0] for body in self.bodies)
        return batch, sum(body.shape[1] for body in self.bodies)

    @property
    def moves(self) -> bool:
        return any(body.moves for body in self.bodies)

    def at(self, time: Number) -> Body:
        return Several([body.at(time) for body in self.bodies])

    def distance_each(self, x: Own, y: Own) -> Distances:
        seen = zip(self.bodies, self._split(x), self._split(y), strict=True)
        return torch.cat([body.distance_each(u, v) for body, u, v in seen], 1)

    def velocity_each(self, x: Own, y: Own) -> Velocities:
        seen = zip(self.bodies, self._split(x), self._split(y), strict=True)
        return torch.cat([body.velocity_each(u, v) for body, u, v in seen], 1)

    def _split(self, x: Own) -> Sequence[Tensor]:
        """The points of each member."""
        batch = max(x.shape[0], self.shape[0])
        x = x.expand(batch, *x.shape[1:])
        if x.shape[1] == 1:
            return [x] * len(self.bodies)
        parts: Sequence[Tensor] = x.split([body.shape[1] for body in self.bodies], 1)
        return parts


@final
class Union(Body):
    """What lies in one body or the other; its material moves as that of the nearer one."""

    def __init__(self, one: Body, other: Body) -> None:
        self.one, self.other = one, other
        for k, what in enumerate(("samples", "bodies")):
            _agree("bodies to be combined", what, one.shape[k], other.shape[k])

    @property
    def shape(self) -> tuple[int, int]:
        batch, bodies = torch.broadcast_shapes(self.one.shape, self.other.shape)
        return batch, bodies

    @property
    def moves(self) -> bool:
        return self.one.moves or self.other.moves

    def at(self, time: Number) -> Body:
        return Union(self.one.at(time), self.other.at(time))

    def distance_each(self, x: Own, y: Own) -> Distances:
        return torch.minimum(self.one.distance_each(x, y), self.other.distance_each(x, y))

    def velocity_each(self, x: Own, y: Own) -> Velocities:
        nearer = self.one.distance_each(x, y) <= self.other.distance_each(x, y)
        one, other = self.one.velocity_each(x, y), self.other.velocity_each(x, y)
        return torch.where(nearer[:, :, None], one, other)


@final
class Complement(Body):
    """What does not lie in a body."""

    def __init__(self, body: Body) -> None:
        self.body = body

    @property
    def shape(self) -> tuple[int, int]:
        return self.body.shape

    @property
    def moves(self) -> bool:
        return self.body.moves

    def at(self, time: Number) -> Body:
        return Complement(self.body.at(time))

    def distance_each(self, x: Own, y: Own) -> Distances:
        return -self.body.distance_each(x, y)

    def velocity_each(self, x: Own, y: Own) -> Velocities:
        return self.body.velocity_each(x, y)


@final
class Placed(Body):
    """A body turned about the origin of its own frame, then moved.

    Arguments:
        body: The body in its own frame.
        x: Where the origin of that frame comes to lie, in m.
        y: Where the origin of that frame comes to lie, in m.
        angle: By how much it is turned, in radians, counter-clockwise.
    """

    def __init__(self, body: Body, x: Number, y: Number, angle: Number) -> None:
        self.body = body
        self.x, self.y, self.angle = number("x", x), number("y", y), number("angle", angle)
        pose = _shape(self.x, self.y, self.angle)
        for k, what in enumerate(("samples", "bodies")):
            _agree("a body and its pose", what, body.shape[k], pose[k])

    @property
    def shape(self) -> tuple[int, int]:
        pose = _shape(self.x, self.y, self.angle)
        batch, bodies = torch.broadcast_shapes(self.body.shape, pose)
        return batch, bodies

    @property
    def moves(self) -> bool:
        return self.body.moves

    def at(self, time: Number) -> Body:
        return Placed(self.body.at(time), self.x, self.y, self.angle)

    def distance_each(self, x: Own, y: Own) -> Distances:
        return self.body.distance_each(*_body_frame(x, y, self.x, self.y, self.angle))

    def velocity_each(self, x: Own, y: Own) -> Velocities:
        inner = self.body.velocity_each(*_body_frame(x, y, self.x, self.y, self.angle))
        u, v = inner.unbind(2)
        angle = _on(self.angle, x)
        c, s = angle.cos(), angle.sin()
        return torch.stack([c * u - s * v, s * u + c * v], 2)


@final
class Rigid:
    """What a rigid body has in the plane: a shift and a turn, or the rates of both.

    Arguments:
        x: Along x, in m, or in m/s for a velocity.
        y: Along y.
        angle: Counter-clockwise, in radians, or in radians/s for a velocity.
    """

    def __init__(self, x: Number = 0.0, y: Number = 0.0, angle: Number = 0.0) -> None:
        self.x, self.y, self.angle = number("x", x), number("y", y), number("angle", angle)


REST = Rigid()


class Motion(abc.ABC):
    """Where a rigid body is at a time, and how fast it moves there."""

    @abc.abstractmethod
    def pose(self, time: Tensor) -> Rigid:
        """The shift and turn from the frame of the body, at a time (s)."""

    @abc.abstractmethod
    def rate(self, time: Tensor) -> Rigid:
        """The time derivative of the pose."""


@final
class Steady(Motion):
    """Motion with one velocity."""

    def __init__(self, velocity: Rigid) -> None:
        self.velocity = velocity

    def pose(self, time: Tensor) -> Rigid:
        v = self.velocity
        return Rigid(v.x * time, v.y * time, v.angle * time)

    def rate(self, time: Tensor) -> Rigid:
        return self.velocity


@final
class Accelerating(Motion):
    """Motion from rest with one acceleration, in m/s² and radians/s²."""

    def __init__(self, acceleration: Rigid) -> None:
        self.acceleration = acceleration

    def pose(self, time: Tensor) -> Rigid:
        a, half = self.acceleration, time.square() / 2
        return Rigid(a.x * half, a.y * half, a.angle * half)

    def rate(self, time: Tensor) -> Rigid:
        a = self.acceleration
        return Rigid(a.x * time, a.y * time, a.angle * time)


@final
class Oscillating(Motion):
    r"""Heave, surge and pitch, each :math:`A \sin(2 \pi f t + \phi)`.

    Pitch is about the origin of the frame of the body; place a body first so that its pivot
    lies there.

    Arguments:
        amplitude: The amplitudes :math:`A`.
        frequency: The frequency :math:`f`, in Hz.
        phase: The phases :math:`\phi` of the three, in radians.
    """

    def __init__(self, amplitude: Rigid, frequency: Number, phase: Rigid = REST) -> None:
        self.amplitude, self.phase = amplitude, phase
        self.circular = 2 * math.pi * number("frequency", frequency)

    def pose(self, time: Tensor) -> Rigid:
        a, p, turned = self.amplitude, self.phase, self.circular * time
        return Rigid(
            a.x * (turned + p.x).sin(),
            a.y * (turned + p.y).sin(),
            a.angle * (turned + p.angle).sin(),
        )

    def rate(self, time: Tensor) -> Rigid:
        a, p, turned = self.amplitude, self.phase, self.circular * time
        return Rigid(
            a.x * self.circular * (turned + p.x).cos(),
            a.y * self.circular * (turned + p.y).cos(),
            a.angle * self.circular * (turned + p.angle).cos(),
        )


@final
class Moving(Body):
    r"""A body carried along by a rigid motion of its frame.

    A point at :math:`r` from the origin of the frame moves with
    :math:`V + \omega \times r`, and with what velocity the body has in its own frame. Motions
    nest: a pitching body can be made to heave, and a moving body be placed.

    Arguments:
        body: The body in its own frame.
        motion: The motion of that frame.
        time: The instant at which to see it, in s; :meth:`at` moves on to another.
    """

    def __init__(self, body: Body, motion: Motion, time: Number = 0.0) -> None:
        self.body, self.motion = body, motion
        self.time = number("time", time)
        pose, rate = motion.pose(self.time), motion.rate(self.time)
        self.placed = Placed(body, pose.x, pose.y, pose.angle)
        self.rate = rate

    @property
    def shape(self) -> tuple[int, int]:
        return self.placed.shape

    @property
    def moves(self) -> bool:
        return True

    def at(self, time: Number) -> Body:
        return Moving(self.body.at(time), self.motion, time)

    def distance_each(self, x: Own, y: Own) -> Distances:
        return self.placed.distance_each(x, y)

    def velocity_each(self, x: Own, y: Own) -> Velocities:
        dx, dy = x - _on(self.placed.x, x), y - _on(self.placed.y, y)
        spin = _on(self.rate.angle, x)
        u, v = _on(self.rate.x, x) - spin * dy, _on(self.rate.y, y) + spin * dx
        return self.placed.velocity_each(x, y) + torch.stack(torch.broadcast_tensors(u, v), 2)


def contours(
    body: Body, x: Float[Tensor, "first second"], y: Float[Tensor, "first second"]
) -> list[list[list[numpy.ndarray]]]:
    """The outlines of bodies as seen on a grid, for pictures and VTK files.

    Returns:
        For each sample, for each body, its lines, each an array ``[point, 2]`` in m. A closed
        line ends where it began; a line that meets the edge of the grid ends there.
    """
    u, v, distance = (t.detach().double().cpu().numpy() for t in (x, y, body.distance(x, y)))

    def lines(seen: numpy.ndarray) -> list[numpy.ndarray]:
        outline = contourpy.contour_generator(x=u, y=v, z=seen, line_type="Separate").lines(0.0)
        return cast("list[numpy.ndarray]", outline)

    return [[lines(seen) for seen in sample] for sample in distance]


def _positive(name: str, value: Number) -> Tensor:
    tensor = number(name, value)
    bad = ~(tensor > 0)
    if bad.any():
        raise ValueError(f"{name} must be positive, got {tensor[bad].reshape(-1)[0].item()}")
    return tensor


def _shape(*numbers: Tensor) -> tuple[int, int]:
    """The samples and bodies of parameters together."""
    batch, bodies = torch.broadcast_shapes((1, 1), *(value.shape for value in numbers))
    return batch, bodies


def _agree(who: str, what: str, *counts: int) -> None:
    """Counts are the same, or one."""
    if len(set(counts) - {1}) > 1:
        listed = " and ".join(str(count) for count in counts)
        raise ValueError(f"{who} must have the same number of {what}, or one, got {listed}")


def _on(value: Tensor, x: Tensor) -> Tensor:
    """A parameter beside points: in their type, on their device, with their axes of space."""
    value = value.to(x)
    return value if value.ndim == 0 else value.reshape(*value.shape, *(1,) * (x.ndim - 2))


def _length(x: Tensor, y: Tensor) -> Tensor:
    """The length of a vector, whose gradient at zero is zero."""
    square = x.square() + y.square()
    return torch.where(square > 0, square, 1.0).sqrt() * (square > 0)


def _body_frame(x: Own, y: Own, x_0: Tensor, y_0: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Points as seen from a frame at ``(x_0, y_0)`` that is turned by ``angle``."""
    u, v = x - _on(x_0, x), y - _on(y_0, y)
    c, s = _on(angle, x).cos(), _on(angle, x).sin()
    return c * u + s * v, c * v - s * u
