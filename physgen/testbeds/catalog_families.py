"""Model families, each trained on the same draws of the plane and held to their density."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from zuko.flows import NSF

from physgen.adversarial import Adversarial, Told, calm, contest
from physgen.classifier import Classified, Conditioned, Dropping, Recognising
from physgen.contrastive import Contrastive, divergence
from physgen.denoiser import Adapted, Learned, NoisePrediction, VelocityPrediction
from physgen.density import Density
from physgen.evidence import Hybrid, Said, TwoHeaded, Wide, evidence
from physgen.fitting import fit
from physgen.gaussian import White
from physgen.grid import from_path, log_snr
from physgen.importance import importance
from physgen.kernel import MALA
from physgen.likelihood import FlowDensity
from physgen.matching import Coupling, Independent, Matching, Transported
from physgen.normalizing import NormalizingFlow, surprise
from physgen.ode import RungeKutta
from physgen.path import Cosine, Path, Rectified
from physgen.preconditioned import Denoising, Preconditioned
from physgen.predictor import DDIM, Ancestral, DPMpp2M, Predictor
from physgen.sampler import chains, unit_noise
from physgen.testbeds import source
from physgen.testbeds.catalog import Bed, Figures, Gate, Measured, Method, Size
from physgen.testbeds.learned import (
    GRID,
    LEFT,
    SPREAD,
    TARGET,
    carried,
    count,
    data,
    denoiser,
    figures,
    labelled,
    nats_lost,
    noise,
    small_network,
    steps,
)
from physgen.variational import Autoencoder, bound

BY_CHANCE = Independent()


def exact(size: Size) -> Figures:
    return figures(TARGET.sample(count(size), source(6)), 0)


def preconditioned(size: Size) -> Figures:
    prior = Learned(denoiser(size))
    density = FlowDensity(prior, White((2,), SPREAD), RungeKutta(14), low=0.05, high=40.0)
    x = carried(prior, size, GRID, DPMpp2M())
    return figures(x, GRID.steps, {"nats lost": nats_lost(density)})


def along(
    kind: type[Adapted],
    path: Path,
    evaluations: int,
    predictor: Predictor,
    coupling: Coupling = BY_CHANCE,
) -> Callable[[Size], Figures]:
    def run(size: Size) -> Figures:
        torch.manual_seed(0)
        network, loss = small_network(3, 2), Matching(kind, path, coupling)
        fit(network, loss, lambda k, g: loss.draw(data(k, g), g), steps(size))
        grid = from_path(path, evaluations, 0.99)
        x = carried(loss.of(network, SPREAD), size, grid, predictor)
        return figures(x, evaluations)

    return run


def learned_variance(size: Size) -> Figures:
    torch.manual_seed(0)
    grid, path = log_snr(10, 0.05, 20.0), Cosine()
    network, loss = small_network(3, 4), Hybrid(NoisePrediction, path, grid, SPREAD)
    fit(network, loss, lambda k, g: loss.draw(data(k, g), g), steps(size))
    model = TwoHeaded(network, NoisePrediction, path, SPREAD)
    x = TARGET.sample(4000, source(12))
    bounds = evidence(model, Said(model), White((2,), SPREAD), x, grid, source(13)).nats
    lost = (bounds - TARGET.energy(x, 0.0)).mean().item()
    drawn = carried(model, size, grid, Wide(Said(model)))
    return figures(drawn, grid.steps, {"nats lost, bound": lost})


def normalizing(size: Size) -> Figures:
    torch.manual_seed(0)
    network = NSF(2, transforms=2, hidden_features=(32, 32))
    fit(network, surprise, lambda k, g: (data(k, g),), steps(size) // 2)
    flow = NormalizingFlow(network, (2,))
    x = flow.sample(count(size), source(5))
    return figures(x, 1, {"nats lost": nats_lost(flow)})


class _Number(nn.Module):
    """A perceptron with one answer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_network(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        number: Tensor = self.inner(x)[:, 0] + x.square().sum(1) / 2
        return number


def energy_based(size: Size) -> Figures:
    torch.manual_seed(0)
    model = Contrastive(_Number(), MALA(0.08), White((2,)), 1000, source(), moves=6)
    fit(model, divergence, lambda k, g: model.draw(data(k, g), g), steps(size))
    start = TARGET.sample(count(size), source(7)).flip(0)
    x = chains(Density(model.network), MALA(0.08), start, 100, 1, source(5)).z[0]
    return figures(x, 0)


def autoencoder(size: Size) -> Figures:
    torch.manual_seed(0)
    model = Autoencoder(small_network(2, 4), small_network(2, 2), 2, (2,))
    fit(model, bound, lambda k, g: model.draw(data(k, g), g), steps(size))
    x = TARGET.sample(1000, source(12))
    lost = model.weighted_bound(x, 100, source(13)) - TARGET.energy(x, 0.0)
    h = noise(size)
    with torch.no_grad():
        drawn = model.decode(h) + model.log_std.exp() * unit_noise(len(h), (2,), source(5))
    return figures(drawn, 1, {"nats lost, bound of 100": lost.mean().item()})


class _Moved(nn.Module):
    """A generator that begins by leaving latents as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small_network(2, 2)

    def forward(self, h: Tensor) -> Tensor:
        moved: Tensor = h + self.inner(h)
        return moved


def _contested(size: Size) -> Adversarial:
    torch.manual_seed(0)
    discriminator = nn.Sequential(small_network(2, 1), nn.Flatten(0))
    model = Adversarial(_Moved(), discriminator, White((2,)))
    fit(model, contest, lambda k, g: model.draw(data(k, g), g), steps(size), calm)
    return model


def adversarial(size: Size) -> Figures:
    return figures(_contested(size).sample(count(size), source(5)), 1)


def discriminated(size: Size) -> Figures:
    """White noise, weighed by a discriminator that was trained to tell it from data."""
    torch.manual_seed(0)
    wide = White((2,))
    model = Adversarial(
        nn.Identity(), nn.Sequential(small_network(2, 1), nn.Flatten(0)), wide, 0.0
    )
    fit(model, contest, lambda k, g: model.draw(data(k, g), g), steps(size))
    weighed = importance(wide + Told(model.discriminator), wide, 8 * count(size), source(5))
    return figures(weighed.resample(source(6))[::8], 1, {"log Z": weighed.log_z})


def by_classifier(size: Size) -> Figures:
    prior, loss = Learned(denoiser(size)), Recognising(Denoising(SPREAD))
    network = small_network(3, 2)
    fit(network, loss, lambda k, g: loss.draw(*labelled(g), g), steps(size))
    given = Conditioned(prior, Classified(loss.classifier(network), 0))
    return figures(carried(given, size, GRID, DPMpp2M()), GRID.steps, exact=LEFT)


def by_label(size: Size) -> Figures:
    torch.manual_seed(0)
    model, loss = Preconditioned(small_network(5, 2), SPREAD), Dropping(Denoising(SPREAD))

    def draw(step: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        x, label = labelled(generator)
        return loss.draw(x, torch.eye(2)[label], generator)

    fit(model, loss, draw, steps(size))
    given = Learned(model, torch.eye(2)[:1])
    return figures(carried(given, size, GRID, DPMpp2M()), GRID.steps, exact=LEFT)


def _mmd(measured: Measured, name: str) -> float:
    return measured[name].others["MMD²"]


NATS = {"EDM": 0.5, "normalizing flow": 0.15}
BOUNDS = {"DDPM, learned variance": "bound", "variational autoencoder": "bound of 100"}

FAMILIES = Bed(
    "model families",
    "Two upright bars, a mixture of two Gaussians of the plane; every model is trained on draws of "
    "it, with a perceptron of two hidden layers",
    (
        Method("exact draws", "`gaussian.GaussianMixture.sample`", "closed form", exact),
        Method(
            "EDM",
            "`preconditioned.Denoising`, `likelihood.FlowDensity`",
            "table 1 of [Karras et al., 2022](https://arxiv.org/abs/2206.00364); eq. 39 of "
            "[Song et al., 2021](https://arxiv.org/abs/2011.13456)",
            preconditioned,
        ),
        Method(
            "DDPM",
            "`matching.Matching`, `denoiser.NoisePrediction`",
            "eq. 14 of [Ho et al., 2020](https://arxiv.org/abs/2006.11239)",
            along(NoisePrediction, Cosine(), 40, Ancestral()),
        ),
        Method(
            "DDPM, learned variance",
            "`evidence.Hybrid`, `evidence.Wide`",
            "eq. 15 of [Nichol & Dhariwal, 2021](https://arxiv.org/abs/2102.09672)",
            learned_variance,
        ),
        Method(
            "flow matching, straight path",
            "`matching.Matching`, `denoiser.VelocityPrediction`",
            "eq. 23 of [Lipman et al., 2023](https://arxiv.org/abs/2210.02747)",
            along(VelocityPrediction, Rectified(), 20, DDIM()),
        ),
        Method(
            "flow matching, transported",
            "`matching.Transported`",
            "section 3.2.3 of [Tong et al., 2024](https://arxiv.org/abs/2302.00482)",
            along(VelocityPrediction, Rectified(), 4, DDIM(), Transported()),
        ),
        Method(
            "normalizing flow",
            "`normalizing.NormalizingFlow`",
            "[Durkan et al., 2019](https://arxiv.org/abs/1906.04032), by zuko",
            normalizing,
        ),
        Method(
            "energy-based",
            "`contrastive.Contrastive`",
            "Tieleman, 2008; [Du & Mordatch, 2019](https://arxiv.org/abs/1903.08689)",
            energy_based,
        ),
        Method(
            "variational autoencoder",
            "`variational.Autoencoder`",
            "[Kingma & Welling, 2014](https://arxiv.org/abs/1312.6114); eq. 8 of "
            "[Burda et al., 2016](https://arxiv.org/abs/1509.00519)",
            autoencoder,
        ),
        Method(
            "adversarial",
            "`adversarial.Adversarial`",
            "[Goodfellow et al., 2014](https://arxiv.org/abs/1406.2661); penalty of "
            "[Mescheder et al., 2018](https://arxiv.org/abs/1801.04406)",
            adversarial,
        ),
        Method(
            "noise corrected by a discriminator",
            "`adversarial.Told`, `importance.importance`",
            "prop. 1 of [Goodfellow et al., 2014](https://arxiv.org/abs/1406.2661)",
            discriminated,
        ),
        Method(
            "left bar, by a classifier",
            "`classifier.Conditioned`",
            "section 4.1 of [Dhariwal & Nichol, 2021](https://arxiv.org/abs/2105.05233)",
            by_classifier,
        ),
        Method(
            "left bar, by its label",
            "`classifier.Dropping`",
            "[Ho & Salimans, 2022](https://arxiv.org/abs/2207.12598)",
            by_label,
        ),
    ),
    (
        Gate(
            "diffusion, flow matching and normalizing flows: a discrepancy of at most 0.02",
            lambda m: all(
                _mmd(m, name) < 0.02
                for name in (
                    "EDM",
                    "DDPM",
                    "flow matching, straight path",
                    "flow matching, transported",
                    "normalizing flow",
                )
            ),
        ),
        Gate(
            "all others: at most 0.05",
            lambda m: all(_mmd(m, name) < 0.05 for name in m),
        ),
        Gate(
            "a normalizing flow loses at most 0.15 nats, the flow of a denoiser 0.5, and bounds "
            "never gain any",
            lambda m: (
                all(-0.05 < m[name].others["nats lost"] < most for name, most in NATS.items())
                and all(m[name].others[f"nats lost, {kind}"] > 0 for name, kind in BOUNDS.items())
            ),
        ),
        Gate(
            "a discriminator of known noise knows the normaliser to 0.1",
            lambda m: abs(m["noise corrected by a discriminator"].others["log Z"]) < 0.1,
        ),
    ),
)
