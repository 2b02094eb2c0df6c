r"""The prior of Burgers control: a velocity between walls and the force that drives it, jointly.

A sample has 21 channels along x, the velocities at eleven instants and the forces in the ten
intervals between them, all over their spread in the data. What is known is given to the network
beside the noisy sample: the observed parts of the first and the last velocity, where they are
observed, and where a force may act. One network thus answers for all settings of the task; where
nothing is observed it is the prior without conditions, and where it is kept from seeing
velocities, that of the forces alone.

The weights that ship owe most to the solver's part of the loss, which asks nothing of velocities:
theirs have noise from point to point, and what they know is forces given states.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from physgen.condition import Known
from physgen.datasets.burgers_control import (
    INTERVALS,
    POINTS,
    Driven,
    outer_quarters,
    steps_of,
)
from physgen.denoiser import Denoiser, Learned
from physgen.design_tasks.burgers_control import simulate_sound
from physgen.energy import Precision
from physgen.network import LineMixer
from physgen.path import Rectified
from physgen.preconditioned import Preconditioned
from physgen.priors import read_network, save_network
from physgen.rounds import route_of
from physgen.shapes import Level, PerSample, State, Trajectory
from physgen.solvers.evolution import Controls
from physgen.solvers.walled_burgers import WalledBurgers
from physgen.training import Batch

INSTANTS = INTERVALS + 1
CHANNELS = INSTANTS + INTERVALS
SPREAD = (0.51, 0.91)
"""Standard deviations of velocities and forces in m/s and m/s², measured over the data."""

Lines = Float[Tensor, "batch part x"]
Hints = Float[Tensor, "batch hint x"]
"""First and last velocity where they are observed, where that is, where a force may act, and
whether velocities are hidden."""
HINTS = 5


@runtime_checkable
class Showing(Protocol):
    """What chooses the noise of samples, and what a network is told of them."""

    def draw(self, x: Lines, given: Hints, generator: torch.Generator) -> Batch:
        """Clean samples and what else a loss is called with, from all that is known of them."""
        ...


Mask = Bool[Tensor, "*batch x"]
"""Some of the points, the same for all samples or a row for each."""


def joined(velocity: Trajectory, force: Controls) -> Lines:
    """A sample from physical units."""
    return torch.cat([velocity[:, :, 0] / SPREAD[0], force[:, :, 0] / SPREAD[1]], dim=1)


def split(sample: Lines) -> Driven:
    """Velocities and forces of a sample, in physical units."""
    velocity, force = sample.split([INSTANTS, INTERVALS], dim=1)
    return Driven(SPREAD[0] * velocity[:, :, None], SPREAD[1] * force[:, :, None])


def hints(first: State, last: State, observed: Mask, forced: Mask) -> Hints:
    """What the network is told of a trajectory whose first and last velocity are these."""
    seen, pushed = (mask.to(first).expand(len(first), POINTS) for mask in (observed, forced))
    ends = [seen * state[:, 0] / SPREAD[0] for state in (first, last)]
    return torch.stack([*ends, seen, pushed, torch.zeros_like(seen)], dim=1)


def without_velocities(given: Hints) -> Hints:
    """The same, but velocities in the sample are not to be looked at."""
    return torch.cat([given[:, :4], torch.ones_like(given[:, 4:])], dim=1)


def without_states(given: Hints) -> Hints:
    """Nothing but where a force may act."""
    kept = given.new_tensor([0.0, 0.0, 0.0, 1.0, 1.0])[:, None]
    return kept * given


def known(first: State, last: State, observed: Mask, forced: Mask) -> Known:
    """What holds in every sample: observed states as they are, no force where none may act."""
    count = len(first)
    seen, free = observed.expand(count, -1), ~forced.expand(count, -1)
    values = first.new_zeros(count, CHANNELS, POINTS)
    mask = torch.zeros_like(values, dtype=torch.bool)
    for channel, state in ((0, first), (INTERVALS, last)):
        values[:, channel], mask[:, channel] = state[:, 0] / SPREAD[0], seen
    mask[:, INSTANTS:] = free[:, None]
    return Known(mask, values)


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

    def build(self) -> Preconditioned:
        return Preconditioned(ControlNetwork(self))


NEGLIGIBLE = 1e-5
"""The share of the forces' variance that their span leaves out."""


