r"""Long sequences by windows that overlap: each goes on from the last frames of the one before.

.. math:: p(x_{1:T} | y) = p(x_{1:W} | y) \prod_i
    p(x_{\text{new}_i} | x_{\text{last } m \text{ before them}})

A denoiser of windows whose frames have levels of their own draws each factor without guidance of any
kind. A frame seen with noise *is* a frame of the level of that noise: it is held as it is, while the others
come down to it and below. With :math:`z_1 = y` the clean estimate of the others is
:math:`\mathbb{E}[x_{2:W} | z_{2:W}, y]`, the score of their law given what is seen, exactly; frames drawn
before are held as known. What the windows forget is what lies farther back than their overlap, which for a
state that decides its future is nothing.

References:
    Windows that overlap: PCMDM (Yang et al., ACM Multimedia 2023), there by replacement. Levels of each
    frame: Diffusion Forcing (Chen et al., 2024), https://arxiv.org/abs/2407.01392.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.asynchronous import StepDenoise
from physgen.energy import Score
from physgen.grid import Grid, log_snr
from physgen.predictor import Ancestral, Predictor
from physgen.sampler import sample, unit_noise
from physgen.shapes import Level

Frame = Float[Tensor, "batch *frame"]
Frames = Float[Tensor, "batch time *frame"]

Lift = Callable[[Score, Frame | None], Score]
"""What else is asked of the next frames, given the score of these and the known frame before them, if
it is known."""


def alone(score: Score, before: Frame | None) -> Score:
    """Nothing."""
    return score


class Led(Score):
    """The frames of a window that follow some others, which are held at levels of their own.

    Arguments:
        denoise: Of windows.
        held: The first frames, with the noise of their levels.
        levels: Of these.
    """

    def __init__(self, denoise: StepDenoise, held: Frames, levels: tuple[float, ...]) -> None:
        if held.shape[1] != len(levels):
            raise ValueError(
                f"every frame that is held needs a level, got {held.shape[1]} and {len(levels)}"
            )
        self.denoise_window, self.held, self.levels = denoise, held, levels

    @property
    def marginal(self) -> bool:
        return True

    def shift(self, z: Frames, s: Level) -> Frames:
        _refuse_many(s)
        levels = torch.tensor([*self.levels, *[s] * z.shape[1]], dtype=z.dtype, device=z.device)
        clean = self.denoise_window(torch.cat([self.held, z], 1), levels)
        return clean[:, len(self.levels) :] - z


class Before(Score):
    """The frame of a window before others that are known.

    Arguments:
        denoise: Of windows.
        after: The other frames.
        known: Their level.
    """

    def __init__(self, denoise: StepDenoise, after: Frames, known: float) -> None:
        self.denoise_window, self.after, self.known = denoise, after, known

    @property
    def marginal(self) -> bool:
        return True

    def shift(self, z: Frame, s: Level) -> Frame:
        _refuse_many(s)
        count = self.after.shape[1]
        levels = torch.tensor([s, *[self.known] * count], dtype=z.dtype, device=z.device)
        clean = self.denoise_window(torch.cat([z[:, None], self.after], 1), levels)
        return clean[:, 0] - z


def _refuse_many(s: Level) -> None:
    if isinstance(s, Tensor):
        raise TypeError("frames of a window are drawn at one level, got a tensor of levels")


@dataclass(frozen=True)
class Unrolling:
    """How sequences are drawn from a denoiser of windows."""

    window: int
    """Frames the denoiser takes."""
    overlap: int
    """Frames of a window that the next one begins with."""
    grid: Grid
    """Levels for each window."""
    predictor: Predictor
    """From level to level."""
    known: float
    """The level of a frame that is known: so low that its noise need not be added."""
    first: int = 20
    """Levels for the first frame, from its noise to a fifth of it; few make it vary too little."""

    def __post_init__(self) -> None:
        if not 1 <= self.overlap < self.window:
            raise ValueError(
                f"windows of {self.window} frames overlap by 1 to {self.window - 1}, "
                f"got {self.overlap}"
            )

    def evaluations(self, frames: int) -> int:
        """Of the denoiser, for sequences of so many frames."""
        rest = max(0, frames - self.window)
        more = -(-rest // (self.window - self.overlap))
        return self.grid.steps * (1 + more) + self.first

    def draw(
        self,
        denoise: StepDenoise,
        seen: Frame,
        noise: float,
        frames: int,
        generator: torch.Generator,
        lift: Lift = alone,
    ) -> Frames:
        """Sequences of so many frames, of which the first was seen.

        The first frame is drawn last of its window, from what was seen of it, given all that follow.

        Arguments:
            denoise: The clean estimate of windows.
            seen: The first frame of each, with noise.
            noise: Its standard deviation.
            frames: Of each sequence, the first one counted.
            generator: Source of noise.
            lift: What else is asked of the frames.

        Raises:
            ValueError: the noise is not above the level of what is known, or there is one frame only.
        """
        if noise <= self.known:
            raise ValueError(
                f"the noise of what is seen must be above {self.known}, got {noise}: for a first "
                "frame without noise say a little more than that"
            )
        if frames < 2:
            raise ValueError(f"a sequence has at least two frames, got {frames}")
        held = seen[:, None]
        levels: tuple[float, ...] = (noise,)
        parts: list[Tensor] = []
        count, before = 1, None
        while count < frames:
            new = self.window - held.shape[1]
            term = lift(Led(denoise, held, levels), before)
            start = unit_noise(len(seen), (new, *seen.shape[1:]), generator, seen.dtype)
            drawn = sample(term, start, self.grid, self.predictor, generator)
            if before is None:
                parts.append(self._begin(denoise, seen, noise, drawn, generator)[:, None])
            parts.append(drawn)
            count += new
            held = torch.cat(parts, 1)[:, -self.overlap :]
            before, levels = held[:, -1], (self.known,) * self.overlap
        return torch.cat(parts, 1)[:, :frames]

    def _begin(
        self,
        denoise: StepDenoise,
        seen: Frame,
        noise: float,
        after: Frames,
        generator: torch.Generator,
    ) -> Frame:
        """The first frame: what was seen of it is a sample at the level of its noise, from which
        noise is taken off, a little of it anew at each level."""
        grid = log_snr(self.first, max(noise / 5, self.known), noise)
        term = Before(denoise, after, self.known)
        found: Tensor = sample(term, seen / noise, grid, Ancestral(), generator)
        return found
