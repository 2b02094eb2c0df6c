"""Every family of models, each in ten lines: trained on draws of a plane density, and drawn from.

python examples/families.py

Writes one picture with a panel for each, draws in blue over what they should be like in grey.
Captions give the distance between the two (W2), and what else the model knows. Each function below is
complete but for the network and the data it is given: copy the one you need.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor, nn
from zuko.flows import NSF

from physgen.adversarial import Adversarial, Through, Told, calm, contest
from physgen.autoregressive import Forecasting, NextFrame, extend
from physgen.classifier import Classified, ClassifierFree, Conditioned, Dropping, Recognising
from physgen.contrastive import Contrastive, divergence
from physgen.denoiser import Learned, NoisePrediction, VelocityPrediction
from physgen.density import At, Density
from physgen.distillation import Leap, OnGrid, Student, TaughtWeights
from physgen.evidence import Hybrid, Said, TwoHeaded, Wide
from physgen.fitting import fit
from physgen.gaussian import GaussianMixture, White
from physgen.grid import from_path, log_snr
from physgen.kernel import HMC, MALA
from physgen.likelihood import FlowDensity
from physgen.matching import Matching, Transported
from physgen.normalizing import NormalizingFlow, surprise
from physgen.ode import RungeKutta
from physgen.path import Cosine, Rectified
from physgen.perceptron import Perceptron
from physgen.preconditioned import Denoising, Preconditioned
from physgen.predictor import DDIM, Ancestral, DPMpp2M
from physgen.sampler import AsMarginal, chains, sample, unit_noise
from physgen.testbeds import bars, ring, source, wasserstein
from physgen.variational import Autoencoder, bound

DATA = ring(5, 0.18)
SPREAD = 0.73  # standard deviation of an entry, measured
GRID = log_snr(20, 0.02, 20.0)
NOISE = White((2,))


@dataclass(frozen=True)
class Drawn:
    """Samples, what they should have been like, and what is said of them."""

    x: Tensor
    like: Tensor
    caption: str = ""


def data(step: int, generator: torch.Generator) -> Tensor:
    return DATA.sample(256, generator)


class Moved(nn.Module):
    """A generator that begins by leaving latents as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Perceptron(2, 2)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.inner(h)


def number() -> nn.Module:
    """A network with one answer for each sample."""
    return nn.Sequential(Perceptron(2, 1), nn.Flatten(0))


def fresh(x: Tensor) -> Tensor:
    return DATA.sample(len(x), source(7))


def edm(steps: int, count: int, g: torch.Generator) -> Drawn:
    model, loss = Preconditioned(Perceptron(3, 2), SPREAD), Denoising(SPREAD)
    fit(model, loss, lambda k, g: loss.draw(data(k, g), g), steps)
    prior = Learned(model)
    x = sample(prior, unit_noise(count, (2,), g), GRID, DPMpp2M(), g)
    density = FlowDensity(prior, White((2,), SPREAD), RungeKutta(12), low=0.05)
    nats = density.energy(DATA.sample(100, g), 0.0).mean()  # the model's exact likelihood
    return Drawn(x, fresh(x), f"20 evaluations, {nats:.2f} nats")


def ddpm(steps: int, count: int, g: torch.Generator) -> Drawn:
    path, network = Cosine(), Perceptron(3, 2)
    loss = Matching(NoisePrediction, path)
    fit(network, loss, lambda k, g: loss.draw(data(k, g), g), steps)
    prior = NoisePrediction(network, path, SPREAD)
    x = sample(prior, unit_noise(count, (2,), g), from_path(path, 40, 0.99), Ancestral(), g)
    return Drawn(x, fresh(x), "40 evaluations")


def ddpm_learned_variance(steps: int, count: int, g: torch.Generator) -> Drawn:
    path, grid, network = Cosine(), log_snr(12, 0.05, 20.0), Perceptron(3, 4)
    loss = Hybrid(NoisePrediction, path, grid, SPREAD)
    fit(network, loss, lambda k, g: loss.draw(data(k, g), g), steps)
    prior = TwoHeaded(network, NoisePrediction, path, SPREAD)
    x = sample(prior, unit_noise(count, (2,), g), grid, Wide(Said(prior)), g)
    return Drawn(x, fresh(x), "12 evaluations")


def flow_matching(steps: int, count: int, g: torch.Generator) -> Drawn:
    path, network = Rectified(), Perceptron(3, 2)
    loss = Matching(VelocityPrediction, path)
    fit(network, loss, lambda k, g: loss.draw(data(k, g), g), steps)
    flow = VelocityPrediction(network, path, SPREAD)
    x = sample(flow, unit_noise(count, (2,), g), from_path(path, 12, 0.99), DDIM(), g)
    return Drawn(x, fresh(x), "12 evaluations")


