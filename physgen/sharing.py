r"""How processes that train one model share what they learn.

:class:`Gradients` adds up all gradients at every step, so that several processes do what one would
do with the whole batch. :class:`Weights` is federated averaging: each process trains by
itself for some steps, and then all go on from the mean of their weights. Only these travel, once in
many steps; buffers stay with each process, and a checkpoint keeps those of the first. Where shares
differ much, each pulls its own way in between, and the mean is worse than training together.

What a process trains on is its share of each batch, which every process draws as a whole: all of
them have the data. ``physgen train nbody ... sharing:weights --sharing.every 50`` under ``torchrun``
trains so, and any script does with ``Trainer(..., sharing=Weights(50))``.

References:
    Communication-Efficient Learning of Deep Networks from Decentralized Data (McMahan et al., 2017),
    https://arxiv.org/abs/1602.05629, algorithm 1.
"""

import abc
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Sharing(abc.ABC):
    """What passes between processes."""

    @abc.abstractmethod
    def shared(self, model: nn.Module) -> nn.Module:
        """The model as each process shall call it."""

    @abc.abstractmethod
    def after(self, step: int, last: bool, models: tuple[nn.Module, ...]) -> None:
        """What is done when a step has been made.

        Arguments:
            step: Steps made, this one included.
            last: Whether it was the last, or the last before a checkpoint.
            models: The model and its moving average, changed in place.
        """


@dataclass(frozen=True)
class Gradients(Sharing):
    """The gradients of all processes, at every step."""

    def shared(self, model: nn.Module) -> nn.Module:
        return nn.parallel.DistributedDataParallel(model) if dist.is_initialized() else model

    def after(self, step: int, last: bool, models: tuple[nn.Module, ...]) -> None:
        """Nothing: all processes have the same weights."""


@dataclass(frozen=True)
class Weights(Sharing):
    """The weights, by their mean, once in so many steps; optimisers keep their own state.

    What a checkpoint keeps of the optimisers is that of the first process.
    """

    every: int
    """Steps that each process makes by itself."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"weights are shared after at least one step, got {self.every}")

    def shared(self, model: nn.Module) -> nn.Module:
        return model

    @torch.no_grad()
    def after(self, step: int, last: bool, models: tuple[nn.Module, ...]) -> None:
        if not dist.is_initialized() or not (last or step % self.every == 0):
            return
        for model in models:
            for weight in model.parameters():
                average(weight)


def average(value: Tensor) -> None:
    """The mean over all processes, in place."""
    dist.all_reduce(value)
    value /= dist.get_world_size()
