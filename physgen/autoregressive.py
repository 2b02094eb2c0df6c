r"""Sequences frame by frame, each drawn by diffusion given those before it.

.. math:: p(x_{1:T}) = p(x_{1:m}) \prod_{t > m} p(x_t | x_{t-m}, \dots, x_{t-1})

A denoiser of one frame is told the last :math:`m`, its *memory*. A sequence is drawn as far as one
likes, for so many evaluations a frame; errors add up along the way, which a denoiser of whole
windows does not let them. All frames of known sequences are judged in one call, so that
:class:`Chained` is an energy like any other.

References:
    Autoregressive Denoising Diffusion Models for Multivariate Probabilistic Time Series
    Forecasting (Rasul et al., 2021), https://arxiv.org/abs/2101.12072.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from physgen.compositional import Conditional
from physgen.denoiser import Learned
from physgen.energy import Energy, Score
from physgen.grid import Grid
from physgen.kernel import noise_like
from physgen.preconditioned import Denoising, Preconditioned
from physgen.predictor import Predictor
from physgen.sampler import sample
from physgen.shapes import Level, PerSample, Sample

Sequence = Float[Tensor, "batch time *frame"]
Past = Float[Tensor, "batch memory *frame"]


class NextFrame(Conditional):
    """A trained network's next frame, given the last ones.

    Arguments:
        model: Of a noisy frame, a level, and the flat frames before it.
    """

    def __init__(self, model: Preconditioned) -> None:
        self.model = model

    def given(self, observed: Past) -> Score:
        return Learned(self.model, observed.flatten(1))


def extend(
    frames: Conditional,
    past: Past,
    count: int,
    grid: Grid,
    predictor: Predictor,
    generator: torch.Generator,
) -> Float[Tensor, "batch longer *frame"]:
    """Sequences made longer.

    Each frame begins as the one before it with noise. Noise alone would lose as much of the mean
    as the spread of a frame is of the first level, and sequences would pass that on.

    Arguments:
        frames: The next frame, given as many as ``past`` has.
        past: The first frames of every sequence.
        count: Frames to draw.
        grid: Levels for each frame.
        predictor: From level to level.
        generator: Source of noise.
    """
    memory = past.shape[1]
    sequence = list(past.unbind(1))
    for _ in range(count):
        term = frames.given(torch.stack(sequence[-memory:], 1))
        start = sequence[-1] / grid.levels[0] + noise_like(sequence[-1], generator)
        sequence.append(sample(term, start, grid, predictor, generator))
    return torch.stack(sequence, 1)


@dataclass(frozen=True)
class Forecasting:
    """The loss of a denoiser of the next frame, at a place of each sequence drawn by chance."""

    denoising: Denoising
    memory: int
    """Frames that are told."""

    def draw(
        self, sequence: Sequence, generator: torch.Generator
    ) -> tuple[Sample, PerSample, Sample, Float[Tensor, "batch told"]]:
        """Frames, levels, noise, and the flat frames before.

        Raises:
            ValueError: sequences that are not longer than the memory.
        """
        length = sequence.shape[1]
        if length <= self.memory:
            raise ValueError(
                f"sequences must be longer than the memory of {self.memory} frames, got {length}"
            )
        size, device = (len(sequence),), sequence.device
        end = torch.randint(self.memory, length, size, generator=generator, device=device)
        row = torch.arange(len(sequence), device=device)
        back = torch.arange(-self.memory, 0, device=device)
        past = sequence[row[:, None], end[:, None] + back]
        return *self.denoising.draw(sequence[row, end], generator), past.flatten(1)

    def __call__(
        self,
        model: nn.Module,
        x: Sample,
        level: PerSample,
        noise: Sample,
        past: Float[Tensor, "batch told"],
    ) -> PerSample:
        return self.denoising(model, x, level, noise, past)


class Chained(Energy):
    """The energy of sequences, given their first frames: the sum over all later ones.

    Arguments:
        frame: The clean energy of a frame, given those before it, such as
            :class:`physgen.likelihood.FlowDensity` of what :class:`NextFrame` says.
        memory: Frames that are told.
    """

    def __init__(self, frame: Callable[[Tensor], Energy], memory: int) -> None:
        self.frame = frame
        self.memory = memory

    def energy(self, z: Sample, s: Level) -> PerSample:
        windows = z.unfold(1, self.memory + 1, 1).movedim(-1, 2).flatten(0, 1)
        past, now = windows[:, :-1], windows[:, -1]
        return self.frame(past).energy(now, 0.0).view(len(z), -1).sum(1)
