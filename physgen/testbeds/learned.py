"""What models that learn two bars have in common: the data, a network, and how draws are judged."""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from physgen.carrier import Carrier
from physgen.energy import Energy
from physgen.fitting import Optimiser, adam, fit
from physgen.gaussian import GaussianMixture
from physgen.grid import Grid, log_snr
from physgen.perceptron import Perceptron
from physgen.preconditioned import Denoising, Preconditioned
from physgen.predictor import Predictor
from physgen.sampler import sample, unit_noise
from physgen.testbeds import bars, source
from physgen.testbeds.catalog import Figures, Size
from physgen.testbeds.quality import discrepancy, judge_mixture

TARGET = bars()
SPREAD = 0.67
"""Standard deviation of its entries, measured."""
GRID = log_snr(20, 0.02, 20.0)
NOTHING: Mapping[str, float] = MappingProxyType({})
LEFT = GaussianMixture(torch.zeros(1), TARGET.mean[:1], TARGET.covariance[:1])


def small_network(inputs: int, outputs: int) -> Perceptron:
    return Perceptron(inputs, outputs, 48, 2)


def steps(size: Size) -> int:
    return 5 * size.levels


def count(size: Size) -> int:
    return 8 * size.draws


def data(step: int, generator: torch.Generator) -> Tensor:
    return TARGET.sample(128, generator)


def figures(
    x: Tensor,
    evaluations: float,
    others: Mapping[str, float] = NOTHING,
    exact: GaussianMixture = TARGET,
) -> Figures:
    measured = {"MMD²": discrepancy(x, exact.sample(1000, source(11)))}
    return Figures(judge_mixture(x, exact), evaluations, others=measured | dict(others))


def nats_lost(density: Energy) -> float:
    """Mean nats that a normalised density takes data for less likely than they are."""
    x = TARGET.sample(200, source(12))
    with torch.no_grad():
        return (density.energy(x, 0.0) - TARGET.energy(x, 0.0)).mean().item()


def noise(size: Size) -> Tensor:
    return unit_noise(count(size), (2,), source(4))


def carried(term: Carrier, size: Size, grid: Grid, predictor: Predictor) -> Tensor:
    return sample(term, noise(size), grid, predictor, source(5))


def labelled(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    x = TARGET.sample(128, generator)
    return x, TARGET.responsibilities(x, 0.0).argmax(1)


def denoiser(size: Size, optimiser: Optimiser = adam) -> Preconditioned:
    """An EDM, trained."""
    torch.manual_seed(0)
    model, loss = Preconditioned(small_network(3, 2), SPREAD), Denoising(SPREAD)
    fit(model, loss, lambda k, g: loss.draw(data(k, g), g), steps(size), optimiser)
    return model
