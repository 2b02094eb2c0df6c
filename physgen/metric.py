r"""Metrics: linear coordinates in which the entries of a density are of order one.

:math:`z = L y`, with :math:`y` what a kernel moves in. For Hamiltonian moves this is a mass
matrix :math:`M = (L L^\top)^{-1}`: momenta are unit noise, and a leapfrog step is
:math:`z \mathrel{+}= h s\, L v,\; v \mathrel{+}= h s\, L^\top \nabla \log \pi`, so that samples
stay where they are and nothing is rounded on the way in and out.

A diagonal metric knows the spread of every entry. A dense one also knows how they go together: as
many leapfrog steps are needed as for a density without correlations, each of which costs two
products with a matrix of entries by entries more.

References:
    MCMC Using Hamiltonian Dynamics (Neal, 2011), https://arxiv.org/abs/1206.1901, section 4.1.
    Stan Reference Manual, "HMC algorithm parameters", for a variance drawn towards a small one.
"""

import abc

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.energy import Energy, Flight, mixed
from physgen.shapes import Sample

FEW, SMALL = 5, 1e-3
"""Draws that are added to those seen, and their variance: Stan's."""


class Metric(abc.ABC):
    """Coordinates, :math:`z = L y`."""

    @classmethod
    @abc.abstractmethod
    def learn(cls, seen: Float[Tensor, "draw *shape"]) -> "Metric":
        """From draws of the density."""

    @abc.abstractmethod
    def outward(self, y: Sample) -> Sample:
        """:math:`L y`."""

    @abc.abstractmethod
    def inward(self, z: Sample) -> Sample:
        """:math:`L^{-1} z`."""

    @abc.abstractmethod
    def pull(self, shift: Sample) -> Sample:
        r""":math:`L^\top d`: the shift inside, of one outside."""

    @abc.abstractmethod
    def push(self, shift: Sample) -> Sample:
        r""":math:`L^{-\top} d`: the shift outside, of one inside."""

    @abc.abstractmethod
    def leap(
        self, term: Energy, there: Flight, stride: Tensor, kick: Tensor, count: int, s: float
    ) -> Flight:
        """Leapfrog steps with momenta of unit noise; see :meth:`physgen.energy.Energy.leap`."""


class Plain(Metric):
    """Entries as they are."""

    @classmethod
    def learn(cls, seen: Float[Tensor, "draw *shape"]) -> "Plain":
        return cls()

    def outward(self, y: Sample) -> Sample:
        return y

    def inward(self, z: Sample) -> Sample:
        return z

    def pull(self, shift: Sample) -> Sample:
        return shift

    def push(self, shift: Sample) -> Sample:
        return shift

    def leap(
        self, term: Energy, there: Flight, stride: Tensor, kick: Tensor, count: int, s: float
    ) -> Flight:
        return term.leap(there, stride, kick, None, count, s)


class Diagonal(Metric):
    """Every entry in a unit of its own.

    Arguments:
        scale: The unit of every entry, the shape of a sample.
    """

    def __init__(self, scale: Float[Tensor, "*shape"]) -> None:
        self.scale = scale

    @classmethod
    def learn(cls, seen: Float[Tensor, "draw *shape"]) -> "Diagonal":
        """Standard deviations, drawn towards a small one as if by five more draws."""
        count = len(seen)
        return cls(((count * seen.var(0) + FEW * SMALL) / (count + FEW)).sqrt())

    def outward(self, y: Sample) -> Sample:
        return y * self.scale

    def inward(self, z: Sample) -> Sample:
        return z / self.scale

    def pull(self, shift: Sample) -> Sample:
        return shift * self.scale

    def push(self, shift: Sample) -> Sample:
        return shift / self.scale

    def leap(
        self, term: Energy, there: Flight, stride: Tensor, kick: Tensor, count: int, s: float
    ) -> Flight:
        return term.leap(there, stride * self.scale, kick * self.scale, None, count, s)


class Dense(Metric):
    """Entries that go together, taken apart: for samples of some hundred entries at most.

    Arguments:
        factor: :math:`L` over the entries of a sample in one row, lower triangular with a
            positive diagonal: Cholesky's factor of the covariance.
    """

    def __init__(self, factor: Float[Tensor, "entry entry"]) -> None:
        self.factor = factor

    @classmethod
    def learn(cls, seen: Float[Tensor, "draw *shape"]) -> "Dense":
        """The covariance, drawn towards its diagonal as if by one more draw an entry, so that it
        has a factor however few there are, and towards a small one as :class:`Diagonal` is."""
        rows = seen.flatten(1).double()
        count, size = rows.shape
        rows = rows - rows.mean(0)
        covariance = rows.T @ rows / max(1, count - 1)
        variance = covariance.diagonal()
        drawn = (count * covariance + size * variance.diag()) / (count + size)
        small = SMALL * torch.eye(size, dtype=drawn.dtype, device=drawn.device)
        factor = torch.linalg.cholesky((count * drawn + FEW * small) / (count + FEW))
        return cls(factor.to(seen.dtype))

    def outward(self, y: Sample) -> Sample:
        return mixed(y, self.factor.T)

    def inward(self, z: Sample) -> Sample:
        return self._solved(self.factor, z)

    def pull(self, shift: Sample) -> Sample:
        return mixed(shift, self.factor)

    def push(self, shift: Sample) -> Sample:
        return self._solved(self.factor.T, shift)

    def leap(
        self, term: Energy, there: Flight, stride: Tensor, kick: Tensor, count: int, s: float
    ) -> Flight:
        return term.leap(there, stride, kick, self.factor, count, s)

    def _solved(self, matrix: Tensor, z: Sample) -> Sample:
        upper = matrix is not self.factor
        rows = torch.linalg.solve_triangular(matrix, z.flatten(1).T, upper=upper)
        solved: Tensor = rows.T.reshape(z.shape)
        return solved


def widest(metric: Metric, seen: Float[Tensor, "draw *shape"]) -> float:
    """The largest standard deviation, of any direction, that draws have in a metric.

    By power iteration on their covariance; what chance makes wider, where draws are not many more
    than entries, counts as well.
    """
    rows = metric.inward(seen).flatten(1)
    rows = rows - rows.mean(0)
    along = rows[rows.square().sum(1).argmax()]
    for _ in range(40):
        unit = along / along.norm().clamp(min=1e-30)
        along = (rows @ unit) @ rows / max(1, len(rows) - 1)
    return float(along.norm().sqrt())
