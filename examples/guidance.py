"""Guidance and conditions, each in ten lines, held to posteriors that are known.

python examples/guidance.py

The prior is a ring of eight modes, whose noised density is exact; what is told of a sample is its first
coordinate, or a label. Copy the function you need, with the
constants above it. A panel has draws over the
contours of what they should follow, and their distance (W2) to exact draws; that of exact draws from
others is in the first.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor

from physgen.classifier import Classified, ClassifierFree, Conditioned
from physgen.condition import Known
from physgen.control import controlled
from physgen.decoupled import Decoupled, Linear, Walked
from physgen.denoiser import Learned
from physgen.fitting import fit
from physgen.gaussian import GaussianMixture
from physgen.grid import log_snr
from physgen.guidance import Capped, DetachedGuidance, Guided, Stepwise
from physgen.kernel import HMC, MALA
from physgen.observed import Isotropic, Observed
from physgen.perceptron import Modulated
from physgen.plug_and_play import Implausibility, most_plausible
from physgen.preconditioned import Denoising, Preconditioned
from physgen.predictor import Ancestral, DPMpp2M
from physgen.sampler import anneal, sample, unit_noise
from physgen.testbeds import ring, source
from physgen.testbeds.gallery import Method, Panel, show
from physgen.training import Batch
from physgen.twisted import Seen, twisted

RING = ring(std=0.15)
SPREAD = 0.72
SEEN, NOISE = 0.4, 0.2
GRID = log_snr(40, 0.02, 10.0)
POSTERIOR = RING.observe(
    torch.tensor([[1.0, 0.0]]), torch.tensor([SEEN]), NOISE**2 * torch.eye(1)
).normalised()
SHARE = (1 + torch.sin(torch.arange(8) * math.tau / 8)) / 2
"""Of each mode, the probability of the label "above"."""


def first(x: Tensor) -> Tensor:
    return x[:, :1]


def misfit(x: Tensor) -> Tensor:
    return (first(x) - SEEN).square().sum(1) / 2


def labelled(weight: float) -> GaussianMixture:
    """The ring, its modes by a power of the probability of the label."""
    log_weight = RING.log_weight + weight * SHARE.clamp(min=1e-6).log()
    return GaussianMixture(log_weight, RING.mean, RING.covariance).normalised()


def exact_draws(count: int) -> Panel:
    x = POSTERIOR.sample(count, source(3))
    return Panel(POSTERIOR, POSTERIOR.sample(count, source(1)), x)


def prior_alone(count: int) -> Panel:
    start = unit_noise(count, (2,), source(2))
    x = sample(RING, start, GRID, DPMpp2M(), source(3))
    return Panel(POSTERIOR, POSTERIOR.sample(count, source(1)), x)


def dps_as_published(count: int) -> Panel:
    start = unit_noise(count, (2,), source(2))
    guided = Guided(RING, misfit, Stepwise(0.5, GRID))
    x = sample(guided, start, GRID, Ancestral(), source(3))
    return Panel(POSTERIOR, POSTERIOR.sample(count, source(1)), x)


def dps_capped(count: int) -> Panel:
    start = unit_noise(count, (2,), source(2))
    guided = Guided(RING, misfit, Capped(1 / NOISE**2, share=0.5))
    x = sample(guided, start, GRID, Ancestral(), source(3))
    return Panel(POSTERIOR, POSTERIOR.sample(count, source(1)), x)


def mpgd(count: int) -> Panel:
    start = unit_noise(count, (2,), source(2))
    guided = DetachedGuidance(RING, misfit, Capped(1 / NOISE**2, share=0.5), SPREAD)
    x = sample(guided, start, GRID, Ancestral(), source(3))
    return Panel(POSTERIOR, POSTERIOR.sample(count, source(1)), x)


def pseudoinverse(count: int) -> Panel:
    start, seen = unit_noise(count, (2,), source(2)), torch.full((count, 1), SEEN)
    guided = Observed(RING, first, seen, NOISE, iterations=1, uncertainty=Isotropic(SPREAD))
    x = sample(guided, start, GRID, Ancestral(), source(3))
    return Panel(POSTERIOR, POSTERIOR.sample(count, source(1)), x)


def tweedie_covariance(count: int) -> Panel:
    start, seen = unit_noise(count, (2,), source(2)), torch.full((count, 1), SEEN)
    guided = Observed(RING, first, seen, NOISE, iterations=1)
    x = sample(guided, start, GRID, Ancestral(), source(3))
    return Panel(POSTERIOR, POSTERIOR.sample(count, source(1)), x)


def daps(count: int) -> Panel:
    start, seen = unit_noise(count, (2,), source(2)), torch.full((count, 1), SEEN)
    rule = Decoupled(Linear(first, seen, NOISE, iterations=1), SPREAD, flow=4)
    x = sample(RING, start, GRID, rule, source(3))
    return Panel(POSTERIOR, POSTERIOR.sample(count, source(1)), x)


def daps_for_any_cost(count: int) -> Panel:
    start = unit_noise(count, (2,), source(2))
    local = Walked(lambda x: misfit(x) / NOISE**2, HMC(0.3, leapfrogs=4), moves=3)
    x = sample(RING, start, GRID, Decoupled(local, SPREAD, flow=4), source(3))
    return Panel(POSTERIOR, POSTERIOR.sample(count, source(1)), x)


def twisted_particles(count: int) -> Panel:
    start = unit_noise(4 * count, (2,), source(2))
    twist = Seen(first, torch.tensor([SEEN]), NOISE, Isotropic(SPREAD))
    found = twisted(RING, twist, start, GRID, source(3))
    x = found.drawn.resample(source(4))[::4]
    said = f"effective {min(found.ess):.0%}"
    return Panel(POSTERIOR, POSTERIOR.sample(count, source(1)), x, said)


def plug_and_play(count: int) -> Panel:
    implausible = Implausibility(RING, 0.03, 3.0, 20, torch.randn(2, generator=source(2)))
    start = 0.7 * unit_noise(count, (2,), source(3))
    found = most_plausible(implausible, lambda x: misfit(x) / NOISE**2, start, 30)
    return Panel(POSTERIOR, POSTERIOR.sample(count, source(1)), found.x, "peaks, no draws")


def repaint(count: int) -> Panel:
    exactly = RING.observe(
        torch.tensor([[1.0, 0.0]]), torch.tensor([SEEN]), 1e-3 * torch.eye(1)
    ).normalised()
    start = unit_noise(count, (2,), source(2))
    known = Known(torch.tensor([True, False]), torch.tensor([SEEN, 0.0]))
    x = sample(RING, start, GRID, Ancestral(), source(3), known, repeats=5)
    return Panel(exactly, exactly.sample(count, source(1)), x)


def classifier(count: int) -> Panel:
    def logits(z: Tensor, s: Tensor) -> Tensor:  # an exact classifier of noisy samples
        above = RING.responsibilities(z, s) @ SHARE
        return torch.stack([1 - above, above], 1).clamp(min=1e-9).log()

    given = Conditioned(RING, Classified(logits, 1))
    x = sample(given, unit_noise(count, (2,), source(2)), GRID, DPMpp2M(), source(3))
    return Panel(labelled(1), labelled(1).sample(count, source(1)), x)


def without_classifier(count: int) -> Panel:
    start, moves = unit_noise(count, (2,), source(2)), MALA(0.5, spread=0.15)
    exaggerated = ClassifierFree(labelled(1), RING, weight=3.0)
    x = anneal(exaggerated, start, GRID, source(3), Ancestral(), moves, inner=2).x
    return Panel(labelled(3), labelled(3).sample(count, source(1)), x)


def control_branch(count: int) -> Panel:
    """A frozen prior is shown what was seen; branch and prior are trained here."""
    torch.manual_seed(0)
    loss, prior = Denoising(SPREAD), Preconditioned(Modulated(2, 64, 2), SPREAD)

    def batch(step: int, generator: torch.Generator) -> Batch:
        return loss.draw(RING.sample(256, generator), generator)

    def shown(step: int, generator: torch.Generator) -> Batch:
        x, level, noise = batch(step, generator)
        return x, level, noise, first(x) + NOISE * torch.randn(256, 1, generator=generator)

    fit(prior, loss, batch, TRAINING)
    model = controlled(prior, channels=2, controls=1)
    fit(model, loss, shown, TRAINING)
    seen = Learned(model.requires_grad_(False), torch.tensor([[SEEN]]))
    x = sample(seen, unit_noise(count, (2,), source(2)), GRID, DPMpp2M(), source(3))
    return Panel(POSTERIOR, POSTERIOR.sample(count, source(1)), x)


TRAINING = 350
"""Steps, for prior and branch each."""
GALLERY: dict[str, Method] = {
    "exact draws": exact_draws,
    "prior alone": prior_alone,
    "DPS, as published": dps_as_published,
    "DPS, capped weight": dps_capped,
    "MPGD, detached": mpgd,
    "ΠGDM": pseudoinverse,
    "Tweedie covariance": tweedie_covariance,
    "DAPS, exact local draws": daps,
    "DAPS, any cost": daps_for_any_cost,
    "twisted SMC": twisted_particles,
    "plug and play": plug_and_play,
    "RePaint, 5 repeats": repaint,
    "classifier": classifier,
    "classifier-free, weight 3": without_classifier,
    "control branch": control_branch,
}


@dataclass(frozen=True)
class Options:
    """What is drawn."""

    count: int = 400
    """Samples in each panel."""
    out: Path = Path("runs/guidance.png")


def main(options: Options) -> None:
    show(options.out, GALLERY, options.count)


if __name__ == "__main__":
    main(tyro.cli(Options))
