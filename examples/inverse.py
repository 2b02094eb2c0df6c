"""A field from a few noisy sensors, with intervals: where is it known, and how well?

python examples/inverse.py --sensors 13

A wave travels around a ring and smooths out. Sensors see it at random places and instants; what
is drawn agrees with them and with the prior. Here the prior is exact, and so is the answer it is
held to; a trained denoiser takes its place unchanged.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import torch
import tyro

from physgen.grid import log_snr
from physgen.observed import Observed
from physgen.predictor import DPMpp2M
from physgen.sampler import sample, unit_noise
from physgen.testbeds.fields import Transport
from physgen.testbeds.inverse import pose


@dataclass(frozen=True)
class Options:
    """What is seen, and how much is drawn."""

    sensors: int = 13
    noise: float = 0.02
    draws: int = 200
    levels: int = 60
    seed: int = 0
    out: Path = Path("runs/inverse")


options = tyro.cli(Options)
generator = torch.Generator().manual_seed(options.seed)
system = Transport()
prior = system.prior()
problem = pose(prior, system.points(options.sensors, generator), options.noise, 1, generator)

seen = problem.observed.expand(options.draws, -1)
term = Observed(prior, problem.see, seen, options.noise, iterations=options.sensors)
noise = unit_noise(options.draws, (system.dimension,), generator, torch.float64)
x = sample(term, noise, log_snr(options.levels, 0.01, 60.0), DPMpp2M(), generator)

print(f"held to the exact posterior: {problem.judge(x)}")
low, high = x.quantile(torch.tensor([0.05, 0.95], dtype=x.dtype), dim=0)
inside = ((problem.truth[0] > low) & (problem.truth[0] < high)).double().mean()
print(f"{inside:.0%} of this truth is in the 90 % interval, {(high - low).mean():.2f} wide")

shape = (system.instants, system.cells)
index = problem.operator.argmax(1)
time, place = index // system.cells, index % system.cells
figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
pictures = (
    ("truth", problem.truth[0]),
    ("mean of the draws", x.mean(0)),
    ("width of the 90 % interval", high - low),
)
for axis, (title, field) in zip(axes, pictures, strict=False):
    image = axis.imshow(field.view(shape), aspect="auto", origin="lower", cmap="viridis")
    axis.plot(place, time, "wo", markeredgecolor="k", markersize=5)
    axis.set(title=title, xlabel="cell", ylabel="instant")
    figure.colorbar(image, ax=axis)
last, cells = slice(-system.cells, None), range(system.cells)
axes[3].fill_between(cells, low[last], high[last], alpha=0.3, label="90 % interval")
axes[3].plot(cells, x[:, last].mean(0), label="mean")
axes[3].plot(cells, problem.truth[0, last], "k--", label="truth")
axes[3].set(title="the last instant", xlabel="cell")
axes[3].legend()
options.out.mkdir(parents=True, exist_ok=True)
figure.savefig(options.out / "inverse.png", dpi=110)
print(f"drawn in {options.out / 'inverse.png'}")
