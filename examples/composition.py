"""Compositions, each in ten lines, held to densities that are known.

python examples/composition.py

Terms are mixtures of the plane, whose noised densities are exact; their sums at each level are not the noised
densities of the sums, which is what moves at each level are for. Copy the function you
need, with the constants above it. A panel has draws over the contours of what they should follow, and their distance (W2) to
exact draws; that of exact draws from others is in the first.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor

from physgen.compositional import Composed, Corrected
from physgen.density import At
from physgen.energy import Energy, Mixture, Score
from physgen.gaussian import gaussian
from physgen.grid import log_snr
from physgen.importance import importance
from physgen.kernel import HMC, MALA, ULA, Renoise
from physgen.meter import Metered
from physgen.predictor import DDIM, Ancestral
from physgen.sampler import AsMarginal, Resample, anneal, sample, unit_noise
from physgen.testbeds import bars, ring, source
from physgen.testbeds.gallery import Method, Panel, show
from physgen.testbeds.observations import observe
from physgen.testbeds.product import ring_and_three

BED = ring_and_three()
TWO: Energy = BED.first + BED.second
EXACT = BED.exact()
GRID = log_snr(40, 0.03, 10.0)
MOVES = MALA(0.5, spread=0.2)
WIDE = gaussian(torch.zeros(2), 1.5 * torch.eye(2))


def weighed(target: Energy, count: int) -> Tensor:
    """As good as exact draws of a density that is known up to its mass."""
    return importance(target, WIDE, 40 * count, source(1)).resample(source(2))[::40]


def exact_draws(count: int) -> Panel:
    x = EXACT.sample(count, source(3))
    return Panel(EXACT, EXACT.sample(count, source(1)), x)


def flow_of_probability(count: int) -> Panel:
    """Wrong by construction, and refused without consent."""
    start, consent = unit_noise(count, (2,), source(2)), AsMarginal()
    x = sample(TWO, start, GRID, DDIM(), source(3), consent=consent)
    return Panel(EXACT, EXACT.sample(count, source(1)), x)


def carried(count: int) -> Panel:
    x = sample(TWO, unit_noise(count, (2,), source(2)), GRID, Ancestral(), source(3))
    return Panel(EXACT, EXACT.sample(count, source(1)), x)


def corrected_by_langevin(count: int) -> Panel:
    start, moves = unit_noise(count, (2,), source(2)), ULA(0.1, spread=0.2)
    x = anneal(TWO, start, GRID, source(3), Ancestral(), moves, inner=3).x
    return Panel(EXACT, EXACT.sample(count, source(1)), x)


def corrected_by_metropolis(count: int) -> Panel:
    start = unit_noise(count, (2,), source(2))
    x = anneal(TWO, start, GRID, source(3), Ancestral(), MOVES, inner=3).x
    return Panel(EXACT, EXACT.sample(count, source(1)), x)


def corrected_without_a_value(count: int) -> Panel:
    """Acceptance by a line integral of scores, as networks have no more."""
    scores: Score = Metered(BED.first) + Metered(BED.second)
    start = unit_noise(count, (2,), source(2))
    x = anneal(scores, start, GRID, source(3), Ancestral(), MOVES, inner=2).x
    return Panel(EXACT, EXACT.sample(count, source(1)), x)


def corrected_by_hamilton(count: int) -> Panel:
    start, moves = unit_noise(count, (2,), source(2)), HMC(0.8, leapfrogs=3, spread=0.2)
    x = anneal(TWO, start, GRID, source(3), Ancestral(), moves, inner=2).x
    return Panel(EXACT, EXACT.sample(count, source(1)), x)


def corrected_by_renoising(count: int) -> Panel:
    start = unit_noise(count, (2,), source(2))
    x = anneal(TWO, start, GRID, source(3), Ancestral(), Renoise(1.1), inner=3).x
    return Panel(EXACT, EXACT.sample(count, source(1)), x)


def weighted_particles(count: int) -> Panel:
    start, moves = unit_noise(2 * count, (2,), source(2)), HMC(0.8, leapfrogs=3, spread=0.2)
    drawn = anneal(TWO, start, GRID, source(3), kernel=moves, resample=Resample()).drawn
    exact = BED.first.product(BED.second).log_mass.item()
    said = f"log Z {drawn.log_z:.2f} ({exact:.2f})"
    return Panel(EXACT, EXACT.sample(count, source(1)), drawn.resample(source(4))[::2], said)


def mixture(count: int) -> Panel:
    either = Mixture((ring(), 0.5), (bars(), 0.5))
    start = unit_noise(count, (2,), source(2))
    x = anneal(either, start, GRID, source(3), Ancestral(), MOVES, inner=2).x
    return Panel(either, weighed(At(either), count), x)


def negation(count: int) -> Panel:
    """The ring, and not what lies on the right."""
    right = gaussian(torch.tensor([1.0, 0.0]), torch.eye(2))
    but = ring(std=0.2) - 0.8 * right
    start = unit_noise(count, (2,), source(2))
    x = anneal(but, start, GRID, source(3), Ancestral(), MOVES, inner=3).x
    return Panel(but, weighed(At(but), count), x)


def tempered(count: int) -> Panel:
    warm = 0.4 * ring(std=0.15)
    start = unit_noise(count, (2,), source(2))
    x = anneal(warm, start, GRID, source(3), Ancestral(), MOVES, inner=3).x
    return Panel(warm, weighed(At(warm), count), x)


def observations_added(count: int) -> Panel:
    """Posteriors of eight observations, less the prior for all but one."""
    bed = observe(8, source(7))
    both = Composed(bed.one_observation(), bed.prior(), bed.observed)
    start = unit_noise(count, (2,), source(2), torch.float64)
    x = sample(both, start, log_snr(40, 0.01, 3.0), Ancestral(), source(3))
    return Panel(bed.posterior(), bed.posterior().sample(count, source(1)), x)


def observations_corrected(count: int) -> Panel:
    """The same by their covariances, which is exact for Gaussians, and marginal."""
    bed = observe(8, source(7))
    both = Corrected(bed.one_observation(), bed.prior(), bed.observed)
    start = unit_noise(count, (2,), source(2), torch.float64)
    x = sample(both, start, log_snr(40, 0.01, 10.0), DDIM(), source(3))
    return Panel(bed.posterior(), bed.posterior().sample(count, source(1)), x)


GALLERY: dict[str, Method] = {
    "product: exact draws": exact_draws,
    "product: flow of the sum": flow_of_probability,
    "product: carried only": carried,
    "product: and ULA": corrected_by_langevin,
    "product: and MALA": corrected_by_metropolis,
    "product: and MALA, scores only": corrected_without_a_value,
    "product: and HMC": corrected_by_hamilton,
    "product: and renoising": corrected_by_renoising,
    "product: weights, resampled": weighted_particles,
    "mixture": mixture,
    "negation": negation,
    "tempered": tempered,
    "8 posteriors, added": observations_added,
    "8 posteriors, corrected": observations_corrected,
}


@dataclass(frozen=True)
class Options:
    """What is drawn."""

    count: int = 400
    """Samples in each panel."""
    out: Path = Path("runs/composition.png")


def main(options: Options) -> None:
    show(options.out, GALLERY, options.count)


if __name__ == "__main__":
    main(tyro.cli(Options))
