r"""Incompressible flow in two dimensions around several bodies, batched and differentiable.

.. math::
    \partial_t u + \nabla \cdot (u u) = -\nabla p + \nu \nabla^2 u + f, \qquad \nabla \cdot u = 0

at density 1, so ``p`` is in m²/s² and a force in N per kg/m³ and metre of span. ``u`` and ``v``
live on the faces of square cells, ``p`` in their middles. Advection is in flux form by a
:mod:`scheme <physgen.solvers.advection>`, diffusion by central differences, bodies by
:mod:`boundary data immersion <physgen.solvers.immersion>` :math:`B`, and time by Heun's method
with a projection :math:`P` in each stage (Weymouth & Font, 2025, WaterLily.jl,
https://doi.org/10.1016/j.cpc.2025.109748, section 2):

.. math::
    u_1 = P_{\Delta t}\,[B(u_0 + \Delta t\, R(u_0))], \qquad
    u = P_{\Delta t / 2}\left[\tfrac12 \left(u_1 + B(u_0 + \Delta t\, R(u_1))\right)\right].

**Force on a body.** What is left of the momentum equation after a step,

.. math::
    f = \frac{u_0 - u}{\Delta t} + \tfrac12 (R_0 + R_1) - \tfrac12 (\nabla p_0 + \nabla p_1),

is zero in the fluid to rounding; its sum over the faces around a body is what the body took out
of the fluid, pressure and friction together. It is not an approximation of a surface integral:
the sum over all bodies is the momentum balance of any box around them.

**How it behaves.** Two-dimensional flow past a bluff body is steady below a Reynolds number of
about 47 and sheds vortices above. 24 cells a chord (or diameter) and more than 10 lengths of
clearance beside a body are a good start; drag is a few per cent high at 24 cells and falls with
refinement. Real flows become three-dimensional above a Reynolds number of about 190.
"""

import abc
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.solvers.advection import QUICK, Scheme, flux, momentum
from physgen.solvers.bodies import Body
from physgen.solvers.immersion import Faces, Immersed, Kernel, faces
from physgen.solvers.poisson import (
    Axis,
    Direct,
    Laplacian,
    PressureSolver,
    Room,
    openness,
    project,
)
from physgen.solvers.sides import Outflow, Sides
from physgen.solvers.solver import Solver
from physgen.solvers.staggered import Grid

Field = Float[Tensor, "batch nx ny"]


class FlowState(NamedTuple):
    """A flow at one instant."""

    u: Float[Tensor, "batch nx_faces ny"]
    """Velocity along x, on the faces across x, in m/s."""
    v: Float[Tensor, "batch nx ny_faces"]
    """Velocity along y, on the faces across y, in m/s."""
    pressure: Float[Tensor, "batch nx ny"]
    """Of the second stage of the last step, in m²/s², up to a constant; void within bodies."""
    predicted: Float[Tensor, "batch nx ny"]
    """Pressure of the first stage: where the next solve starts from."""
    scalar: Float[Tensor, "batch scalar nx ny"]
    """Passive scalars such as smoke, as many as wanted, none by default."""
    force: Float[Tensor, "batch body 2"]
    """On each body, the mean over the last step, along x and y."""
    carried: Float[Tensor, "batch body 2"]
    """Momentum of the fluid that stands for the inside of each body."""
    time: Float[Tensor, ""]
    """In s, always in float64."""


class Clock(abc.ABC):
    """How long a step is."""

    @abc.abstractmethod
    def step(self, flow: "Flow", state: FlowState) -> Tensor:
        """The time step in s, one for the whole batch."""

    @abc.abstractmethod
    def rounded(self, longest: float) -> float:
        """A step of at most ``longest`` that a march may keep for a while, in s."""


@dataclass(frozen=True)
class Fixed(Clock):
    """Always the same step. Each sample of a batch then goes as it would alone."""

    dt: float
    """In s."""

    def __post_init__(self) -> None:
        if not self.dt > 0:
            raise ValueError(f"the time step must be positive, got {self.dt}")

    def step(self, flow: "Flow", state: FlowState) -> Tensor:
        return state.u.new_tensor(self.dt)

    def rounded(self, longest: float) -> float:
        return longest


