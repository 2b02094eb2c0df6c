r"""Windows that move with time, in which every step has a noise level of its own.

A window holds the next :math:`H` steps of a process. Step :math:`h` has the level :math:`s_h`, which
rises with its distance from now, :math:`z_h = x_h + s_h \varepsilon_h`, and the law with this noise
is carried to other levels by

.. math:: \frac{d z_h}{d \tau} = \frac{\dot s_h}{s_h} \bigl(z_h - D_h(z, s)\bigr), \qquad
    D_h(z, s) = \mathbb{E}[x_h \mid z],

the probability flow of noise whose covariance is :math:`\mathrm{diag}(s^2)`; its fixed steps are those
of :class:`~physgen.predictor.DDIM`, for each step of the window apart.

On a :class:`Ladder` of :math:`H` rungs, step :math:`h` waits on rung :math:`h + 1`. When time moves,
every step goes one rung down: the first becomes clean and leaves the window, a new one enters it as
noise. So a step of time costs one evaluation where a window that is drawn anew costs :math:`H`, and
whatever has become known by then is heeded by all evaluations that follow.

What enters late is not heeded by what was drawn before: the flow draws from the law given what was
known, and noise that is already off a step does not come back. If the world does what a window
expects, the steps follow their law; if it does something else, later steps are led to what is
likely then by the rungs they still have to go.

References:
    CL-DiffPhyCon (Wei et al., 2025), https://arxiv.org/abs/2408.03124, with two networks, one for the
    first window. Rolling Diffusion Models (Ruhe et al., 2024), https://arxiv.org/abs/2402.09470.
    Diffusion Forcing (Chen et al., 2024), https://arxiv.org/abs/2407.01392, for levels of each step.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor, nn

from physgen.kernel import noise_like
from physgen.path import Path, Rectified

Window = Float[Tensor, "batch step *shape"]
"""The next steps of a process, the nearest first."""

StepLevels = Float[Tensor, "batch step"]
"""A noise-to-signal ratio for each step of a window."""

Stages = Float[Tensor, "stage step"]
"""The levels that all windows go through, one after another."""

StepDenoise = Callable[[Tensor, Tensor], Tensor]
"""The clean estimate of windows, ``(batch, step, ...)``, given a level for each step, ``(step,)``."""


@dataclass(frozen=True)
class Ladder:
    """Noise levels over the steps of a window, from clean at zero to noise alone at the horizon."""

    horizon: int
    """Steps of a window, and rungs."""
    path: Path = field(default_factory=Rectified)
    """What is evenly spaced from rung one on: its times."""
    lowest: float = 0.5
    """The time of rung one, where a step waits before its last turn. What is seen then can move it
    as far as the noise there, and hardly farther."""
    first: float = 0.98
    """The time of the highest rung."""

    def __post_init__(self) -> None:
        if self.horizon < 2:
            raise ValueError(f"a window must have at least two steps, got {self.horizon}")
        if not 0 < self.lowest < self.first < 1:
            raise ValueError(
                "times of rungs must rise between nought and one, got "
                f"lowest {self.lowest} and first {self.first}"
            )

    def at(self, rung: Tensor) -> Tensor:
        """The levels of rungs, which may lie between two; beyond the highest is the highest."""
        above = (rung.clamp(1, self.horizon) - 1) / (self.horizon - 1)
        time = self.lowest * rung.clamp(max=1) + (self.first - self.lowest) * above
        scales = self.path.at(time.double())
        level: Tensor = (scales.sigma / scales.alpha).to(rung)
        return level

    @property
    def top(self) -> float:
        """The highest level."""
        return self.at(torch.tensor(float(self.horizon))).item()

    def start(self, evaluations: int) -> Stages:
        """From noise alone to where every step of a window waits, in so many evaluations."""
        return self._reached(torch.linspace(self.horizon, 1, evaluations + 1))

    def turn(self, evaluations: int) -> Stages:
        """All steps one rung down."""
        waiting = 1 + torch.arange(self.horizon)
        return self.at(waiting - torch.arange(evaluations + 1)[:, None] / evaluations)

    def whole(self, evaluations: int) -> Stages:
        """From noise alone to a window that is clean, all steps at one level."""
        falling = torch.linspace(self.horizon, 0, evaluations + 1)
        return self.at(falling[:, None].expand(-1, self.horizon))

    def _reached(self, rungs: Float[Tensor, " stage"]) -> Stages:
        waiting = 1.0 + torch.arange(self.horizon)
        return self.at(torch.maximum(waiting, rungs[:, None]))

    def draw(self, count: int, generator: torch.Generator) -> Float[Tensor, "batch step"]:
        """Rungs to train at: on a turn for three windows in five, else on a start or on a whole."""
        like = {"device": generator.device}
        kind, part, reached = torch.rand(3, count, 1, generator=generator, **like)  # type: ignore[call-overload]
        reached = self.horizon * reached.clamp(min=LEAST)
        turning = torch.arange(self.horizon, **like) + part.clamp(min=LEAST)  # type: ignore[call-overload]
        started = torch.where(kind < 0.6, turning, torch.maximum(turning, reached))
        rungs: Tensor = torch.where(kind < 0.8, started, reached.expand_as(turning))
        return rungs


LEAST = 0.02
"""Part of a rung, or of the ladder, below which nothing is trained."""


def carried(denoise: StepDenoise, z: Window, stages: Stages) -> Window:
    """Windows taken through stages by Euler's method; one evaluation for each but the last."""
    shape = (-1, *[1] * (z.ndim - 2))
    for above, below in itertools.pairwise(stages.to(z)):
        z = torch.lerp(denoise(z, above), z, (below / above).view(shape))
    return z


