"""A small network of vectors: what the examples and oracles of model families are made of."""

import itertools

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