def span(forced: Bool[Tensor, " x"]) -> Float[Tensor, "x x"]:
    r"""The projection onto what the forces of the data can be along x.

    Forces are sums of bells no narrower than 0.05 m, see
    :func:`~physgen.solvers.walled_burgers.eight_pushes`; the span is that of the first eigenvectors
    of their covariance, some twenty of 128, which leave out :data:`NEGLIGIBLE`.
    """
    like = {"dtype": torch.float64}
    place = torch.arange(1, POINTS + 1, **like) / (POINTS + 1)  # type: ignore[call-overload]
    centre = torch.linspace(0, 1, 401, **like)[:, None]  # type: ignore[call-overload]
    covariance = torch.zeros(POINTS, POINTS, **like)  # type: ignore[call-overload]
    for width in torch.linspace(0.05, 0.2, 31, **like):  # type: ignore[call-overload]
        bells = torch.exp(-0.5 * ((place - centre) / width).square()) * forced
        covariance += bells.T @ bells
    values, vectors = torch.linalg.eigh(covariance)
    left_out = values.cumsum(0) / values.sum()
    kept = vectors[:, left_out > NEGLIGIBLE]
    projection: Tensor = (kept @ kept.T).float()
    return projection


class ControlNetwork(nn.Module):
    r"""A :class:`~physgen.network.LineMixer` that is told what is known.

    Whatever in a noisy force lies outside the :func:`span` of forces is noise. With the projection
    P onto it, the output :math:`P F - (1 - P) c_\mathrm{in} z / s` makes a clean estimate by
    :class:`~physgen.preconditioned.Preconditioned` that has nothing of it.
    """

    everywhere: Tensor
    outer: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        sizes = (CHANNELS + HINTS, CHANNELS)
        self.mixer = LineMixer(sizes, POINTS, **asdict(architecture))
        everywhere = torch.ones(POINTS, dtype=torch.bool)
        self.register_buffer("everywhere", span(everywhere), persistent=False)
        self.register_buffer("outer", span(outer_quarters()), persistent=False)

    def forward(self, x: Lines, condition: PerSample, given: Hints) -> Lines:
        hidden = given[:, -1:] > 0
        velocity, force = x.split([INSTANTS, INTERVALS], dim=1)
        seen = torch.where(hidden, 0.0, velocity)
        out: Lines = self.mixer(torch.cat([seen, force, given], dim=1), condition)
        out, raw = out.float().split([INSTANTS, INTERVALS], dim=1)
        partly = given[:, 3:4].amin(2, keepdim=True) == 0
        noise = force / (4 * condition).exp()[:, None, None]
        with torch.autocast(x.device.type, enabled=False):  # what cancels needs all its digits
            inside = torch.where(
                partly, (raw + noise) @ self.outer, (raw + noise) @ self.everywhere
            )
        return torch.cat([out, inside - noise], dim=1)


class ForcesAlone(Denoiser):
    """The marginal density of the forces, in which velocities are free."""

    def __init__(self, model: Preconditioned, given: Hints) -> None:
        super().__init__(model.sigma_data)
        self.learned = Learned(model, without_velocities(given))

    def clean(self, z: Lines, s: Level) -> Lines:
        forces = self.learned.clean(z, s)[:, INSTANTS:]
        return torch.cat([z[:, :INSTANTS], forces], dim=1)

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        bounds = self.learned.precision(s, shape)
        assert bounds is not None
        on = torch.zeros(shape)
        on[INSTANTS:] = 1
        return Precision(on * bounds.low, on * bounds.high)


LONGEST = 3
"""Steps that the prior takes by itself in training before the solver is asked."""


