"""The prior of N-body design: windows of the motion of two discs, or of one.

Samples are windows ``(time, body, 4)`` of ``x, y, vx, vy`` in scaled units: positions from the
centre of the box and velocities, both over the side of the box, then over their spread in the
data. All four then have unit variance, and one noise level means the same for each.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.denoiser import Denoiser, Learned
from physgen.distillation import Noising, Student
from physgen.network import TrajectoryTransformer
from physgen.preconditioned import Preconditioned
from physgen.priors import read_network, save_network
from physgen.rounds import route_of
from physgen.solvers.discs import Discs, no_boundary
from physgen.solvers.solver import rollout
from physgen.training import Batch

Motion = Float[Tensor, "batch time body 4"]

FRAMES = 24
"""Instants in a window, 1/15 s apart."""
OVERLAP = 14
"""Instants that two windows share where a long trajectory is made of several."""
SPREAD = (0.232, 0.232, 0.289, 0.289)
"""Standard deviation of ``x, y, vx, vy`` over the side of the box, measured over the data."""


def scaled(motion: Motion) -> Motion:
    """From box units (the box is [0, 1] squared, velocities in boxes a second)."""
    return (motion - _centre(motion)) / _spread(motion)


def unscaled(sample: Motion) -> Motion:
    """Back to box units."""
    return sample * _spread(sample) + _centre(sample)


def _spread(like: Tensor) -> Tensor:
    return torch.tensor(SPREAD, dtype=like.dtype, device=like.device)


def _centre(like: Tensor) -> Tensor:
    return torch.tensor((0.5, 0.5, 0.0, 0.0), dtype=like.dtype, device=like.device)


@dataclass(frozen=True)
class Architecture:
    """The network of the prior."""

    patch: int = 2
    """Instants in a token."""
    width: int = 128
    """Channels of a token."""
    layers: int = 6
    """Blocks."""
    heads: int = 4
    """Attention heads."""
    expansion: int = 3
    """Hidden channels of the perceptrons, in units of the width."""

    def build(self) -> Preconditioned:
        return Preconditioned(TrajectoryTransformer(features=4, frames=FRAMES, **asdict(self)))


class WindowDraw:
    """Batches of windows, in one of the sixteen mirror images and orders of the bodies.

    Of eight steps, six see pairs over a whole window, one sees single bodies of a pair, and one
    sees pairs over the instants that two windows share: the marginals that are divided out
    when priors are composed.

    Arguments:
        motion: Whole simulations in scaled units, ``(simulation, time, body, 4)``.
        batch: Windows in a batch.
        loss: What draws noise levels and noise.
    """

    def __init__(self, motion: Motion, batch: int, loss: Noising) -> None:
        if motion.shape[1] < FRAMES:
            raise ValueError(
                f"simulations must have at least {FRAMES} instants, got {motion.shape[1]}"
            )
        self.motion = motion
        self.batch = batch
        self.loss = loss

    def __call__(self, step: int, generator: torch.Generator) -> Batch:
        kind = step % 8
        frames = OVERLAP if kind == 7 else FRAMES
        bodies = 1 if kind == 3 else self.motion.shape[2]
        x = self.windows(frames, generator)[:, :, :bodies]
        return self.loss.draw(mirrored(x, generator), generator)

    def windows(self, frames: int, generator: torch.Generator) -> Motion:
        device = self.motion.device
        runs, instants = self.motion.shape[:2]
        size = (self.batch, 1)
        run = torch.randint(runs, size, generator=generator, device=device)
        first = torch.randint(instants - frames + 1, size, generator=generator, device=device)
        return self.motion[run, first + torch.arange(frames, device=device)]


def mirrored(motion: Motion, generator: torch.Generator) -> Motion:
    """Each sample in one of the eight symmetries of the square, its bodies in either order.

    Reversed time would be a symmetry of the collisions, too, but not of their detection at the
    end of a time step, and is left out.
    """
    size = (4, len(motion), 1, 1, 1)
    coin = torch.rand(size, generator=generator, device=motion.device) < 0.5
    x, y, vx, vy = motion.split(1, dim=-1)
    x, vx = torch.where(coin[0], -x, x), torch.where(coin[0], -vx, vx)
    y, vy = torch.where(coin[1], -y, y), torch.where(coin[1], -vy, vy)
    kept, turned = torch.cat([x, y, vx, vy], -1), torch.cat([y, x, vy, vx], -1)
    motion = torch.where(coin[2], turned, kept)
    return torch.where(coin[3], motion.flip(2), motion)


def simulated(runs: int, instants: int, seed: int, slowed: float = 0.0) -> Motion:
    """Simulations of two discs to train on, in box units, made anew in some seconds.

    Discs start anywhere in the box where they do not overlap, at any velocity up to 100 px/s
    along x and y. Two discs that both hardly move are rare among those, one in 10⁵, and yet
    allowed; in a share ``slowed`` of the simulations each disc's velocity is therefore
    multiplied by a number of its own, uniform between 0 and 1.
    """
    solver = Discs()
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for first in range(0, runs, 10_000):
        count = min(10_000, runs - first)
        place = 158 * torch.rand(count, 2, 2, generator=generator) + 21
        while True:
            near = (place[:, 0] - place[:, 1]).square().sum(-1) < 40**2
            if not near.any():
                break
            place[near] = 158 * torch.rand(int(near.sum()), 2, 2, generator=generator) + 21
        velocity = 200 * torch.rand(count, 2, 2, generator=generator) - 100
        if slowed:
            some = torch.rand(count, 1, 1, generator=generator) < slowed
            factor = torch.rand(count, 2, 1, generator=generator)
            velocity = torch.where(some, factor * velocity, velocity)
        state = solver.initial(place, velocity)
        with torch.no_grad():
            states = rollout(solver, state, no_boundary(state), 4 * (instants - 1), 4)
        parts.append(states[:, :, :4].transpose(2, 3) / solver.box)
    return torch.cat(parts)


WEIGHTS = Path(__file__).resolve().parent / "weights" / "nbody.safetensors"
"""The prior that ships with the package."""


def save_prior(
    path: Path, model: Preconditioned, architecture: Architecture, facts: dict[str, object]
) -> None:
    """Keep a trained prior, in half precision, with how it was made."""
    save_network(path, "nbody", model, {**facts, "architecture": asdict(architecture)})


def load_prior(path: Path = WEIGHTS) -> Denoiser:
    """A trained prior, or a distilled one with its own levels.

    Raises:
        ValueError: the file is missing, truncated, foreign, or another prior.
    """
    model, facts = read_prior(path)
    route = route_of(facts)
    return Learned(model) if route is None else Student(model, route.grid, route.predictor)


def read_prior(path: Path) -> tuple[Preconditioned, dict[str, object]]:
    """The network of a trained prior, and the facts that were kept with it."""
    return read_network(path, "nbody", lambda **described: Architecture(**described).build())
