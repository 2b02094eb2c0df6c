r"""A denoiser of windows on a ring that begins where second moments end.

.. math:: D(z, s) = G(z, s) + \mathcal F^{-1}\bigl[ e_{t,k}(s)\, \mathcal F F(\cdot) \bigr]

with :math:`G` the posterior mean of a :class:`~physgen.stationary.Stationary` Gaussian, given a noise
level for each frame, and :math:`e_{t,k}` how far, as a root mean square, that Gaussian leaves open the
amplitude of wave number k in frame t. What the network :math:`F` has to give is thus of order one for
every frame, wave and level, and nothing where the data are Gaussian; what a law never does, such as a mean
that stays zero, no network can do either. It is :class:`~physgen.corrected.Corrected` for windows.

Frames with levels of their own are due to Diffusion Forcing (Chen et al., 2024),
https://arxiv.org/abs/2407.01392. Here they say what is known: a past frame is one with hardly any noise,
a measured one has the noise of its sensors, and one that is wanted has that of the sampler.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from physgen.network import Ring
from physgen.shapes import PerSample
from physgen.stationary import (
    FrameLevels,
    Stationary,
    Windows,
    over_points,
    ring_fields,
    ring_modes,
)

KNOWN = 1e-3
"""The noise level of a frame that is known: so small beside the spread of one that it tells all."""


class CorrectedWindows(nn.Module):
    """A Gaussian denoiser of windows and a network that corrects it.

    Arguments:
        base: The Gaussian, of fields whose spread is about one.
        width: Channels of a point in the network.
        distances: How far points of the network see in each block.
    """

    def __init__(self, base: Stationary, width: int, distances: tuple[int, ...]) -> None:
        super().__init__()
        self.base = base
        channels = (2 * base.frames, base.frames)
        self.net = Ring(channels, base.frames, width, distances, expansion=1)

    def forward(self, z: Windows, levels: FrameLevels) -> Windows:
        with torch.autocast(z.device.type, enabled=False):  # a small part of large numbers
            gauss, open_ = self.base.clean(z, levels)
            rough = over_points(open_.square())
            left = (z - gauss) / (levels.square() + rough).sqrt()[..., None]
        condition = (levels.log() / 4).expand(len(z), -1)
        raw = self.net(torch.cat([gauss, left], 1), condition).to(z.dtype)
        found: Windows = gauss + ring_fields(open_ * ring_modes(raw), z.shape[2])
        return found

    def given(self, z: Windows, levels: Float[Tensor, " frame"]) -> Windows:
        """The clean estimate of windows whose frames have the same levels, without a gradient."""
        with torch.no_grad():
            found: Windows = self(z, levels[None].to(z))
        return found


@dataclass(frozen=True)
class Lead:
    """Which frames a law of windows is asked for, given which others, and how noisy all are.

    Seven windows in ten are led by one frame or two that are nearly known, and the others, all of one
    level, are asked for. Of two in ten all frames are. In the last tenth all but the first are
    known, and the first is asked for. Levels of what is asked follow a log-normal law.
    """

    mean: float = -1.0
    """Mean of the logarithm of the level of what is asked."""
    spread: float = 1.7
    """Standard deviation of that logarithm."""
    most: float = 0.2
    """The highest level of what is nearly known, whose logarithm is uniform."""

    def levels(
        self, count: int, frames: int, generator: torch.Generator
    ) -> tuple[FrameLevels, Bool[Tensor, "row frame"]]:
        """Levels of windows, and whether a frame is asked for."""
        where = {"generator": generator, "device": generator.device}
        kind, two, low = torch.rand(3, count, 1, **where)  # type: ignore[call-overload]
        unit = torch.randn(count, 1, **where)  # type: ignore[call-overload]
        high = (self.mean + self.spread * unit).exp()
        low = KNOWN * (self.most / KNOWN) ** low
        place = torch.arange(frames, device=generator.device)
        led = place < torch.where(two < 0.5, 1, 2)
        first = (place == 0).expand(count, -1)
        asked = torch.where(kind < 0.7, ~led, torch.where(kind < 0.9, True, first))
        last = kind >= 0.9
        own = torch.where(last, low, high)
        others = torch.where(last, KNOWN, low)
        return torch.where(asked, own, others), asked


def left_open(base: Stationary, levels: FrameLevels) -> FrameLevels:
    """The mean square that a Gaussian leaves open of each frame."""
    own = base.gains(levels).diagonal(dim1=2, dim2=3).mT
    return over_points(own * levels.double()[..., None].square())


@dataclass(frozen=True)
class CorrectingWindows:
    r"""The loss of corrected windows: over the frames that are asked for,

    .. math:: \overline{|D_t - x_t|^2} \,/\, \overline{e_t(s)^2}.

    It is one for an untrained network. What a trained one reaches is the share of the Gaussian's
    squared error that is left.
    """

    lead: Lead

    def draw(
        self, x: Windows, generator: torch.Generator
    ) -> tuple[Windows, FrameLevels, Bool[Tensor, "row frame"], Windows]:
        """Clean windows, levels, which frames are asked for, and unit noise."""
        levels, asked = self.lead.levels(len(x), x.shape[1], generator)
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return x, levels.to(x), asked, noise

    def __call__(
        self,
        model: nn.Module,
        x: Windows,
        levels: FrameLevels,
        asked: Bool[Tensor, "row frame"],
        noise: Windows,
    ) -> PerSample:
        """The loss of every window."""
        whole = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
        assert isinstance(whole, CorrectedWindows)
        clean: Windows = model(x + levels[..., None] * noise, levels)
        share = (clean - x).square().mean(2) / left_open(whole.base, levels).to(x.dtype)
        found: PerSample = (share * asked).sum(1) / asked.sum(1)
        return found


Pairs = Float[Tensor, "batch 2 x"]
"""Two frames, one after the other."""


@dataclass(frozen=True)
class Stepping:
    r"""The loss of a deterministic surrogate: the next frame by least squares.

    .. math:: \overline{|D_2(x_1) - x_2|^2} \,/\, \overline{e_2^2}

    A surrogate is a denoiser of pairs that never sees their second frame: its level is :data:`UNSEEN`
    and its entries zero.
    """

    def draw(self, x: Windows, generator: torch.Generator) -> tuple[Pairs]:
        """Neighbouring frames, at a place of each window drawn by chance."""
        count, device = len(x), x.device
        last = x.shape[1] - 1
        start = torch.randint(last, (count,), generator=generator, device=device)
        row = torch.arange(count, device=device)[:, None]
        return (x[row, start[:, None] + torch.arange(2, device=device)],)

    def __call__(self, model: nn.Module, pair: Pairs) -> PerSample:
        """The loss of every pair."""
        whole = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
        assert isinstance(whole, CorrectedWindows)
        levels = next_levels(pair)
        told = torch.stack([pair[:, 0], torch.zeros_like(pair[:, 1])], 1)
        _, open_ = whole.base.clean(told, levels)
        missed: Tensor = (model(told, levels)[:, 1] - pair[:, 1]).square().mean(1)
        found: PerSample = missed / over_points(open_.square())[:, 1]
        return found


UNSEEN = math.exp(9.0)
"""The noise level of a frame of which nothing is seen."""


def next_levels(like: Tensor) -> FrameLevels:
    """Those of a frame that is known and one that is not."""
    return torch.tensor([[KNOWN, UNSEEN]]).to(like)


def next_frame(
    model: CorrectedWindows, frame: Float[Tensor, "batch x"]
) -> Float[Tensor, "batch x"]:
    """What a surrogate of pairs says comes next."""
    told = torch.stack([frame, torch.zeros_like(frame)], 1)
    return model.given(told, next_levels(frame)[0])[:, 1]
