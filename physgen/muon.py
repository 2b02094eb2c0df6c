r"""Muon: momentum whose matrices are made nearly orthogonal before they move the weights.

.. math:: B \leftarrow \mu B + (1 - \mu) G, \quad
    W \leftarrow W - \eta \sqrt{\max(1, m / n)}\; O\bigl((1 - \mu) G + \mu B\bigr)

for a weight of shape :math:`m \times n`, with :math:`O` five Newton–Schulz iterations
:math:`X \leftarrow a X + (b X X^\top + c (X X^\top)^2) X`, which bring all singular values
near one.

``torch.optim.Muon`` is the same rule, but multiplies in bfloat16 always. On processors that have
to emulate it that is most of a training step: 0.76 of 1.09 s for a network of 1.3 million
weights. This one multiplies in the precision of the weights, all weights of a shape at once.

References:
    Muon (Jordan et al., 2024), https://kellerjordan.github.io/posts/muon
"""

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients a, b, c of Jordan et al.: singular values end between 0.7 and 1.2."""

Matrices = Float[Tensor, "matrix row column"]


class Muon(torch.optim.Optimizer):
    """The optimiser of hidden matrices.

    Arguments:
        weights: Matrices, or kernels of convolutions, each the matrix of a row for each output.
        lr: Learning rate; a step changes a square weight by a matrix of about this spectral norm.
        momentum: Memory of the gradient.

    Raises:
        ValueError: a weight is no matrix.
    """

    def __init__(self, weights: Iterable[nn.Parameter], lr: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum})
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.ndim < 2:
                    raise ValueError(f"Muon moves matrices, got a weight of {tuple(weight.shape)}")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    alike.setdefault(weight.shape, []).append(weight)
            for weights in alike.values():
                ahead = torch.stack([self._ahead(w, group["momentum"]) for w in weights])
                moves = orthogonal(ahead.flatten(2)).view_as(ahead)
                rows, columns = ahead[0].flatten(1).shape
                rate = group["lr"] * math.sqrt(max(1, rows / columns))
                for weight, move in zip(weights, moves, strict=True):
                    weight.add_(move, alpha=-rate)

    def _ahead(self, weight: nn.Parameter, momentum: float) -> Tensor:
        """Nesterov's momentum after this step's gradient."""
        assert weight.grad is not None
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        memory: Tensor = state["momentum_buffer"]
        memory.lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(memory, momentum)


def orthogonal(x: Matrices, iterations: int = 5) -> Matrices:
    """The nearest matrices with orthonormal rows or columns, about: Newton–Schulz's iteration."""
    a, b, c = QUINTIC
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
