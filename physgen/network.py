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
        block.named_parameters() for block in network.modules() if isinstance(block, Block)
    )
    return [weight for name, weight in blocks if weight.ndim == 2 and "modulate" not in name]
