r"""A product of two mixtures: the sum of two priors, with every mode known.

A ring of eight modes times three wide ones is a mixture of 24, most of which lie close to the
ring. Adding noise to each prior and then multiplying is not the same as multiplying and then
adding noise; samplers that overlook this put too much into some modes.
"""

import math
from dataclasses import dataclass

import torch

from physgen.gaussian import GaussianMixture
from physgen.shapes import Sample
from physgen.testbeds import isotropic, ring
from physgen.testbeds.quality import discrepancy


@dataclass(frozen=True)
class Product:
    """Two priors in the plane and their product."""

    first: GaussianMixture
    second: GaussianMixture

    def exact(self) -> GaussianMixture:
        """The product, normalised."""
        return self.first.product(self.second).normalised()

    def discrepancy(self, x: Sample, generator: torch.Generator) -> float:
        """The squared maximum mean discrepancy of draws from four times as many exact ones."""
        return discrepancy(x, self.exact().sample(4 * len(x), generator))

    def surprise(self, x: Sample) -> float:
        """The draws' mean negative log density under the product."""
        return self.exact().energy(x, 0.0).mean().item()


def ring_and_three() -> Product:
    """A ring of eight, and three of other weights within it."""
    angle = torch.arange(3) * math.tau / 3 + 0.3
    places = 0.8 * torch.stack([angle.cos(), angle.sin()], 1)
    return Product(ring(8, 0.25), isotropic(places, 0.35, torch.tensor([0.5, 0.3, 0.2])))
