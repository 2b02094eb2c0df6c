"""Pictures of inverse problems: truth, what was seen of it, and what was made of that."""

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from physgen.design_tasks.inverse import Draws, InverseTask, interval
from physgen.files import whole

SAMPLES = 2
DOTTED = 500
"""Observations that are shown as dots at most."""


def draw_case(path: Path, task: InverseTask, draws: Draws, case: int) -> None:
    """Both fields of one case: truth and sensors, mean, width of the interval, and two draws."""
    low, high = interval(draws)
    columns = 3 + SAMPLES
    canvas = Canvas(figsize=(2.55 * columns, 5.1), layout="constrained")
    axes = canvas.subplots(2, columns)
    for field, row in enumerate(axes):
        truth = task.truth[case, field]
        limits = (truth.min().item(), truth.max().item())
        drawn = draws[case, :, field]
        shown = [truth, drawn.mean(0), *drawn[:SAMPLES]]
        width = (high - low)[case, field]
        titles = ["truth", "mean of the draws", *(f"draw {k + 1}" for k in range(SAMPLES))]
        for axis, values, title in zip((row[0], row[1], *row[3:]), shown, titles, strict=True):
            image = _field(axis, values, limits, "viridis")
            axis.set_title(title, fontsize=10)
        canvas.colorbar(image, ax=list(row[3:]), shrink=0.9)
        spread = _field(row[2], width, (0.0, max(width.max().item(), 1e-12)), "magma")
        row[2].set_title("width of the 90 % interval", fontsize=10)
        canvas.colorbar(spread, ax=row[2], shrink=0.9)
        row[0].set_ylabel(task.equation.fields[field], fontsize=11)
        if field in task.sensors:
            _dots(row[0], task, field, case)
    FigureCanvasAgg(canvas)
    with whole(path) as part:
        canvas.savefig(part, format="png", dpi=130)


def _field(axis: Axes, values: Tensor, limits: tuple[float, float], colours: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    axis.set_xticks([])
    axis.set_yticks([])
    return axis.imshow(
        values.T.numpy(),
        origin="lower",
        extent=(0, 1, 0, 1),
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
    )


def _dots(axis: Axes, task: InverseTask, field: int, case: int) -> None:
    places = task.sensors[field][case]
    if len(places) > DOTTED:
        return
    x, y = (place.flatten() for place in task.cells.places(torch.zeros(1)))
    axis.plot(
        x[places].mean(1), y[places].mean(1), "o", ms=2.2, mfc="w", mec="k", mew=0.4, ls="none"
    )