def flow_matching_transported(steps: int, count: int, g: torch.Generator) -> Drawn:
    path, network = Rectified(), Perceptron(3, 2)
    loss = Matching(VelocityPrediction, path, Transported())
    fit(network, loss, lambda k, g: loss.draw(data(k, g), g), steps)
    flow = loss.of(network, SPREAD)  # no score, and no term of a sum
    x = sample(flow, unit_noise(count, (2,), g), from_path(path, 3, 0.99), DDIM(), g)
    return Drawn(x, fresh(x), "3 evaluations")


def normalizing_flow(steps: int, count: int, g: torch.Generator) -> Drawn:
    network = NSF(2, transforms=3, hidden_features=(64, 64))
    fit(network, surprise, lambda k, g: (data(k, g),), steps)
    flow = NormalizingFlow(network, (2,))
    x = flow.sample(count, g)
    return Drawn(x, fresh(x), f"{flow.energy(DATA.sample(1000, g), 0.0).mean():.2f} nats")


def energy_based(steps: int, count: int, g: torch.Generator) -> Drawn:
    model = Contrastive(number(), MALA(0.03), NOISE, 2000, g, moves=8)
    fit(model, divergence, lambda k, g: model.draw(data(k, g), g), steps)
    start = model.buffer[:count]
    x = chains(Density(model.network), MALA(0.03), start, 100, 1, g).z[0]
    return Drawn(x, fresh(x), "chains of MALA")


def energies_multiplied(steps: int, count: int, g: torch.Generator) -> Drawn:
    learned = []
    for law in (DATA, bars()):  # two networks, each of which has seen one of them
        model = Contrastive(number(), MALA(0.03), NOISE, 2000, g, moves=8)
        fit(model, divergence, lambda k, g, m=model, d=law: m.draw(d.sample(256, g), g), steps)
        learned.append(Density(model.network))
    total = learned[0] + learned[1]
    x = chains(total, MALA(0.03), NOISE.sample(count, g), 300, 1, g).z[0]
    return Drawn(x, DATA.product(bars()).sample(count, source(7)), "the product was never seen")


def autoencoder(steps: int, count: int, g: torch.Generator) -> Drawn:
    model = Autoencoder(Perceptron(2, 4), Perceptron(2, 2), 2, (2,))
    fit(model, bound, lambda k, g: model.draw(data(k, g), g), steps)
    x = model.decode(NOISE.sample(count, g)) + model.log_std.exp() * NOISE.sample(count, g)
    nats = model.weighted_bound(DATA.sample(500, g), 100, g).mean()
    return Drawn(x.detach(), fresh(x), f"at most {nats:.2f} nats")


def adversarial(steps: int, count: int, g: torch.Generator) -> Drawn:
    model = Adversarial(Moved(), number(), NOISE)
    fit(model, contest, lambda k, g: model.draw(data(k, g), g), steps, calm)
    x = model.sample(count, g)
    return Drawn(x, fresh(x), "1 evaluation")


def adversarial_corrected(steps: int, count: int, g: torch.Generator) -> Drawn:
    model = Adversarial(Moved(), number(), NOISE)
    fit(model, contest, lambda k, g: model.draw(data(k, g), g), steps, calm)
    latent = At(NOISE) + Through(Told(model.discriminator), model.generator)
    h = chains(latent, HMC(0.1, 5), NOISE.sample(count, g), 40, 1, g).z[0]
    x = model.generator(h).detach()
    return Drawn(x, fresh(x), "latents by the discriminator")