@dataclass(frozen=True)
class Adaptive(Clock):
    """The longest stable step, of the fastest cell of the whole batch.

    ``dt = courant / (max of a cell's outgoing flux / h + 5 nu / h²)``; no gradient goes through it.
    """

    courant: float | None = None
    """A Courant number, or None for the largest one stable with the scheme."""
    longest: float = 1.0
    """Upper limit in cells per unit of the fastest inflow."""

    def step(self, flow: "Flow", state: FlowState) -> Tensor:
        courant = flow.scheme.stable if self.courant is None else self.courant
        with torch.no_grad():
            dt = courant / flow.fastest(state).amax()
            return dt.clamp(max=self.longest * flow.grid.spacing / max(flow.speed, 1e-30))

    def rounded(self, longest: float) -> float:
        """Up to 9 % less, from a fixed ladder of eight rungs for a factor of two."""
        return float(2 ** (math.floor(8 * math.log2(longest) + 1e-9) / 8))


ADAPTIVE = Adaptive()
SIDES = Sides()
KERNEL = Kernel()
DIRECT = Direct()


@dataclass(frozen=True)
class Buoyancy:
    """A force on the fluid in proportion to the first scalar (Boussinesq)."""

    x: float = 0.0
    """Acceleration along x for a scalar of 1, in m/s²."""
    y: float = 0.0


@dataclass(frozen=True)
class Forcing:
    """An acceleration of the fluid in m/s²: numbers, or fields on the faces (a control)."""

    x: float | Tensor = 0.0
    """On the faces across x."""
    y: float | Tensor = 0.0
    """On the faces across y."""


