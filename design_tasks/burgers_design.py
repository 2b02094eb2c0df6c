r"""Designs of Burgers control: forces drawn from the prior, and improved by the true solver.

The prior of velocity and force, :math:`p(u, w)`, is asked for what lies between the observed
parts of the first state and of the wanted one:

.. math:: p(u, w \mid u_0, u_T = u^*)\; p(w \mid u_0, u^*)^{\gamma - 1}\; e^{-\lambda |w|^2}.

Prior reweighting, :math:`\gamma \ne 1`, is DiffPhyCon's (Wei et al., 2024,
https://arxiv.org/abs/2407.06494, section 3.3): above one, forces are drawn from where they are
many, and below one from where the training data had few. The energy's price is :math:`\lambda`.

The weights that ship draw forces, and no velocities to rely on: see
:mod:`physgen.design_tasks.burgers_prior`. Where the first state is partly hidden, :func:`aim` and
:func:`polish` begin from the drawn one, and an :class:`Inpainted` prior lives on them.
"""

import abc
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.condition import Condition, Projected
from physgen.datasets.burgers_control import DT, INTERVALS, POINTS, draw
from physgen.denoiser import Learned
from physgen.descent import descend
from physgen.design_tasks.burgers_control import (
    BurgersControl,
    Setting,
    simulate,
    simulate_sound,
)
from physgen.design_tasks.burgers_prior import (
    CHANNELS,
    FIRST,
    INSTANTS,
    SPREAD,
    ForcesAlone,
    hints,
    known,
    span,
    split,
    without_states,
)
from physgen.energy import Score
from physgen.grid import Grid, from_path, log_snr
from physgen.guidance import Fixed, Guided
from physgen.meter import Metered
from physgen.path import Rectified
from physgen.preconditioned import Preconditioned
from physgen.predictor import DDIM, DPMpp2M, Predictor
from physgen.sampler import AsMarginal, sample, unit_noise
from physgen.shapes import PerSample, Sample, State, Trajectory
from physgen.solvers.evolution import Controls
from physgen.solvers.walled_burgers import WalledBurgers


@runtime_checkable
class Way(Protocol):
    """From noise to samples: levels, and how to get from one to the next; a distilled prior has its
    :class:`~physgen.rounds.Route`."""

    @property
    def grid(self) -> Grid: ...

    @property
    def predictor(self) -> Predictor: ...


@dataclass(frozen=True)
class Flow:
    """Straight lines from noise to data: Euler's method along the rectified path."""

    steps: int = 8
    """Evaluations of the network."""
    first: float = FIRST
    """Time to begin at; noise alone is at one."""

    @property
    def grid(self) -> Grid:
        return from_path(Rectified(), self.steps, self.first)

    @property
    def predictor(self) -> Predictor:
        return DDIM()


@dataclass(frozen=True)
class Diffusion:
    """The probability flow of a diffusion by DPM-Solver++ 2M, evenly in the logarithm of noise."""

    steps: int = 8
    """Evaluations of the network."""
    low: float = 0.05
    """The last noise level but zero."""
    high: float = 50.0
    """The first."""

    @property
    def grid(self) -> Grid:
        return log_snr(self.steps, self.low, self.high)

    @property
    def predictor(self) -> Predictor:
        return DPMpp2M()


class Asking(abc.ABC):
    """How a prior is asked for what lies between two states."""

    @abc.abstractmethod
    def prior(
        self, model: Preconditioned, setting: Setting, first: State, last: State, gamma: float
    ) -> Score:
        """The density to draw from."""

    @abc.abstractmethod
    def condition(self, setting: Setting, first: State, last: State) -> Condition:
        """What samples must satisfy besides."""

    @property
    @abc.abstractmethod
    def repeats(self) -> int:
        """How often each level is gone through."""


@dataclass(frozen=True)
class Told(Asking):
    """The network is told what is known."""

    def prior(
        self, model: Preconditioned, setting: Setting, first: State, last: State, gamma: float
    ) -> Score:
        given = hints(first, last, setting.observed, setting.forced)
        learned = Learned(model, given)
        return learned if gamma == 1 else learned + (gamma - 1) * ForcesAlone(model, given)

    def condition(self, setting: Setting, first: State, last: State) -> Condition:
        """Clean estimates have what is known as it is."""
        return Projected(known(first, last, setting.observed, setting.forced).clean)

    @property
    def repeats(self) -> int:
        return 1


