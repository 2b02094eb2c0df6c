r"""Elastic discs in a box.

.. math:: \dot p_i = v_i, \qquad \dot v_i = \sum_j J_{ij} n_{ij}

where an impulse :math:`J \ge 0` along the contact normal acts at the instant of contact, such
that the approaching normal velocity is reversed. There is no friction, damping or gravity, so
energy is conserved, and momentum in every collision of two discs.

Behaviour: free flight on straight lines, broken at walls and collisions; a collision multiplies
a small error by about one plus the path to the next collision over the radius, so many discs
are chaotic within a few seconds. Good values: the defaults, with speeds up to 100.
"""

import itertools

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from physgen.shapes import Boundary, State
from physgen.solvers.solver import Solver

Vectors = Float[Tensor, "batch body 2"]


def no_boundary(state: State) -> Boundary:
    """The box belongs to the solver: discs have no further boundary."""
    return state[:, :0]


class Discs(Solver[State, Boundary]):
    r"""Equal elastic discs by sequential impulses at a fixed time step.

    This is the scheme of the Chipmunk2D engine, with which the N-body data of the field were
    made: drift, find the overlaps, then solve for the normal impulses by projected
    Gauss-Seidel sweeps. What overlaps by more than ``slop`` is pushed apart by a
    pseudo-velocity, ten per cent of the excess a step, that moves discs once and is then
    forgotten. Contact is seen at the end of a step, so a disc enters a wall by up to
    :math:`|v| \Delta t`, and a reflection is late by up to one step.

    A state has six channels ``x, y, vx, vy, bx, by`` for each body: position in px, velocity
    in px/s, and the pseudo-velocity in px/s, zero at the start. :meth:`initial` makes one.

    Simulations without a contact in this step, most of them, cost a few array operations;
    those whose contacts are all isolated need one sweep, which is exact; only where contacts
    touch one another are all sweeps made. Sweeps visit the walls, then the pairs in rounds
    of disjoint pairs.

    Gradients are those of the motion in continuous time. A contact is seen at the end of a
    step, so plain differentiation would hold its instant fixed, and get even the sign wrong:
    behind a wall, a disc that starts further ahead is further *back*. The position after a
    contact therefore carries the missing term of the saltation matrix,
    :math:`(v^+ - v^-)\, \mathrm{d}\tau`, with :math:`\tau` the time since the true contact,
    whose value is zero and whose gradient is not; and the normal of two discs is followed back
    by :math:`\tau` in the same way. The pseudo-velocities carry no gradient.

    Energy is conserved to rounding where contacts are apart. Where three discs, or two and a
    wall, touch within one step, the sweeps leave a small error, as they do in Chipmunk2D.

    Arguments:
        box: The side of the square box, in px.
        radius: The radius of a disc, in px.
        dt: The time step, in s.
        wall: The half thickness of the walls, in px: a disc touches at ``wall + radius``.
        slop: The overlap that is left alone, in px.
        correction: The share of the excess overlap that is removed in a 1/60 s.
        sweeps: Gauss-Seidel sweeps where contacts touch one another.

    References:
        Iterative dynamics with temporal coherence (Catto, 2005), for sequential impulses.
        Compositional Generative Inverse Design (Wu et al., 2024),
        https://arxiv.org/abs/2401.13171, for the N-body problem.
    """

    def __init__(
        self,
        box: float = 200.0,
        radius: float = 20.0,
        dt: float = 1 / 60,
        wall: float = 1.0,
        slop: float = 0.1,
        correction: float = 0.1,
        sweeps: int = 10,
    ) -> None:
        for name, value in (("box", box), ("radius", radius), ("dt", dt)):
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        if 2 * (radius + wall) > box:
            raise ValueError(f"a disc of radius {radius} does not fit into a box of side {box}")
        self.box = box
        self.radius = radius
        self.dt = dt
        self.wall = wall
        self.slop = slop
        self.push = (1 - (1 - correction) ** (60 * dt)) / dt
        self.sweeps = sweeps

    def initial(self, position: Vectors, velocity: Vectors) -> State:
        """The state of discs at ``position`` (px) that move with ``velocity`` (px/s).

        Raises:
            ValueError: a number is not finite.
        """
        still = torch.zeros_like(position)
        state = torch.cat([position, velocity, still], dim=-1).transpose(1, 2)
        if not state.isfinite().all():
            raise ValueError("positions and velocities of discs must be finite, got NaN or inf")
        return state

    def step(self, state: State, boundary: Boundary) -> State:
        position, velocity, push = state.transpose(1, 2).split(2, dim=-1)
        position = position + self.dt * (velocity + push)
        push = torch.zeros_like(push)

        beyond = self._wall_overlap(position)
        pairs = _pairs(position.shape[1], position.device)
        between, normal = self._pair_overlap(position, pairs)
        at_wall, touching = beyond != 0, between > 0
        followed = torch.is_grad_enabled() and state.requires_grad
        if followed:
            normal = self._normal_at_contact(position, velocity, between, normal)
        moved = torch.stack([velocity, push])
        for rows, sweeps in self._work(at_wall, touching, pairs):
            contacts = beyond[rows], between[rows], normal[rows]
            solved = self._sweep(moved[:, rows], *contacts, sweeps)
            moved = moved.index_copy(1, rows, solved)
            if followed:
                kick = solved[0] - velocity[rows]
                late = self._lateness(velocity[rows], *contacts)
                position = position.index_add(0, rows, kick * (late - late.detach()))
        return torch.cat([position, moved[0], moved[1].detach()], dim=-1).transpose(1, 2)

    def _lateness(
        self,
        velocity: Vectors,
        beyond: Vectors,
        between: Float[Tensor, "batch pair"],
        normal: Float[Tensor, "batch pair 2"],
    ) -> Vectors:
        """The time since each disc, coordinate by coordinate, came into its latest contact."""
        inward = (-beyond.sign() * velocity).clamp(min=self.slop)
        late = torch.where(beyond != 0, beyond.abs() / inward, 0.0)
        first, second = _pairs(velocity.shape[1], velocity.device)
        since = self._since(velocity, between, normal)
        shape = (len(velocity), velocity.shape[1])
        met = since.new_zeros(shape).index_add(1, first, since).index_add(1, second, since)
        return torch.where(met[..., None] > 0, met[..., None], late)

    def _since(
        self,
        velocity: Vectors,
        between: Float[Tensor, "batch pair"],
        normal: Float[Tensor, "batch pair 2"],
    ) -> Float[Tensor, "batch pair"]:
        """The time since each pair came into contact."""
        first, second = _pairs(velocity.shape[1], velocity.device)
        approach = -((velocity[:, second] - velocity[:, first]) * normal).sum(-1)
        return torch.where(between > 0, between / approach.clamp(min=self.slop), 0.0)

    def _normal_at_contact(
        self,
        position: Vectors,
        velocity: Vectors,
        between: Float[Tensor, "batch pair"],
        normal: Float[Tensor, "batch pair 2"],
    ) -> Float[Tensor, "batch pair 2"]:
        """The same normals, with the gradients they had at the instant of contact."""
        first, second = _pairs(velocity.shape[1], velocity.device)
        since = self._since(velocity, between, normal)
        apart = position[:, second] - position[:, first]
        back = (since - since.detach())[..., None] * (velocity[:, second] - velocity[:, first])
        return _unit(apart - back)

    def _wall_overlap(self, position: Vectors) -> Vectors:
        """How far each disc is inside the walls: positive at the low, negative at the high."""
        contact = self.wall + self.radius
        low = (contact - position).clamp(min=0)
        return low - (position - (self.box - contact)).clamp(min=0)

    def _pair_overlap(
        self, position: Vectors, pairs: Tensor
    ) -> tuple[Float[Tensor, "batch pair"], Float[Tensor, "batch pair 2"]]:
        """How far the discs of each pair overlap, and the unit vector from first to second."""
        apart = position[:, pairs[1]] - position[:, pairs[0]]
        distance = apart.square().sum(-1).clamp(min=1e-12).sqrt()
        return (2 * self.radius - distance).clamp(min=0), _unit(apart)

    def _work(
        self,
        at_wall: Bool[Tensor, "batch body 2"],
        touching: Bool[Tensor, "batch pair"],
        pairs: Tensor,
    ) -> list[tuple[Tensor, int]]:
        """Which simulations need sweeps, and how many."""
        contacts = at_wall.any(-1).long()
        contacts = contacts.index_add(1, pairs[0], touching.long())
        contacts = contacts.index_add(1, pairs[1], touching.long())
        most = contacts.amax(1)
        single, several = (most == 1).nonzero()[:, 0], (most > 1).nonzero()[:, 0]
        work = [(single, 1), (several, self.sweeps)]
        return [(rows, sweeps) for rows, sweeps in work if len(rows)]

    def _sweep(
        self,
        moved: Float[Tensor, "2 batch body 2"],
        beyond: Vectors,
        between: Float[Tensor, "batch pair"],
        normal: Float[Tensor, "batch pair 2"],
        sweeps: int,
    ) -> Float[Tensor, "2 batch body 2"]:
        """Projected Gauss-Seidel on normal impulses, for velocity and pseudo-velocity at once.

        Both obey the same rule: the normal velocity of a contact shall reach a wanted value,
        by impulses whose sum may push and never pull.
        """
        velocity = moved[0]
        side = beyond.sign()
        wanted_wall = torch.stack(
            [-(side * velocity), self.push * (beyond.abs() - self.slop).clamp(min=0)]
        )
        first, second = _pairs(moved.shape[2], moved.device)
        approach = ((velocity[:, second] - velocity[:, first]) * normal).sum(-1)
        wanted_pair = torch.stack([-approach, self.push * (between - self.slop).clamp(min=0)])
        at_wall, touching = side.abs(), (between > 0).to(moved.dtype)

        wall_impulse, pair_impulse = torch.zeros_like(wanted_wall), torch.zeros_like(wanted_pair)
        for _ in range(sweeps):
            impulse = (wall_impulse + wanted_wall - side * moved).clamp(min=0) * at_wall
            moved = moved + side * (impulse - wall_impulse)
            wall_impulse = impulse
            for round_ in _rounds(moved.shape[2]):
                chosen = torch.tensor(round_, dtype=torch.long, device=moved.device)
                i, j, n = first[chosen], second[chosen], normal[:, chosen]
                speed = ((moved[:, :, j] - moved[:, :, i]) * n).sum(-1)
                old = pair_impulse[..., chosen]
                impulse = (old + (wanted_pair[..., chosen] - speed) / 2).clamp(min=0)
                impulse = impulse * touching[:, chosen]
                change = (impulse - old)[..., None] * n
                moved = moved.index_add(2, i, -change).index_add(2, j, change)
                pair_impulse = pair_impulse.index_copy(2, chosen, impulse)
        return moved


def _unit(x: Float[Tensor, "batch pair 2"]) -> Float[Tensor, "batch pair 2"]:
    return x / x.square().sum(-1, keepdim=True).clamp(min=1e-12).sqrt()


def _pairs(bodies: int, device: torch.device) -> Tensor:
    """The pairs ``i < j``, as two rows."""
    return torch.triu_indices(bodies, bodies, offset=1, device=device)


def _rounds(bodies: int) -> list[list[int]]:
    """The pairs in rounds in which no body meets twice, as places in the list of pairs."""
    place = {pair: k for k, pair in enumerate(itertools.combinations(range(bodies), 2))}
    seats = list(range(bodies)) + ([-1] if bodies % 2 else [])
    rounds = []
    for _ in range(len(seats) - 1):
        half = len(seats) // 2
        met = zip(seats[:half], reversed(seats[half:]), strict=True)
        rounds.append([place[min(a, b), max(a, b)] for a, b in met if a >= 0 and b >= 0])
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return rounds
