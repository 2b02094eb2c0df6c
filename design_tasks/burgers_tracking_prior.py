r"""The prior of Burgers tracking: the next steps of a velocity and its force, each with its own noise.

A step of a window is the force of an interval and the velocity at its end, over their spread. The
network is told what is seen now, which velocities are wanted at the ends of the intervals, where a
force may act, and the noise level of each step. Levels lie anywhere on a
:class:`~physgen.asynchronous.Ladder`, so that one network begins a window, moves it, and draws it anew.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from physgen.asynchronous import Ladder, PreconditionedSteps, StepDenoise, StepLevels
from physgen.datasets.burgers_control import POINTS, Driven, outer_quarters, steps_of
from physgen.design_tasks.burgers_control import simulate_sound
from physgen.design_tasks.burgers_prior import SPREAD, span
from physgen.design_tasks.burgers_tracking import smooth_noise
from physgen.network import LineMixer
from physgen.priors import read_network, save_network
from physgen.shapes import PerSample, State, Trajectory
from physgen.solvers.evolution import Controls
from physgen.training import Batch

HORIZON = 15
"""Intervals of a window, as published."""
LADDER = Ladder(HORIZON)
"""Where levels lie."""
CHANNELS = 2
"""Of a step: velocity and force."""
HINTS = HORIZON + 2

Windows = Float[Tensor, "batch step 2 x"]
"""Velocities and forces of each step, over their spread."""
Hints = Float[Tensor, "batch hint x"]
"""The velocity that is seen, those that are wanted, and where a force may act."""


def joined(velocity: Trajectory, force: Controls) -> Windows:
    """Windows from physical units; velocities are those at the ends of the intervals."""
    return torch.cat([velocity / SPREAD[0], force / SPREAD[1]], dim=2)


def forces(window: Windows) -> Controls:
    """The forces of windows, in m/s²."""
    return SPREAD[1] * window[:, :, 1:]


def hints(state: State, wanted: Trajectory, forced: Bool[Tensor, "*batch x"]) -> Hints:
    """What the network is told.

    Where fewer than :data:`HORIZON` velocities are wanted, the last one is wanted ever after.
    """
    ahead = wanted[:, :HORIZON, 0]
    rest = ahead[:, -1:].expand(-1, HORIZON - ahead.shape[1], -1)
    pushed = forced.to(state).expand(len(state), POINTS)
    seen = torch.cat([state, ahead, rest], dim=1) / SPREAD[0]
    return torch.cat([seen, pushed[:, None]], dim=1)


@dataclass(frozen=True)
class Architecture:
    """The network of the prior."""

    patch: int = 8
    """Points of a token."""
    width: int = 160
    """Channels of a token."""
    layers: int = 5
    """Blocks."""
    expansion: int = 2
    """Hidden channels of the perceptrons, in units of those outside."""

    def build(self) -> PreconditionedSteps:
        return PreconditionedSteps(TrackingNetwork(self))


class TrackingNetwork(nn.Module):
    """A :class:`~physgen.network.LineMixer` that is told a level for each step.

    Forces stay in their span, as in :class:`~physgen.design_tasks.burgers_prior.ControlNetwork`.
    """

    everywhere: Tensor
    outer: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        channels = CHANNELS * HORIZON
        sizes = (channels + HINTS, channels)
        self.mixer = LineMixer(sizes, POINTS, **asdict(architecture), levels=HORIZON)
        everywhere = torch.ones(POINTS, dtype=torch.bool)
        self.register_buffer("everywhere", span(everywhere), persistent=False)
        self.register_buffer("outer", span(outer_quarters()), persistent=False)

    def forward(self, x: Windows, conditions: StepLevels, given: Hints) -> Windows:
        lines = torch.cat([x.flatten(1, 2), given], dim=1)
        out: Windows = self.mixer(lines, conditions).float().unflatten(1, (HORIZON, CHANNELS))
        velocity, raw = out.unbind(2)
        partly = given[:, -1:].amin(2, keepdim=True) == 0
        noise = x[:, :, 1] / (4 * conditions).exp()[..., None]
        with torch.autocast(x.device.type, enabled=False):  # what cancels needs all its digits
            full = raw + noise
            inside = torch.where(partly, full @ self.outer, full @ self.everywhere)
        return torch.stack([velocity, inside - noise], dim=2)


def told(model: nn.Module, given: Hints) -> StepDenoise:
    """The denoiser of windows of which so much is known."""

    def denoise(z: Tensor, levels: Tensor) -> Tensor:
        clean: Tensor = model(z, levels.expand(len(z), -1), given)
        return clean

    return denoise


@dataclass(frozen=True)
class TrackingLoss:
    r"""The loss of a denoiser on data, and what the solver makes of the prior's own forces.

    For one share of the windows, from the data,

    .. math:: \overline{\Bigl(\frac1{s_h^2} + 1\Bigr) |D_h(x + s \varepsilon, s) - x_h|^2}

    at levels on the ladder; the others are drawn by the prior itself, from noise over some rungs to
    where the clean estimate is asked for the forces of the first intervals. They begin at a velocity that
    was disturbed, by as much as noise may leave, and again before the last evaluation, which is to
    heed it; the loss is the mean square of what the solver misses the wanted velocities by. In data the wanted velocities are always reached from the first;
    what is to be done where they cannot be, only the solver tells.
    """

    own: float = 0.4
    """Share of windows that the prior draws itself, to be judged by the solver."""
    ahead: int = 4
    """Intervals that the solver judges."""
    disturbed: float = 3.0
    """Largest disturbance that a walk begins with, in units of 5 % of the velocity's spread."""
    surprise: float = 2.0
    """Largest disturbance before its last evaluation, in the same units."""
    miss: float = 100.0
    """Weight of the solver's miss, in s²/m²."""
    price: float = 1e-6
    """Of the energy in the miss, in s²."""
    dt: float = 2e-3
    """Step of the solver, in s."""

    def __post_init__(self) -> None:
        if not 0 <= self.own <= 1:
            raise ValueError(f"own must be a share, got {self.own}")
        if not 1 <= self.ahead <= HORIZON:
            raise ValueError(f"ahead must be between 1 and {HORIZON}, got {self.ahead}")
        steps_of(self.dt)

    def draw(
        self,
        x: Windows,
        state: State,
        forced: Bool[Tensor, "batch x"],
        generator: torch.Generator,
    ) -> Batch:
        """Clean windows, what is told at last and before, rungs, unit noise, and rungs of an own
        walk, none where windows are those of the data."""
        like = {"device": x.device, "dtype": x.dtype}
        count = len(x)
        rungs = LADDER.draw(count, generator)
        noise = torch.randn(x.shape, generator=generator, **like)  # type: ignore[call-overload]
        walks = torch.rand(count, LONGEST, generator=generator, **like)  # type: ignore[call-overload]
        walks = LADDER.horizon * walks.sort(dim=1, descending=True).values
        share = torch.rand(count, 3, generator=generator, **like)  # type: ignore[call-overload]
        own = share[:, 0] < self.own
        most = 0.05 * SPREAD[0] * own[:, None, None]
        sizes = (
            most * share[:, 1:, None] * share.new_tensor([self.disturbed, self.surprise])[:, None]
        )
        begun, added = (sizes * smooth_noise((count, 2), generator).to(state)).split(1, dim=1)
        wanted = SPREAD[0] * x[:, :, :1]
        before = hints(state + begun, wanted, forced)
        given = hints(state + begun + added, wanted, forced)
        # One own walk in eight is a single leap.
        once = (torch.arange(count, device=x.device) % 8 == 0)[:, None]
        rungs = torch.where(own[:, None] & once, float(LADDER.horizon), rungs)
        return x, given, before, rungs, noise, walks * own[:, None]

    def __call__(
        self,
        model: nn.Module,
        x: Windows,
        given: Hints,
        before: Hints,
        rungs: Float[Tensor, "batch step"],
        noise: Windows,
        walks: Float[Tensor, "batch jump"],
    ) -> PerSample:
        own = walks[:, 0] > 0
        levels = LADDER.at(rungs)
        z = x + levels[..., None, None] * noise
        if own.any():
            z[own] = self._walk(model, noise[own], before[own], rungs[own], walks[own])
        clean: Windows = model(z, levels, given)
        weight = (levels.pow(-2) + 1)[..., None, None]
        loss: PerSample = (weight * (clean - x).square()).flatten(1).mean(1)
        if own.any():
            missed = self.missed(clean[own], x[own], given[own])
            loss = loss.masked_scatter(own, self.miss * missed)
        return loss

    @torch.no_grad()
    def _walk(
        self,
        model: nn.Module,
        noise: Windows,
        given: Hints,
        rungs: Float[Tensor, "batch step"],
        walks: Float[Tensor, "batch jump"],
    ) -> Windows:
        """Where Euler's method leads from noise, over some rungs to the last."""
        passed = [LADDER.at(torch.maximum(rungs, jump[:, None])) for jump in walks.unbind(1)]
        level = torch.full_like(rungs, LADDER.top)
        z = LADDER.top * noise
        for below in (*passed, LADDER.at(rungs)):
            clean: Windows = model(z, level, given)
            z = torch.lerp(clean, z, (below / level)[..., None, None])
            level = below
        return z

    def missed(self, clean: Windows, x: Windows, given: Hints) -> PerSample:
        """The mean square of what the solver misses by, and the energy.

        Of a force that is too strong for the solver's step, the energy alone.
        """
        few = slice(0, self.ahead)
        force = forces(clean[:, few]) * given[:, None, None, -1]
        state = SPREAD[0] * given[:, :1]
        states, sound = simulate_sound(state, force, self.dt)
        wanted = SPREAD[0] * x[:, few, :1]
        miss = (states[:, 1:] - wanted).square().flatten(1).mean(1)
        energy = force.square().flatten(1).sum(1)
        missed: PerSample = torch.where(sound, miss, 0.0) + self.price * energy
        return missed