class Moving:
    """Windows on a ladder, of which the first step leaves as time moves.

    Arguments:
        ladder: The levels.
        evaluations: Of the denoiser for each step of time.
        generator: Source of the noise that enters.
        first: Of the denoiser for the first windows; as many for each rung as for a step of time, if
            not given.
    """

    def __init__(
        self,
        ladder: Ladder,
        evaluations: int,
        generator: torch.Generator,
        first: int | None = None,
    ) -> None:
        if evaluations < 1:
            raise ValueError(f"a step of time needs at least one evaluation, got {evaluations}")
        if first is not None and first < 1:
            raise ValueError(f"first windows need at least one evaluation, got {first}")
        self.ladder = ladder
        self.evaluations = evaluations
        self.generator = generator
        self.first = (ladder.horizon - 1) * evaluations if first is None else first

    def begin(self, denoise: StepDenoise, noise: Window) -> Window:
        """The first windows, from unit noise."""
        return carried(denoise, self.ladder.top * noise, self.ladder.start(self.first))

    def turn(
        self, denoise: StepDenoise, waiting: Window
    ) -> tuple[Float[Tensor, "batch *shape"], Window]:
        """The first step, clean, and the windows that wait for the next turn."""
        down = carried(denoise, waiting, self.ladder.turn(self.evaluations))
        fresh = self.ladder.top * noise_like(down[:, :1], self.generator)
        return down[:, 0], torch.cat([down[:, 1:], fresh], dim=1)


class PreconditionedSteps(nn.Module):
    r"""The denoiser of windows from a network, each step scaled by its own level.

    See :class:`~physgen.preconditioned.Preconditioned`; the data have unit spread.

    Arguments:
        network: Called as ``network(scaled windows, conditions, *given)``, with conditions
            :math:`\tfrac14 \ln s_h`, one a step.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Window, levels: StepLevels, *given: Float[Tensor, "batch ..."]) -> Window:
        wide = levels.reshape(*levels.shape, *[1] * (z.ndim - 2))
        total = wide.square() + 1
        raw = self.network(z * total.rsqrt(), levels.log() / 4, *given)
        clean: Window = z / total + wide * total.rsqrt() * raw.to(z.dtype)
        return clean
