r"""Lily-Pad's first way of computing a flow: semi-Lagrangian, inviscid, on unit cells.

It stands here so that figures published with it can be put in context; to design with, take
:mod:`physgen.solvers.fluid`. A step is one cell per speed of the stream, :math:`\Delta t = h / U`.
Velocities are carried along the paths of the fluid: with :math:`x_1 = x - \Delta t\,u_0(x)`,

.. math::
    u_1 &= P_{\Delta t}\,[B(u_0(x_1))], \\
    x_2 &= x - \tfrac12 \Delta t\,(u_1(x) + u_0(x_1)), \\
    u &= P_{\Delta t / 2}\,[B(u_0(x_2)) - \mu_0\,\tfrac12 \Delta t\,\nabla p_1(x_2)]

with the :mod:`boundary data immersion <physgen.solvers.immersion>` :math:`B` of second order and
a kernel of half-width two cells, for the velocity and for the pressure, and the projection
:math:`P`. Values between grid points are bilinear for the paths, and for what is carried
biquadratic about the nearest point and clamped to the three values along each line. There is no
viscosity but that of the interpolation: the Reynolds number is unknown and changes with the cells.

Fluid enters at the left with speed ``U`` and leaves at the right without a gradient, with one
constant added to meet the inflow; the other sides are walls without friction. The pressure has
a mean of zero.

**How it behaves.** A body thinner than four cells never shuts a face: it is porous. The force is
that of the pressure alone, taken on the outline, in the middle of the kernel.

Here the pressure is solved exactly, where Lily-Pad stops a multigrid at a small residual; rows
beyond a side repeat the last one, where Lily-Pad turns to bilinear values; and the exit is set
before the projection only.

References:
    Lily-Pad: Towards Real-time Interactive Computational Fluid Dynamics (Weymouth, 2015),
    https://arxiv.org/abs/1510.06886, and its program, https://github.com/weymouth/lily-pad
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample, normalize, pad

from physgen.solvers.bodies import (
    Body,
    Distances,
    Number,
    Own,
    Polygon,
    Still,
    Velocities,
    number,
)
from physgen.solvers.fluid import Flow, FlowState
from physgen.solvers.immersion import Immersed, Kernel
from physgen.solvers.poisson import solve
from physgen.solvers.sides import Inflow, Sides
from physgen.solvers.solver import Solver
from physgen.solvers.staggered import Grid, Points

Outlines = Float[Tensor, "batch body vertex 2"]
Sampling = Callable[[Tensor], Tensor]

KERNEL = Kernel(cells=2.0, firmness=0, opening=2.0, closing=0.0)
"""Of Lily-Pad: wide, and with the method as published."""


class Outlined(NamedTuple):
    """Bodies as a step sees them, and the outlines that their forces are summed along."""

    immersed: Immersed
    outlines: Outlines


@dataclass(frozen=True)
class SemiLagrangian(Solver[FlowState, Outlined]):
    """The solver of the module's docstring; a state's ``force`` is that of its pressure alone.

    Raises:
        ValueError: the stream has no speed.
    """

    grid: Grid
    speed: float = 1.0
    """Of the stream, in m/s."""
    kernel: Kernel = KERNEL

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError(f"the stream must flow along +x, got a speed of {self.speed} m/s")

    @property
    def dt(self) -> float:
        """One cell per speed of the stream, in s."""
        return self.grid.spacing / self.speed

    @property
    def flow(self) -> Flow:
        """The same domain and bodies for the solver of :mod:`physgen.solvers.fluid`."""
        sides = Sides(left=Inflow(self.speed))
        return Flow(self.grid, 0.0, sides, self.speed, kernel=self.kernel)

    def immerse(self, outlines: Outlines, spin: Number = 0.0) -> Outlined:
        """What the steps need to know of polygons that stay where they are.

        Arguments:
            outlines: The vertices, in m.
            spin: The rate of :class:`Spinning` about each polygon's quarter chord, in rad/s.
        """
        h = self.grid.spacing
        body: Body = Polygon(outlines)
        if convex(outlines, 1e-3 * h):
            body = Hull(outlines, 3 * h)
        rate = number("spin", spin)
        if bool((rate != 0).any()):
            body = Spinning(body, quarter_chord(outlines), rate)
        return Outlined(self.flow.immerse(body, outlines), outlines)

    def start(self, boundary: Outlined) -> FlowState:
        """The stream at full speed everywhere, made free of divergence around the bodies."""
        return self.flow.start(boundary.immersed)

    def step(self, state: FlowState, boundary: Outlined) -> FlowState:
        immersed = boundary.immersed
        x, y = immersed.x, immersed.y
        u0, v0 = state.u, state.v
        back = [self._before(points, u0, v0) for points in self._faces(u0)]
        u, v = self._bounded(
            x.held(quadratic(*back[0], 0.0, 0.5)(u0)), y.held(quadratic(*back[1], 0.5, 0.0)(v0))
        )
        u, v, p1 = self._project(u, v, 1.0, state.predicted, immersed)

        met = []
        slope = pad(p1.diff(dim=1), (0, 0, 1, 1)), pad(p1.diff(dim=2), (1, 1))
        for axis, (points, came) in enumerate(zip(self._faces(u0), back, strict=True)):
            ahead, behind = self._before(points, u, v), self._before(came, u0, v0)
            # From the point itself: half a step back by each of the two velocities.
            path = [
                p + 0.5 * ((a - p) + (b - c))
                for p, a, b, c in zip(points, ahead, behind, came, strict=True)
            ]
            at = quadratic(path[0], path[1], 0.5 * axis, 0.5 - 0.5 * axis)
            side, old = (x, u0) if axis == 0 else (y, v0)
            push = 0.5 * self.dt / self.grid.spacing * at(slope[axis])
            met.append(side.held(at(old)) - side.volume * push)
        u, v = self._bounded(*met)
        u, v, p = self._project(u, v, 0.5, state.pressure, immersed)
        force = pressure_force(self.grid, p, boundary.outlines)
        return state._replace(
            u=u, v=v, pressure=p, predicted=p1, force=force, time=state.time + self.dt
        )

    def _faces(self, like: Tensor) -> tuple[Points, Points]:
        """Places of u and of v in cells from the corner of the grid."""
        cells = Grid(self.grid.nx, self.grid.ny)
        return cells.faces_x(like), cells.faces_y(like)

    def _before(self, points: Points, u: Tensor, v: Tensor) -> Points:
        """Where the fluid at some points was a step ago, in cells, along a straight path."""
        x, y = points
        courant = self.dt / self.grid.spacing
        return (
            x - courant * linear(x, y, 0.0, 0.5)(u),
            y - courant * linear(x, y, 0.5, 0.0)(v),
        )

    def _bounded(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        last = u[:, -2:-1]
        last = last + self.speed - last.mean(2, keepdim=True)
        u = torch.cat([torch.full_like(last, self.speed), u[:, 1:-1], last], 1)
        return u, pad(v[:, :, 1:-1], (1, 1))

    def _project(
        self, u: Tensor, v: Tensor, share: float, guess: Tensor, immersed: Immersed
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The velocity without divergence, and the pressure whose push for a share of the step
        takes away the rest."""
        scale = self.grid.spacing / (share * self.dt)
        gain = u.diff(dim=1) + v.diff(dim=2)
        potential = solve(immersed.system, immersed.openness, gain, guess / scale)
        open_x, open_y = immersed.openness.x, immersed.openness.y
        u = u - open_x * pad(potential.diff(dim=1), (0, 0, 1, 1))
        v = v - open_y * pad(potential.diff(dim=2), (1, 1))
        pressure = potential * scale
        return u, v, pressure - pressure.mean((1, 2), keepdim=True)


