"""Design tasks: what is wanted, and how it is judged."""

import abc

import torch
from torch import Tensor

from physgen.search import Found
from physgen.shapes import PerSample


class Task(abc.ABC):
    """Something to be designed, judged by a true solver and never by a prior or a surrogate.

    A design is a tensor with the batch first; its meaning stands in the task's docstring.
    """

    @property
    @abc.abstractmethod
    def bound(self) -> float | None:
        """What no design can go below, where it is known."""

    @abc.abstractmethod
    def random(self, count: int, generator: torch.Generator) -> Tensor:
        """Designs drawn without looking at the objective."""

    @abc.abstractmethod
    def objective(self, design: Tensor) -> PerSample:
        """The cost of every design, by the true solver; differentiable where the solver is."""

    @abc.abstractmethod
    def violation(self, design: Tensor) -> PerSample:
        """How far each design is from an allowed one; zero where it is allowed."""

    @abc.abstractmethod
    def evolve(self, count: int, generator: torch.Generator) -> Found:
        """A derivative-free search on the true solver, from random designs."""
