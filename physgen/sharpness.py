r"""Sharpness-aware minimisation: an optimiser's steps, by the gradient from the worst point nearby.

.. math:: \hat\epsilon = \rho\, \frac{\nabla L(w)}{|\nabla L(w)|}, \qquad
    w \leftarrow \text{step}\bigl(w, \nabla L(w + \hat\epsilon)\bigr)

Of minima that are as deep, wide ones are preferred, for two gradients a step.

References:
    Sharpness-Aware Minimization for Efficiently Improving Generalization (Foret et al., 2021),
    https://arxiv.org/abs/2010.01412, algorithm 1.
"""

from collections.abc import Callable
from typing import Any

import torch


class SAM(torch.optim.Optimizer):
    """A wrapper around an optimiser, whose groups of weights, rates and state it shares.

    Arguments:
        inner: Takes the step.
        radius: How far away the worst point is looked for, over all weights together.
    """

    def __init__(self, inner: torch.optim.Optimizer, radius: float = 0.05) -> None:
        if not radius >= 0:
            raise ValueError(f"the radius cannot be negative, got {radius}")
        super().__init__(inner.param_groups, {})
        self.inner = inner
        self.radius = radius
        self._share()

    def _share(self) -> None:
        self.param_groups, self.state = self.inner.param_groups, self.inner.state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore what the inner optimiser remembers."""
        self.inner.load_state_dict(state_dict)
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> float:  # type: ignore[override]
        """One step.

        Arguments:
            closure: Clears gradients, evaluates the loss, passes it back, and returns it; it is
                called twice.

        Raises:
            ValueError: no closure.
        """
        if closure is None:
            raise ValueError("SAM asks for the loss twice: give step() a closure")
        with torch.enable_grad():
            loss = closure()
        moved = self._climb()
        with torch.enable_grad():
            closure()
        with torch.no_grad():
            for weight, here in moved:
                weight.copy_(here)
        self.inner.step()
        return loss

    @torch.no_grad()
    def _climb(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Go to the worst point, and return where the weights were."""
        weights = [w for group in self.param_groups for w in group["params"] if w.grad is not None]
        here = [weight.clone() for weight in weights]
        length = torch.stack([weight.grad.norm() for weight in weights]).norm().clamp(min=1e-12)
        for weight in weights:
            weight.add_(weight.grad * (self.radius / length))
        return list(zip(weights, here, strict=True))