def linear(x: Tensor, y: Tensor, shift_x: float, shift_y: float) -> Sampling:
    """Bilinear values of a field at points, those beyond it at its rim.

    Arguments:
        x: Places in cells from the corner of the grid.
        y: Places in cells from the corner of the grid.
        shift_x: Where the first value of the field lies, in cells from that corner.
        shift_y: Where the first value of the field lies, in cells from that corner.
    """

    def sampled(field: Float[Tensor, "batch m n"]) -> Tensor:
        m, n = field.shape[1:]
        a, b = (x - shift_x) * (2 / (m - 1)) - 1, (y - shift_y) * (2 / (n - 1)) - 1
        at = torch.stack([b, a], -1).expand(len(field), *x.shape[-2:], 2)
        found = grid_sample(field[:, None], at, padding_mode="border", align_corners=True)
        return found[:, 0]

    return sampled


def quadratic(x: Tensor, y: Tensor, shift_x: float, shift_y: float) -> Sampling:
    """Biquadratic values of a field about the nearest of its points, clamped to the values used.

    Arguments as for :func:`linear`; a row is imagined beyond each rim that repeats it.
    """

    def sampled(field: Float[Tensor, "batch m n"]) -> Tensor:
        batch, m, n = field.shape
        a, b = (x - shift_x).clamp(0, m - 1), (y - shift_y).clamp(0, n - 1)
        i, j = (a + 0.5).floor(), (b + 0.5).floor()
        s, t = a - i, b - j
        wide = pad(field[:, None], (1, 1, 1, 1), mode="replicate").flatten(1)
        first = (i.long() * (n + 2) + j.long()).expand(batch, *x.shape[-2:])
        near = torch.arange(3, device=x.device)
        offset = (near[:, None] * (n + 2) + near)[:, :, None, None]
        values = wide.gather(1, (first[:, None, None] + offset).flatten(1))
        rows = _parabola(s[..., None, :, :], values.view(batch, 3, 3, *first.shape[1:]))
        return _parabola(t, rows)

    return sampled


