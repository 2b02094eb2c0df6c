r"""Burgers control: which force takes a velocity from one given state to another?

DiffPhyCon's problem (Wei et al., 2024, https://arxiv.org/abs/2407.06494, section 4.1). A velocity
between two walls obeys :math:`u_t + \frac12 (u^2)_x = \nu u_{xx} + w` for a second, under a force
:math:`w` that is constant in each of ten intervals. A design is the force, ``(interval, 1, x)``; it
shall take the first state :math:`u_0` of a test trajectory to its last, :math:`u^*`, so that an
exact control is known to exist. The objective is

.. math:: J = \frac1{|O|} \sum_{x \in O} |u(T, x) - u^*(x)|^2

over the observed points :math:`O`, by the solver with its published step of 1e-4 s, which is finer
than the one that made the data. In full observation all points are observed, in partial only those
of the outer quarters, at all times; with partial control only these may be forced.

Figures:

``objective``
    :math:`J`, in m²/s².
``objective_search``
    The same by the step of 5e-4 s that made the data, and that searches and the polish use.
``energy``
    :math:`\sum_{t, x} w^2` over intervals and points, in m²/s⁴.
``mae``
    Mean absolute difference between the velocity that the prior drew with a force and the one that
    the solver makes of it, in m/s. Polished forces were not drawn with any, and have none.

What the drawn velocity itself would score is no figure: its last state is the wanted one, put there.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from physgen.datasets.burgers_control import (
    DT,
    INTERVALS,
    POINTS,
    draw,
    outer_quarters,
    steps_of,
)
from physgen.datasets.seeds import TEST_SEEDS
from physgen.shapes import PerSample, State, Trajectory
from physgen.solvers.evolution import Controls, drive
from physgen.solvers.walled_burgers import WalledBurgers

FINE = 1e-4
"""The judge's time step, in s."""


@dataclass(frozen=True, eq=False)
class Setting:
    """What is seen of the state, and where it may be forced."""

    name: str
    about: str
    observed: Bool[Tensor, " x"]
    forced: Bool[Tensor, " x"]

    @property
    def outer(self) -> bool:
        """Whether there is force in the outer quarters only."""
        return not bool(self.forced.all())


_ALL, _OUTER = torch.ones(POINTS, dtype=torch.bool), outer_quarters()
SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("fo-pc", "full observation, partial control", _ALL, _OUTER),
        Setting("po-fc", "partial observation, full control", _OUTER, _ALL),
        Setting("po-pc", "partial observation, partial control", _OUTER, _OUTER),
    )
}


@dataclass(frozen=True)
class Judged:
    """What the true solver says of generated trajectories, one row a design."""

    simulated: Trajectory
    objective: PerSample
    objective_search: PerSample
    energy: PerSample
    mae: PerSample
    violation: PerSample


class BurgersControl:
    """Test trajectories whose first and last states are to be joined by a force.

    Arguments:
        setting: What is observed, and where a force may act.
        targets: How many.
        skip: Test seeds to leave out before the first.
    """

    def __init__(self, setting: Setting, targets: int, skip: int = 0) -> None:
        if targets < 1:
            raise ValueError(f"targets must be at least 1, got {targets}")
        self.setting = setting
        first = TEST_SEEDS.start + skip
        self.seeds = range(first, first + targets)
        if self.seeds[-1] not in TEST_SEEDS:
            raise ValueError(f"there are {len(TEST_SEEDS)} test seeds, got {skip} + {targets}")
        self.first, force = draw(self.seeds, setting.outer, _solver(FINE))
        self.last = simulate(self.first, force, FINE)[:, -1]

    def none(self) -> Controls:
        """No force."""
        return self.first.new_zeros(len(self.first), INTERVALS, 1, POINTS)

    def random(self, generator: torch.Generator) -> Controls:
        """Forces of other trajectories, drawn as the data are."""
        first = int(torch.randint(10**8, 9 * 10**8, (1,), generator=generator))
        seeds = range(TEST_SEEDS.start + first, TEST_SEEDS.start + first + len(self.first))
        return draw(seeds, self.setting.outer, _solver(FINE))[1]

    def allowed(self, force: Controls) -> Controls:
        """Without what acts where nothing may."""
        return force * self.setting.forced

    def missed(self, last: State, wanted: State) -> PerSample:
        """The mean square difference of two last states over the observed points."""
        square = (last - wanted)[:, 0].square()
        missed: PerSample = square[:, self.setting.observed].mean(1)
        return missed

    def objective(self, force: Controls, dt: float = DT) -> PerSample:
        """How far each force leads from its target, by the step that searches use.

        Infinitely far, where it is too strong for that step.
        """
        return self.objective_from(self.first, force, dt)

    def objective_from(self, first: State, force: Controls, dt: float = DT) -> PerSample:
        """The same from first states that may be others where they are not observed."""
        states, sound = simulate_sound(first, self.allowed(force), dt)
        return torch.where(sound, self.missed(states[:, -1], self.last), torch.inf)

    def violation(self, force: Controls) -> PerSample:
        """The largest force where none may act."""
        beyond: PerSample = (force - self.allowed(force)).abs().flatten(1).amax(1)
        return beyond

    def judge(self, force: Controls, claimed: Trajectory) -> Judged:
        """Simulate every force, and compare with what the prior thought would happen.

        Forces where none may act are counted as violations and then left out, as published.
        """
        with torch.no_grad():
            simulated = simulate(self.first, self.allowed(force), FINE)
            search = self.missed(simulate(self.first, self.allowed(force), DT)[:, -1], self.last)
        return Judged(
            simulated=simulated,
            objective=self.missed(simulated[:, -1], self.last),
            objective_search=search,
            energy=self.allowed(force).square().flatten(1).sum(1),
            mae=(simulated - claimed).abs().flatten(1).mean(1),
            violation=self.violation(force),
        )


def simulate(first: State, force: Controls, dt: float) -> Trajectory:
    """The states of a second, by a solver with some time step."""
    return drive(_solver(dt), first, force, steps_of(dt))


def simulate_sound(
    first: State, force: Controls, dt: float
) -> tuple[Trajectory, Bool[Tensor, " batch"]]:
    """The same where each row stays among the states that the step is stable for.

    The others are nought, and said not to be sound: one force that a search or a network tries
    is no reason to give up all others.
    """
    try:
        return simulate(first, force, dt), torch.ones_like(first[:, 0, 0], dtype=torch.bool)
    except (ValueError, FloatingPointError):
        sound = _sound(first, force, dt)
    calm = torch.where(sound[:, None, None], first, 0.0)
    allowed = torch.where(sound[:, None, None, None], force, 0.0)
    return simulate(calm, allowed, dt), sound


@torch.no_grad()
def _sound(first: State, force: Controls, dt: float) -> Bool[Tensor, " batch"]:
    solver = _solver(dt)
    state, sound = first, force.isfinite().flatten(1).all(1)
    for boundary in force.unbind(1):
        sound = sound & (state.abs().flatten(1).amax(1) <= solver.fastest)
        keep = sound[:, None, None]
        calm, push = torch.where(keep, state, 0.0), torch.where(keep, boundary, 0.0)
        state = solver.march(calm, push, steps_of(dt))
    return sound & state.isfinite().flatten(1).all(1)


def _solver(dt: float) -> WalledBurgers:
    return WalledBurgers(points=POINTS, dt=dt)