@dataclass(frozen=True)
class Flow(Solver[FlowState, Immersed]):
    """The solver of the module's docstring.

    Raises:
        ValueError: the viscosity is negative.
    """

    grid: Grid
    viscosity: float | Float[Tensor, "batch 1 1"]
    """Kinematic, in m²/s; a tensor gives each sample of the batch its own."""
    sides: Sides = SIDES
    speed: float = 1.0
    """Of the stream, in m/s: where a run starts from, and what figures are compared with."""
    scheme: Scheme = QUICK
    kernel: Kernel = KERNEL
    pressure: PressureSolver = DIRECT
    clock: Clock = ADAPTIVE
    forcing: Forcing = field(default_factory=Forcing)
    buoyancy: Buoyancy | None = None
    diffusivity: float = 0.0
    """Of the scalars, in m²/s."""
    scalar_inflow: float = 0.0
    """What flows in carries this much of each scalar."""
    room: Room | None = None
    """Cells set aside for bodies that stay, so that one compiled step serves for many of them."""

    def __post_init__(self) -> None:
        if not float(torch.as_tensor(self.viscosity).detach().min()) >= 0:
            raise ValueError(f"viscosity must not be negative, got {self.viscosity}")

    # Bodies and the first state.

    def axes(self) -> tuple[Axis, Axis]:
        return (
            Axis(self.grid.nx, self.sides.periodic(0)),
            Axis(self.grid.ny, self.sides.periodic(1)),
        )

    def immerse(self, bodies: Body, like: Tensor, batch: int = 1) -> Immersed:
        """What the steps need to know of bodies, differentiable in their parameters.

        Arguments:
            bodies: as they are at one instant; a moving one is ``body.at(time)``.
            like: any tensor of the wished type and device.
            batch: the number of samples, where the bodies do not say it.
        """
        grid, h = self.grid, self.grid.spacing
        on_x, on_y = grid.faces_x(like), grid.faces_y(like)
        middle = bodies.distance(*grid.centres(like))
        batch = max(batch, len(middle))
        middle = middle.expand(batch, *middle.shape[1:])
        distance_x = bodies.distance(*on_x).expand(batch, -1, -1, -1)
        distance_y = bodies.distance(*on_y).expand(batch, -1, -1, -1)
        moving = bodies.moves and middle.shape[1] > 0
        velocity_x = bodies.velocity(*on_x)[:, :, 0] if moving else None
        velocity_y = bodies.velocity(*on_y)[:, :, 1] if moving else None
        if velocity_x is not None and velocity_y is not None:
            velocity_x = velocity_x.expand(batch, -1, -1, -1)
            velocity_y = velocity_y.expand(batch, -1, -1, -1)
        x = faces(distance_x, velocity_x, h, self.kernel, self.room)
        y = faces(distance_y, velocity_y, h, self.kernel, self.room)
        axes = self.axes()
        open_faces = openness(x.opening, y.opening, *axes)
        system = self.pressure.system(Laplacian(*axes, like), open_faces, self.room)
        count = middle.shape[1]
        owned = torch.zeros_like(middle, dtype=torch.bool)
        if count:
            owner = middle.argmin(1)
            owned = torch.nn.functional.one_hot(owner, count).movedim(-1, 1).bool()
        carried = torch.stack([_inside(x, h), _inside(y, h)], dim=-1)
        return Immersed(x, y, open_faces, system, count, batch, middle, carried, owned)

    def start(self, immersed: Immersed, scalars: int = 0) -> FlowState:
        """The stream at full speed everywhere, made free of divergence around the bodies."""
        grid, like = self.grid, immersed.x.volume
        u = like.new_zeros(immersed.batch, grid.nx + 1, grid.ny)
        v = like.new_zeros(immersed.batch, grid.nx, grid.ny + 1)
        profile = self.sides.left.through()
        if profile is not None:
            u = u + _column(profile, u)
        return self.begin(immersed, u, v, scalars)

    def begin(self, immersed: Immersed, u: Tensor, v: Tensor, scalars: int = 0) -> FlowState:
        """A given velocity at time zero, held by bodies and sides and made free of divergence."""
        still = self.at_rest(immersed, scalars)
        one = u.new_tensor(1.0)
        u, v = self._bounded(immersed.x.held(u), immersed.y.held(v), u, v, one)
        u, v, _ = self._project(u, v, one, still.pressure, immersed)
        return still._replace(u=u, v=v)

    def at_rest(self, immersed: Immersed, scalars: int = 0) -> FlowState:
        """Nothing moves."""
        grid, like = self.grid, immersed.x.volume
        u = like.new_zeros(immersed.batch, grid.nx + 1, grid.ny)
        v = like.new_zeros(immersed.batch, grid.nx, grid.ny + 1)
        p = like.new_zeros(immersed.batch, grid.nx, grid.ny)
        scalar = like.new_zeros(immersed.batch, scalars, grid.nx, grid.ny)
        force = torch.zeros_like(immersed.carried.detach())
        return FlowState(
            u, v, p, p, scalar, force, immersed.carried, like.new_zeros((), dtype=torch.float64)
        )

    # One step.

    def step(self, state: FlowState, boundary: Immersed) -> FlowState:
        return self.advance(state, boundary, self.clock.step(self, state))

    def advance(self, state: FlowState, immersed: Immersed, dt: Tensor) -> FlowState:
        """The state ``dt`` later, with bodies as they are at the end of the step."""
        u0, v0, c0 = state.u, state.v, state.scalar
        rate0 = self._rates(u0, v0, c0)
        held_u, held_v = immersed.x.held(u0), immersed.y.held(v0)
        u = held_u + immersed.x.met(dt * rate0[0])
        v = held_v + immersed.y.met(dt * rate0[1])
        u, v = self._bounded(u, v, u0, v0, dt)
        u, v, p0 = self._project(u, v, dt, state.predicted, immersed)
        moved = self._scalar_rate(c0, u0, v0, immersed)
        c1 = c0 if moved is None else c0 + dt * moved

        rate1 = self._rates(u, v, c1)
        again_u = held_u + immersed.x.met(dt * rate1[0])
        again_v = held_v + immersed.y.met(dt * rate1[1])
        u, v = self._bounded(0.5 * (u + again_u), 0.5 * (v + again_v), u0, v0, dt)
        u, v, p1 = self._project(u, v, 0.5 * dt, state.pressure, immersed)
        moved = None if moved is None else self._scalar_rate(c1, u, v, immersed)
        scalar = c0 if moved is None else 0.5 * (c0 + c1 + dt * moved)

        force = torch.zeros_like(immersed.carried)
        area = self.grid.spacing**2
        if immersed.bodies:
            sides = (immersed.x, u0, u), (immersed.y, v0, v)
            left = []
            for k, (side, before, after) in enumerate(sides):
                of, push = side.box.of, side.box.rise(p0 + p1, k + 1) / self.grid.spacing
                kept = of(rate0[k]) + of(rate1[k]) - push
                left.append(side.gather((of(before) - of(after)) / dt + 0.5 * kept))
            force = area * (torch.stack(left, dim=-1) - self._forced_inside(immersed))
        if immersed.x.velocity is not None:
            force = force + (immersed.carried - state.carried) / dt
        return FlowState(u, v, p1, p0, scalar, force, immersed.carried, state.time + dt)

    def _rates(self, u: Tensor, v: Tensor, scalar: Tensor) -> tuple[Tensor, Tensor]:
        """Advection, diffusion and forces on all faces; those of the sides are overwritten."""
        h = self.grid.spacing
        wide_u, wide_v = self.sides.ghosted(u, 0), self.sides.ghosted(v, 1)
        into_u, into_v = momentum(self.scheme, wide_u, wide_v, self.viscosity / h)
        rate_u, rate_v = into_u / h + self.forcing.x, into_v / h + self.forcing.y
        if self.buoyancy is not None:
            around = self.sides.ghosted_scalar(scalar[:, 0], self.scalar_inflow)[:, 1:-1, 1:-1]
            middle = 0.5 * (around[:, 1:] + around[:, :-1])[:, :, 1:-1]
            rate_u = rate_u + self.buoyancy.x * middle
            middle = 0.5 * (around[:, :, 1:] + around[:, :, :-1])[:, 1:-1]
            rate_v = rate_v + self.buoyancy.y * middle
        return rate_u, rate_v

    def _forced_inside(self, immersed: Immersed) -> Float[Tensor, "batch body 2"]:
        """What the forcing does to the fluid that stands for the inside of a body, which is none
        of the flow's force on it."""
        found = []
        for side, force in ((immersed.x, self.forcing.x), (immersed.y, self.forcing.y)):
            force = (
                force.to(side.near) if isinstance(force, Tensor) else side.near.new_full((), force)
            )
            on_faces = force.expand(1, *side.volume.shape[1:]) if force.ndim == 0 else force
            found.append(side.displaced(side.box.of(on_faces)))
        return torch.stack(found, dim=-1)

    def _scalar_rate(
        self, scalar: Tensor, u: Tensor, v: Tensor, immersed: Immersed
    ) -> Tensor | None:
        """Change of the scalars, which do not diffuse into a body; None if there are none."""
        if scalar.shape[1] == 0:
            return None
        h, conductance = self.grid.spacing, self.diffusivity / self.grid.spacing
        wide = self.sides.ghosted_scalar(scalar, self.scalar_inflow)
        share_x, share_y = immersed.x.volume[:, None], immersed.y.volume[:, None]
        flux_x = flux(self.scheme, wide[..., 2:-2], u[:, None], conductance * share_x, 2)
        flux_y = flux(self.scheme, wide[..., 2:-2, :], v[:, None], conductance * share_y, 3)
        return -(torch.diff(flux_x, dim=2) + torch.diff(flux_y, dim=3)) / h

    def _bounded(
        self, u: Tensor, v: Tensor, u0: Tensor, v0: Tensor, dt: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The velocity through the sides as they prescribe it, and what flows in flows out."""
        rows = [self._row(u, u0, dt, 0, end) for end in (0, 1)]
        rows += [self._row(v, v0, dt, 1, end) for end in (0, 1)]
        inward = (1.0, -1.0, 1.0, -1.0)
        every = [side for axis in (0, 1) for side in self.sides.along(axis)]
        outlets = [isinstance(side, Outflow) for side in every]
        if any(outlets):
            gained = sum(
                sign * row.sum((1, 2), keepdim=True)
                for sign, row in zip(inward, rows, strict=True)
            )
            length = sum(row[0].numel() for row, out in zip(rows, outlets, strict=True) if out)
            rows = [
                row - sign * gained / length if out else row
                for sign, row, out in zip(inward, rows, outlets, strict=True)
            ]
        u = torch.cat([rows[0], u[:, 1:-1], rows[1]], 1)
        v = torch.cat([rows[2], v[:, :, 1:-1], rows[3]], 2)
        return u, v

    def _row(self, field: Tensor, before: Tensor, dt: Tensor, axis: int, end: int) -> Tensor:
        """The faces of one side: prescribed, carried out, or those of the side opposite."""
        dim = axis + 1
        last = field.shape[dim] - 1
        side = self.sides.along(axis)[end]
        if self.sides.periodic(axis):
            return field.narrow(dim, 0, 1)
        row = field.narrow(dim, last * end, 1)
        value = side.through()
        if value is not None:
            return _row(value, row, dim)
        edge, inner = (
            before.narrow(dim, last * end, 1),
            before.narrow(dim, 1 + (last - 2) * end, 1),
        )
        outward = (edge if end else -edge).mean(3 - dim, keepdim=True).clamp(min=0)
        return edge - outward * (dt / self.grid.spacing) * (edge - inner)

    def _project(
        self, u: Tensor, v: Tensor, dt: Tensor, guess: Tensor, immersed: Immersed
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The nearest velocity without divergence, and the pressure that this takes."""
        scale = self.grid.spacing / dt
        u, v, potential = project(immersed.system, immersed.openness, u, v, guess / scale)
        return u, v, potential * scale

    # What can be read off a state.

    def fastest(self, state: FlowState) -> Float[Tensor, " batch"]:
        """The rate, in 1/s, by which a time step is multiplied to give its Courant number."""
        u, v, h = state.u, state.v, self.grid.spacing
        leaving = u[:, 1:].clamp(min=0) - u[:, :-1].clamp(max=0)
        leaving = leaving + v[:, :, 1:].clamp(min=0) - v[:, :, :-1].clamp(max=0)
        viscous = torch.as_tensor(self.viscosity).to(u).reshape(-1)
        found: Tensor = leaving.amax((1, 2)) / h + 5 * viscous / h**2
        return found

    def divergence(self, state: FlowState, immersed: Immersed) -> Float[Tensor, " batch"]:
        """The largest flux that a live cell gains or loses, over ``speed`` times its width."""
        gain = torch.diff(state.u, dim=1) + torch.diff(state.v, dim=2)
        found: Tensor = (gain * immersed.openness.live).abs().amax((1, 2)) / self.speed
        return found


def _inside(side: Faces, h: float) -> Float[Tensor, "batch body"]:
    if side.velocity is None:
        return side.near.new_zeros(side.near.shape[:2])
    return h**2 * side.displaced(side.velocity)


def _column(value: float | Tensor, like: Tensor) -> float | Tensor:
    """A profile along y, set beside every column of faces."""
    if not isinstance(value, Tensor):
        return value
    return value.to(like).reshape(-1, 1, value.shape[-1])


def _row(value: float | Tensor, row: Tensor, dim: int) -> Tensor:
    if not isinstance(value, Tensor):
        return torch.full_like(row, value)
    value = value.to(row)
    profile = (
        value.reshape(-1, 1, value.shape[-1])
        if dim == 1
        else value.reshape(-1, value.shape[-1], 1)
    )
    return profile.expand_as(row)
