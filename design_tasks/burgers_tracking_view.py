"""A picture of Burgers tracking: what is wanted, what follows, and what controllers miss by."""

from collections.abc import Mapping
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from physgen.datasets.burgers_control import INTERVAL
from physgen.design_tasks.burgers_tracking import BurgersTracking, Tracked
from physgen.files import whole

COLOURS = ("#999999", "#E69F00", "#CC79A7", "#56B4E9", "#009E73", "#D55E00", "#F0E442", "#4D4D4D")
"""Of rivals; told apart by the colour-blind (Okabe & Ito)."""
OWN = "#0072B2"


def draw_tracking(
    path: Path, world: BurgersTracking, found: Tracked, curves: Mapping[str, Tracked]
) -> None:
    """The middling target over space and time, and below it the misses of all controllers.

    Arguments:
        path: Of the picture.
        world: Its targets.
        found: What is shown over space.
        curves: What is shown over time, by its name; the last one stands out.
    """
    chosen = found.middling
    canvas = Canvas(figsize=(11.5, 6.6), layout="constrained")
    above, below = canvas.subfigures(2, 1, squeeze=False, height_ratios=(1, 1.05))[:, 0]
    left, middle, right = above.subplots(1, 3)
    wanted, followed = world.wanted[chosen, :, 0], found.velocity[chosen, 1:, 0]
    most = wanted.abs().max().item()
    _over_time(left, wanted, most, "wanted $u^*$ [m/s]")
    _over_time(middle, followed, most, "followed $u$ [m/s]")
    force = found.force[chosen, :, 0]
    _over_time(right, force, max(force.abs().max().item(), 1e-6), "force $w$ [m/s²]")
    left.set_ylabel("time [s]")
    axis = below.subplots()
    time = INTERVAL * (1 + torch.arange(world.intervals))
    *rivals, own = curves
    for name, colour in zip(rivals, COLOURS, strict=False):
        axis.plot(time, curves[name].missed.mean(0), color=colour, lw=1.3, label=name)
    axis.plot(time, curves[own].missed.mean(0), color=OWN, lw=2.4, label=own)
    if world.floor:
        axis.axhline(world.floor, color="black", lw=0.8, ls=":", label="noise that has just come")
    axis.set_yscale("log")
    axis.set_xlabel("time [s]")
    axis.set_ylabel("missed, mean square [m²/s²]")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    FigureCanvasAgg(canvas)
    with whole(path) as part:
        canvas.savefig(part, format="png", dpi=150)


def _over_time(axis: Axes, values: Tensor, most: float, label: str) -> None:
    shown = axis.imshow(
        values.numpy(),
        origin="lower",
        aspect="auto",
        extent=(0, 1, 0, INTERVAL * len(values)),
        cmap="RdBu_r",
        vmin=-most,
        vmax=most,
        interpolation="nearest",
    )
    axis.figure.colorbar(shown, ax=axis, label=label)
    axis.set_xlabel("x [m]")
