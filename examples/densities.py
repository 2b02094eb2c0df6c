"""Every sampler for a given density, each in ten lines: what it draws, and how well it fits.

python examples/densities.py

Writes one picture with a panel for each. Captions give Stein's p-value, which is small where
samples do not fit (and below 0.05 in one of twenty that do), and what else the sampler says of itself. Each function below is complete:
copy the one you need.
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
from torch import Tensor

from physgen.bridge import cross
from physgen.density import At, Density
from physgen.diagnostics import summarise
from physgen.energy import Energy
from physgen.gaussian import gaussian
from physgen.importance import importance
from physgen.kernel import HMC, MALA, ULA, UnadjustedHMC
from physgen.metropolis import LogWalk, MetropolisHastings, RandomWalk
from physgen.rejection import reject, reject_adaptively
from physgen.sampler import chains
from physgen.stein import stein_test
from physgen.svgd import svgd
from physgen.tabulated import Tabulated
from physgen.tempering import temper
from physgen.testbeds import Banana, isotropic, ring
from physgen.tuning import tune

BANANA = Banana()
RING = ring(std=0.15)
WIDE = gaussian(torch.zeros(2), torch.eye(2))
FAR = isotropic(torch.tensor([[-4.0, 0.0], [4.0, 0.0]]), 0.7, torch.tensor([0.3, 0.7]))
GAMMA = Density(lambda z: (z - 2 * z.log()).sum(1))
HILLS = isotropic(torch.tensor([[-1.5], [1.0]]), 0.5, torch.tensor([0.3, 0.7]))
SHARES = [k / 24 for k in range(25)]


@dataclass(frozen=True)
class Drawn:
    """Samples of a density, and what is said of them."""

    density: Energy
    x: Tensor
    caption: str = ""


def inverse_distribution_function(count: int, generator: torch.Generator) -> Drawn:
    table = Tabulated.of(HILLS, low=-4.0, high=4.0)
    return Drawn(At(HILLS), table.sample(count, generator))


def adaptive_rejection(count: int, generator: torch.Generator) -> Drawn:
    def log_density(x: Tensor) -> Tensor:  # of one density, or a row for each of many
        return 2 * x.log() - x

    x = reject_adaptively(log_density, torch.tensor([[0.5, 4.0]]), count, generator, low=0.0)
    return Drawn(GAMMA, x.T)


def rejection(count: int, generator: torch.Generator) -> Drawn:
    log_bound = 0.7 - math.log(8 * 0.15**2)  # a ValueError says when this is too low
    drawn = reject(RING, WIDE, log_bound, count, generator)
    return Drawn(At(RING), drawn.x, f"{drawn.acceptance:.0%} accepted")


def importance_sampling(count: int, generator: torch.Generator) -> Drawn:
    proposal = gaussian(torch.tensor([1.0, 1.5]), torch.diag(torch.tensor([1.0, 4.0])))
    drawn = importance(BANANA, proposal, 10 * count, generator)
    x = drawn.resample(generator)[::10]
    said = f"effective {drawn.ess:.0%}, tail {drawn.tail:.2f}"
    return Drawn(BANANA, x, said)


def random_walk_metropolis(count: int, generator: torch.Generator) -> Drawn:
    start = 1 + 0.3 * torch.randn(count, 2, generator=generator)
    drawn = chains(BANANA, RandomWalk(0.7), start, 100, 100, generator, thin=5)
    return Drawn(BANANA, drawn.z[-1], said(drawn.z, drawn.acceptance))


def metropolis_hastings(count: int, generator: torch.Generator) -> Drawn:
    kernel = MetropolisHastings(LogWalk(0.8))  # by factors, which are likelier up than down
    drawn = chains(GAMMA, kernel, torch.ones(count, 2), 100, 100, generator)
    return Drawn(GAMMA, drawn.z[-1], said(drawn.z, drawn.acceptance))


def unadjusted_langevin(count: int, generator: torch.Generator) -> Drawn:
    start = 1 + 0.3 * torch.randn(count, 2, generator=generator)
    drawn = chains(BANANA, ULA(0.004), start, 100, 100, generator, thin=5)
    return Drawn(BANANA, drawn.z[-1], said(drawn.z, drawn.acceptance))


def metropolis_adjusted_langevin(count: int, generator: torch.Generator) -> Drawn:
    start = 1 + 0.3 * torch.randn(count, 2, generator=generator)
    drawn = chains(BANANA, MALA(0.02), start, 100, 100, generator, thin=5)
    return Drawn(BANANA, drawn.z[-1], said(drawn.z, drawn.acceptance))


def hamiltonian_tuned(count: int, generator: torch.Generator) -> Drawn:
    start = 1 + 0.3 * torch.randn(count, 2, generator=generator)
    tuned = tune(BANANA, HMC(0.2), start, 100, generator, turn=0.25)
    drawn = chains(BANANA, tuned.kernel, tuned.z, 0, 100, generator)
    return Drawn(BANANA, drawn.z[-1], said(drawn.z, drawn.acceptance))


def hamiltonian_partly_refreshed(count: int, generator: torch.Generator) -> Drawn:
    start = 1 + 0.3 * torch.randn(count, 2, generator=generator)
    kernel = HMC(0.12, leapfrogs=1, kept=0.9)
    drawn = chains(BANANA, kernel, start, 100, 100, generator, thin=5)
    return Drawn(BANANA, drawn.z[-1], said(drawn.z, drawn.acceptance))


def hamiltonian_unadjusted(count: int, generator: torch.Generator) -> Drawn:
    start = 1 + 0.3 * torch.randn(count, 2, generator=generator)
    kernel = UnadjustedHMC(0.06, leapfrogs=12)
    drawn = chains(BANANA, kernel, start, 60, 60, generator)
    return Drawn(BANANA, drawn.z[-1], said(drawn.z, drawn.acceptance))


def annealed_importance_sampling(count: int, generator: torch.Generator) -> Drawn:
    drawn = cross(WIDE, RING, HMC(0.12), SHARES, 4 * count, generator).drawn
    log_z = f"log Z {drawn.log_z:+.2f} ± {drawn.log_z_error:.2f}, tail {drawn.tail:.2f}"
    return Drawn(At(RING), drawn.resample(generator)[::4], log_z)


def uncorrected_hamiltonian_annealing(count: int, generator: torch.Generator) -> Drawn:
    kernel = UnadjustedHMC(0.12, leapfrogs=3, kept=0.5)
    drawn = cross(WIDE, RING, kernel, SHARES, 4 * count, generator).drawn
    log_z = f"log Z {drawn.log_z:+.2f} ± {drawn.log_z_error:.2f}, tail {drawn.tail:.2f}"
    return Drawn(At(RING), drawn.resample(generator)[::4], log_z)


def parallel_tempering(count: int, generator: torch.Generator) -> Drawn:
    hot = gaussian(torch.zeros(2), 16 * torch.eye(2))
    start = torch.full((count, 2), -4.0)  # all in the lesser mode
    drawn = temper(hot, FAR, HMC(0.5), [0.0, 0.05, 0.2, 1.0], start, 40, 40, generator)
    right = (drawn.z[..., 0] > 0).float().mean()
    return Drawn(At(FAR), drawn.z[-1], f"{right:.0%} on the right (70 %)")


def stein_variational(count: int, generator: torch.Generator) -> Drawn:
    start = torch.randn(min(count, 100), 2, generator=generator)
    return Drawn(BANANA, svgd(BANANA, start, 200))


def said(draws: Tensor, acceptance: Tensor) -> str:
    found = summarise(draws)
    return f"{acceptance.mean():.0%}, R-hat {found.r_hat.max():.2f}"


GALLERY: tuple[Callable[[int, torch.Generator], Drawn], ...] = (
    inverse_distribution_function,
    adaptive_rejection,
    rejection,
    importance_sampling,
    random_walk_metropolis,
    metropolis_hastings,
    unadjusted_langevin,
    metropolis_adjusted_langevin,
    hamiltonian_tuned,
    hamiltonian_partly_refreshed,
    hamiltonian_unadjusted,
    annealed_importance_sampling,
    uncorrected_hamiltonian_annealing,
    parallel_tempering,
    stein_variational,
)


def show(axes: Axes, drawn: Drawn) -> None:
    """Samples over their density: a curve on a line, or contours of its mass."""
    x = drawn.x
    centre = (x.amax(0) + x.amin(0)) / 2
    half = 0.6 * (x.amax(0) - x.amin(0)).clamp(min=1)
    lines = [torch.linspace(*ends, 200) for ends in zip(centre - half, centre + half, strict=True)]
    place = torch.cartesian_prod(*lines).view(-1, x.shape[1])
    density = (-drawn.density.energy(place, 1.0)).exp().nan_to_num(0.0)
    if x.shape[1] == 1:
        cell = lines[0][1] - lines[0][0]
        axes.hist(x[:, 0].numpy(), 40, density=True, color="#8fb7d9")
        axes.plot(lines[0], density / density.sum() / cell, color="#333333", lw=1)
    else:
        field = density.view(200, 200).T
        levels = field.max() * torch.tensor([0.01, 0.1, 0.3, 0.7])
        axes.contour(*lines, field, levels=levels.tolist(), colors="#999999", linewidths=0.7)
        axes.plot(*x.T.numpy(), ".", color="#1f5f99", ms=3.5, alpha=0.6, mew=0)


@dataclass(frozen=True)
class Options:
    """What is drawn."""

    count: int = 600
    """Samples in each panel."""
    out: Path = Path("runs/densities.png")


def main(options: Options) -> None:
    rows = math.ceil(len(GALLERY) / 5)
    figure = Figure(figsize=(15, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, 5, squeeze=False).flat
    for axes, sampler in zip(panels, GALLERY, strict=False):
        generator = torch.Generator().manual_seed(0)
        drawn = sampler(options.count, generator)
        fit = stein_test(drawn.density, drawn.x, generator)
        name = sampler.__name__.replace("_", " ")
        print(f"{name}: p {fit.p_value:.3f} {drawn.caption}")
        show(axes, drawn)
        axes.set_title(f"{name}\np = {fit.p_value:.2f}  {drawn.caption}", fontsize=9)
        axes.tick_params(labelsize=7)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main(tyro.cli(Options))