LONGEST = 2
"""Rungs on which an own walk rests before the last."""


class TrackingDraw:
    """Batches of windows, half of them seen in a mirror, half of each kind of force.

    Arguments:
        everywhere: Trajectories with forces everywhere.
        outer: Trajectories with forces in the outer quarters.
        batch: Windows in a batch.
        loss: What draws levels and noise.
    """

    def __init__(self, everywhere: Driven, outer: Driven, batch: int, loss: TrackingLoss) -> None:
        self.kinds = everywhere, outer
        part = outer_quarters()
        self.forced = torch.stack([torch.ones_like(part), part])
        self.batch, self.loss = batch, loss

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        device = self.kinds[0].velocity.device
        each = self.batch // 2, self.batch - self.batch // 2
        parts = [
            self._windows(kind, count, generator)
            for kind, count in zip(self.kinds, each, strict=True)
        ]
        velocity, force = (torch.cat(both) for both in zip(*parts, strict=True))
        kinds = torch.tensor([0, 1], device=device).repeat_interleave(
            torch.tensor(each, device=device)
        )
        coin = torch.rand(self.batch, generator=generator, device=device)[:, None, None, None]
        velocity, force = (
            torch.where(coin < 0.5, -whole.flip(-1), whole) for whole in (velocity, force)
        )
        order = torch.randperm(self.batch, generator=generator, device=device)
        velocity, force, forced = (
            velocity[order],
            force[order],
            self.forced.to(device)[kinds[order]],
        )
        return self.loss.draw(joined(velocity[:, 1:], force), velocity[:, 0], forced, generator)

    def _windows(self, kind: Driven, count: int, generator: torch.Generator) -> Driven:
        like = {"generator": generator, "device": kind.force.device}
        row = torch.randint(len(kind.force), (count, 1), **like)  # type: ignore[call-overload]
        last = kind.force.shape[1] - HORIZON
        first = torch.randint(last + 1, (count, 1), **like)  # type: ignore[call-overload]
        ahead = torch.arange(HORIZON + 1, device=kind.force.device)
        return Driven(kind.velocity[row, first + ahead], kind.force[row, first + ahead[:-1]])


WEIGHTS = Path(__file__).resolve().parent / "weights" / "burgers-tracking.safetensors"
"""The prior that ships with the package."""


def save_prior(
    path: Path, model: nn.Module, architecture: Architecture, facts: dict[str, object]
) -> None:
    """Keep a trained prior, in half precision, with how it was made."""
    described = {"architecture": asdict(architecture)}
    save_network(path, "burgers-tracking", model, {**facts, **described})


def load_prior(path: Path = WEIGHTS) -> PreconditionedSteps:
    """The network of a trained prior.

    Raises:
        ValueError: the file is missing, truncated, foreign, or another prior.
    """
    return read_network(path, "burgers-tracking", lambda **of: Architecture(**of).build())[0]
