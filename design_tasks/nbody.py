"""N-body design: where must discs start, and how fast, to end close to the centre?

This is the smallest real problem of the field (CinDM, Wu et al., 2024,
https://arxiv.org/abs/2401.13171, section 4.1). ``bodies`` elastic discs of radius 0.1 move in
a box of side 1 for ``frames`` instants, 1/15 s apart. A design is the first instant,
``(body, 4)`` of ``x, y, vx, vy`` in box units. The objective is the distance of a disc to the
centre at the last instant, averaged over the discs,

.. math:: J = \\frac1N \\sum_i |p_i(T) - c| ,

judged by the solver that also made the data. Figures:

``objective``
    :math:`J` of the designed first instant, simulated.
``mae``
    Mean absolute difference of the generated trajectory to the simulated one, over instants,
    bodies and all four numbers: how far the prior was from the physics it claims.
``mae_published``
    The same with the simulation read one step early at every instant but the first, as in the
    published evaluation; true trajectories then have 0.0042, not 0.
``objective_fine``
    :math:`J` with a time step eight times finer: contacts are then seen where they happen.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.design_tasks.task import Task
from physgen.search import Found, evolve
from physgen.shapes import PerSample
from physgen.solvers.discs import Discs, no_boundary
from physgen.solvers.solver import rollout

Design = Float[Tensor, "batch body 4"]
Motion = Float[Tensor, "batch time body 4"]

BOX = 200.0
"""Side of the box in px, the unit of the solver."""
STRIDE = 4
"""Solver steps between two instants."""
SECONDS = STRIDE / 60
"""Between two instants."""
RADIUS = 0.1
"""Of a disc, in boxes."""
CONTACT = 0.105
"""Distance of a disc's centre to a wall's line where they touch, in boxes."""
SLOP = 5e-4
"""Overlap that the solver leaves alone, in boxes."""
FASTEST = 0.5
"""Largest initial velocity along x or y, in boxes a second."""

PACKINGS = {1: 0.0, 2: 0.1, 3: 0.2 / 3**0.5, 4: 0.05 * (1 + 3**0.5), 7: 1.2 / 7}
PACKINGS |= {8: (1.2 + 0.2 * 3**0.5) / 8}
"""Least mean distance to the centre of discs that do not overlap, in boxes."""


def tidy(design: Design, sweeps: int = 100) -> Design:
    """The nearby design whose discs neither overlap nor stick in a wall.

    Overlapping discs are pushed apart along the line between them, half the overlap each, and
    discs in a wall are put in front of it, until both hold or ``sweeps`` are over. Velocities
    are cut at :data:`FASTEST`.
    """
    position, velocity = design.split(2, dim=-1)
    bodies = position.shape[1]
    apart_from_itself = torch.eye(bodies, device=design.device, dtype=design.dtype)
    rank = torch.arange(bodies, device=design.device, dtype=design.dtype)
    sideways = 1e-3 * torch.stack([rank.cos(), rank.sin()], dim=-1)
    position = position.clamp(CONTACT, 1 - CONTACT)
    for _ in range(sweeps):
        apart = position[:, :, None] - position[:, None]
        together = apart.square().sum(-1, keepdim=True) < 1e-8
        apart = torch.where(together, sideways[:, None] - sideways, apart)
        distance = apart.square().sum(-1).clamp(min=1e-12).sqrt() + apart_from_itself
        overlap = (2 * RADIUS - distance).clamp(min=0)
        if not (overlap > 0).any():
            break
        push = (overlap / distance)[..., None] * apart
        position = (position + 0.505 * push.sum(2)).clamp(CONTACT, 1 - CONTACT)
    position = position.clamp(CONTACT, 1 - CONTACT)
    return torch.cat([position, velocity.clamp(-FASTEST, FASTEST)], dim=-1)


@dataclass(frozen=True)
class Start:
    """Discs may start with any velocity in the range of the data, rest included.

    At rest and touching they reach the bound of the objective exactly: the classic problem has
    a trivial solution.
    """

    name: str = "classic"

    def allowed(self, design: Design) -> Design:
        """The nearby design that may be asked of the solver."""
        return tidy(design)

    def variables(self, bodies: int) -> int:
        return 4 * bodies

    def design(self, variables: Float[Tensor, "batch variable"]) -> Design:
        """From unconstrained variables, which a search may move freely."""
        unit = variables.unflatten(1, (-1, 4))
        position = 0.5 + (0.5 - CONTACT) * torch.sin(unit[..., :2])
        return tidy(torch.cat([position, FASTEST * torch.sin(unit[..., 2:])], dim=-1))

    def random(self, count: int, bodies: int, generator: torch.Generator) -> Design:
        return torch.cat(
            [_places(count, bodies, generator), FASTEST * _signed((count, bodies, 2), generator)],
            dim=-1,
        )


@dataclass(frozen=True)
class MovingStart:
    """Every disc starts at 100 px/s: no design may rest."""

    name: str = "moving"
    speed: float = 0.5
    """In boxes a second."""

    def allowed(self, design: Design) -> Design:
        position, velocity = tidy(design)[..., :2], design[..., 2:]
        size = velocity.square().sum(-1, keepdim=True).clamp(min=1e-12).sqrt()
        return torch.cat([position, self.speed * velocity / size], dim=-1)

    def variables(self, bodies: int) -> int:
        return 3 * bodies

    def design(self, variables: Float[Tensor, "batch variable"]) -> Design:
        unit = variables.unflatten(1, (-1, 3))
        position = 0.5 + (0.5 - CONTACT) * torch.sin(unit[..., :2])
        return self.allowed(torch.cat([position, _heading(unit[..., 2])], dim=-1))

    def random(self, count: int, bodies: int, generator: torch.Generator) -> Design:
        angle = torch.pi * _signed((count, bodies), generator)
        place = _places(count, bodies, generator)
        return torch.cat([place, self.speed * _heading(angle)], dim=-1)


Variant = Start | MovingStart
VARIANTS: dict[str, Variant] = {v.name: v for v in (Start(), MovingStart())}


def _heading(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def _signed(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform between -1 and 1."""
    return 2 * torch.rand(shape, generator=generator, device=generator.device) - 1


