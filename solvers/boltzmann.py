r"""Flow past still bodies by the lattice Boltzmann method: a second, independent flow code.

.. math:: \partial_t u + (u \cdot \nabla) u = -\nabla p + \nu \nabla^2 u + g, \qquad
    \nabla \cdot u = 0

with :math:`u = 0` on bodies and density 1. Nothing here is shared with the other flow solver,
neither pressure solve nor immersed boundary nor force, so that agreement of the two says much.

Populations :math:`f_i` move along nine velocities :math:`c_i` (D2Q9), collide, and move again:

.. math:: f_i(x + c_i, t + 1) = f_i - \omega^+ (f_i^+ - e_i^+) - \omega^- (f_i^- - e_i^-),
    \qquad e_i = w_i \left(r + 3 c_i \cdot u
    + \tfrac 9 2 (c_i \cdot u)^2 - \tfrac 3 2 u^2\right),

in lattice units, where :math:`\pm` are the even and odd parts under :math:`c \to -c`,
:math:`r = \sum_i f_i = 3 p` and :math:`u = \sum_i c_i f_i`. Both are kept as departures from
rest, which saves digits in single precision. This is the equilibrium of He and Luo, whose steady
flows are free of compressibility; in unsteady ones it is an error of order
:math:`\mathrm{Ma}^2`, with :math:`\mathrm{Ma} = \sqrt 3 \, U \Delta t / h`.
:math:`\nu = (1 / \omega^+ - 1/2) / 3`, and :math:`\omega^-` follows from the magic parameter
:math:`\Lambda = (1 / \omega^+ - 1/2)(1 / \omega^- - 1/2)`. While :math:`\Lambda` is held, where
walls lie does not depend on the viscosity.

Behaviour: second order in :math:`h` at fixed Mach number, down to the error of the latter, once
boundary layers are some three cells thick; short of that a body feels how it lies between the
nodes (a cylinder of 10 cells at Re = 40, a quarter of a cell off: a lift coefficient of 0.1; of
20 cells: 0.015). Sound leaves through the outflow only, so forces ring after a sudden start: drop
ten to twenty lengths of flow, and average over the rest. Between mirrors a height :math:`H` apart
it rings at multiples of :math:`U / (2 H\, \mathrm{Ma})`, and captures a wake that sheds near one
of these (a cylinder in 16 diameters at a lattice speed of 0.1 and Re = 100: a Strouhal number of
0.184, three times the lift). Lower the lattice speed, or make such sides periodic, which doubles
these frequencies.

Collisions amplify what is too short for the viscosity to damp where
:math:`U \Delta t / h > \sqrt{3 \nu \Delta t} / h`, about. A held :math:`\Lambda` of 1/4 or 3/16 is
fine in closed and periodic boxes, but between an inflow and an outflow it is unstable once
:math:`\nu \Delta t / h^2` is below 0.01 or so, as are values between 0.03 and 0.1 even in a
periodic box; :math:`\omega^- = 1`, the default, is not. Good values: a lattice speed of
0.05 to 0.1, 40 cells to a chord, and at most 20 for the Reynolds number :math:`U h / \nu` of a
cell.

References:
    Lattice Boltzmann model for the incompressible Navier-Stokes equation (He & Luo, 1997),
    https://doi.org/10.1023/B:JOSS.0000015179.12689.e4, for the equilibrium.
    Two-relaxation-time lattice Boltzmann scheme (Ginzburg, Verhaeghe & d'Humières, 2008),
    Commun. Comput. Phys. 3, 427, for the collision and :math:`\Lambda`.
    Discrete lattice effects on the forcing term (Guo, Zheng & Shi, 2002),
    https://doi.org/10.1103/PhysRevE.65.046308, for :math:`g`.
    Momentum transfer of a Boltzmann-lattice fluid with boundaries (Bouzidi, Firdaouss &
    Lallemand, 2001), https://doi.org/10.1063/1.1399290, for the linear interpolation at walls.
    Numerical simulations of particulate suspensions via a discretized Boltzmann equation
    (Ladd, 1994), https://doi.org/10.1017/S0022112094001771, for given velocities and forces.
    The cumulant lattice Boltzmann equation in three dimensions (Geier, Schönherr, Pasquali &
    Krafczyk, 2015), https://doi.org/10.1016/j.camwa.2015.05.001, for the outflow.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Distance = Float[Tensor, "batch body nx ny"]
Populations = Float[Tensor, "batch 9 nx ny"]
Force = Float[Tensor, "batch body 2"]
Cut = Float[Tensor, "batch body 8 nx ny"]

C = ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (-1, -1), (1, -1))
W = (4 / 9, *(1 / 9,) * 4, *(1 / 36,) * 4)
OPPOSITE = tuple(C.index((-x, -y)) for x, y in C)
MIRROR = (tuple(C.index((-x, y)) for x, y in C), tuple(C.index((x, -y)) for x, y in C))


@dataclass(frozen=True)
class Periodic:
    """What leaves here enters at the opposite side, which must be periodic too."""


@dataclass(frozen=True)
class Slip:
    """A mirror: no flow through the side, no friction along it."""


@dataclass(frozen=True)
class Wall:
    """A wall without slip, half-way between nodes, at rest or moving along itself as a lid."""

    speed: float = 0.0
    """Velocity along the wall, in m/s."""


@dataclass(frozen=True)
class Inflow:
    """The velocity at the outermost nodes, in equilibrium with the pressure one node inward."""

    u: float
    """Velocity along x, in m/s."""
    v: float = 0.0
    """Velocity along y, in m/s."""


@dataclass(frozen=True)
class Outflow:
    """Waves leave at the speed of sound plus that of the flow; the pressure sinks to zero."""


Side = Periodic | Slip | Wall | Inflow | Outflow


class Lattice:
    r"""A box of ``nx`` by ``ny`` square cells with bodies at rest, in SI units per unit depth.

    Nodes are cell centres, and every side of the box lies half a cell beyond the outermost
    nodes. A body cuts the link from a node outside to a neighbour inside at the fraction
    :math:`q = d_f / (d_f - d_s)` of its length, from the signed distances :math:`d` at both:
    exact for a straight wall if the body is two cells thick. What flies along the link comes
    back as Bouzidi's linear interpolation in :math:`q`; where that wants a node behind another
    wall, the wall is taken half-way. A thinner edge, such as the last tenth of an airfoil, is
    blunted, or passes between nodes unseen: an airfoil of 20 cells then lacks a fifth of its
    lift. Give ``cut`` from :func:`cuts`, which looks along each link.

    The force on a body is the momentum that its links lose in a step, pressure and friction
    together, the former relative to that of the outflow.

    Arguments:
        distance: Signed distance to each body at the nodes, negative inside, in m. It gives the
            type and device of all that follows.
        spacing: The side :math:`h` of a cell, in m.
        viscosity: Kinematic viscosity :math:`\nu`, in m²/s.
        speed: The speed :math:`U` of the flow that is to be expected, in m/s.
        left, right, bottom, top: What happens at the sides.
        lattice_speed: :math:`U \Delta t / h`, which sets the time step and the Mach number.
        magic: :math:`\Lambda`. 3/16 puts half-way walls of a channel exactly where they are.
            By default 1/4, or what gives :math:`\omega^- = 1` if that is less.
        acceleration: A body force :math:`g` a mass, in m/s².
        cut: The fraction at which each body cuts the link from a node along each of ``C[1:]``,
            infinity where it does not, in place of :math:`d_f / (d_f - d_s)`.

    Raises:
        ValueError: a number is out of range, a body touches a side, a side stands alone, or a
            link is cut from one of its ends only.
    """

    def __init__(
        self,
        distance: Distance,
        spacing: float,
        viscosity: float,
        speed: float,
        *,
        left: Side,
        right: Side,
        bottom: Side,
        top: Side,
        lattice_speed: float = 0.1,
        magic: float | None = None,
        acceleration: tuple[float, float] = (0.0, 0.0),
        cut: Cut | None = None,
    ) -> None:
        numbers = {"spacing": spacing, "viscosity": viscosity, "speed": speed, "magic": magic}
        for name, value in numbers.items():
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        if not 0 < lattice_speed <= 0.2:
            raise ValueError(
                f"lattice_speed must be above 0 and at most 0.2, got {lattice_speed}: "
                "the flow would be compressible"
            )
        if not distance.isfinite().all():
            raise ValueError("distances must be finite, got NaN or inf")
        self.spacing = spacing
        self.dt = lattice_speed * spacing / speed
        self.sides = (left, right), (bottom, top)
        self._check_sides(speed, lattice_speed)

        slack = 3 * viscosity * self.dt / spacing**2
        least = max(0.003, lattice_speed**2)
        if slack < least:
            raise ValueError(
                f"the relaxation time is within {slack:.2g} of 1/2, at least {least:.2g} is "
                "needed: use smaller cells, a higher viscosity or another lattice_speed"
            )
        self._even = 1 / (slack + 0.5)
        self._odd = 1 / ((min(slack / 2, 1 / 4) if magic is None else magic) / slack + 0.5)
        self._pull = [a * self.dt**2 / spacing for a in acceleration]
        self._sound = 1 / math.sqrt(3) + lattice_speed
        self._bodies = distance.shape[1]
        self._fluid = (distance >= 0).all(1)
        self._check_bodies()
        self._matrices(distance)
        self._links(distance, _cut(distance) if cut is None else cut)

    def initial(
        self,
        velocity: Float[Tensor, "batch 2 nx ny"],
        pressure: Float[Tensor, "batch nx ny"] | None = None,
    ) -> Populations:
        """Populations in equilibrium with a velocity (m/s) and a pressure (m²/s²), by default 0.

        Bodies come to rest at once, so a uniform velocity is a sudden start.
        """
        u = velocity * (self.dt / self.spacing)
        out = self._equal(u.flatten(2)).reshape(len(u), 9, *u.shape[2:])
        if pressure is not None:
            r = 3 * pressure * (self.dt / self.spacing) ** 2
            out = out + self._equilibrium[:, :1, None] * r[:, None]
        return out * self._fluid[:, None]

    def step(self, populations: Populations) -> tuple[Populations, Force]:
        """Populations one ``dt`` later, and the mean force on each body on the way, in m³/s²."""
        post = self._collide(populations)
        out = self._stream(post)
        self._arrive(out, post, populations)

        flat, arrived = post.reshape(-1), out.view(-1)
        forth = flat[self._forth]
        back = self._weight * forth + (1 - self._weight) * flat[self._other]
        arrived[self._back] = back
        arrived[self._inside] = 0
        impulse = (forth + back)[:, None] * self._along
        force = impulse.new_zeros(len(out) * self._bodies, 2).index_add(0, self._owner, impulse)
        scale = self.spacing**3 / self.dt**2
        return out, scale * force.view(len(out), self._bodies, 2)

    def run(
        self, populations: Populations, duration: float
    ) -> tuple[Populations, Float[Tensor, "batch time body 2"]]:
        """Populations a ``duration`` (s) later, and the force in each of the steps between.

        Raises:
            FloatingPointError: the flow left the finite numbers.
        """
        forces = []
        steps = round(duration / self.dt)
        for index in range(1, steps + 1):
            populations, force = self.step(populations)
            forces.append(force)
            if index % 200 == 0 or index == steps:
                self._check_finite(populations, index)
        if not forces:
            raise ValueError(f"duration must be a step of {self.dt:.3g} s or more, got {duration}")
        return populations, torch.stack(forces, dim=1)

    def velocity(self, populations: Populations) -> Float[Tensor, "batch 2 nx ny"]:
        """The velocity at the nodes, in m/s, zero inside bodies."""
        u = self._momentum @ populations.flatten(2) + self._half_pull
        u = u.reshape(len(u), 2, *populations.shape[2:]) * self._fluid[:, None]
        return u * (self.spacing / self.dt)

    def pressure(self, populations: Populations) -> Float[Tensor, "batch nx ny"]:
        """The pressure over density at the nodes, in m²/s², zero inside bodies."""
        return populations.sum(1) / 3 * (self.spacing / self.dt) ** 2

    def _check_sides(self, speed: float, lattice_speed: float) -> None:
        for pair in self.sides:
            if (Periodic() in pair) and pair[0] != pair[1]:
                raise ValueError(f"a periodic side needs a periodic opposite, got {pair}")
            for side in pair:
                match side:
                    case Wall(u):
                        fast = abs(u) / speed * lattice_speed
                    case Inflow(u, v):
                        fast = math.hypot(u, v) / speed * lattice_speed
                    case _:
                        fast = 0.0
                if not fast <= 0.2:
                    raise ValueError(
                        f"{side} is {fast:.2g} cells a step fast, at most 0.2 is allowed: "
                        "raise speed to that of the fastest flow"
                    )

    def _check_bodies(self) -> None:
        for axis, pair in enumerate(self.sides):
            edges = self._fluid.select(axis + 1, 0) & self._fluid.select(axis + 1, -1)
            if Periodic() not in pair and not edges.all():
                raise ValueError(
                    "a body covers a node at a side of the box: only periodic sides allow that"
                )

    def _check_finite(self, populations: Populations, steps: int) -> None:
        finite = populations.flatten(1).isfinite().all(1)
        if not finite.all():
            raise FloatingPointError(
                f"{int((~finite).sum())} of {len(finite)} flows are not finite after {steps} "
                "steps: use smaller cells, a lower lattice_speed, or a smaller magic"
            )

    def _matrices(self, like: Tensor) -> None:
        r"""Collision is linear in the populations but for the products of velocities.

        With :math:`e = E f + Q (u_x^2, u_x u_y, u_y^2)` and the even and odd rates gathered in
        :math:`K`, what leaves is :math:`(1 - K + K E) f + \omega^+ Q (\ldots)`, for
        :math:`Q` is even. Guo's source adds :math:`3 w_i c_i \cdot g`, and turns
        :math:`\omega^+ u u` into :math:`\omega^+ u u + (1 - \omega^+ / 2)(u g + g u)`, with
        :math:`u` taken half a step's pull later.
        """
        c, w = like.new_tensor(C), like.new_tensor(W)
        eye = torch.eye(9, dtype=like.dtype, device=like.device)
        swap = eye[list(OPPOSITE)]
        rate = self._even * (eye + swap) / 2 + self._odd * (eye - swap) / 2
        x, y = c.unbind(1)
        products = torch.stack([x**2 - 1 / 3, 2 * x * y, y**2 - 1 / 3], dim=1)
        pull = like.new_tensor(self._pull)

        self._equilibrium = w[:, None] * torch.cat([torch.ones_like(w)[:, None], 3 * c], dim=1)
        self._quadratic = 4.5 * w[:, None] * products
        self._momentum = c.T.contiguous()
        self._half_pull = pull[:, None] / 2
        sums = torch.cat([torch.ones_like(w)[None], self._momentum])
        self._linear = eye - rate + rate @ self._equilibrium @ sums
        self._bilinear = self._even * self._quadratic
        self._source = (3 * w * (c @ pull))[:, None]

    def _links(self, distance: Distance, cut: Cut) -> None:
        """What each link that is cut sends out, and where the answer arrives.

        With both cases of Bouzidi's interpolation as one: what comes back along a link is
        ``weight * forth + (1 - weight) * other``, where ``other`` is what arrives behind
        (q < 1/2), or what already left backwards (q >= 1/2).
        """
        if not self._bodies:
            cut = cut.new_full((len(cut), 1, *cut.shape[2:]), torch.inf)
        q, owner = cut.min(dim=1)
        solid = ~self._fluid
        inside = torch.stack([_shift(solid, c) for c in C[1:]], dim=1)
        hit = self._fluid[:, None] & (inside | q.isfinite())
        rim = torch.zeros_like(hit)
        for axis, pair in enumerate(self.sides):
            if Periodic() not in pair:
                for end in (0, -1):
                    for i in _leaving(axis, end):
                        rim[:, i - 1].select(axis + 1, end).fill_(True)
        hit &= ~rim
        if (hit & ~inside & ~_ends(hit)).any():
            raise ValueError("a link between two nodes is cut from one of its ends only")
        behind = (hit | rim)[:, [i - 1 for i in OPPOSITE[1:]]]

        batch, k, x, y = hit.nonzero().unbind(1)
        q = q[hit].to(distance.dtype).clamp(max=1)
        near = q < 0.5
        alone = near & behind[hit]
        along = torch.tensor(C, device=distance.device)[k + 1]
        back = torch.tensor(OPPOSITE, device=distance.device)[k + 1]
        nx, ny = distance.shape[2:]

        def place(i: Tensor, x: Tensor, y: Tensor) -> Int[Tensor, " link"]:
            row: Tensor = (batch * 9 + i) * nx + x % nx
            return row * ny + y % ny

        self._forth = place(k + 1, x, y)
        self._back = place(back, x, y)
        self._other = torch.where(near, place(k + 1, x - along[:, 0], y - along[:, 1]), self._back)
        self._weight = torch.where(near, 2 * q, 1 / (2 * q))
        self._weight[alone] = 1
        self._along = along.to(distance.dtype)
        self._owner = batch * self._bodies + owner[hit]
        self._inside = solid[:, None].expand(-1, 9, -1, -1).flatten().nonzero()[:, 0]

    def _equal(self, u: Float[Tensor, "batch 2 node"]) -> Float[Tensor, "batch 9 node"]:
        """The part of the equilibrium that depends on velocity."""
        return self._equilibrium[:, 1:] @ u + self._quadratic @ _products(u)

    def _collide(self, populations: Populations) -> Populations:
        f = populations.flatten(2)
        u = self._momentum @ f
        post = self._linear @ f
        if any(self._pull):
            gx, gy = self._pull
            u = u + self._half_pull
            cross = torch.stack(
                [2 * gx * u[:, 0], gx * u[:, 1] + gy * u[:, 0], 2 * gy * u[:, 1]], 1
            )
            products = _products(u) + (1 / self._even - 0.5) * cross
            post = post + self._source
        else:
            products = _products(u)
        quadratic = self._bilinear.expand(len(f), 9, 3)
        return torch.baddbmm(post, quadratic, products).view(populations.shape)

    def _stream(self, post: Populations) -> Populations:
        """Each population one node on, from a ring of ghost nodes where a side is a copy."""
        padded = torch.nn.functional.pad(post, (1, 1, 1, 1))
        for axis, pair in enumerate(self.sides):
            for end, side in zip((0, -1), pair, strict=True):
                ghost = padded.select(axis + 2, end)
                match side:
                    case Periodic():
                        ghost.copy_(padded.select(axis + 2, -2 - end * 3))
                    case Slip():
                        edge = padded.select(axis + 2, 1 + 3 * end)
                        for i in _leaving(axis, end):
                            ghost[:, MIRROR[axis][i]] = edge[:, i]
        nx, ny = post.shape[2:]
        moved = [
            padded[:, i, 1 - x : 1 - x + nx, 1 - y : 1 - y + ny] for i, (x, y) in enumerate(C)
        ]
        return torch.stack(moved, dim=1)

    def _arrive(self, out: Populations, post: Populations, before: Populations) -> None:
        """What enters at sides other than copies, written into ``out``."""
        unit = self.dt / self.spacing
        for axis in (1, 0):
            for end, side in zip((0, -1), self.sides[axis], strict=True):
                edge = out.select(axis + 2, end)
                match side:
                    case Wall(u):
                        hit = post.select(axis + 2, end)
                        for i in _leaving(axis, end):
                            kick = 6 * W[i] * C[i][1 - axis] * u * unit
                            edge[:, OPPOSITE[i]] = hit[:, i] - kick
                    case Inflow(u, v):
                        inner = out.select(axis + 2, 1 + 3 * end)
                        given = torch.empty_like(inner[:, :2])
                        given[:, 0], given[:, 1] = u * unit, v * unit
                        density = self._equilibrium[:, :1] * inner.sum(1, keepdim=True)
                        edge.copy_(density + self._equal(given))
                    case Outflow():
                        last, inner = (before.select(axis + 2, k) for k in (end, 1 + 3 * end))
                        sink = last.sum(1) / (math.sqrt(3) * post.shape[axis + 2])
                        for i in map(OPPOSITE.__getitem__, _leaving(axis, end)):
                            wave = last[:, i] + self._sound * (inner[:, i] - last[:, i])
                            edge[:, i] = wave - 6 * W[i] * sink


def _leaving(axis: int, end: int) -> list[int]:
    """The velocities that point out of the box at one end of an axis."""
    return [i for i, c in enumerate(C) if c[axis] == (1 if end else -1)]


def _shift(x: Tensor, c: tuple[int, int]) -> Tensor:
    """What stands at the neighbour along ``c``."""
    return x.roll((-c[0], -c[1]), (-2, -1))


def cuts(
    distance: Callable[[Tensor, Tensor], Tensor],
    x: Float[Tensor, "nx ny"],
    y: Float[Tensor, "nx ny"],
    spacing: float,
    samples: int = 8,
) -> Cut:
    """Where bodies cut the links of nodes ``x, y``, found by looking along each link.

    Signed distances are taken at ``samples`` steps along a link, and interpolated within the
    first step that enters a body. So an edge thinner than a cell is seen down to the length of
    such a step.

    Arguments:
        distance: Signed distances ``[batch, body, *space]`` at given points, as of a body.
    """
    at_nodes = distance(x, y)
    cut = torch.full_like(at_nodes, torch.inf)[:, :, None].repeat(1, 1, 8, 1, 1)
    near = (at_nodes.abs() < 1.5 * spacing).any(0).any(0)
    along = torch.linspace(0, spacing, samples + 1, dtype=x.dtype, device=x.device)
    for k, (cx, cy) in enumerate(C[1:]):
        d = distance(x[near][:, None] + cx * along, y[near][:, None] + cy * along)
        outside, inside = d[..., :-1], d[..., 1:]
        enters = (outside >= 0) & (inside < 0)
        q = (along[:-1] / spacing + outside / (outside - inside) / samples).to(d.dtype)
        cut[:, :, k, near] = torch.where(enters, q, torch.inf).amin(-1)
    # A tip that only just touches a link may be seen from one of its ends alone: it is not there.
    inside = torch.stack([_shift(at_nodes < 0, c) for c in C[1:]], dim=2)
    return torch.where(inside | _ends(cut.isfinite()), cut, torch.inf)


def _ends(hit: Tensor) -> Tensor:
    """Whether each link, third axis from the last, is hit as seen from its other end."""
    others = zip(OPPOSITE[1:], C[1:], strict=True)
    return torch.stack([_shift(hit[..., i - 1, :, :], c) for i, c in others], dim=-3)


def _cut(distance: Distance) -> Cut:
    """Where each body cuts the links from outside to inside; infinity on all others."""
    inside = torch.stack([_shift(distance, c) for c in C[1:]], dim=2)
    outside = distance[:, :, None].expand_as(inside)
    hit = (outside >= 0) & (inside < 0)
    return torch.where(hit, outside / (outside - inside), torch.inf)


def _products(u: Float[Tensor, "batch 2 node"]) -> Float[Tensor, "batch 3 node"]:
    x, y = u.unbind(1)
    return torch.stack([x * x, x * y, y * y], dim=1)