@dataclass(frozen=True)
class ControlLoss:
    r"""The loss of a denoiser on data, and what the true solver makes of the prior's own forces.

    For one share of the samples, from the data,

    .. math:: \Bigl(\frac1{s^2} + 1\Bigr) \overline{|D(x + s \varepsilon, s) - x|^2}, \qquad
        \ln s \sim \mathcal N(\text{mean}, \text{spread}^2);

    the others are drawn by the prior itself, from noise over some random levels to one where

    .. math:: \lambda \bigl(\overline{|S(u_0, w) - u_T|^2} + \mu |w|^2\bigr), \qquad w = D_w(z, s)

    is asked of the clean estimate, :math:`S(u_0, w)` being the last velocity by the solver,
    compared where it is observed, and :math:`|w|^2` the energy, which what the solver does not
    feel would raise. Forces that are right on average over all trajectories do not
    make a trajectory right, and what was wrong at the first level the later ones take for given;
    the second term sees both, and has no noise. All that the prior knows of the first velocity in it
    is what is observed. Without own samples this is the loss of
    :class:`~physgen.preconditioned.Denoising`.

    A physical residual in the loss of a denoiser is due to Bastek, Sun & Kochmann (2024),
    https://arxiv.org/abs/2403.14404; here the solver is unrolled instead.
    """

    mean: float = 0.0
    """Mean of the logarithm of the noise level."""
    spread: float = 1.6
    """Standard deviation of the logarithm of the noise level."""
    own: float = 0.5
    """Share of samples that the prior draws itself, to be judged by the solver."""
    miss: float = 50.0
    """Weight of the solver's miss, in s²/m²."""
    price: float = 1e-6
    """Of the energy in the miss, in s²."""
    dt: float = 2e-3
    """Step of the solver, in s."""
    alone: float = 0.1
    """Share of samples that show forces only."""
    free: float = 0.1
    """Share of samples of which nothing is known."""

    def __post_init__(self) -> None:
        shares = (self.own, self.alone, self.free)
        if min(shares) < 0 or sum(shares) > 1:
            raise ValueError(
                "shares must not be negative and at most one in all, got "
                f"own {self.own}, alone {self.alone} and free {self.free}"
            )
        WalledBurgers(points=POINTS, dt=self.dt)
        steps_of(self.dt)

    def draw(self, x: Lines, given: Hints, generator: torch.Generator) -> Batch:
        """Clean samples, what is given of each, levels, unit noise, and times of an own walk.

        Times fall, and are zero for samples of the data.
        """
        count, like = len(x), {"device": x.device, "dtype": x.dtype}
        kind = torch.rand(count, 1, 1, generator=generator, **like)  # type: ignore[call-overload]
        told = torch.where(kind < self.alone, without_velocities(given), given)
        told = torch.where(kind > 1 - self.free, without_states(given), told)
        level = self.mean + self.spread * torch.randn(count, generator=generator, **like)  # type: ignore[call-overload]
        noise = torch.randn(x.shape, generator=generator, **like)  # type: ignore[call-overload]
        times = FIRST * torch.rand(count, LONGEST, generator=generator, **like)  # type: ignore[call-overload]
        times = times.clamp(min=0.02).sort(dim=1, descending=True).values
        # One own walk in eight ends where it begins.
        once = (torch.arange(count, device=x.device) % 8 == 0)[:, None]
        times = torch.where(once, FIRST, times)
        own = (kind >= self.alone) & (kind < self.alone + self.own)
        return x, told, level.exp(), noise, times * own[:, 0]

    def __call__(
        self,
        model: nn.Module,
        x: Lines,
        given: Hints,
        level: PerSample,
        noise: Lines,
        times: Float[Tensor, "batch jump"],
    ) -> PerSample:
        own = times[:, -1] > 0
        z = x + level[:, None, None] * noise
        if own.any():
            level = level.clone()
            z[own], level[own] = walk(model, noise[own], given[own], times[own])
        clean: Lines = model(z, level, given)
        error = (clean - x).square()
        hidden = given[:, 4, 0] > 0
        of_forces = error[:, INSTANTS:].flatten(1).mean(1)
        square = torch.where(hidden, of_forces, error.flatten(1).mean(1))
        loss: PerSample = (level.pow(-2) + 1) * square
        if own.any():
            missed = self.missed(clean[own], x[own], given[own])
            loss = loss.masked_scatter(own, self.miss * missed)
        return loss

    def missed(self, clean: Lines, x: Lines, given: Hints) -> PerSample:
        """The mean square of what the solver misses by, where it is observed, and the energy.

        Of a force that is too strong for the solver's step, the energy alone.
        """
        force = split(clean).force * given[:, None, None, 3]
        true = split(x).velocity
        states, sound = simulate_sound(true[:, 0], force, self.dt)
        seen = sound[:, None] * given[:, 2]
        miss: PerSample = (seen * (states - true)[:, -1, 0].square()).sum(1)
        return miss / given[:, 2].sum(1) + self.price * force.square().flatten(1).sum(1)


