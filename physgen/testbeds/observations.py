r"""A parameter that is observed many times, with posteriors for one and for all observations.

:math:`\theta \sim \mathcal N(0, I)` in the plane, and
:math:`x_i \sim \mathcal N(\theta, \Gamma)` with entries that are correlated. What one
observation says is :math:`\mathcal N(V \Gamma^{-1} x_i, V)` with
:math:`V = (I + \Gamma^{-1})^{-1}`, what all say has the precision :math:`I + n\, \Gamma^{-1}`:
the exact answer for what is composed from one-observation posteriors.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from physgen.compositional import Conditional
from physgen.energy import Precision, Score
from physgen.gaussian import GaussianMixture, gaussian
from physgen.shapes import Level, Sample


@dataclass(frozen=True)
class Observations:
    """Repeated observations of one parameter."""

    observed: Float[Tensor, "observation 2"]
    noise: Float[Tensor, "2 2"]
    """:math:`\\Gamma`"""

    def prior(self) -> GaussianMixture:
        one = torch.eye(2, dtype=torch.float64)
        return gaussian(torch.zeros(2, dtype=torch.float64), one)

    def posterior(self) -> GaussianMixture:
        """Given all observations."""
        one = torch.eye(2, dtype=torch.float64)
        return (
            self.prior()
            .observe(one, self.observed.mean(0), self.noise / len(self.observed))
            .normalised()
        )

    def one_observation(self) -> Conditional:
        """Posteriors given one observation each, as a perfect network would know them."""
        return _OneObservation(self.noise)


def observe(count: int, generator: torch.Generator, correlation: float = 0.8) -> Observations:
    """Observations of a parameter drawn from the prior."""
    noise = torch.tensor([[1.0, correlation], [correlation, 1.0]], dtype=torch.float64)
    truth = torch.randn(1, 2, generator=generator, dtype=torch.float64)
    error = torch.randn(count, 2, generator=generator, dtype=torch.float64)
    return Observations(truth + error @ torch.linalg.cholesky(noise).mT, noise)


class _OneObservation(Conditional):
    def __init__(self, noise: Float[Tensor, "2 2"]) -> None:
        one = torch.eye(2, dtype=noise.dtype)
        self.gain = torch.linalg.inv(one + noise)
        self.law = gaussian(torch.zeros(2, dtype=noise.dtype), one - self.gain)

    def given(self, observed: Float[Tensor, "batch 2"]) -> Score:
        return _Moved(self.law, observed @ self.gain.mT)


class _Moved(Score):
    """A density about another place for every row."""

    def __init__(self, law: GaussianMixture, place: Sample) -> None:
        self.law = law
        self.place = place

    @property
    def marginal(self) -> bool:
        return True

    def shift(self, z: Sample, s: Level) -> Sample:
        return self.law.shift(z - self.place, s)

    def precision(self, s: float, shape: torch.Size) -> Precision | None:
        return self.law.precision(s, shape)