def labels(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Data, and whether each is one of the first two modes (1) or not (0)."""
    x = DATA.sample(256, generator)
    return x, (DATA.responsibilities(x, 0.0)[:, :2].sum(1) > 0.5).long()


def first_two(count: int) -> Tensor:
    law = GaussianMixture(DATA.log_weight[:2], DATA.mean[:2], DATA.covariance[:2])
    return law.sample(count, source(7))


def classifier_guidance(steps: int, count: int, g: torch.Generator) -> Drawn:
    model, loss = Preconditioned(Perceptron(3, 2), SPREAD), Denoising(SPREAD)
    fit(model, loss, lambda k, g: loss.draw(data(k, g), g), steps)
    judge, judging = Perceptron(3, 2), Recognising(loss)
    fit(judge, judging, lambda k, g: judging.draw(*labels(g), g), steps)
    given = Conditioned(Learned(model), Classified(judging.classifier(judge), 1))
    x = sample(given, unit_noise(count, (2,), g), GRID, DPMpp2M(), g)
    return Drawn(x, first_two(count), "two modes of five")


def with_and_without(steps: int) -> tuple[Learned, Learned]:
    """One network, told the label and told nothing."""
    model, loss = Preconditioned(Perceptron(5, 2), SPREAD), Dropping(Denoising(SPREAD))

    def draw(step: int, g: torch.Generator) -> tuple[Tensor, ...]:
        x, label = labels(g)
        return loss.draw(x, torch.eye(2)[label], g)

    fit(model, loss, draw, steps)
    return Learned(model, torch.eye(2)[1:]), Learned(model, torch.zeros(1, 2))


def classifier_free_guidance(steps: int, count: int, g: torch.Generator) -> Drawn:
    guided = ClassifierFree(*with_and_without(steps), 1.5)
    x = sample(guided, unit_noise(count, (2,), g), GRID, Ancestral(), g)  # or anneal, with moves
    return Drawn(x, first_two(count), "weight 1.5, no moves")


def guided_distillation(steps: int, count: int, g: torch.Generator) -> Drawn:
    ends, consent = with_and_without(steps), AsMarginal()
    model, few = Preconditioned(Perceptron(4, 2), SPREAD), GRID.every(5)

    def teacher(weight: Tensor) -> Leap:
        return Leap(ClassifierFree(*ends, weight), GRID, 5, consent)

    loss = TaughtWeights(teacher, OnGrid(few), low=1.0, high=3.0, sigma_data=SPREAD)
    fit(model, loss, lambda k, g: loss.draw(data(k, g), g), steps)
    student = Student(lambda z, s: model(z, s, torch.full((len(z), 1), 2.0)), few)
    start = unit_noise(count, (2,), g)
    x = sample(student, start, few, student.predictor, g)
    like = sample(ClassifierFree(*ends, 2.0), start, GRID, DDIM(), g, consent=consent)
    return Drawn(x, like, "weight 2, 4 evaluations for 40")


def jumps(count: int, length: int, generator: torch.Generator) -> Tensor:
    """A particle between two wells, in steps: sequences of one number."""
    x = [torch.randn(count, 1, generator=generator)]
    for _ in range(length - 1):
        x.append((2 * x[-1]).tanh() + 0.35 * torch.randn(count, 1, generator=generator))
    return torch.stack(x, 1)


def autoregressive(steps: int, count: int, g: torch.Generator) -> Drawn:
    model, loss = Preconditioned(Perceptron(3, 1), 1.0), Forecasting(Denoising(1.0), memory=1)
    fit(model, loss, lambda k, g: loss.draw(jumps(256, 6, g), g), steps)
    past = jumps(count, 1, source(7))
    sequence = extend(NextFrame(model), past, 6, GRID, DPMpp2M(), g)[..., 0]
    like = jumps(count, 7, source(8))[..., 0]
    return Drawn(sequence[:, [3, 6]], like[:, [3, 6]], "a sequence's 4th and 7th frame")


GALLERY: tuple[Callable[[int, int, torch.Generator], Drawn], ...] = (
    edm,
    ddpm,
    ddpm_learned_variance,
    flow_matching,
    flow_matching_transported,
    normalizing_flow,
    energy_based,
    energies_multiplied,
    autoencoder,
    adversarial,
    adversarial_corrected,
    classifier_guidance,
    classifier_free_guidance,
    guided_distillation,
    autoregressive,
)


def show(axes: Axes, drawn: Drawn) -> None:
    axes.plot(*drawn.like.T.numpy(), ".", color="#bbbbbb", ms=3, mew=0)
    axes.plot(*drawn.x.T.numpy(), ".", color="#1f5f99", ms=3, alpha=0.7, mew=0)
    axes.set(xlim=(-1.9, 1.9), ylim=(-1.9, 1.9), aspect="equal")
    axes.tick_params(labelsize=7)


@dataclass(frozen=True)
class Options:
    """What is trained and drawn."""

    steps: int = 1000
    """Batches that each network is trained on."""
    count: int = 600
    """Samples in each panel."""
    out: Path = Path("runs/families.png")


def main(options: Options) -> None:
    columns = min(5, len(GALLERY))
    rows = math.ceil(len(GALLERY) / columns)
    figure = Figure(figsize=(3 * columns, 3.4 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[len(GALLERY) :]:
        axes.set_axis_off()
    for axes, family in zip(panels, GALLERY, strict=False):
        torch.manual_seed(0)
        drawn = family(options.steps, options.count, source(1))
        off = wasserstein(drawn.x, drawn.like)
        name = family.__name__.replace("_", " ")
        print(f"{name}: W2 {off:.2f} {drawn.caption}")
        show(axes, drawn)
        axes.set_title(f"{name}\nW2 {off:.2f}  {drawn.caption}", fontsize=8)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=100)


if __name__ == "__main__":
    main(tyro.cli(Options))