FIRST = 0.98
"""Time of the rectified path at which samples begin; noise alone is at one."""


@torch.no_grad()
def walk(
    model: nn.Module, noise: Lines, given: Hints, times: Float[Tensor, "batch jump"]
) -> tuple[Lines, PerSample]:
    """The samples that Euler's method leads to at the last of some times, and their levels."""
    scales = Rectified().at(times)
    levels = (scales.sigma / scales.alpha).unbind(1)
    level = torch.full_like(levels[0], FIRST / (1 - FIRST))
    z = level[:, None, None] * noise
    for below in levels:
        clean: Lines = model(z, level, given)
        z = torch.lerp(clean, z, (below / level)[:, None, None])
        level = below
    return z, level


class ControlDraw:
    """Batches of samples, half of them seen in a mirror.

    Half of them are fully observed, which asks for most precision; the others are partially
    observed, with forces everywhere or in the outer quarters.

    In a mirror both velocity and force change their sign, and the data their law in nothing.

    Arguments:
        everywhere: Trajectories with forces everywhere.
        outer: Trajectories with forces in the outer quarters.
        batch: Samples in a batch.
        loss: What draws noise levels and noise.
    """

    def __init__(self, everywhere: Driven, outer: Driven, batch: int, loss: Showing) -> None:
        self.data = torch.cat([joined(*everywhere), joined(*outer)])
        here, there = len(everywhere.force), len(outer.force)
        part, all_ = outer_quarters(), torch.ones(POINTS, dtype=torch.bool)
        self.first = torch.tensor([here, here, 0, here])
        self.count = torch.tensor([there, there, here, there])
        self.observed = torch.stack([all_, all_, part, part])
        self.forced = torch.stack([part, part, all_, part])
        self.batch, self.loss = batch, loss

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        device = self.data.device
        size = (self.batch,)
        setting = torch.randint(4, size, generator=generator, device=device)
        share, coin = torch.rand(2, *size, generator=generator, device=device)
        first, count, observed, forced = (
            part.to(device)[setting]
            for part in (self.first, self.count, self.observed, self.forced)
        )
        x = self.data[first + (share * count).long().clamp(max=count - 1)]
        x = torch.where(coin[:, None, None] < 0.5, -x.flip(-1), x)
        true = split(x).velocity
        return self.loss.draw(x, hints(true[:, 0], true[:, -1], observed, forced), generator)


WEIGHTS = Path(__file__).resolve().parent / "weights" / "burgers-control.safetensors"
"""The prior that ships with the package."""


def save_prior(
    path: Path, model: Preconditioned, architecture: Architecture, facts: dict[str, object]
) -> None:
    """Keep a trained prior, in half precision, with how it was made."""
    described = {"architecture": asdict(architecture)}
    save_network(path, "burgers-control", model, {**facts, **described})


def load_prior(path: Path = WEIGHTS) -> Preconditioned:
    """The network of a trained prior, which has an estimate at every level.

    Raises:
        ValueError: the file is missing, truncated, foreign, another prior, or a distilled one.
    """
    model, facts = read_prior(path)
    if route_of(facts) is not None:
        raise ValueError(
            f"{path} holds a distilled prior, which has levels of its own: give it to "
            "'physgen design burgers-control --weights', or load the prior that it was made from"
        )
    return model


def read_prior(path: Path) -> tuple[Preconditioned, dict[str, object]]:
    """The network of a trained prior, and the facts that were kept with it."""
    return read_network(path, "burgers-control", lambda **of: Architecture(**of).build())