@dataclass(frozen=True)
class Inpainted(Asking):
    """The network knows nothing of the states, which are put into the sample at every level."""

    again: int = 1
    """How often each level is gone through."""

    def prior(
        self, model: Preconditioned, setting: Setting, first: State, last: State, gamma: float
    ) -> Score:
        if gamma != 1:
            raise ValueError(f"an inpainted prior is not reweighted, got gamma {gamma}")
        given = hints(first, last, setting.observed, setting.forced)
        return Learned(model, without_states(given))

    def condition(self, setting: Setting, first: State, last: State) -> Condition:
        return known(first, last, setting.observed, setting.forced)

    @property
    def repeats(self) -> int:
        return self.again


@dataclass(frozen=True)
class Drawn:
    """What a prior proposes for each target, and what that took."""

    velocity: Trajectory
    """As the prior has it."""
    force: Controls
    evaluations: float
    """Of the network, for each design."""
    seconds: float
    """In the network."""


@dataclass(frozen=True)
class Proposer:
    """All that decides which force is proposed for a target.

    It starts from the same noise each time, so that :class:`Told` it is a smooth function of the
    target. An :class:`Inpainted` one draws fresh noise at every level, and is none.
    """

    model: Preconditioned
    """The network of the prior."""
    setting: Setting
    way: Way
    """From noise to samples."""
    noise: Sample
    """Unit noise, a row for each target."""
    generator: torch.Generator
    """Of fresh noise, for what needs some."""
    asking: Asking = field(default_factory=Told)
    gamma: float = 1.0
    """Exponent of the density of forces."""
    price: float = 0.0
    """Of the energy, in s⁴/m²."""

    def __call__(self, first: State, last: State) -> Drawn:
        """One force for each target, no solver asked."""
        asked = (self.setting, first, last)
        meter = Metered(self.asking.prior(self.model, *asked, self.gamma))
        prior: Score = meter
        if self.price:
            prior = Guided(prior, energy, Fixed(self.price))
        found = sample(
            prior,
            self.noise,
            self.way.grid,
            self.way.predictor,
            self.generator,
            self.asking.condition(*asked),
            self.asking.repeats,
            AsMarginal() if self.gamma != 1 else None,
        )
        velocity, force = split(found)
        share = 2 if self.gamma != 1 else 1
        return Drawn(velocity, force, share * meter.rows / len(first), meter.seconds)


def proposer(
    model: Preconditioned,
    task: BurgersControl,
    way: Way,
    generator: torch.Generator,
    asking: Asking | None = None,
    gamma: float = 1.0,
    price: float = 0.0,
) -> Proposer:
    """What draws a force for each target of a task; see :class:`Proposer`."""
    noise = unit_noise(len(task.first), (CHANNELS, POINTS), generator).to(task.first)
    asking = Told() if asking is None else asking
    return Proposer(model, task.setting, way, noise, generator, asking, gamma, price)


def energy(x: Sample) -> PerSample:
    """The energy of the forces of a sample, in m²/s⁴."""
    total: PerSample = (SPREAD[1] * x[:, INSTANTS:]).square().flatten(1).sum(1)
    return total


@dataclass(frozen=True)
class Polished:
    """Designs that the true solver has helped to improve, and how it went."""

    drawn: Drawn
    costs: Tensor
    """The least objective met until each call of the solver, ``(call, batch)``."""
    shared: int = 0
    """Simulations made once for all designs."""


def aim(task: BurgersControl, propose: Proposer, simulations: int) -> Polished:
    r"""Forces that the prior proposes again for what its last ones missed.

    .. math:: a_0 = u^*, \qquad a_{k+1} = a_k + u^* - S(u_0, w(a_k))

    The prior :math:`w(a)` is an inverse of the solver but for a small error; asked for a state
    that lies as far beyond the wanted one as it fell short, it makes the same error again and
    arrives. This is the deferred correction of an approximate inverse, and needs simulations, no
    gradients. Of all forces the best is kept for each target.

    First states are the prior's own: the true ones where they are observed, and what the prior
    thinks of the rest.

    Arguments:
        task: The targets.
        propose: The prior.
        simulations: How many, for each target; with none the first force is returned.
    """
    goal = task.last
    best = propose(task.first, goal)
    least = torch.full_like(task.first[:, 0, 0], torch.inf)
    asked, costs = best, []
    evaluations, seconds = best.evaluations, best.seconds
    for k in range(simulations):
        if k:
            asked = propose(task.first, goal)
            evaluations, seconds = evaluations + asked.evaluations, seconds + asked.seconds
        with torch.no_grad():
            first, force = asked.velocity[:, 0], task.allowed(asked.force)
            states, sound = simulate_sound(first, force, DT)
        reached = torch.where(sound[:, None, None], states[:, -1], task.last)  # asked as before
        miss = torch.where(sound, task.missed(reached, task.last), torch.inf)
        better = miss < least
        least = torch.where(better, miss, least)
        chosen = better[:, None, None, None]
        best = Drawn(
            torch.where(chosen, asked.velocity, best.velocity),
            torch.where(chosen, asked.force, best.force),
            evaluations,
            seconds,
        )
        costs.append(least)
        goal = goal + task.setting.observed * (task.last - reached)
    return Polished(best, torch.stack(costs) if costs else least.new_zeros(0, len(least)))