def _places(count: int, bodies: int, generator: torch.Generator) -> Tensor:
    """Uniform among the places where no two discs overlap, by rejection."""
    shape = (count, bodies, 2)
    position = 0.5 + (0.5 - CONTACT) * _signed(shape, generator)
    apart_from_itself = torch.eye(bodies, device=position.device)
    while True:
        near = torch.cdist(position, position) + apart_from_itself < 2 * RADIUS
        again = near.flatten(1).any(1).nonzero()[:, 0]
        if not len(again):
            return position
        fresh = _signed((len(again), bodies, 2), generator)
        position[again] = 0.5 + (0.5 - CONTACT) * fresh


@dataclass(frozen=True)
class Judged:
    """What the true solver says of generated motions, one row a design."""

    simulated: Motion
    objective: PerSample
    objective_fine: PerSample
    objective_claimed: PerSample
    """What the generated trajectory itself would have scored."""
    mae: PerSample
    mae_published: PerSample
    violation: PerSample
    speed: PerSample
    """Mean initial speed, in boxes a second: near zero for the trivial solution."""


class NBody(Task):
    """Discs that shall end close to the centre of their box.

    Arguments:
        bodies: How many discs, from two to eight.
        frames: Instants, the first and the last included.
        variant: What a start may be.
    """

    def __init__(self, bodies: int, frames: int, variant: Variant) -> None:
        if not 2 <= bodies <= 8:
            raise ValueError(f"bodies must be 2 to 8, got {bodies}")
        if frames < 2:
            raise ValueError(f"frames must be at least 2, got {frames}")
        self.bodies = bodies
        self.frames = frames
        self.variant = variant
        self.solver = Discs(box=BOX)

    @property
    def bound(self) -> float | None:
        return PACKINGS.get(self.bodies)

    def random(self, count: int, generator: torch.Generator) -> Design:
        return self.variant.random(count, self.bodies, generator)

    def simulate(self, design: Design, every: int = STRIDE, finer: int = 1) -> Motion:
        """The motion from a first instant, stored ``every`` so many steps.

        Raises:
            ValueError: a number of the design is not finite.
        """
        solver = Discs(box=BOX, dt=self.solver.dt / finer)
        state = solver.initial(BOX * design[..., :2], BOX * design[..., 2:])
        steps = STRIDE * (self.frames - 1) * finer
        states = rollout(solver, state, no_boundary(state), steps, every * finer)
        return states[:, :, :4].transpose(2, 3) / BOX

    def distance(self, motion: Motion) -> PerSample:
        """Mean distance to the centre at the last instant."""
        return (motion[:, -1, :, :2] - 0.5).square().sum(-1).clamp(min=1e-12).sqrt().mean(-1)

    def objective(self, design: Design) -> PerSample:
        return self.distance(self.simulate(design, every=STRIDE * (self.frames - 1)))

    def objective_fine(self, design: Design) -> PerSample:
        """The same with a time step eight times finer, which no design was searched with."""
        return self.distance(self.simulate(design, every=STRIDE * (self.frames - 1), finer=8))

    def violation(self, design: Design) -> PerSample:
        """The deepest overlap beyond what the solver leaves alone, in boxes."""
        position = design[..., :2]
        apart_from_itself = torch.eye(self.bodies, device=design.device)
        between = 2 * RADIUS - torch.cdist(position, position) - apart_from_itself
        wall = (position - 0.5).abs() - (0.5 - CONTACT)
        deepest = torch.maximum(between.flatten(1).amax(1), wall.flatten(1).amax(1))
        return (deepest - SLOP).clamp(min=0)

    def judge(self, generated: Motion) -> Judged:
        """Simulate the first instant of every generated motion and compare."""
        design = generated[:, 0]
        every_step = self.simulate(design, every=1)
        simulated = every_step[:, ::STRIDE]
        early = torch.cat([every_step[:, :1], every_step[:, STRIDE - 1 :: STRIDE]], dim=1)
        return Judged(
            simulated=simulated,
            objective=self.distance(simulated),
            objective_fine=self.objective_fine(design),
            objective_claimed=self.distance(generated),
            mae=(simulated - generated).abs().flatten(1).mean(1),
            mae_published=(early[:, : self.frames] - generated).abs().flatten(1).mean(1),
            violation=self.violation(design),
            speed=design[..., 2:].square().sum(-1).sqrt().mean(1),
        )

    def evolve(self, count: int, generator: torch.Generator) -> Found:
        """CMA-ES, 24 designs for 30 generations: 720 simulations a design."""
        size = (count, self.variant.variables(self.bodies))
        start = torch.rand(size, generator=generator, device=generator.device) * 2 - 1
        seed = int(torch.randint(2**31 - count - 1, (1,), generator=generator))

        def cost(variables: Tensor) -> Tensor:
            return self.objective(self.variant.design(variables))

        found = evolve(cost, start, spread=0.5, population=24, generations=30, seed=seed)
        return Found(self.variant.design(found.design), found.cost, found.calls)