def _parabola(s: Tensor, values: Float[Tensor, "batch 3 *rest"]) -> Tensor:
    """Through three values at -1, 0 and 1, seen at ``s`` and clamped to them."""
    before, at, after = values.unbind(1)
    found = at + 0.5 * s * (after - before + s * (after - 2 * at + before))
    low, high = values.aminmax(dim=1)
    return torch.minimum(torch.maximum(found, low), high)


def pressure_force(
    grid: Grid, pressure: Float[Tensor, "batch nx ny"], outlines: Outlines
) -> Float[Tensor, "batch body 2"]:
    r"""The force of the pressure along outlines, :math:`-\sum p\,n\,l` over their segments.

    The pressure is bilinear, and taken in the middle of each segment. At density 1, in N per metre
    of span.
    """
    ahead = outlines.roll(-1, 2)
    along, middle = ahead - outlines, 0.5 * (ahead + outlines)
    x = (middle[..., 0] - grid.left) / grid.spacing
    y = (middle[..., 1] - grid.bottom) / grid.spacing
    p = linear(x, y, 0.5, 0.5)(pressure)
    outward = torch.stack([along[..., 1], -along[..., 0]], -1)
    cross = outlines[..., 0] * ahead[..., 1] - outlines[..., 1] * ahead[..., 0]
    turn = cross.sum(2).sign()[..., None]
    return -turn * (p[..., None] * outward).sum(2)


def quarter_chord(outlines: Outlines) -> Float[Tensor, "batch body 2"]:
    """A quarter of the way from the foremost vertex to the rearmost, along x."""
    pick = outlines[..., 0].argmin(2), outlines[..., 0].argmax(2)
    nose, tail = (
        outlines.gather(2, k[..., None, None].expand(*k.shape, 1, 2))[:, :, 0] for k in pick
    )
    return 0.75 * nose + 0.25 * tail


