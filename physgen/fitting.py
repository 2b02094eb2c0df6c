"""Training in memory: for models that are small enough to need neither checkpoint nor log.

The same model, objective and draw go to :class:`physgen.training.Trainer`, which resumes, shares the
work, averages weights and writes down what it did.
"""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from physgen.training import Draw, Objective, step_generator

Optimiser = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
"""Makes the optimiser of a model's weights."""


def adam(weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam at the rate that suits small networks."""
    return torch.optim.Adam(weights, 3e-3)


def fit(
    model: nn.Module,
    objective: Objective,
    draw: Draw,
    steps: int,
    optimiser: Optimiser = adam,
    seed: int = 0,
) -> list[float]:
    """Train a model where it is, with rates that fall as a cosine to zero; return its losses.

    Arguments:
        model: Changed in place.
        objective: The loss of every sample.
        draw: The batch of a step, from that step's generator.
        steps: Batches in all.
        optimiser: Of the model's weights; asked for each step with a closure, so that
            :class:`physgen.sharpness.SAM` serves too.
        seed: Of all batches.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    device = next(model.parameters()).device
    moves = optimiser(model.parameters())
    rates = [group["lr"] for group in moves.param_groups]
    losses = []
    for step in range(steps):
        batch = draw(step, step_generator(seed, step, device))
        for group, rate in zip(moves.param_groups, rates, strict=True):
            group["lr"] = rate * (1 + math.cos(math.pi * step / steps)) / 2

        def closure(batch: tuple[Tensor, ...] = batch) -> float:
            moves.zero_grad()
            loss = objective(model, *batch).mean()
            loss.backward()
            return loss.item()

        loss = moves.step(closure)
        if loss is None or not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} at step {step}: lower the rate")
        losses.append(loss)
    return losses
