"""A small network for vectors: the plane, a few parameters, a short line of numbers."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

Vectors = Float[Tensor, "batch dimension"]


class Perceptron(nn.Module):
    """Residual layers on a vector, scaled and shifted by phases of the condition.

    Arguments:
        dimension: Numbers of a sample.
        width: Hidden channels.
        layers: Residual layers.
    """

    frequencies: Tensor

    def __init__(self, dimension: int, width: int = 128, layers: int = 3) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.linspace(0.1, 2, 8))
        self.enter = nn.Linear(dimension, width)
        self.told = nn.ModuleList(nn.Linear(16, 2 * width) for _ in range(layers))
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.leave = nn.Linear(width, dimension)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Vectors, condition: Float[Tensor, " batch"]) -> Vectors:
        phase = condition[:, None] * self.frequencies * math.tau
        phases = torch.cat([phase.cos(), phase.sin()], 1)
        hidden = self.enter(x)
        for told, layer in zip(self.told, self.layers, strict=True):
            scale, shift = told(phases).chunk(2, 1)
            hidden = hidden + layer(nn.functional.silu(hidden * (1 + scale) + shift))
        out: Tensor = self.leave(nn.functional.silu(hidden))
        return out
