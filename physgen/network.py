"""Networks: what a prior is made of, before it is told what noise is."""

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

Bodies = Float[Tensor, "batch time body feature"]
Condition = Float[Tensor, " batch"]


class TrajectoryTransformer(nn.Module):
    """Attention over the instants and bodies of a trajectory, equivariant under relabelling.

    A token is ``patch`` consecutive instants of one body. Tokens attend to one another with a
    learned bias for their distance in time, one for tokens of the same body and one for tokens
    of different bodies; bodies carry no labels, so exchanging two in the input exchanges them
    in the output. Any number of bodies and any whole number of patches up to ``frames`` may be
    given: a window of one body, or a shorter one, is simply fewer tokens, and a network trained
    on all of them is a prior of all these marginals.

    The condition (a noise level) scales and shifts every normalised activation, as in
    Scalable Diffusion Models with Transformers (Peebles & Xie, 2023),
    https://arxiv.org/abs/2212.09748.

    Arguments:
        features: Numbers a body has at each instant.
        frames: The longest window, in instants.
        patch: Instants in a token.
        width: Channels of a token; a multiple of ``heads``.
        layers: Blocks of attention and perceptron.
        heads: Attention heads.
        expansion: Hidden channels of the perceptron, in units of ``width``.
    """

    frequencies: Tensor

    def __init__(
        self,
        features: int,
        frames: int,
        patch: int = 2,
        width: int = 128,
        layers: int = 6,
        heads: int = 4,
        expansion: int = 3,
    ) -> None:
        super().__init__()
        if frames % patch or width % heads:
            raise ValueError(
                "frames must be a multiple of patch and width of heads, "
                f"got frames {frames}, patch {patch}, width {width}, heads {heads}"
            )
        self.config = {
            "features": features,
            "frames": frames,
            "patch": patch,
            "width": width,
            "layers": layers,
            "heads": heads,
            "expansion": expansion,
        }
        self.patch = patch
        self.longest = frames // patch
        self.embed = nn.Linear(patch * features, width)
        self.instant = nn.Parameter(0.3 * torch.randn(self.longest, width))
        self.distance = nn.Parameter(torch.zeros(layers, heads, 2, 2 * self.longest - 1))
        self.register_buffer("frequencies", torch.linspace(0.25, 4, 16))
        self.level = nn.Sequential(nn.Linear(32, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.blocks = nn.ModuleList(Block(width, heads, expansion, 64) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.read = nn.Linear(width, patch * features)
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.read.bias)

    def forward(self, x: Bodies, condition: Condition) -> Bodies:
        batch, time, bodies, features = x.shape
        tokens = time // self.patch
        if time % self.patch or not 0 < tokens <= self.longest:
            raise ValueError(
                f"a window must have a multiple of {self.patch} instants, at most "
                f"{self.longest * self.patch}, got {time}"
            )
        patches = x.reshape(batch, tokens, self.patch, bodies, features).permute(0, 3, 1, 2, 4)
        hidden = self.embed(patches.flatten(3)) + self.instant[:tokens]
        hidden = hidden.flatten(1, 2)
        phase = condition[:, None] * self.frequencies * math.tau
        level = self.level(torch.cat([phase.cos(), phase.sin()], dim=1))
        for block, bias in zip(self.blocks, self._bias(tokens, bodies), strict=True):
            hidden = block(hidden, level, bias)
        patches = self.read(self.norm(hidden))
        patches = patches.reshape(batch, bodies, tokens, self.patch, features)
        out: Tensor = patches.permute(0, 2, 3, 1, 4).reshape(x.shape)
        return out

    def _bias(self, tokens: int, bodies: int) -> Float[Tensor, "layer head token token"]:
        """What each token adds to the attention it pays to each other, by distance in time."""
        instant = torch.arange(tokens, device=self.distance.device)
        lag = (instant[None] - instant[:, None] + self.longest - 1).repeat(bodies, bodies)
        body = torch.arange(bodies, device=lag.device).repeat_interleave(tokens)
        other = (body[None] != body[:, None]).long()
        return self.distance[:, :, other, lag]


class Block(nn.Module):
    """Attention, then a perceptron, both residual and both modulated by the condition."""

    def __init__(self, width: int, heads: int, expansion: int, condition: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.attend = nn.Linear(width, 3 * width)
        self.join = nn.Linear(width, width)
        self.perceptron_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.widen = nn.Linear(width, expansion * width)
        self.narrow = nn.Linear(expansion * width, width)
        self.modulate = nn.Linear(condition, 6 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, condition: Tensor, bias: Tensor) -> Tensor:
        modulation = self.modulate(condition)[:, None].chunk(6, dim=-1)
        scale, shift, gate = modulation[:3]
        x = x + (1 + gate) * self._attention(
            torch.addcmul(shift, self.attention_norm(x), 1 + scale), bias
        )
        scale, shift, gate = modulation[3:]
        inner = self.widen(torch.addcmul(shift, self.perceptron_norm(x), 1 + scale))
        out: Tensor = x + (1 + gate) * self.narrow(functional.silu(inner))
        return out

    def _attention(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        packed = self.attend(x).view(batch, tokens, 3, self.heads, width // self.heads)
        query, key, value = packed.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias[None].to(query.dtype)
        )
        out: Tensor = self.join(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return out


def hidden_matrices(network: nn.Module) -> list[nn.Parameter]:
    """The square-ish weights between hidden layers: those Muon is made for."""
    blocks = itertools.chain.from_iterable(
        block.named_parameters()
        for block in network.modules()
        if isinstance(block, Block | Residual | MixerBlock | RingBlock)
    )
    return [weight for name, weight in blocks if weight.ndim > 1 and "modulate" not in name]


Grids = Float[Tensor, "batch channel *space"]
Outputs = Float[Tensor, "batch output *space"]
Patches = Float[Tensor, "batch feature *patch"]
Coarse = Float[Tensor, "batch coarse_feature *coarse_patch"]
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class UNet(nn.Module):
    """Convolutions on a grid of one, two or three axes, at several resolutions.

    The grid is first cut into patches of ``patch`` cells an axis, whose values become channels;
    fields that are smooth lose nothing by it, and the work falls by ``patch`` to the power of the
    number of axes. Each width is a resolution with half as many patches an axis as the one before,
    with one residual block on the way down and one on the way up, which also sees what the way
    down had there. At the coarsest every place attends to every other.

    Axes are periodic or end at a wall, beyond which all is zero. Walls make a network see where it
    is; what it cannot see from far away it learns as a map of its own over the patches.

    Arguments:
        channels: Of the input, and of the output.
        shape: Cells along each axis: a multiple of ``patch`` times ``2 ** (len(widths) - 1)``.
        condition: Numbers that scale and shift every block.
        widths: Channels at each resolution, the finest first; multiples of 8.
        patch: Cells of a patch along each axis.
        periodic: Whether each axis is; none by default.

    Raises:
        ValueError: the shape is not such a multiple, or has no or too many axes.

    References:
        U-Net (Ronneberger et al., 2015), https://arxiv.org/abs/1505.04597; with attention and
        modulated residual blocks as in Diffusion Models Beat GANs (Dhariwal & Nichol, 2021),
        https://arxiv.org/abs/2105.05233.
    """

    def __init__(
        self,
        channels: tuple[int, int],
        shape: tuple[int, ...],
        condition: int,
        widths: tuple[int, ...] = (48, 96, 160),
        patch: int = 2,
        periodic: tuple[bool, ...] | None = None,
    ) -> None:
        super().__init__()
        periodic = (False,) * len(shape) if periodic is None else periodic
        unit = patch * 2 ** (len(widths) - 1)
        if not 1 <= len(shape) <= 3 or len(periodic) != len(shape):
            raise ValueError(f"a grid has one to three axes, got {shape}, periodic {periodic}")
        if any(cells % unit for cells in shape):
            raise ValueError(f"cells along each axis must be a multiple of {unit}, got {shape}")
        self.patch, self.axes = patch, len(shape)
        inside, outside = (c * patch**self.axes for c in channels)
        first = widths[0]
        self.enter = Convolution(inside, first, periodic)
        self.map = nn.Parameter(torch.zeros(first, *(cells // patch for cells in shape)))
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(Residual(w, w, condition, periodic) for w in widths[:-1])
        self.coarser = nn.ModuleList(Convolution(a, b, periodic, stride=2) for a, b in pairs)
        last = widths[-1]
        self.middle = nn.ModuleList(Residual(last, last, condition, periodic) for _ in range(2))
        self.attend = Everywhere(last)
        self.finer = nn.ModuleList(Convolution(b, a, periodic) for a, b in pairs)
        self.up = nn.ModuleList(Residual(2 * w, w, condition, periodic) for w in widths[:-1])
        self.leave = Convolution(first, outside, periodic)
        nn.init.zeros_(self.leave.kernel.weight)

    def forward(self, x: Grids, condition: Float[Tensor, "batch condition"]) -> Outputs:
        return self.read(self.features(x, condition)[0])

    def features(
        self, x: Grids, condition: Float[Tensor, "batch condition"]
    ) -> tuple[Patches, Coarse]:
        """The last channels at the finest resolution, and those at the coarsest."""
        hidden = self.enter(self._patches(x)) + self.map
        passed = []
        for block, coarser in zip(self.down, self.coarser, strict=True):
            hidden = block(hidden, condition)
            passed.append(hidden)
            hidden = coarser(hidden)
        before, behind = self.middle
        coarse = behind(self.attend(before(hidden, condition)), condition)
        hidden = coarse
        levels = reversed(list(zip(self.finer, self.up, passed, strict=True)))
        for finer, block, side in levels:
            wide = hidden
            for axis in range(2, wide.ndim):
                wide = wide.repeat_interleave(2, axis)
            hidden = block(torch.cat([finer(wide), side], 1), condition)
        return hidden, coarse

    def read(self, features: Patches) -> Outputs:
        """The output from the last channels."""
        return self._cells(self.leave(functional.silu(features)))

    def _patches(self, x: Grids) -> Patches:
        p, n = self.patch, self.axes
        if n == 2:
            return functional.pixel_unshuffle(x, p)
        for axis in range(2, 2 * n + 1, 2):
            x = x.unflatten(axis, (-1, p))
        order = (0, 1, *range(3, 2 * n + 2, 2), *range(2, 2 * n + 1, 2))
        return x.permute(order).flatten(1, n + 1)

    def _cells(self, x: Patches) -> Outputs:
        p, n = self.patch, self.axes
        if n == 2:
            return functional.pixel_shuffle(x, p)
        x = x.unflatten(1, (-1, *[p] * n))
        order = [0, 1]
        for axis in range(n):
            order += [2 + n + axis, 2 + axis]
        x = x.permute(order)
        for axis in range(2, n + 2):
            x = x.flatten(axis, axis + 1)
        return x


class Convolution(nn.Module):
    """Three points along each axis, beyond walls zero, around periodic axes."""

    def __init__(
        self, inside: int, outside: int, periodic: tuple[bool, ...], stride: int = 1
    ) -> None:
        super().__init__()
        self.around = [size for axis in reversed(periodic) for size in (int(axis), int(axis))]
        padding = [0 if axis else 1 for axis in periodic]
        kind = CONVOLUTIONS[len(periodic) - 1]
        self.kernel = kind(inside, outside, 3, stride=stride, padding=tuple(padding))  # type: ignore[arg-type]

    def forward(self, x: Grids) -> Patches:
        if any(self.around):
            x = functional.pad(x, self.around, mode="circular")
        out: Tensor = self.kernel(x)
        return out


class Residual(nn.Module):
    """Two convolutions beside the identity, scaled and shifted by the condition in between."""

    def __init__(
        self, inside: int, outside: int, condition: int, periodic: tuple[bool, ...]
    ) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, inside)
        self.first = Convolution(inside, outside, periodic)
        self.modulate = nn.Linear(condition, 2 * outside)
        self.second = Convolution(outside, outside, periodic)
        self.pass_on = (
            nn.Identity() if inside == outside else _one_point(inside, outside, periodic)
        )
        nn.init.zeros_(self.second.kernel.weight)

    def forward(self, x: Grids, condition: Float[Tensor, "batch condition"]) -> Outputs:
        hidden = self.first(functional.silu(self.norm(x)))
        scale, shift = self.modulate(condition)[(..., *[None] * (x.ndim - 2))].chunk(2, 1)
        out: Tensor = self.pass_on(x) + self.second(functional.silu(hidden * (1 + scale) + shift))
        return out


def _one_point(inside: int, outside: int, periodic: tuple[bool, ...]) -> nn.Module:
    return CONVOLUTIONS[len(periodic) - 1](inside, outside, 1)


class Everywhere(nn.Module):
    """Attention of every place of a grid to every other, beside the identity."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(8, channels)
        self.attend = nn.Linear(channels, 3 * channels)
        self.join = nn.Linear(channels, channels)
        nn.init.zeros_(self.join.weight)

    def forward(self, x: Grids) -> Grids:
        tokens = self.norm(x).flatten(2).mT
        split = self.attend(tokens).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*split)
        out: Tensor = x + self.join(mixed.transpose(1, 2).flatten(2)).mT.reshape(x.shape)
        return out


Lines = Float[Tensor, "batch channel x"]
OutputLines = Float[Tensor, "batch output x"]
Tokens = Float[Tensor, "batch token width"]
Conditions = Float[Tensor, "batch *level"]


class LineMixer(nn.Module):
    """Perceptrons along a line between two walls and, in turn, across its channels.

    A token is ``patch`` neighbouring points with all their channels. A perceptron along the line
    has a weight for each pair of tokens, so every place reaches every other in one block and
    knows where the walls are; one across channels is the same for all tokens. All of it is
    products of matrices, which is what a processor without convolutions in hardware does best.

    Arguments:
        channels: Of the input, and of the output.
        points: Along the line; a multiple of ``patch``.
        patch: Points of a token.
        width: Channels of a token.
        layers: Blocks.
        expansion: Hidden channels and tokens of the perceptrons, in units of those outside.
        levels: Numbers of the condition, one or one for each part of a sample.

    Raises:
        ValueError: the points are not such a multiple.

    References:
        MLP-Mixer (Tolstikhin et al., 2021), https://arxiv.org/abs/2105.01601, with normalised
        activations scaled and shifted by a condition as in :class:`TrajectoryTransformer`.
    """

    frequencies: Tensor

    def __init__(
        self,
        channels: tuple[int, int],
        points: int,
        patch: int = 8,
        width: int = 160,
        layers: int = 5,
        expansion: int = 2,
        levels: int = 1,
    ) -> None:
        super().__init__()
        if points % patch:
            raise ValueError(f"points must be a multiple of patch {patch}, got {points}")
        inside, outside = channels
        tokens = points // patch
        self.patch = patch
        self.embed = nn.Linear(inside * patch, width)
        self.place = nn.Parameter(0.3 * torch.randn(tokens, width))
        self.register_buffer("frequencies", torch.linspace(0.25, 4, 16))
        first = nn.Linear(32 * levels, 64)
        self.level = nn.Sequential(first, nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.blocks = nn.ModuleList(
            MixerBlock(tokens, width, expansion, 64) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width)
        self.read = nn.Linear(width, outside * patch)
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.read.bias)

    def forward(self, x: Lines, condition: Conditions) -> OutputLines:
        tokens = x.unflatten(2, (-1, self.patch)).transpose(1, 2).flatten(2)
        hidden = self.embed(tokens) + self.place
        phase = (condition[..., None] * self.frequencies * math.tau).flatten(1)
        level = self.level(torch.cat([phase.cos(), phase.sin()], dim=1))
        for block in self.blocks:
            hidden = block(hidden, level)
        out: Tensor = self.read(self.norm(hidden)).unflatten(2, (-1, self.patch))
        return out.transpose(1, 2).flatten(2)


class MixerBlock(nn.Module):
    """A perceptron along the line, then one across channels, both residual and modulated."""

    def __init__(self, tokens: int, width: int, expansion: int, condition: int) -> None:
        super().__init__()
        self.line_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.widen_line = nn.Linear(tokens, expansion * tokens)
        self.narrow_line = nn.Linear(expansion * tokens, tokens)
        self.channel_norm = nn.LayerNorm(width, elementwise_affine=False)
        self.widen = nn.Linear(width, expansion * width)
        self.narrow = nn.Linear(expansion * width, width)
        self.modulate = nn.Linear(condition, 4 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tokens, condition: Tensor) -> Tokens:
        scale, shift, scale_channel, shift_channel = self.modulate(condition)[:, None].chunk(4, -1)
        line = torch.addcmul(shift, self.line_norm(x), 1 + scale).mT
        x = x + self.narrow_line(functional.silu(self.widen_line(line))).mT
        inner = self.widen(torch.addcmul(shift_channel, self.channel_norm(x), 1 + scale_channel))
        out: Tensor = x + self.narrow(functional.silu(inner))
        return out


Rings = Float[Tensor, "batch channel x"]
OutputRings = Float[Tensor, "batch output x"]
Points = Float[Tensor, "batch x width"]


class Ring(nn.Module):
    """Perceptrons on the points of a ring, which see their neighbours near and far.

    In each block a point is joined by the two that lie so many points to its left and right; the
    perceptron is the same everywhere. Turning the ring in the input therefore turns the output as
    far, by any number of points and exactly.

    Arguments:
        channels: Of the input, and of the output.
        levels: Numbers of the condition.
        width: Channels of a point.
        distances: How far the neighbours are, in points, one a block.
        expansion: Hidden channels of the perceptrons, in units of ``width``.

    References:
        Dilated convolutions are due to Yu & Koltun (2016), https://arxiv.org/abs/1511.07122;
        activations are normalised, scaled and shifted as in :class:`TrajectoryTransformer`.
    """

    frequencies: Tensor

    def __init__(
        self,
        channels: tuple[int, int],
        levels: int,
        width: int = 96,
        distances: tuple[int, ...] = (1, 2, 4, 8, 2, 1),
        expansion: int = 2,
    ) -> None:
        super().__init__()
        inside, outside = channels
        self.embed = nn.Linear(inside, width)
        self.register_buffer("frequencies", torch.linspace(0.25, 4, 16), persistent=False)
        first = nn.Linear(32 * levels, 64)
        self.level = nn.Sequential(first, nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.blocks = nn.ModuleList(RingBlock(width, far, expansion, 64) for far in distances)
        self.norm = nn.LayerNorm(width)
        self.read = nn.Linear(width, outside)
        nn.init.zeros_(self.read.weight)
        nn.init.zeros_(self.read.bias)

    def forward(self, x: Rings, condition: Float[Tensor, "batch level"]) -> OutputRings:
        hidden = self.embed(x.mT)
        phase = (condition[..., None] * self.frequencies * math.tau).flatten(1)
        level = self.level(torch.cat([phase.cos(), phase.sin()], dim=1))
        for block in self.blocks:
            hidden = block(hidden, level)
        out: Tensor = self.read(self.norm(hidden)).mT
        return out


class RingBlock(nn.Module):
    """A perceptron of a point and two others as far from it, residual and modulated."""

    def __init__(self, width: int, far: int, expansion: int, condition: int) -> None:
        super().__init__()
        self.far = far
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.widen = nn.Linear(3 * width, expansion * width)
        self.narrow = nn.Linear(expansion * width, width)
        self.modulate = nn.Linear(condition, 2 * width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Points, condition: Float[Tensor, "batch condition"]) -> Points:
        scale, shift = self.modulate(condition)[:, None].chunk(2, -1)
        here = torch.addcmul(shift, self.norm(x), 1 + scale)
        around = torch.cat([here.roll(self.far, 1), here, here.roll(-self.far, 1)], 2)
        out: Tensor = x + self.narrow(functional.silu(self.widen(around)))
        return out
