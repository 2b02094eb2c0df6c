"""Pictures of inverse problems: truth, what was seen of it, and what was made of that."""

import math
from pathlib import Path

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.image import AxesImage
from torch import Tensor

from physgen.design_tasks.inverse import Draws, InverseTask, interval
from physgen.design_tasks.inverse_equation import Part
from physgen.files import whole

SAMPLES = 2
DOTTED = 500
"""Observations that are shown as dots at most."""
COLUMNS = 3 + SAMPLES


def draw_case(path: Path, task: InverseTask, draws: Draws, case: int) -> None:
    """One case, a row for each part: truth and sensors, mean, width of the interval, and two draws.

    A part with two axes is shown by pictures, its whole channel in each; one along a line by curves.
    """
    canvas = Canvas(figsize=(2.55 * COLUMNS, 5.1), layout="constrained")
    grid = canvas.add_gridspec(2, COLUMNS)
    for row, part in enumerate(task.equation.parts):
        if len(part.of(task.truth[case])) > 1:
            axes = [canvas.add_subplot(grid[row, k]) for k in range(COLUMNS)]
            _pictures(axes, task, draws[case], case, part)
        else:
            _curves(canvas.add_subplot(grid[row, :]), task, draws[case], case, part)
    FigureCanvasAgg(canvas)
    with whole(path) as file:
        canvas.savefig(file, format="png", dpi=130)


def _named(task: InverseTask, part: Part) -> str:
    """A part with its unit."""
    unit = list(task.law.units.values())[part.channel]
    return part.name if unit == "1" else f"{part.name} in {SHOWN.get(unit, unit)}"


SHOWN = {"s-1": "1/s", "m s-1": "m/s", "m-2": "1/m²"}
"""Units as they are written on pictures."""


def _pictures(
    axes: list[Axes],
    task: InverseTask,
    draws: Float[Tensor, "draw channel x y"],
    case: int,
    part: Part,
) -> None:
    low, high = interval(draws[None, :, part.channel, None])
    truth, drawn = task.truth[case, part.channel], draws[:, part.channel]
    limits = (truth.min().item(), truth.max().item())
    shown = [truth, drawn.mean(0), *drawn[:SAMPLES]]
    titles = ["truth", "mean of the draws", *(f"draw {k + 1}" for k in range(SAMPLES))]
    figure = axes[0].get_figure()
    assert figure is not None
    for axis, values, title in zip((*axes[:2], *axes[3:]), shown, titles, strict=True):
        image = _field(axis, task, values, limits, "viridis")
        axis.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes[3:], shrink=0.9)
    width = (high - low)[0, 0]
    spread = _field(axes[2], task, width, (0.0, max(width.max().item(), 1e-12)), "magma")
    axes[2].set_title("width of the 90 % interval", fontsize=10)
    figure.colorbar(spread, ax=axes[2], shrink=0.9)
    axes[0].set_ylabel(_named(task, part), fontsize=11)
    if task.law.timed:
        axes[0].set_ylabel(f"{_named(task, part)}\nt, 0 to 1 s", fontsize=10)
        axes[0].set_xlabel("x, 0 to 1 m")
    across, along = _observed(task, part.channel, case)
    axes[0].plot(along, across, "o", ms=2.2, mfc="w", mec="k", mew=0.4, ls="none")


def _field(
    axis: Axes, task: InverseTask, values: Tensor, limits: tuple[float, float], colours: str
) -> AxesImage:
    axis.set_xticks([])
    axis.set_yticks([])
    return axis.imshow(
        (values if task.law.timed else values.T).numpy(),
        origin="lower",
        extent=(0, 1, 0, 1),
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
    )


def _observed(task: InverseTask, channel: int, case: int) -> tuple[list[float], list[float]]:
    """Where observations of a channel are, upwards and along, none if they are too many."""
    places = task.seen.places[case]
    here = places[places[:, 0] // math.prod(task.law.space) == channel] % math.prod(task.law.space)
    if len(here) > DOTTED:
        return [], []
    first, second = (place.flatten()[here].mean(1).tolist() for place in task.law.places)
    return (first, second) if task.law.timed else (second, first)


def _curves(
    axis: Axes,
    task: InverseTask,
    draws: Float[Tensor, "draw channel x y"],
    case: int,
    part: Part,
) -> None:
    line = task.law.places[-1][0]
    low, high = (part.of(end)[0, 0] for end in interval(draws[None]))
    axis.fill_between(line, low, high, color="#0072B2", alpha=0.25, lw=0, label="90 % interval")
    for drawn in draws[:SAMPLES]:
        axis.plot(line, part.of(drawn)[0], color="0.6", lw=0.8)
    axis.plot(line, part.of(draws.mean(0))[0], color="#0072B2", label="mean of the draws")
    axis.plot(line, part.of(task.truth[case])[0], "k--", lw=1.2, label="truth")
    mine = part.places(len(task.mean), task.law.space).flatten()
    places = task.seen.places[case]
    inside = torch.isin(places, mine).all(1)
    seen = task.seen.values[case].double() * task.scale[part.channel]
    middle = line[(places - mine.min())[inside]].mean(1)
    if 0 < len(middle) <= DOTTED:
        axis.plot(middle, seen[inside], "o", ms=4, mfc="w", mec="k", label="seen")
    axis.set_ylabel(_named(task, part), fontsize=10)
    axis.set_xlabel("x in m")
    axis.set_xlim(0, 1)
    axis.legend(loc="upper right", fontsize=8, ncols=4)