@dataclass(frozen=True)
class Coordinates:
    """Forces by numbers that the last state feels alike, on average."""

    forces: Float[Tensor, "variable interval 1 x"]
    """What each number stands for."""
    inverse: Float[Tensor, "interval x variable"]
    simulations: int
    """That it took to find them, with a step of :data:`SLOPES`."""

    def force(self, numbers: Float[Tensor, "batch variable"]) -> Controls:
        return torch.einsum("bv,vtcx->btcx", numbers, self.forces)

    def of(self, force: Controls) -> Float[Tensor, "batch variable"]:
        """The numbers of forces in the prior's span, see :func:`~physgen.design_tasks.burgers_prior.span`."""
        return torch.einsum("btcx,txv->bv", force, self.inverse)


@cache
def felt_alike(setting: Setting, trajectories: int = 16, damping: float = 0.01) -> Coordinates:
    r"""Coordinates in which the mean Hessian of the objective is nearly the identity.

    With the slopes :math:`B = \partial u(T) / \partial w` of some training trajectories, by
    differences, over an orthonormal basis of the forces' span, numbers :math:`y` stand for the
    forces :math:`(\overline{B^\top B} + \text{damping}\, \lambda_1)^{-1/2} y`, where
    :math:`\lambda_1` is the largest eigenvalue of the mean. What is late and near the wall is felt many
    times as much as what is early, whatever the trajectory; a descent in these numbers need not
    find that out.

    Found once for each setting, and kept.
    """
    values, vectors = torch.linalg.eigh(span(setting.forced).double())
    lines = vectors[:, values > 0.5].T.float()
    count = INTERVALS * len(lines)
    basis = torch.einsum("st,kx->sktx", torch.eye(INTERVALS), lines).reshape(
        count, INTERVALS, 1, -1
    )
    state, force = draw(range(trajectories), setting.outer, WalledBurgers(points=POINTS))
    many = (force[:, None] + STEP * basis).flatten(0, 1)
    with torch.no_grad():
        moved = simulate(state.repeat_interleave(count, 0), many, SLOPES)[:, -1, 0]
        last = simulate(state, force, SLOPES)[:, -1, 0]
    slopes = (moved.unflatten(0, (-1, count)) - last[:, None])[..., setting.observed] / STEP
    hessian = torch.einsum("nvx,nwx->vw", slopes, slopes).double()
    values, vectors = torch.linalg.eigh(hessian / hessian.diagonal().max())
    root = (values + damping * values[-1]).sqrt()
    out, back = ((vectors * scale) @ vectors.T for scale in (1 / root, root))
    forces = (out.float() @ basis.flatten(1)).reshape(basis.shape)
    inverse = (basis.flatten(1).T @ back.float()).unflatten(0, (INTERVALS, -1))
    return Coordinates(forces, inverse, len(many) + len(state))


STEP = 0.05
"""Of the differences by which slopes are found, in m/s²."""
SLOPES = 1e-3
"""Time step of the solver for them, in s."""


def polish(task: BurgersControl, drawn: Drawn, gradients: int) -> Polished:
    """Forces improved by L-BFGS through the true solver, from the prior's first states.

    The descent is in numbers that are :func:`felt_alike`.
    """
    first, coordinates = drawn.velocity[:, 0], felt_alike(task.setting)

    def cost(numbers: Sample) -> PerSample:
        return task.objective_from(first, coordinates.force(numbers))

    start = coordinates.of(task.allowed(drawn.force))
    found = descend(cost, start, gradients, bound=0.0)
    better = replace(drawn, force=coordinates.force(found.x))
    return Polished(better, found.costs, coordinates.simulations)
