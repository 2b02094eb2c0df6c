"""Small networks of vectors: what examples and oracles of learned models are made of."""

import itertools
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Perceptron(nn.Module):
    """Dense layers with SiLU in between, of a vector and of whatever else it is given.

    It is called with a sample, one row each, and then with numbers or vectors that go with each
    row, such as a noise level and a label's unit vector; they are joined to the row.

    Arguments:
        inputs: Numbers in a row, with everything that goes with it.
        outputs: Numbers in the answer.
        width: Numbers in a hidden layer.
        layers: Hidden layers.
    """

    def __init__(self, inputs: int, outputs: int, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        sizes = [inputs, *[width] * layers]
        hidden = [
            layer for ends in itertools.pairwise(sizes) for layer in (nn.Linear(*ends), nn.SiLU())
        ]
        self.layers = nn.Sequential(*hidden, nn.Linear(sizes[-1], outputs))

    def forward(
        self, x: Float[Tensor, "batch entry"], *given: Float[Tensor, "batch ..."]
    ) -> Float[Tensor, "batch output"]:
        columns = [x, *(number.reshape(len(x), -1).to(x.dtype) for number in given)]
        out: Tensor = self.layers(torch.cat(columns, 1))
        return out


Vectors = Float[Tensor, "batch dimension"]


class Modulated(nn.Module):
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