@final
class Hull(Still):
    """Convex polygons with Lily-Pad's distance: the greatest of those to the lines of the edges.

    It is the distance beside an edge and falls short of it off a corner: the kernel reaches far
    beyond a sharp trailing edge. Away from a polygon's bounding box that of the box stands in.

    Arguments:
        outlines: The vertices, in m, in either orientation.
        far: How far from the box, in m.
    """

    def __init__(self, outlines: Outlines, far: float) -> None:
        self.outlines, self.far = outlines, far

    @property
    def shape(self) -> tuple[int, int]:
        return self.outlines.shape[0], self.outlines.shape[1]

    def distance_each(self, x: Own, y: Own) -> Distances:
        corners, normals = self.outlines.to(x), _normals(self.outlines).to(x)
        offset = (corners * normals).sum(-1)
        here = (..., *[None] * (x.ndim - 2))
        lines = torch.cat([normals, offset[..., None]], -1)[here]
        shape = torch.broadcast_shapes(x.shape[:2], self.shape)
        found = x.new_full((*shape, *x.shape[2:]), -torch.inf)
        for n_x, n_y, along in (line.unbind(2) for line in lines.unbind(2)):
            line = n_x * x + n_y * y - along
            found = torch.maximum(found, torch.where((n_x == 0) & (n_y == 0), -torch.inf, line))
        low, high = (corner[here] for corner in corners.aminmax(dim=2))
        aside = torch.maximum(low[:, :, 0] - x, x - high[:, :, 0])
        above = torch.maximum(low[:, :, 1] - y, y - high[:, :, 1])
        box = torch.maximum(aside, above)
        return torch.where(box > self.far, box, found)


def convex(outlines: Outlines, tolerance: float) -> bool:
    """Whether no vertex lies further outside of the line of any edge, in m."""
    normals = _normals(outlines)
    beyond = torch.einsum("bkvd,bked->bkve", outlines, normals)
    return bool((beyond - (outlines * normals).sum(-1)[:, :, None]).max() <= tolerance)


def _normals(outlines: Outlines) -> Outlines:
    """Of the edges, outwards; zero where an edge has no length."""
    ahead = outlines.roll(-1, 2)
    along = ahead - outlines
    cross = outlines[..., 0] * ahead[..., 1] - outlines[..., 1] * ahead[..., 0]
    outward = torch.stack([along[..., 1], -along[..., 0]], -1)
    return normalize(cross.sum(2).sign()[..., None, None] * outward, dim=-1)


@final
class Spinning(Body):
    """Bodies that stay where they are, with walls that move as if they turned.

    In Lily-Pad a body that was turned once, by ``angle``, keeps the wall velocity of turning by
    ``angle`` in every step: ``rate = angle / dt``, counter-clockwise.

    Arguments:
        body: What spins.
        about: The pivots, in m.
        rate: In rad/s.
    """

    def __init__(self, body: Body, about: Float[Tensor, "batch body 2"], rate: Number) -> None:
        self.body, self.about, self.rate = body, about, number("rate", rate)

    @property
    def shape(self) -> tuple[int, int]:
        return self.body.shape

    @property
    def moves(self) -> bool:
        return True

    def at(self, time: Number) -> Body:
        return self

    def distance_each(self, x: Own, y: Own) -> Distances:
        return self.body.distance_each(x, y)

    def velocity_each(self, x: Own, y: Own) -> Velocities:
        here = (..., *[None] * (x.ndim - 2))
        pivot_x, pivot_y = (pivot.to(x)[here] for pivot in self.about.unbind(-1))
        rate = self.rate.to(x)
        rate = rate[here] if rate.ndim else rate
        u, v = -rate * (y - pivot_y), rate * (x - pivot_x)
        return torch.stack(torch.broadcast_tensors(u, v), 2)
